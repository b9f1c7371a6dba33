"""A model in memory: its layout, its state between calls, and the message if it cannot be loaded."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from doubles.tiny_engines import opened, request
from goldsmith.engines.diffusion.families import FAMILIES
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.errors import DeviceError, JobCancelled

TEXT = FAMILIES["flux"].calls["text"]


@pytest.fixture
def hook_releases(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a pipeline is asked to move its parts back to main memory."""
    from diffusers import DiffusionPipeline

    told: list[str] = []
    monkeypatch.setattr(DiffusionPipeline, "maybe_free_model_hooks", lambda self: told.append(type(self).__name__))
    return told


def test_an_offloaded_model_gets_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the arguments for diffusers: this machine has no such device."""
    import torch
    from diffusers import DiffusionPipeline

    asked: list[Any] = []
    monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", lambda self, device: asked.append(device))
    made = opened("flux", MemoryLayout("float32", "model", 1)).generate(request("text"))
    assert asked == [torch.device("cpu")]
    assert made.facts["offload"] == "model"


def test_parts_return_to_main_memory_after_a_cancelled_call(hook_releases: list[str]) -> None:
    """Check that the hooks are those of the pipeline that was loaded first."""

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    own = opened("flux")
    with pytest.raises(JobCancelled):
        own.generate(request("inpaint"), call_off)
    assert hook_releases == ["FluxPipeline"]


def test_every_call_gets_a_new_scheduler() -> None:
    """Check that its settings are those of the folder."""
    own = opened("flux")
    assert own._loaded is not None
    first = own._loaded.pipeline(TEXT, use_tiling=False).scheduler
    first.set_timesteps(3, mu=1.0)
    second = own._loaded.pipeline(TEXT, use_tiling=False).scheduler
    assert second is not first
    assert len(first.timesteps) == 3
    assert len(second.timesteps) == second.config["num_train_timesteps"]
    assert second.config["use_dynamic_shifting"] is True


def test_switching_to_group_offload_happens_once() -> None:
    """Check that a second switch moves nothing."""
    own = opened("flux")
    assert own._loaded is not None
    own._loaded.switch_to_group_offload()
    assert own._loaded.offload == "group"
    own._loaded.switch_to_group_offload()
    assert own.generate(request("text")).facts["offload"] == "group"


def test_a_device_that_fails_during_loading_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that neither the model nor the job is blamed."""
    import torch
    from diffusers import DiffusionPipeline

    def fail(self: object, *given: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(DiffusionPipeline, "to", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: no kernel image is available Compile with") as failed:
        opened("flux")
    assert "nvidia-smi" in failed.value.remedy


def test_a_closed_model_is_released() -> None:
    """Check that no pipeline, hook or callback refers to the weights."""
    own = opened("flux")
    own.generate(request("inpaint"))
    assert own._loaded is not None
    net = weakref.ref(own._loaded.pipeline(TEXT, use_tiling=False).transformer)
    own.close()
    gc.collect()
    assert net() is None
