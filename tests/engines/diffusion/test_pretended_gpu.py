"""The engine on a simulated GPU: measured memory, the layout that follows from it, and shortages."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny
from doubles.pretended_gpu import TITLE, Pretended, machine
from doubles.tiny_engines import engine, model, opened, request
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, Offload
from goldsmith.engines.drivers.diffusers import open_engine
from goldsmith.engines.memory import free_mb, is_device_failure
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.errors import DeviceError, InputError

GPU = Device("cuda:0", 1)


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    return machine(tmp_path / "gpu", monkeypatch)


def test_free_memory_includes_the_unused_memory_of_torch(gpu: Pretended) -> None:
    """Check 64 MiB of torch beside the free memory; memory of other processes does not count."""
    gpu.free(1000)
    assert free_mb(GPU) == 1064


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_every_layout_gives_the_same_picture(gpu: Pretended, family: str, offload: Offload) -> None:
    """Check a model on the device, part by part, and block by block with streams; the record names layout and device."""
    result = opened(family, MemoryLayout("float32", offload, 1), device="cuda:0").generate(request("text", (2,)))
    facts = result.facts
    assert (facts["offload"], facts["device"], facts["device_title"]) == (offload, "cuda:0", TITLE)
    assert np.allclose(result.pictures[0], engine(family).generate(request("text", (2,))).pictures[0], atol=1e-5)


def _open(family: str = "flux", **settings: Any) -> Any:
    entry = model(family, **({"memory_mb": 1000, "picture_mb": 100} | settings))
    return open_engine(family, entry, ModelFiles({}, tiny.folder(family), revision="0" * 40), GPU)


@pytest.mark.parametrize(
    ("free", "offload", "batch"), [(39_000, "none", 4), (1300, "none", 3), (1050, "none", 1), (1000, "model", 1), (400, "group", 1)]
)
def test_the_layout_follows_from_the_free_memory(gpu: Pretended, free: int, offload: Offload, batch: int) -> None:
    """Check half precision and four pictures of a request in as many calls as the memory requires."""
    gpu.free(free)
    result = _open().generate(request("text", (1, 2, 3, 4)))
    assert (result.facts["precision"], result.facts["offload"], result.facts["batch"]) == ("bfloat16", offload, batch)
    assert len(result.pictures) == 4


def test_a_model_that_does_not_fit_is_refused(gpu: Pretended) -> None:
    """Check that the message has the required and the free memory."""
    gpu.free(100)
    with pytest.raises(InputError, match="needs about 250 MB of memory on cuda:0, but only 164 MB are free"):
        _open()


def test_a_shortage_uses_the_fallbacks_and_releases_memory(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check three failing fallbacks; the fourth, group offload, works and stays."""
    import diffusers
    import torch

    pipeline_call, calls = diffusers.FluxPipeline.__call__, []

    def run_short_of_memory(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self.vae.use_tiling)
        if len(calls) <= 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 39.06 GiB")
        return pipeline_call(self, *args, **kwargs)

    run_short_of_memory.__signature__ = inspect.signature(pipeline_call)  # type: ignore[attr-defined]
    own_engine = _open()
    monkeypatch.setattr(diffusers.FluxPipeline, "__call__", run_short_of_memory)
    before = gpu.release_count
    result = own_engine.generate(request("text", (1, 2)))
    assert (result.facts["memory_fallback"], result.facts["offload"], result.facts["batch"]) == ("offload by groups", "group", 1)
    assert calls == [False, False, True, True, True]
    assert gpu.release_count >= before + 3
    assert own_engine.generate(request("text")).facts["memory_fallback"] == "as requested"


def test_a_failed_device_is_named(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a failure while the free memory is measured."""
    import torch

    def fail(device: object = None) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    own_engine = _open()
    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    with pytest.raises(DeviceError, match="cuda:0 has failed: CUDA error: unspecified launch failure"):
        own_engine.generate(request("text"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(DeviceError, match="cuda:0 has failed"):
        _open()


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: device-side assert triggered",
        "No CUDA GPUs are available",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        "The NVIDIA driver on your system is too old (found version 11040).",
    ],
)
def test_a_device_that_fails_at_the_first_query_is_a_device_error(gpu: Pretended, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Check the error of a GPU that left its bus: the attempt does not count against the picture."""
    import torch

    def fail(device: object = None) -> None:
        raise RuntimeError(text)

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(DeviceError, match="cuda:0 has failed"):
        ModelCache[object]().get_or_open("key", "flux", GPU, 1000, object)
    assert is_device_failure(RuntimeError(text))


def test_a_device_filled_by_other_processes_has_no_free_memory(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the device does not count as failed."""
    import torch

    def fail(device: object = None) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    assert free_mb(GPU) == 0


def test_a_torch_without_cuda_is_a_device_error() -> None:
    """Check the installed torch: the device in goldsmith.toml does not exist, and no picture is blamed."""
    import torch

    if torch.version.cuda:
        pytest.skip("this torch is built for GPUs")
    with pytest.raises(DeviceError, match="cuda:7 has failed: Torch not compiled with CUDA enabled"):
        free_mb(Device("cuda:7"))


def test_closing_an_engine_releases_its_weights(gpu: Pretended) -> None:
    """Check that the cache is emptied for the next model."""
    own_engine = _open()
    before = gpu.release_count
    own_engine.close()
    assert gpu.release_count == before + 1
