"""Engines are opened by name, once, with what they run on in their descriptor."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goldsmith.engines.engine_loader import driver_names, open_engine
from goldsmith.engines.kinds import INPAINTER, UPSCALER
from goldsmith.engines.protocols import Device, EngineNeed
from goldsmith.engines.registry.models import Model, Models, read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.errors import InputError

SHIPPED = read_models(Path(__file__).parents[2] / "config" / "models.toml")


def _one(model: Model, folder: Path) -> WeightsRegistry:
    return WeightsRegistry(Models(models={"one": model}), folder)


def test_the_same_call_gives_the_same_engine(tmp_path: Path) -> None:
    """Models stay loaded in a lane; another number of threads is another engine."""
    weights = WeightsRegistry(SHIPPED, tmp_path)
    first, choice = open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=1))
    assert open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=1))[0] is first
    assert open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=2))[0] is not first
    assert choice.why == "named by the step"


def test_the_default_is_opened_with_its_reason(tmp_path: Path) -> None:
    """In an empty models folder inpainting falls to the engine that needs no weights, and says so."""
    engine, choice = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER), Device())
    assert engine.descriptor.name == choice.name == "patchmatch"
    assert "the weights of migan are not on this machine" in choice.why


def test_no_default_is_ever_a_null_engine(tmp_path: Path) -> None:
    """Without weights there is no upscaler: a picture is never passed off as enlarged by one."""
    with pytest.raises(InputError, match="goldsmith models fetch realesrgan-x2"):
        open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(UPSCALER, factor=2), Device())


def test_a_named_upscaler_keeps_its_own_scale(tmp_path: Path) -> None:
    """Asked for x2 with a x4 model named, the x4 model comes and its descriptor says so."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(UPSCALER, "null-x4", factor=2), Device())
    assert engine.descriptor.scale == 4


def test_an_unknown_driver_is_told_with_those_there_are(tmp_path: Path) -> None:
    """models.toml can only name drivers that come with Goldsmith."""
    with pytest.raises(InputError, match=r"models\.one\.driver: there is no driver 'os'\. The drivers are: diffusers, esrgan_ncnn"):
        open_engine(_one(Model(kind="inpaint", driver="os", licence="MIT"), tmp_path), EngineNeed(INPAINTER, "one"), Device())


@pytest.mark.parametrize(("driver", "names"), [("migan", ("a.onnx", "b.onnx")), ("esrgan_ncnn", ("a.param",)), ("esrgan_onnx", ())])
def test_a_driver_says_which_files_it_needs(tmp_path: Path, driver: str, names: tuple[str, ...]) -> None:
    """A model with too many or too few files is refused by place."""
    files = tuple(WeightsFile(name=name, sha256=hashlib.sha256(b"x").hexdigest(), bytes=1) for name in names)
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    model = Model(kind="inpaint", driver=driver, licence="MIT", files=files)
    with pytest.raises(InputError, match=r"models\.one\.files: this driver needs"):
        open_engine(_one(model, tmp_path), EngineNeed(INPAINTER, "one"), Device())


def test_a_file_that_is_no_onnx_is_a_problem(tmp_path: Path) -> None:
    """Right by its hash and yet no model: onnxruntime's refusal becomes a sentence with the file."""
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    file = WeightsFile(name="a.onnx", sha256=hashlib.sha256(b"not a model").hexdigest(), bytes=11)
    weights = _one(Model(kind="inpaint", driver="migan", licence="MIT", files=(file,)), tmp_path)
    with pytest.raises(InputError, match=r"a\.onnx: onnxruntime cannot open this model"):
        open_engine(weights, EngineNeed(INPAINTER, "one"), Device())


def test_opening_the_package_opens_no_runtime() -> None:
    """Every driver imports its runtime only when an engine is opened."""
    imports = "; ".join(f"import goldsmith.engines.drivers.{name}" for name in driver_names())
    code = f"import sys; {imports}; print([name for name in ('torch', 'onnxruntime', 'patchmatch', 'cv2') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_null_inpainter_takes_the_ring_around_the_hole(tmp_path: Path) -> None:
    """Not the whole picture's mean: what touches the hole. A hole without surroundings gets the picture's own mean."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER, "null-inpaint"), Device())
    pixels = np.zeros((9, 9, 3), np.float32)
    pixels[2:7, 2:7] = (0.5, 0.25, 1.0)
    hole = np.zeros((9, 9), np.float32)
    hole[3:6, 3:6] = 1
    filled = engine.fill(pixels, hole, 0)
    assert np.array_equal(filled[4, 4], np.array([0.5, 0.25, 1.0], np.float32))
    assert np.array_equal(filled[hole < 0.5], pixels[hole < 0.5])
    everything = engine.fill(np.full((4, 4, 3), 0.75, np.float32), np.ones((4, 4), np.float32), 0)
    assert np.array_equal(everything, np.full((4, 4, 3), 0.75, np.float32))


def test_patchmatch_uses_its_seed_and_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Another seed is another search; the library's own printing is off."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER, "patchmatch"), Device())
    pixels = np.random.default_rng(5).random((60, 60, 3), dtype=np.float32)
    hole = np.zeros((60, 60), np.float32)
    hole[20:40, 20:40] = 1
    assert not np.array_equal(engine.fill(pixels, hole, 1), engine.fill(pixels, hole, 2))
    assert np.array_equal(engine.fill(pixels, hole, -1), engine.fill(pixels, hole, 2**32 - 1))
    assert capfd.readouterr() == ("", "")
