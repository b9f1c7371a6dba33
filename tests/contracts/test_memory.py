"""The memory of every operation grows with the picture's size by no more than the operation says."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from doubles.operation_samples import context, examples, picture
from goldsmith.errors import InputError
from goldsmith.operation import FileOperation, Operation, PictureOperation, SetOperation
from goldsmith.ops import catalogue
from goldsmith.ops.export import Export
from goldsmith.ops.text import rasterising
from goldsmith.picture import antiringing, codec, quality_metrics, resample, row_slabs, slab_processing
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.print import cmyk
from goldsmith.stitching.stitch_operation import StitchOperation

# Two pictures of the same width are compared. Strips and tables take the same memory in both, so the difference is the memory per pixel.
WIDTH, LOW, HIGH = 400, 300, 800
BUFFER_CONSTANTS = {
    slab_processing: "_STRIP_PIXELS",
    quality_metrics: "_BAND_PIXELS",
    resample: "_BAND_PIXELS",
    antiringing: "_BAND",
    rasterising: "_STRIP",
}
# Another test's thread and uncollected garbage are counted, too. An operation that uses too much memory fails every try.
_TRIES = 4
# The memory of these does not depend on the picture's size: they make pictures of their own size and check the memory for it, or they work
# on a face, or on the band around a subject, which covers nearly all of so small a picture.
NOT_PROPORTIONAL = frozenset({"outpaint", "regenerate", "compare", "face_swap", "cutout"})


@pytest.fixture(autouse=True)
def _small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in BUFFER_CONSTANTS.items():
        monkeypatch.setattr(module, name, 1 << 14)
    # With large slabs, it depends on chance whether two threads work at the same time.
    monkeypatch.setattr(row_slabs, "_SLAB_PIXELS", 1 << 12)
    # A profile is read into a buffer of the largest size, and a sample of the picture is looked at.
    for name, size in (("_MAX_SAMPLES", 1 << 14), ("_BAND_PIXELS", 1 << 14), ("MAX_PROFILE_BYTES", 1 << 20)):
        monkeypatch.setattr(cmyk, name, size)


def _examples() -> list[ParameterSet]:
    """Return the examples whose memory depends on the picture's size. Fills whose hole grows with the picture are left out."""
    words = [word for word in catalogue() if word not in NOT_PROPORTIONAL]
    operations = [(f"{word}-{number}", operation) for word in words for number, operation in enumerate(examples(word))]
    return [
        pytest.param(operation, id=name)
        for name, operation in operations
        if operation.needs().masks or not isinstance(operation, StitchOperation)
    ]


def _peak(work: Callable[[], object]) -> int:
    """Return the peak bytes of Python's and numpy's memory while ``work`` runs, including its result."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _growth_per_pixel(work: Callable[[Picture], object], make_source: Callable[[int], Picture]) -> float:
    """Return the bytes by which the peak grows with each pixel, without those of the source picture.

    ``work`` runs once before the measurement. Otherwise modules and caches of the first run would count in the smaller picture's peak and
    hide a part of the growth.
    """
    work(make_source(LOW))
    low, high = (_peak(lambda source=source: work(source)) for source in (make_source(LOW), make_source(HIGH)))  # type: ignore[misc]
    return (high - low) / (WIDTH * (HIGH - LOW))


def _run(operation: Operation, source: Picture) -> object:
    if isinstance(operation, PictureOperation):
        return operation.apply(source, context())
    if isinstance(operation, SetOperation):
        return list(operation.apply_set([source], context()))
    assert isinstance(operation, FileOperation)
    return operation.make_files(source, context())


def _source(operation: Operation, height: int, alpha: bool) -> Picture:
    """Return a picture whose masks cover the same area at every size, because the memory of a fill depends on its hole."""
    source = picture(height, WIDTH, alpha=alpha)
    if not operation.needs().masks:
        return replace(source, masks={})
    hole = np.zeros((height, WIDTH), np.float32)
    hole[40:90, 60:120], hole[60:80, 130] = 1, 0.5
    return replace(source, masks={"mask": freeze(hole), "sky": freeze(hole[::-1].copy())})


def _enlargement(operation: Operation, source: Picture) -> float:
    """Return the ratio of the pixels of the step's largest picture to those of the source; steps check the memory for a larger one."""
    if not (isinstance(operation, PictureOperation) and operation.changes_geometry) or operation.keeps_region_only:
        return 1.0
    step_context = context()
    operation.apply(source, step_context)
    sizes = step_context.results.checked_sizes  # none if the operation leaves such a picture as it is
    return max([1.0, *(width * height / (source.height * source.width) for width, height in sizes)])


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("operation", _examples())
def test_an_operation_uses_no_more_memory_than_it_states(operation: Operation, alpha: bool) -> None:
    """The limit applies to each pixel of the largest picture, the source included; with alpha it is a third higher."""
    source_bytes = 16 if alpha else 12
    enlargement = _enlargement(operation, _source(operation, LOW, alpha))
    limit = operation.bytes_per_pixel() * (4 / 3 if alpha else 1) * enlargement
    for _ in range(_TRIES):
        gc.collect()
        try:
            bytes_used = source_bytes + _growth_per_pixel(
                lambda source: _run(operation, source), lambda height: _source(operation, height, alpha)
            )
        except InputError as problem:
            pytest.skip(f"the operation refuses such a picture: {problem.sentence[:80]}")
        if bytes_used <= limit:
            return
    pytest.fail(f"{bytes_used:.1f} bytes a pixel instead of the stated {limit:.1f}")


