"""The second pass of a generating step: a candidate is enlarged and its details are drawn anew, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from goldsmith.engines.kinds import UPSCALER
from goldsmith.engines.protocols import ControlGuide, EngineNeed, GenerationOptions, GenerationRequest, OnProgress
from goldsmith.guides import ControlSetting, to_model_pixels
from goldsmith.operation import RecordValue
from goldsmith.ops.regenerate.generation_run import GenerationRun
from goldsmith.ops.regenerate.sizing import crop_and_resize
from goldsmith.ops.regenerate.tiled_refinement import RefineOptions, refine_by_tiles
from goldsmith.picture.companion import Companion
from goldsmith.picture.picture import Pixels
from goldsmith.picture.resample import resize
from goldsmith.picture.tiling import Tiling, upscale_by_tiles


@dataclass(frozen=True, slots=True)
class SecondPass:
    """The settings: the factor of the sides, how far the result may differ, 0..1, the upscaler's own factor, and the control picture."""

    factor: float
    strength: float
    upscale_factor: int
    control: ControlSetting


def run_second_pass(
    pixels: Pixels, seed: int, options: GenerationOptions, plan: SecondPass, run: GenerationRun, on_progress: OnProgress
) -> tuple[Pixels, dict[str, RecordValue]]:
    """Return the pixels (h, w, 3), 0..1, enlarged and redrawn by tiles, and the facts: ``refined``, and ``second_pass`` of each call."""
    descriptor = run.engine.descriptor
    upscaler = run.context.engines.get(EngineNeed(UPSCALER, factor=plan.upscale_factor))
    upscaler_descriptor = upscaler.descriptor
    large = upscale_by_tiles(
        pixels,
        upscaler.enlarge,
        Tiling(upscaler_descriptor.side, upscaler_descriptor.pad, upscaler_descriptor.multiple, upscaler_descriptor.scale),
        lambda done: on_progress(done * 0.3),
    )
    high, wide = round(pixels.shape[0] * plan.factor), round(pixels.shape[1] * plan.factor)
    large = np.clip(resize(large, high, wide, "lanczos"), 0, 1)
    options = replace(options, strength=plan.strength)
    calls: list[RecordValue] = []
    guide: list[ControlGuide] = []
    companion = _refining_companion(large, plan, run, guide)

    def redraw(tile: Pixels, tile_seed: int, on_tile_progress: OnProgress) -> Pixels:
        # Without the references: with them a model has no strength and would draw every tile anew from the words.
        tile_guide = guide[-1] if guide else None
        request = GenerationRequest(options, (tile_seed,), tile.shape[1], tile.shape[0], picture=tile, guide=tile_guide)
        generated = run.engine.generate(request, on_tile_progress)
        calls.append(cast("dict[str, RecordValue]", dict(generated.facts)))
        return generated.pictures[0]

    refined = refine_by_tiles(
        large,
        redraw,
        RefineOptions(descriptor.native_pixels, descriptor.multiple, seed),
        lambda done: on_progress(0.3 + done * 0.7),
        companion,
    )
    facts: dict[str, RecordValue] = {
        "upscaler": upscaler_descriptor.name,
        "scale": upscaler_descriptor.scale,
        "size": [wide, high],
        "tiles": len(refined.tiles),
    }
    return refined.pixels, {"refined": facts, "second_pass": calls}


def _refining_companion(large: Pixels, plan: SecondPass, run: GenerationRun, guide: list[ControlGuide]) -> Companion | None:
    """Return the control picture of the second pass, which puts the part of each tile into ``guide``; None if it follows none."""
    control, net = plan.control, run.control_net
    if control is None or net is None or not control.refine:
        return None
    size, control_picture = (large.shape[1], large.shape[0]), run.control_picture

    def use_part(part: Pixels) -> None:
        picture = part if control_picture is not None else control.make(part)
        guide[:] = [ControlGuide(net, control.kind, picture, control.strength, control.start, control.end)]

    return Companion(large if control_picture is None else to_model_pixels(crop_and_resize(control_picture, size)), use_part)
