"""The engine on a GPU that is only pretended: what is measured there, how a model is laid out by it, and what happens when it is short."""

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


def test_what_is_free_is_what_the_driver_has_and_what_torch_holds_unused(gpu: Pretended) -> None:
    """64 MiB of torch's own beside it; other processes' memory is not counted on."""
    gpu.free(1000)
    assert free_mb(GPU) == 1064


@pytest.mark.parametrize("family", ["sdxl", "flux", "qwen-image"])
@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_every_layout_runs_there_and_draws_the_same_picture(gpu: Pretended, family: str, offload: Offload) -> None:
    """On the device, part by part, block by block with streams; the record says which, and on what."""
    made = opened(family, MemoryLayout("float32", offload, 1), device="cuda:0").generate(request("text", (2,)))
    facts = made.facts
    assert (facts["offload"], facts["device"], facts["device_title"]) == (offload, "cuda:0", TITLE)
    assert np.allclose(made.pictures[0], engine(family).generate(request("text", (2,))).pictures[0], atol=1e-5)


def _opened(family: str = "flux", **said: Any) -> Any:
    entry = model(family, **({"memory_mb": 1000, "picture_mb": 100} | said))
    return open_engine(family, entry, ModelFiles({}, tiny.folder(family), revision="0" * 40), GPU)


@pytest.mark.parametrize(
    ("free", "offload", "batch"), [(39_000, "none", 4), (1300, "none", 3), (1050, "none", 1), (1000, "model", 1), (400, "group", 1)]
)
def test_a_model_is_laid_out_by_what_is_free_there(gpu: Pretended, free: int, offload: Offload, batch: int) -> None:
    """In half precision, four pictures of one request in as many calls as the memory asks for."""
    gpu.free(free)
    made = _opened().generate(request("text", (1, 2, 3, 4)))
    assert (made.facts["precision"], made.facts["offload"], made.facts["batch"]) == ("bfloat16", offload, batch)
    assert len(made.pictures) == 4


def test_one_that_does_not_fit_there_is_a_sentence(gpu: Pretended) -> None:
    """With what it needs at least and what there is."""
    gpu.free(100)
    with pytest.raises(InputError, match="needs about 250 MB of memory on cuda:0, but only 164 MB are free"):
        _opened()


def test_a_shortage_there_walks_the_ladder_and_gives_memory_back(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rungs fail as CUDA fails; the fourth has the weights come block by block, and keeps them so."""
    import diffusers
    import torch

    whole, calls = diffusers.FluxPipeline.__call__, []

    def short(self: Any, *given: Any, **named: Any) -> Any:
        calls.append(self.vae.use_tiling)
        if len(calls) <= 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 39.06 GiB")
        return whole(self, *given, **named)

    short.__signature__ = inspect.signature(whole)  # type: ignore[attr-defined]
    own = _opened()
    monkeypatch.setattr(diffusers.FluxPipeline, "__call__", short)
    before = gpu.given_back
    made = own.generate(request("text", (1, 2)))
    assert (made.facts["memory_fallback"], made.facts["offload"], made.facts["batch"]) == ("offload by groups", "group", 1)
    assert calls == [False, False, True, True, True]
    assert gpu.given_back >= before + 3
    assert own.generate(request("text")).facts["memory_fallback"] == "as requested"


def test_a_device_that_fails_there_is_named(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is only asked how much it has free."""
    import torch

    def fail(device: object = None) -> None:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    own = _opened()
    monkeypatch.setattr(torch.cuda, "get_device_name", fail)
    with pytest.raises(DeviceError, match="cuda:0 has failed: CUDA error: unspecified launch failure"):
        own.generate(request("text"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", fail)
    with pytest.raises(DeviceError, match="cuda:0 has failed"):
        _opened()


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: device-side assert triggered",
        "No CUDA GPUs are available",
        "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        "The NVIDIA driver on your system is too old (found version 11040).",
    ],
)
def test_a_device_that_is_gone_when_a_process_first_asks_it_is_the_device_s_fault(
    gpu: Pretended, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """As a card that fell off its bus answers: the lane pauses, and no attempt is held against the picture."""
    import torch

    def gone(device: object = None) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(torch.cuda, "mem_get_info", gone)
    with pytest.raises(DeviceError, match="cuda:0 has failed"):
        ModelCache[object]().get_or_open("key", "flux", GPU, 1000, object)
    assert is_device_failure(RuntimeError(said))


def test_a_device_that_others_fill_wholly_has_nothing_free(gpu: Pretended, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not dead; a process that cannot even ask finds no memory there."""
    import torch

    def full(device: object = None) -> None:
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "mem_get_info", full)
    assert free_mb(GPU) == 0


def test_a_torch_that_was_built_without_it_is_the_device_s_fault() -> None:
    """The torch installed here is: what goldsmith.toml names is not to be had, and no picture is to blame for that."""
    import torch

    if torch.version.cuda:
        pytest.skip("this torch is built for GPUs")
    with pytest.raises(DeviceError, match="cuda:7 has failed: Torch not compiled with CUDA enabled"):
        free_mb(Device("cuda:7"))


def test_weights_are_let_go_of_there(gpu: Pretended) -> None:
    """And the cache is emptied, so that the next model finds room."""
    own = _opened()
    before = gpu.given_back
    own.close()
    assert gpu.given_back == before + 1
