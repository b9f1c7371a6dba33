"""Engines are opened by name, once, with the device in use in their descriptor."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from goldsmith.engines import engine_loader
from goldsmith.engines.drivers import null
from goldsmith.engines.engine_loader import driver_names, open_engine
from goldsmith.engines.kinds import INPAINTER, UPSCALER
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device, Engine, EngineNeed, ModelFiles
from goldsmith.engines.registry.models import Model, Models, read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.errors import InputError

SHIPPED = read_models(Path(__file__).parents[2] / "config" / "models.toml")


def _registry(model: Model, folder: Path) -> WeightsRegistry:
    return WeightsRegistry(Models(models={"one": model}), folder)


def test_the_same_call_returns_the_same_engine(tmp_path: Path) -> None:
    """Check that models stay loaded and that another number of threads gives another engine."""
    weights = WeightsRegistry(SHIPPED, tmp_path)
    first, choice = open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=1))
    assert open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=1))[0] is first
    assert open_engine(weights, EngineNeed(INPAINTER, "patchmatch"), Device(threads=2))[0] is not first
    assert choice.why == "named by the step"


def test_the_default_is_opened_with_its_reason(tmp_path: Path) -> None:
    """Check an empty models folder: inpainting uses the engine without weights, and the record has the reason."""
    engine, choice = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER), Device())
    assert engine.descriptor.name == choice.name == "patchmatch"
    assert "the weights of migan are not on this machine" in choice.why


def test_a_null_engine_is_never_a_default(tmp_path: Path) -> None:
    """Check that without weights an upscale step is refused."""
    with pytest.raises(InputError, match="goldsmith models fetch realesrgan-x2"):
        open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(UPSCALER, factor=2), Device())


def test_a_named_upscaler_keeps_its_own_scale(tmp_path: Path) -> None:
    """Check a request for x2 that names an x4 model."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(UPSCALER, "null-x4", factor=2), Device())
    assert engine.descriptor.scale == 4


def test_an_unknown_driver_is_refused(tmp_path: Path) -> None:
    """Check that the message lists the drivers."""
    with pytest.raises(
        InputError, match=r"models\.one\.driver: there is no driver 'os'\. The drivers are: birefnet, controlnet, diffusers, esr"
    ):
        open_engine(_registry(Model(kind="inpaint", driver="os", licence="MIT"), tmp_path), EngineNeed(INPAINTER, "one"), Device())


@pytest.mark.parametrize(("driver", "names"), [("migan", ("a.onnx", "b.onnx")), ("esrgan_ncnn", ("a.param",)), ("esrgan_onnx", ())])
def test_a_driver_refuses_a_wrong_number_of_files(tmp_path: Path, driver: str, names: tuple[str, ...]) -> None:
    """Check too many and too few files."""
    files = tuple(WeightsFile(name=name, sha256=hashlib.sha256(b"x").hexdigest(), bytes=1) for name in names)
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    model = Model(kind="inpaint", driver=driver, licence="MIT", files=files)
    with pytest.raises(InputError, match=r"models\.one\.files: this driver needs"):
        open_engine(_registry(model, tmp_path), EngineNeed(INPAINTER, "one"), Device())


def test_an_invalid_onnx_file_is_refused(tmp_path: Path) -> None:
    """Check a file with the right hash: the message has its path."""
    (tmp_path / "a.onnx").write_bytes(b"not a model")
    file = WeightsFile(name="a.onnx", sha256=hashlib.sha256(b"not a model").hexdigest(), bytes=11)
    weights = _registry(Model(kind="inpaint", driver="migan", licence="MIT", files=(file,)), tmp_path)
    with pytest.raises(InputError, match=r"a\.onnx: onnxruntime cannot open this model"):
        open_engine(weights, EngineNeed(INPAINTER, "one"), Device())


def test_an_engine_that_loaded_another_file_than_was_hashed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a models folder that is exchanged between the hash and the load; afterwards its files are hashed again."""
    right, wrong = b"right", b"wrong"
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "a.onnx").write_bytes(right)
    file = WeightsFile(name="a.onnx", sha256=hashlib.sha256(right).hexdigest(), bytes=5)
    model = Model(kind="inpaint", driver="migan", licence="MIT", files=(file,))

    class ReadingDriver:
        def open_engine(self, name: str, model: Model, model_files: ModelFiles, device: Device) -> Engine:
            folder.rename(tmp_path / "aside")
            folder.mkdir()
            (folder / "a.onnx").write_bytes(wrong)
            return null.open_engine(name, model, ModelFiles({}, folder), device)

    monkeypatch.setattr(engine_loader, "_load_driver", lambda name, model: ReadingDriver())
    monkeypatch.setattr(engine_loader, "_MODEL_CACHE", ModelCache())
    with pytest.raises(InputError, match=r"a\.onnx: this file of weights changed while it was loaded"):
        open_engine(_registry(model, folder), EngineNeed(INPAINTER, "one"), Device())
    with pytest.raises(InputError, match="its sha256 is"):
        open_engine(_registry(model, folder), EngineNeed(INPAINTER, "one"), Device())


def test_importing_the_drivers_imports_no_runtime() -> None:
    """Check this because a driver imports its runtime only when it opens an engine."""
    imports = "; ".join(f"import goldsmith.engines.drivers.{name}" for name in driver_names())
    code = f"import sys; {imports}; print([name for name in ('torch', 'onnxruntime', 'patchmatch', 'cv2') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_null_inpainter_uses_the_mean_around_the_hole(tmp_path: Path) -> None:
    """Check a hole in a ring of one colour, and a hole over the whole picture, which gets the mean of the picture."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER, "null-inpaint"), Device())
    pixels = np.zeros((9, 9, 3), np.float32)
    pixels[2:7, 2:7] = (0.5, 0.25, 1.0)
    hole = np.zeros((9, 9), np.float32)
    hole[3:6, 3:6] = 1
    filled = engine.fill(pixels, hole, 0)
    assert np.array_equal(filled[4, 4], np.array([0.5, 0.25, 1.0], np.float32))
    assert np.array_equal(filled[hole < 0.5], pixels[hole < 0.5])
    filled_whole = engine.fill(np.full((4, 4, 3), 0.75, np.float32), np.ones((4, 4), np.float32), 0)
    assert np.array_equal(filled_whole, np.full((4, 4, 3), 0.75, np.float32))


def test_patchmatch_uses_its_seed_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Check that seeds differ and that the output of the library is off."""
    engine, _ = open_engine(WeightsRegistry(SHIPPED, tmp_path), EngineNeed(INPAINTER, "patchmatch"), Device())
    pixels = np.random.default_rng(5).random((60, 60, 3), dtype=np.float32)
    hole = np.zeros((60, 60), np.float32)
    hole[20:40, 20:40] = 1
    assert not np.array_equal(engine.fill(pixels, hole, 1), engine.fill(pixels, hole, 2))
    assert np.array_equal(engine.fill(pixels, hole, -1), engine.fill(pixels, hole, 2**32 - 1))
    assert capfd.readouterr() == ("", "")
