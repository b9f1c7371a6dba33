"""Fallbacks if memory runs out: their order, their effect and the record; the engine keeps working."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from doubles.tiny_engines import HEIGHT, WIDTH, engine, opened, request
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.families import FAMILIES
from goldsmith.engines.diffusion.memory_layout import FALLBACK_SCALE, MemoryLayout, memory_fallbacks, plan_layout
from goldsmith.engines.protocols import Device
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.errors import InputError

PAIRS = MemoryLayout("float32", "none", 2)
FailNextCalls = Callable[[int, BaseException], list[dict[str, Any]]]


@pytest.fixture
def fail_with(monkeypatch: pytest.MonkeyPatch) -> FailNextCalls:
    """Return a function that lets the next calls of FLUX fail; it returns the arguments of each call."""
    import diffusers

    calls: list[dict[str, Any]] = []

    def fail_next_calls(times: int, error: BaseException) -> list[dict[str, Any]]:
        for kind in (diffusers.FluxPipeline, diffusers.FluxInpaintPipeline):
            monkeypatch.setattr(kind, "__call__", _fail_first_calls(kind.__call__, times, error, calls))
        return calls

    return fail_next_calls


def _fail_first_calls(pipeline_call: Any, times: int, error: BaseException, calls: list[dict[str, Any]]) -> Any:
    def fail_first(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append({**kwargs, "tiled": self.vae.use_tiling, "sliced": self.vae.use_slicing})
        if len(calls) <= times:
            raise error
        return pipeline_call(self, *args, **kwargs)

    fail_first.__signature__ = inspect.signature(pipeline_call)  # type: ignore[attr-defined]
    return fail_first


def _out_of_memory_error() -> BaseException:
    import torch

    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


@pytest.mark.parametrize(
    ("fails", "fallback", "tiling", "offload"),
    [
        (0, "as requested", False, "none"),
        (1, "one at a time", False, "none"),
        (2, "tiled decoder", True, "none"),
        (3, "offload by groups", True, "group"),
    ],
)
def test_each_fallback_works_and_is_recorded(fail_with: FailNextCalls, fails: int, fallback: str, tiling: bool, offload: str) -> None:
    """Check no fallback, single pictures, a tiled decoder and group offload; the facts name the fallback in use."""
    own_engine = opened("flux", PAIRS)
    calls = fail_with(fails, _out_of_memory_error())
    result = own_engine.generate(request("text", (1, 2)))
    assert (result.facts["memory_fallback"], result.facts["tiling"], result.facts["offload"]) == (fallback, tiling, offload)
    assert result.facts["batch"] == (2 if fails == 0 else 1)
    assert calls[-1]["tiled"] is calls[-1]["sliced"] is tiling
    assert len(result.pictures) == 2
    for picture, seed in zip(result.pictures, (1, 2), strict=True):
        expected = engine("flux").generate(request("text", (seed,))).pictures[0]
        assert np.allclose(picture, expected, atol=1e-4) is not tiling


def test_a_fill_may_be_generated_smaller(fail_with: FailNextCalls) -> None:
    """Check the last fallback for a crop: three quarters of its size, enlarged again."""
    calls = fail_with(3, _out_of_memory_error())
    result = opened("flux").generate(request("inpaint"))
    assert (result.facts["memory_fallback"], result.facts["size"], result.facts["generated_size"]) == ("smaller", [WIDTH, HEIGHT], [64, 64])
    assert calls[-1]["image"].shape == (1, 3, 64, 64)
    assert result.pictures[0].shape == (HEIGHT, WIDTH, 3)
    assert result.facts["offload"] == "group"


def test_a_whole_picture_is_never_generated_smaller(fail_with: FailNextCalls) -> None:
    """Check that after the last fallback the message lists all fallbacks and gives a remedy."""
    fail_with(99, _out_of_memory_error())
    own_engine = opened("flux", PAIRS)
    with pytest.raises(InputError) as refused:
        own_engine.generate(request("text", (1, 2)))
    assert refused.value.sentence == (
        "There is not enough memory on cpu for the model 'flux' at 96 x 64 px "
        "(tried: as requested, one at a time, tiled decoder, offload by groups)."
    )
    assert refused.value.remedy.startswith("Use a smaller size")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_shortage_on_the_cpu_uses_the_fallbacks(fail_with: FailNextCalls, error: BaseException) -> None:
    """Check the errors at the limit of a worker process and of the CPU allocator of torch."""
    fail_with(1, error)
    assert opened("flux").generate(request("text")).facts["memory_fallback"] == "tiled decoder"


def test_other_errors_use_no_fallback(fail_with: FailNextCalls) -> None:
    """Check that they are raised at once."""
    calls = fail_with(9, ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        opened("flux").generate(request("text"))
    assert len(calls) == 1


def test_only_the_offload_stays_after_a_fallback(fail_with: FailNextCalls) -> None:
    """Check that the next request has no tiling; group offload stays, which changes no pixel."""
    own_engine = opened("flux")
    calls = fail_with(2, _out_of_memory_error())
    own_engine.generate(request("text"))
    after = own_engine.generate(request("text"))
    assert (after.facts["memory_fallback"], after.facts["tiling"], after.facts["offload"]) == ("as requested", False, "group")
    assert calls[-1]["tiled"] is False
    assert after.pictures[0].tobytes() == engine("flux").generate(request("text")).pictures[0].tobytes()


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux2-klein", "qwen-image", "z-image", "krea2"])
def test_every_family_runs_with_group_offload(family: str) -> None:
    """Check that text encoders, networks and decoders give the same bytes."""
    grouped = opened(family, MemoryLayout("float32", "group", 1)).generate(request("text", (2,)))
    assert grouped.facts["offload"] == "group"
    assert grouped.pictures[0].tobytes() == engine(family).generate(request("text", (2,))).pictures[0].tobytes()


def test_tiles_are_smaller_than_the_native_size_of_a_decoder() -> None:
    """Check this because one tile of the native size would save no memory."""
    own_engine = opened("sdxl")
    vae = own_engine._loaded.pipeline(FAMILIES["sdxl"].calls["text"], use_tiling=False).vae  # type: ignore[union-attr]
    vae.tile_sample_min_size, vae.tile_latent_min_size = 1024, 128
    own_engine._loaded.pipeline(FAMILIES["sdxl"].calls["text"], use_tiling=True)  # type: ignore[union-attr]
    assert (vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size) == (True, 512, 64)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux", "flux2-klein", "qwen-image", "z-image", "krea2"])
def test_every_decoder_can_be_tiled(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that tiling is on for the call and off afterwards."""
    own_engine: DiffusionEngine = opened(family)
    monkeypatch.setattr(
        "goldsmith.engines.diffusion.diffusion_engine.memory_fallbacks",
        lambda planned, is_fill: memory_fallbacks(planned, is_fill=is_fill)[1:],
    )
    result = own_engine.generate(request("text"))
    assert (result.facts["memory_fallback"], result.facts["tiling"]) == ("tiled decoder", True)
    monkeypatch.undo()
    assert own_engine.generate(request("text")).facts["tiling"] is False


