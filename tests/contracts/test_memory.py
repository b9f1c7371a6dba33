"""The memory of every operation grows with the picture's size by no more than the operation says."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from doubles.ground import context, examples, picture
from goldsmith.errors import InputError
from goldsmith.operation import FileOperation, Operation, PictureOperation, SetOperation
from goldsmith.ops import catalogue
from goldsmith.picture import antiringing, codec, quality_metrics, resample, slab_processing
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.memory_budget import BYTES_PER_PIXEL
from goldsmith.picture.picture import Picture, freeze
from goldsmith.stitching import StitchOperation

# Two pictures of the same width: strips and tables take the same memory in both, so the difference is the memory for each pixel.
WIDTH, LOW, HIGH = 400, 300, 800
SMALLER = {slab_processing: "_STRIP_PIXELS", quality_metrics: "_BAND_PIXELS", resample: "_BAND_PIXELS", antiringing: "_BAND"}
# A thread of another test and uncollected garbage are counted, too; an operation that uses too much does so every time.
_TRIES = 4
# The memory of these does not follow from the picture's size: they make pictures of their own size and check the memory for it, or they
# work on a face, or on the band around a subject, which is nearly all of so small a picture.
ELSEWHERE = frozenset({"outpaint", "regenerate", "compare", "face_swap", "cutout"})


@pytest.fixture(autouse=True)
def _small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in SMALLER.items():
        monkeypatch.setattr(module, name, 1 << 14)
    monkeypatch.setattr(slab_processing, "_SLAB_PIXELS", 1 << 12)  # it is chance whether two threads work at the same time


def _examples() -> list[ParameterSet]:
    """Return the examples whose memory depends on the picture's size; fills whose hole grows with the picture are left out."""
    words = [word for word in catalogue() if word not in ELSEWHERE]
    found = [(f"{word}-{number}", made) for word in words for number, made in enumerate(examples(word))]
    return [pytest.param(made, id=name) for name, made in found if made.needs().masks or not isinstance(made, StitchOperation)]


def _peak(work: Callable[[], object]) -> int:
    """Return the peak bytes of Python's and numpy's memory while ``work`` runs, including its result."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _for_each_pixel(work: Callable[[Picture], object], given: Callable[[int], Picture]) -> float:
    """Return the bytes by which the peak grows with each pixel, without those of the given picture.

    It is done once before: what is imported and kept from the first time would hide in the smaller picture's peak.
    """
    work(given(LOW))
    low, high = (_peak(lambda one=one: work(one)) for one in (given(LOW), given(HIGH)))  # type: ignore[misc]
    return (high - low) / (WIDTH * (HIGH - LOW))


def _done(operation: Operation, given: Picture) -> object:
    if isinstance(operation, PictureOperation):
        return operation.apply(given, context())
    if isinstance(operation, SetOperation):
        return list(operation.apply_set([given], context()))
    assert isinstance(operation, FileOperation)
    return operation.make_files(given, context())


def _given(operation: Operation, height: int, alpha: bool) -> Picture:
    """Return a picture whose masks cover the same area at every size, since a fill costs what its hole does."""
    made = picture(height, WIDTH, alpha=alpha)
    if not operation.needs().masks:
        return replace(made, masks={})
    hole = np.zeros((height, WIDTH), np.float32)
    hole[40:90, 60:120], hole[60:80, 130] = 1, 0.5
    return replace(made, masks={"mask": freeze(hole), "sky": freeze(hole[::-1].copy())})


def _grown(operation: Operation, given: Picture) -> float:
    """Return how many pixels the step's largest picture has for each given one; steps check the memory of larger ones."""
    if not (isinstance(operation, PictureOperation) and operation.changes_geometry) or operation.keeps_region_only:
        return 1.0
    seen = context()
    operation.apply(given, seen)
    return max(1.0, *(width * height / (given.height * given.width) for width, height in seen.results.checked_sizes))


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("operation", _examples())
def test_an_operation_uses_no_more_memory_than_it_says(operation: Operation, alpha: bool) -> None:
    """It is counted for each pixel of the largest picture, including the given one; a third more is allowed with alpha."""
    own = 16 if alpha else 12
    grown = _grown(operation, _given(operation, LOW, alpha))
    may = operation.bytes_per_pixel() * (4 / 3 if alpha else 1) * grown
    for _ in range(_TRIES):
        gc.collect()
        try:
            takes = own + _for_each_pixel(lambda one: _done(operation, one), lambda height: _given(operation, height, alpha))
        except InputError as problem:
            pytest.skip(f"it holds such a picture: {problem.sentence[:80]}")
        if takes <= may:
            return
    pytest.fail(f"{takes:.1f} bytes a pixel, and {may:.1f} are said")


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("word", [row.name for row in FORMATS.values() if row.writer])
def test_reading_and_writing_use_less_memory_than_an_operation(word: str, bits: int) -> None:
    """The file, the picture and everything between count; memory inside C libraries does not."""
    how = codec.EncodingOptions(format=word, depth=16 if bits == 16 and not FORMATS[word].is_lossy else 8, effort=0)

    def there_and_back(given: Picture) -> object:
        return codec.decode(codec.encode(given, how), "hero", 10**9)

    takes = [12 + _for_each_pixel(there_and_back, lambda height: picture(height, WIDTH, depth=16 if bits == 16 else 8)) for _ in range(2)]
    assert min(takes) <= BYTES_PER_PIXEL, f"{takes} bytes a pixel"


def test_a_step_that_enlarges_checks_the_memory_first() -> None:
    """It checks before it opens an engine or allocates an array, also at the engine's own scale."""
    given = picture(30, 40)
    for word, settings, size in (
        ("upscale", {"factor": 3}, (120, 90)),
        ("outpaint", {"left": 10}, (50, 30)),
        ("resize", {"factor": 0.5}, (20, 15)),
    ):
        seen = context()
        operation = catalogue()[word].model_validate(settings)
        assert isinstance(operation, PictureOperation)
        operation.apply(given, seen)
        assert seen.results.checked_sizes == [size]
