"""Fills of holes whose truth is known: the default engine alone beside ``model = "auto"``, on photographs and on plain grounds.

``python -m bench.fill PHOTOGRAPHS [RESULTS [EVERY [FIRST]]]`` prints a line for each hole, or with EVERY = 2 and FIRST = 1 for every second
one from the second on, and writes the fills side by side into RESULTS.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.fill_holes import HOLES, Hole
from bench.row import Row
from goldsmith.engines.protocols import Inpainter
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

if TYPE_CHECKING:
    from goldsmith.engines.registry.weights_registry import WeightsRegistry

_BENCHMARK = "fill"
# What auto is compared with.
_ALONE = "engine alone"
# The folder with the photographs: the unpacked packages and scikit-image's data.
_FOLDER_VARIABLE = "PHOTOGRAPHS"
# How much of the photograph is given round a hole, as a multiple of its side.
_SURROUNDINGS = 1.5
# A fill whose distance is at most this much larger than that of the best counts as an equally good choice.
_EQUAL_DISTANCE = 0.5
# The largest share of a fill with colours or edges that its surroundings do not have.
_MAX_NEW = 0.02
# A fill further from the truth than this is bad, and must not be passed in silence.
_BAD_DISTANCE = 8.0
# The detail ratios with the truth that are right.
_RIGHT_DETAIL = (0.8, 1.25)


@dataclass(frozen=True, slots=True)
class TruthScores:
    """How a fill compares with the truth.

    detail:   fine detail of the fill / of the truth.
    distance: the mean CIEDE2000 of both, blurred by 6 px, and four for each octave that the detail is off.
    """

    detail: float
    distance: float


@dataclass(frozen=True, slots=True)
class FilledHole:
    """The result of one hole: how auto chose, and the scores of each fill that it made and of the default engine alone.

    seconds: the processor time, with the search for subjects. novelty: the share of the delivered fill with new colours or edges.
    """

    hole: Hole
    chosen: str
    seconds: float
    is_doubtful: bool
    is_held: bool
    novelty: float
    scores: dict[str, TruthScores]
    pictures: dict[str, Pixels]

    @property
    def is_bad(self) -> bool:
        return self.scores[self.chosen].distance > _BAD_DISTANCE

    @property
    def is_delivered_with_new(self) -> bool:
        return self.novelty > _MAX_NEW and not self.is_held

    @property
    def is_well_chosen(self) -> bool:
        return self._is_as_good_as(*self.scores)

    @property
    def is_as_good_as_the_engines(self) -> bool:
        """Whether it is as near to the truth as the better of the default engine alone and of copied patches."""
        return self._is_as_good_as(*({_ALONE, "patches"} & self.scores.keys()))

    def _is_as_good_as(self, *names: str) -> bool:
        best = min(self.scores[name].distance for name in names)
        return self.scores[self.chosen].distance <= 1.1 * best + _EQUAL_DISTANCE


def measure(place: Path) -> list[Row]:
    """Measure the plain grounds, and the photographs in the folder that ``PHOTOGRAPHS`` names."""
    engine = open_default_engine()
    rows = [*_plain_rows(engine), _sample_row(engine)]
    folder = os.environ.get(_FOLDER_VARIABLE)
    if not folder:
        return [*rows, Row(_BENCHMARK, f"photographs skipped: {_FOLDER_VARIABLE} names no folder", 0.0, "")]
    return [*rows, *_photograph_rows(list(fill_holes(Path(folder), engine)))]


def open_default_engine() -> Inpainter:
    """Return the first default inpainting engine that is present."""
    from goldsmith.engines.engine_loader import open_engine
    from goldsmith.engines.kinds import INPAINTER
    from goldsmith.engines.protocols import Device, EngineNeed

    return open_engine(_weights(), EngineNeed(INPAINTER), Device("cpu", len(os.sched_getaffinity(0))))[0]


@cache
def _weights() -> WeightsRegistry:
    from goldsmith.engines.registry.models import read_models
    from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
    from goldsmith.files import resource_path

    return WeightsRegistry(read_models(resource_path("config", "models.toml")), default_models_folder())


def find_subjects(picture: Picture) -> list[Mask]:
    """Return the masks (h, w), 0..1, of the subject and the faces, as far as there are models for them; fills do not copy these."""
    from goldsmith.engines.engine_loader import open_engine
    from goldsmith.engines.protocols import Device, EngineNeed, EngineT
    from goldsmith.engines.registry.choice_problems import NoDefaultModel
    from goldsmith.engines.registry.weights_registry import WeightsMissing
    from goldsmith.worker.detections import DetectionCache, Detections, JsonObject

    def open_detector(need: EngineNeed[EngineT]) -> tuple[EngineT, JsonObject]:
        engine, choice = open_engine(_weights(), need, Device("cpu", len(os.sched_getaffinity(0))))
        return engine, {"name": choice.name, "why": choice.why}

    masks = []
    detections = Detections(picture, DetectionCache(), open_detector)
    for word in ("subject", "face"):
        with contextlib.suppress(NoDefaultModel, WeightsMissing):
            mask = detections.region(word).mask
            if mask is not None:
                masks.append(mask)
    return masks


def _plain_rows(engine: Inpainter) -> list[Row]:
    """Return the errors, in codes of 8 bits, on 16 plain grounds beside those of the engine alone."""
    grounds = list(plain_grounds())
    errors: dict[str, list[float]] = {"engine": [], "auto": []}
    peaks: list[float] = []
    for clean, grainy in grounds:
        hole = _ellipse((360, 480), (180, 240), 200)
        for model, results in errors.items():
            filled = _run(grainy, hole, engine, model)[0]
            results.append(255 * float(np.abs(filled - clean)[hole].mean() - np.abs(grainy - clean)[hole].mean()))
            if model == "auto":
                peaks.append(255 * float(np.abs(filled - clean)[hole].max() - np.abs(grainy - clean)[hole].max()))
    worst, engine_worst = max(errors["auto"]), max(errors["engine"])
    return [
        Row(
            _BENCHMARK,
            f"{len(grounds)} plain grounds: worst mean error beyond the grain's",
            worst,
            "codes",
            0.5,
            "engine alone",
            engine_worst,
        ),
        Row(_BENCHMARK, f"{len(grounds)} plain grounds: worst pixel beyond the grain's", max(peaks), "codes", 3.0),
    ]


def _sample_row(engine: Inpainter) -> Row:
    """Return how much greener the fill of the demo's hole is than all but a hundredth of what lies round it; its truth is not known."""
    import cv2

    from goldsmith.picture.smoothing import gaussian_blur
    from goldsmith.stitching.surroundings import find_ring

    sample = Path(__file__).resolve().parents[2] / "hotfolders" / "samples" / "astronaut.png"
    image, mask = cv2.imread(str(sample)), cv2.imread(str(sample.with_suffix(".mask.png")), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    assert mask is not None
    pixels = np.ascontiguousarray(image[:, :, ::-1].astype(np.float32) / np.float32(255))
    hole: NDArray[np.bool_] = np.asarray(mask) > 0
    ring = find_ring(hole, np.zeros_like(hole))
    excess = {}
    for model in ("engine", "auto"):
        filled = _run(pixels, hole, engine, model)[0]
        green = cv2.cvtColor(np.clip(gaussian_blur(filled, 2.0), 0, 1), cv2.COLOR_RGB2Lab)[..., 1]
        excess[model] = float(np.percentile(green[ring], 1) - green[hole].min())
    return Row(_BENCHMARK, "the demo's hole: green that its surroundings lack", excess["auto"], "a*", 3.0, "engine alone", excess["engine"])


def plain_grounds() -> Iterator[tuple[Pixels, Pixels]]:
    """Yield 16 grounds, clean and with grain, (360, 480, 3), 0..1: flat, sloped, coloured, grey, each with four strengths of grain."""
    from goldsmith.picture.smoothing import gaussian_blur

    down, across = np.mgrid[:360, :480].astype(np.float32) / 480
    slope = np.stack([0.3 + 0.4 * across, 0.5 + 0.2 * down * down, 0.6 - 0.2 * across], axis=2)
    shapes = (
        np.full((360, 480, 3), (0.2, 0.45, 0.6)),
        np.full((360, 480, 3), 0.9),
        slope,
        np.repeat(slope.mean(axis=2, keepdims=True), 3, axis=2),
    )
    for number, shape in enumerate(shapes):
        for strength in (0.0, 1.0, 2.5, 5.0):
            noise = np.random.default_rng(number).normal(0, 1, (360, 480, 3)).astype(np.float32)
            grain = gaussian_blur(noise, 0.7)
            clean = shape.astype(np.float32)
            grainy = clean + grain * np.float32(strength / 255 / grain.std())
            yield clean, (np.round(np.clip(grainy, 0, 1) * 255) / np.float32(255)).astype(np.float32)


def fill_holes(folder: Path, engine: Inpainter, holes: Sequence[Hole] = HOLES) -> Iterator[FilledHole]:
    """Yield each hole whose photograph is in the folder, filled."""
    for hole in holes:
        path = next((each for each in sorted(folder.rglob(Path(hole.photograph).name)) if str(each).endswith(hole.photograph)), None)
        if path is not None:
            yield _fill(hole, path, engine)


def _fill(hole: Hole, path: Path, engine: Inpainter) -> FilledHole:
    pixels, unknown = cut_out(hole, path)
    began = time.process_time()
    filled, (record,) = _run(pixels, unknown, engine, "auto")
    seconds = time.process_time() - began
    score = record.scores[record.chosen]
    rows, columns = np.flatnonzero(unknown.any(axis=1)), np.flatnonzero(unknown.any(axis=0))
    reach = hole.side // 8
    window = np.s_[max(rows[0] - reach, 0) : rows[-1] + reach, max(columns[0] - reach, 0) : columns[-1] + reach]
    pictures = {"truth": pixels[window], record.chosen: filled[window]}
    fills = {record.chosen: filled, _ALONE: _run(pixels, unknown, engine, "engine")[0]}
    pictures[_ALONE] = fills[_ALONE][window]
    for name, part in record.fills.items():
        fills.setdefault(name, _put_back(pixels, part, record.view))
    scores = {name: compare_with_truth(pixels, each, unknown) for name, each in fills.items()}
    return FilledHole(hole, record.chosen, seconds, bool(record.doubts()), record.is_unfit, score.novelty, scores, pictures)


def _put_back(pixels: Pixels, part: Pixels, view: tuple[slice, slice]) -> Pixels:
    whole = pixels.copy()
    whole[view] = part
    return whole


def cut_out(hole: Hole, path: Path) -> tuple[Pixels, NDArray[np.bool_]]:
    """Return the surroundings of the hole, (h, w, 3), 0..1, and the hole (h, w)."""
    import cv2

    image = np.asarray(cv2.imread(str(path)))[:, :, ::-1]
    middle = int(image.shape[0] * hole.down), int(image.shape[1] * hole.across)
    reach = int(hole.side * _SURROUNDINGS)
    top, left = max(middle[0] - reach, 0), max(middle[1] - reach, 0)
    crop = image[top : middle[0] + reach, left : middle[1] + reach].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(crop), _ellipse(crop.shape[:2], (middle[0] - top, middle[1] - left), hole.side)


def _ellipse(shape: tuple[int, ...], middle: tuple[int, int], side: int) -> NDArray[np.bool_]:
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.asarray(((across - middle[1]) / (side / 2)) ** 2 + ((down - middle[0]) / (side * 0.42)) ** 2 < 1)


def _run(pixels: Pixels, unknown: NDArray[np.bool_], engine: Inpainter, model: str):  # type: ignore[no-untyped-def]
    """Return the filled pixels, and how each hole was filled, as ``erase`` does it."""
    from goldsmith.picture.crop_and_stitch import StitchOptions, stitch
    from goldsmith.picture.crop_planning import find_mask_bounds
    from goldsmith.stitching.best_fill import FillRules, stitch_best

    picture, mask = Picture(freeze(pixels)), freeze(unknown.astype(np.float32))
    options = StitchOptions(10, 0, 0.5, engine.descriptor.side, engine.descriptor.multiple, 1)
    if model == "engine":
        return stitch(picture, mask, engine.fill, options, lambda done: None).pixels, ()
    bounds = find_mask_bounds(mask)
    assert bounds is not None
    result, holes = stitch_best(picture, mask, engine.fill, options, lambda done: None, bounds, rules=FillRules(find_subjects))
    return result.pixels, holes


def compare_with_truth(truth: Pixels, filled: Pixels, unknown: NDArray[np.bool_]) -> TruthScores:
    """Return the scores of a fill, all (h, w, 3), 0..1, in the hole (h, w)."""
    import cv2

    from goldsmith.picture.cielab import ciede2000
    from goldsmith.picture.smoothing import gaussian_blur

    def fine(pixels: Pixels) -> float:
        light = pixels.mean(axis=2)
        return float(np.abs(light - gaussian_blur(light, 1.5))[unknown].mean()) + 0.35 / 255

    first, second = (cv2.cvtColor(gaussian_blur(each, 6), cv2.COLOR_RGB2Lab)[unknown] for each in (truth, filled))
    detail = fine(filled) / fine(truth)
    return TruthScores(detail, float(ciede2000(first, second).mean()) + 4 * abs(float(np.log2(detail))))


def _photograph_rows(filled: Sequence[FilledHole]) -> list[Row]:
    count, photographs = len(filled), len({each.hole.photograph for each in filled})
    if not count:
        return [Row(_BENCHMARK, "photographs skipped: none of them is in the folder", 0.0, "")]
    name = f"{count} holes in {photographs} photographs"

    def share(is_so: Callable[[FilledHole], bool], among: Sequence[FilledHole] = filled) -> float:
        return 100 * sum(map(is_so, among)) / max(len(among), 1)

    def is_right(each: FilledHole, fill: str) -> bool:
        return fill in each.scores and _RIGHT_DETAIL[0] <= each.scores[fill].detail <= _RIGHT_DETAIL[1]

    rows = []
    for ground in ("flat", "gradient", "texture", "structure", "mixed"):
        some = [each for each in filled if each.hole.ground == ground]
        if some:
            auto = statistics.mean(each.scores[each.chosen].distance for each in some)
            engine = statistics.mean(each.scores[_ALONE].distance for each in some)
            rows.append(Row(_BENCHMARK, f"{ground}, {len(some)} holes: distance", auto, "", None, _ALONE, engine))
            right = share(lambda each: is_right(each, each.chosen), some)
            rows.append(
                Row(
                    _BENCHMARK,
                    f"{ground}: detail right",
                    right,
                    "%",
                    None,
                    _ALONE,
                    share(lambda each: is_right(each, _ALONE), some),
                )
            )
    halved = [each for each in filled if 400 <= each.hole.side <= 600]
    return [
        *rows,
        Row(_BENCHMARK, f"{name}: worse than the better engine", share(lambda each: not each.is_as_good_as_the_engines), "%", 10.0),
        Row(_BENCHMARK, f"{name}: chosen well", share(lambda each: each.is_well_chosen), "%"),
        Row(_BENCHMARK, f"{name}: delivered with new colours or edges", share(lambda each: each.is_delivered_with_new), "%", 0.0),
        Row(_BENCHMARK, f"{name}: bad and passed in silence", share(lambda each: each.is_bad and not each.is_doubtful), "%", 0.0),
        Row(_BENCHMARK, f"{name}: remarked", share(lambda each: each.is_doubtful), "%"),
        Row(_BENCHMARK, f"{name}: held", share(lambda each: each.is_held), "%"),
        *(
            [Row(_BENCHMARK, "400 to 600 px: processor time, median", statistics.median(each.seconds for each in halved), "s")]
            if halved
            else []
        ),
    ]


def _write(filled: FilledHole, folder: Path, number: int) -> None:
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    joined = np.concatenate([np.clip(each, 0, 1) for each in filled.pictures.values()], axis=1)
    cv2.imwrite(str(folder / f"{number:02d}.png"), np.round(joined[:, :, ::-1] * 255).astype(np.uint8))


if __name__ == "__main__":
    from bench.row import table

    done = []
    every, first = int((sys.argv[3:] or ["1"])[0]), int((sys.argv[4:] or ["0"])[0])
    for index, each in enumerate(fill_holes(Path(sys.argv[1]), open_default_engine(), HOLES[first::every])):
        done.append(each)
        scores = ", ".join(f"{name} {score.distance:.1f} (detail {score.detail:.2f})" for name, score in each.scores.items())
        mark = " held" if each.is_held else " ?" if each.is_doubtful else ""
        print(
            f"{index:02d} {each.hole.ground} {each.hole.side} px {each.hole.photograph}: {each.chosen}{mark}, "
            f"new {each.novelty:.3f}, {each.seconds:.1f} s; {scores}",
            flush=True,
        )
        if len(sys.argv) > 2:
            _write(each, Path(sys.argv[2]), index)
    print(table(_photograph_rows(done)))