def test_the_fallbacks_are_in_order() -> None:
    """Check that each fallback includes the earlier ones and that none repeats the layout in use."""
    assert [fallback.name for fallback in memory_fallbacks(PAIRS, is_fill=True)] == [
        "as requested",
        "one at a time",
        "tiled decoder",
        "offload by groups",
        "smaller",
    ]
    assert [fallback.name for fallback in memory_fallbacks(MemoryLayout("bfloat16", "group", 1), is_fill=False)] == [
        "as requested",
        "tiled decoder",
    ]
    last = memory_fallbacks(MemoryLayout("bfloat16", "group", 1), is_fill=True)[-1]
    assert (last.name, last.scale, last.uses_tiling, last.batch) == ("smaller", FALLBACK_SCALE, True, 1)


def _entry(**settings: Any) -> DiffusionSettings:
    return DiffusionSettings.model_validate(
        {"family": "flux", "can": ["text"], "pixels": 1 << 20, "multiple": 16, "steps": 28, "guidance": 3.5, "memory_mb": 32_000}
        | {"picture_mb": 4_000}
        | settings
    )


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (80_000, MemoryLayout("bfloat16", "none", 8)),
        (45_000, MemoryLayout("bfloat16", "none", 3)),
        (36_000, MemoryLayout("bfloat16", "none", 1)),
        (35_999, MemoryLayout("bfloat16", "model", 1)),
        (26_400, MemoryLayout("bfloat16", "model", 1)),
        (26_399, MemoryLayout("bfloat16", "group", 1)),
        (8_800, MemoryLayout("bfloat16", "group", 1)),
    ],
)
def test_the_layout_depends_on_the_free_memory(free: int, expected: MemoryLayout) -> None:
    """Check a whole model on the device with the largest batch, then part by part, then a few blocks."""
    assert plan_layout("flux", _entry(), 0.7, Device("cuda:0"), free, 64_000) == expected


def test_a_model_that_does_not_fit_is_refused_before_loading() -> None:
    """Check the memory of the device, and main memory for idle weights."""
    with pytest.raises(InputError, match="The model 'flux' needs about 8800 MB of memory on cuda:0, but only 8799 MB are free"):
        plan_layout("flux", _entry(), 0.7, Device("cuda:0"), 8_799, 64_000)
    with pytest.raises(InputError, match="needs about 32000 MB of main memory for idle weights, but only 31999 MB are free"):
        plan_layout("flux", _entry(), 0.7, Device("cuda:0"), 20_000, 31_999)


def test_the_cpu_computes_in_float32_one_picture_at_a_time() -> None:
    """Check that weights take twice the memory of the entry, which is for half precision."""
    assert plan_layout("flux", _entry(), 0.7, Device("cpu"), 68_000, 68_000) == MemoryLayout("float32", "none", 1)
    assert plan_layout("flux", _entry(precision="float32"), 0.7, Device("cpu"), 36_000, 36_000) == MemoryLayout("float32", "none", 1)
    with pytest.raises(InputError, match="needs about 68000 MB of memory on cpu, but only 67999 MB are free") as refused:
        plan_layout("flux", _entry(), 0.7, Device("cpu"), 67_999, 67_999)
    assert "worker_memory_mb" in refused.value.remedy


def test_a_shortage_during_loading_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the worker process survives."""
    monkeypatch.setattr("goldsmith.engines.diffusion.loaded_model.load_pipelines", lambda *args: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(InputError, match="There is not enough memory on cpu to load the model 'flux'"):
        opened("flux")
