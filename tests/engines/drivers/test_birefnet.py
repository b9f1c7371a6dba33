"""BiRefNet: the finest output of its network is the matte, as logits or as probabilities, at the side of its file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from doubles import nets
from goldsmith.engines.drivers.birefnet import BiRefNet
from goldsmith.engines.engine_loader import open_engine
from goldsmith.engines.kinds import MATTE_ESTIMATOR
from goldsmith.engines.protocols import Device, EngineDescriptor, EngineNeed
from goldsmith.engines.registry.weights_registry import open_weights_registry
from goldsmith.errors import InputError

DESCRIPTOR = EngineDescriptor(name="birefnet", kind="matte", licence="MIT")
# Bright at the left, dark at the right.
PIXELS = np.zeros((40, 60, 3), np.float32)
PIXELS[:, :30] = 1


class _Net:
    """A network with these outputs for its first channel. It keeps what it was given."""

    def __init__(self, *outputs: Any, shape: tuple[object, ...] = (1, 3, 32, 32), kind: str = "tensor(float)") -> None:
        self.outputs, self.blobs = outputs, list[Any]()
        self._input = SimpleNamespace(name="in", shape=shape, type=kind)

    def get_inputs(self) -> list[SimpleNamespace]:
        return [self._input]

    def run(self, names: object, blobs: dict[str, Any]) -> list[Any]:
        self.blobs.append(blobs["in"])
        return [output(blobs["in"][:, :1]) for output in self.outputs]


def matte(*outputs: Any, **settings: Any) -> tuple[Any, _Net]:
    net = _Net(*outputs, **settings)
    return BiRefNet(DESCRIPTOR, net).matte(PIXELS), net  # type: ignore[arg-type]


def test_logits_become_the_share_of_the_subject() -> None:
    """Check far above and below zero, beyond what an exponential of 32 bits holds."""
    shares, net = matte(lambda channel: np.where(channel > 0, np.float32(200), np.float32(-200)))
    assert shares.shape == (40, 60)
    assert (float(shares[:, :28].min()), float(shares[:, 32:].max())) == pytest.approx((1, 0), abs=1e-6)
    assert net.blobs[0].shape == (1, 3, 32, 32)
    assert float(net.blobs[0][0, 0, 0, 0]) == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)


def test_probabilities_stay_as_they_are() -> None:
    """Check that values between 0 and 1 are no logits: 0.8 would become 0.69."""
    shares, _ = matte(lambda channel: np.where(channel > 0, np.float32(0.8), np.float32(0.1)))
    assert (float(shares[20, 5]), float(shares[20, 55])) == pytest.approx((0.8, 0.1), abs=1e-6)


def test_the_finest_of_several_outputs_is_the_matte() -> None:
    """Check a coarse output before and after it."""
    coarse = lambda channel: np.ones((1, 1, 8, 8), np.float32)  # noqa: E731
    shares, _ = matte(coarse, lambda channel: np.where(channel > 0, np.float32(9), np.float32(-9)), coarse)
    assert shares[:, 32:].max() < 0.01


def test_a_faint_result_is_no_subject() -> None:
    """Check a network that is sure of nothing."""
    assert matte(lambda channel: np.full(channel.shape, -1, np.float32))[0].max() == 0


def test_a_file_in_half_precision_that_leaves_its_side_open_runs_at_1024_px() -> None:
    """Check what the network is given."""
    _, net = matte(lambda channel: channel, shape=(1, 3, "height", "width"), kind="tensor(float16)")
    assert (net.blobs[0].shape, net.blobs[0].dtype) == ((1, 3, 1024, 1024), np.float16)


def test_values_that_are_not_numbers_are_refused() -> None:
    """Check that no picture is cut by them."""
    with pytest.raises(InputError, match="'birefnet' returned values that are not numbers"):
        matte(lambda channel: np.full(channel.shape, np.nan, np.float32))


def test_a_file_with_its_hash_is_opened_by_name(tmp_path: Path) -> None:
    """Check a small network in the ONNX format, run by onnxruntime: it doubles what it sees; another file is refused."""
    models = tmp_path / "models"
    models.mkdir()
    side = (1, 3, 32, 32)
    path = nets.write_net(models / "birefnet.onnx", [("Mul", ["image", "two"], "matte")], {"image": side}, ("matte", side), {"two": 2.0})
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "models.toml").write_text(
        '[models.birefnet]\nkind = "matte"\ndriver = "birefnet"\nlicence = "MIT"\n'
        f'[[models.birefnet.files]]\nname = "birefnet.onnx"\nsha256 = "{sha256}"\nbytes = {path.stat().st_size}\n'
        'sources = [{ url = "https://models.invalid/birefnet.onnx" }]\n',
        encoding="utf-8",
    )
    engine, choice = open_engine(
        open_weights_registry(tmp_path / "models.toml", models), EngineNeed(MATTE_ESTIMATOR, "birefnet"), Device(threads=1)
    )
    shares = engine.matte(PIXELS)
    assert (choice.name, engine.descriptor.weights) == ("birefnet", (("birefnet.onnx", sha256),))
    assert shares[:, :28].min() > 0.95
    assert shares[:, 32:].max() < 0.05
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match="sha256"):
        open_engine(open_weights_registry(tmp_path / "models.toml", models), EngineNeed(MATTE_ESTIMATOR, "birefnet"), Device(threads=1))
