"""A model in memory: laid out as planned, at rest between calls, and what is said where it cannot be brought there."""

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
def rests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each time a pipeline is told to send its parts back to where they wait."""
    from diffusers import DiffusionPipeline

    told: list[str] = []
    monkeypatch.setattr(DiffusionPipeline, "maybe_free_model_hooks", lambda self: told.append(type(self).__name__))
    return told


def test_a_model_that_waits_in_the_computer_s_memory_is_told_which_device_it_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Part by part: there is no such device here, so that only what diffusers is asked for can be seen."""
    import torch
    from diffusers import DiffusionPipeline

    asked: list[Any] = []
    monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", lambda self, device: asked.append(device))
    made = opened("flux", MemoryLayout("float32", "model", 1)).generate(request("text"))
    assert asked == [torch.device("cpu")]
    assert made.facts["offload"] == "model"


def test_parts_go_back_to_where_they_wait_also_when_a_call_was_called_off(rests: list[str]) -> None:
    """The hooks are those of the pipeline that was loaded, whichever of them worked."""

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    own = opened("flux")
    with pytest.raises(JobCancelled):
        own.generate(request("inpaint"), call_off)
    assert rests == ["FluxPipeline"]


def test_a_scheduler_remembers_nothing_of_the_last_call() -> None:
    """Each call gets one that has not run; its settings are those of the folder."""
    own = opened("flux")
    assert own._loaded is not None
    first = own._loaded.pipeline(TEXT, use_tiling=False).scheduler
    first.set_timesteps(3, mu=1.0)
    second = own._loaded.pipeline(TEXT, use_tiling=False).scheduler
    assert second is not first
    assert len(first.timesteps) == 3
    assert len(second.timesteps) == second.config["num_train_timesteps"]
    assert second.config["use_dynamic_shifting"] is True


def test_going_over_to_groups_is_done_once() -> None:
    """A second time there is nothing to move."""
    own = opened("flux")
    assert own._loaded is not None
    own._loaded.switch_to_group_offload()
    assert own._loaded.offload == "group"
    own._loaded.switch_to_group_offload()
    assert own.generate(request("text")).facts["offload"] == "group"


def test_a_device_that_fails_while_a_model_is_brought_to_it_is_the_device_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the model's and not the job's."""
    import torch
    from diffusers import DiffusionPipeline

    def fail(self: object, *given: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(DiffusionPipeline, "to", fail)
    with pytest.raises(DeviceError, match="cpu has failed: CUDA error: no kernel image is available Compile with") as failed:
        opened("flux")
    assert "nvidia-smi" in failed.value.remedy


def test_what_is_let_go_is_gone() -> None:
    """No pipeline, hook or callback holds the weights any longer."""
    own = opened("flux")
    own.generate(request("inpaint"))
    assert own._loaded is not None
    net = weakref.ref(own._loaded.pipeline(TEXT, use_tiling=False).transformer)
    own.close()
    gc.collect()
    assert net() is None