def _page_with_type(height: int) -> Picture:
    """Return a picture of noise with a black panel on it, 800 px wide: the panel is printed in black alone."""
    source = picture(height, 800)
    pixels = source.pixels.copy()
    pixels[height // 4 : height // 2, 100:700] = 0.1
    return replace(source, pixels=freeze(pixels), masks={})


@pytest.mark.parametrize(
    "settings",
    [
        {"format": "tiff", "depth": 16},
        {"format": "jpeg", "coverage": 250},
        {"format": "tiff", "grey": "black"},
        {"format": "tiff", "depth": 16, "grey": "black", "coverage": 250, "soft_proof": "paper"},
    ],
)
def test_inks_use_no_more_memory_than_they_state(settings: dict[str, object]) -> None:
    """Pages of 0.6 and 1.3 megapixels are compared; numpy's memory grows by at most 72 bytes a pixel."""
    operation = Export.model_validate({"cmyk": "press", **settings})
    _run(operation, _page_with_type(800))
    low, high = (_peak(lambda source=source: _run(operation, source)) for source in (_page_with_type(800), _page_with_type(1600)))  # type: ignore[misc]
    bytes_used = 12 + (high - low) / (800 * 800)
    assert bytes_used > 24, "the fixed memory hides the memory per pixel"
    assert bytes_used <= 72
    assert bytes_used <= operation.bytes_per_pixel()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("word", [row.name for row in FORMATS.values() if row.writer])
def test_reading_and_writing_use_less_memory_than_an_operation(word: str, bits: int) -> None:
    """The file, the picture and everything between count; memory inside C libraries does not. A layer has alpha: a third more."""
    options = codec.EncodingOptions(format=word, depth=16 if bits == 16 and not FORMATS[word].is_lossy else 8, effort=0)

    def round_trip(source: Picture) -> object:
        return codec.decode(codec.encode(source, options), "hero", 10**9)

    bytes_used = [
        12 + _growth_per_pixel(round_trip, lambda height: picture(height, WIDTH, depth=16 if bits == 16 else 8)) for _ in range(2)
    ]
    assert min(bytes_used) <= BYTES_PER_PIXEL * (4 / 3 if FORMATS[word].has_layers else 1), f"{bytes_used} bytes a pixel"


def test_a_step_that_changes_the_size_checks_the_memory_for_its_result() -> None:
    """It checks once, for the size of the result."""
    source = picture(30, 40)
    for word, settings, size in (
        ("upscale", {"factor": 3}, (120, 90)),
        ("outpaint", {"left": 10}, (50, 30)),
        ("resize", {"factor": 0.5}, (20, 15)),
    ):
        step_context = context()
        operation = catalogue()[word].model_validate(settings)
        assert isinstance(operation, PictureOperation)
        operation.apply(source, step_context)
        assert step_context.results.checked_sizes == [size]
