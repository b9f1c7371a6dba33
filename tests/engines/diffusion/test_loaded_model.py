"""A model in memory: its layout, its state between calls, and the message if it cannot be loaded."""

from __future__ import annotations

import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest

from doubles import tiny
from doubles.tiny_engines import model, opened, request
from doubles.weights import change_in_place
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.families import FAMILIES
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.diffusion.pipeline_loader import PipelineSet, load_pipelines
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.errors import DeviceError, InputError, JobCancelled

TEXT = FAMILIES["flux"].calls["text"]


@pytest.fixture
def hook_releases(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the pipelines that move their parts back to main memory, one for each call."""
    from diffusers import DiffusionPipeline

    pipelines: list[str] = []
    monkeypatch.setattr(DiffusionPipeline, "maybe_free_model_hooks", lambda self: pipelines.append(type(self).__name__))
    return pipelines


def test_weights_that_change_while_they_are_loaded_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a tree that is read again after its weights were released, long after the driver's call."""
    folder = tmp_path / "model"
    shutil.copytree(tiny.folder("flux"), folder)
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    model_files = ModelFiles(files, folder, is_tree=True)
    weights = next(path for path in files.values() if path.suffix == ".safetensors")

    def load_and_change(*arguments: Any) -> PipelineSet:
        pipelines = load_pipelines(*arguments)
        change_in_place(weights, weights.read_bytes()[::-1])
        return pipelines

    own_engine = DiffusionEngine("flux", model("flux"), model_files, Device(), lambda largest: MemoryLayout("float32", "none", 1))
    own_engine.close()
    monkeypatch.setattr("goldsmith.engines.diffusion.loaded_model.load_pipelines", load_and_change)
    with pytest.raises(InputError, match=r"\.safetensors: this file of weights changed while it was loaded"):
        own_engine.generate(request("text"))


def test_an_offloaded_model_gets_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the argument for diffusers, because this machine has no GPU."""
    import torch
    from diffusers import DiffusionPipeline

    devices: list[Any] = []
    monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", lambda self, device: devices.append(device))
    result = opened("flux", MemoryLayout("float32", "model", 1)).generate(request("text"))
    assert devices == [torch.device("cpu")]
    assert result.facts["offload"] == "model"


def test_parts_return_to_main_memory_after_a_cancelled_call(hook_releases: list[str]) -> None:
    """Check that the hooks of the pipeline that was loaded first run."""

    def cancel(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    own_engine = opened("flux")
    with pytest.raises(JobCancelled):
        own_engine.generate(request("inpaint"), cancel)
    assert hook_releases == ["FluxPipeline"]


def test_every_call_gets_a_new_scheduler() -> None:
    """Check that its settings come from the folder and not from the previous call."""
    own_engine = opened("flux")
    assert own_engine._loaded is not None
    first = own_engine._loaded.pipeline(TEXT, use_tiling=False).scheduler
    first.set_timesteps(3, mu=1.0)
    second = own_engine._loaded.pipeline(TEXT, use_tiling=False).scheduler
    assert second is not first
    assert len(first.timesteps) == 3
    assert len(second.timesteps) == second.config["num_train_timesteps"]
    assert second.config["use_dynamic_shifting"] is True


def test_switching_to_group_offload_happens_once() -> None:
    """Check that a second switch moves nothing."""
    own_engine = opened("flux")
    assert own_engine._loaded is not None
    own_engine._loaded.switch_to_group_offload()
    assert own_engine._loaded.offload == "group"
    own_engine._loaded.switch_to_group_offload()
    assert own_engine.generate(request("text")).facts["offload"] == "group"


def test_a_device_that_fails_during_loading_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that neither the model nor the job is blamed."""
    import torch
    from diffusers import DiffusionPipeline

    def fail(self: object, *args: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(DiffusionPipeline, "to", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: no kernel image is available Compile with") as failed:
        opened("flux")
    assert "nvidia-smi" in failed.value.remedy


def test_a_closed_model_is_released() -> None:
    """Check that no pipeline, hook or callback refers to the weights."""
    own_engine = opened("flux")
    own_engine.generate(request("inpaint"))
    assert own_engine._loaded is not None
    net = weakref.ref(own_engine._loaded.pipeline(TEXT, use_tiling=False).transformer)
    own_engine.close()
    gc.collect()
    assert net() is None
