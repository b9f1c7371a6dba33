"""What an operation takes of memory follows the picture's size and no more than it says: counted for every one of them, found by itself."""

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

# Two pictures of one width: what strips and tables take is the same in both, and the difference is what each pixel takes.
WIDTH, LOW, HIGH = 400, 300, 800
SMALLER = {slab_processing: "_STRIP_PIXELS", quality_metrics: "_BAND_PIXELS", resample: "_BAND_PIXELS", antiringing: "_BAND"}
# What a thread of another test takes meanwhile, and garbage that has yet to go, is counted with it; an operation that takes too much does
# so every time.
_TRIES = 4
# What these take does not follow from the picture's size: they make pictures of a size of their own, and ask the bench whether it fits,
# or they work on a face, or on the band round a subject, which in so small a picture is nearly all of it.
ELSEWHERE = frozenset({"outpaint", "regenerate", "compare", "face_swap", "cutout"})


@pytest.fixture(autouse=True)
def _strips_that_are_small_beside_these_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in SMALLER.items():
        monkeypatch.setattr(module, name, 1 << 14)
    monkeypatch.setattr(slab_processing, "_SLAB_PIXELS", 1 << 12)  # whether two threads are at one at the same instant is chance


def _examples() -> list[ParameterSet]:
    """Every one whose cost is the picture's; a fill costs what its hole does, so those whose hole grows with the picture are left out."""
    words = [word for word in catalogue() if word not in ELSEWHERE]
    found = [(f"{word}-{number}", made) for word in words for number, made in enumerate(examples(word))]
    return [pytest.param(made, id=name) for name, made in found if made.needs().masks or not isinstance(made, StitchOperation)]


def _peak(work: Callable[[], object]) -> int:
    """Bytes of Python's and numpy's memory that are alive at once while ``work`` is done, its result among them."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _for_each_pixel(work: Callable[[Picture], object], given: Callable[[int], Picture]) -> float:
    """Bytes by which the peak grows with each pixel, those of the picture that is given not counted.

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
    """A picture whose masks cover no more in a larger one: what a fill costs follows its hole. No masks where none are used."""
    made = picture(height, WIDTH, alpha=alpha)
    if not operation.needs().masks:
        return replace(made, masks={})
    hole = np.zeros((height, WIDTH), np.float32)
    hole[40:90, 60:120], hole[60:80, 130] = 1, 0.5
    return replace(made, masks={"mask": freeze(hole), "sky": freeze(hole[::-1].copy())})


def _grown(operation: Operation, given: Picture) -> float:
    """How many pixels the largest picture of the step has for each one that is given; one made on the way is told to the bench."""
    if not (isinstance(operation, PictureOperation) and operation.changes_geometry) or operation.keeps_region_only:
        return 1.0
    seen = context()
    operation.apply(given, seen)
    return max(1.0, *(width * height / (given.height * given.width) for width, height in seen.results.checked_sizes))


@pytest.mark.parametrize("alpha", [False, True], ids=["opaque", "alpha"])
@pytest.mark.parametrize("operation", _examples())
def test_an_operation_takes_no_more_than_it_says(operation: Operation, alpha: bool) -> None:
    """For each pixel of the largest picture that it is given or makes, the picture that it was given among it; a third more with alpha."""
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
def test_reading_and_writing_take_less_than_an_operation(word: str, bits: int) -> None:
    """With the file, the picture and whatever lies between: what libraries keep to themselves is not counted here."""
    how = codec.EncodingOptions(format=word, depth=16 if bits == 16 and not FORMATS[word].is_lossy else 8, effort=0)

    def there_and_back(given: Picture) -> object:
        return codec.decode(codec.encode(given, how), "hero", 10**9)

    takes = [12 + _for_each_pixel(there_and_back, lambda height: picture(height, WIDTH, depth=16 if bits == 16 else 8)) for _ in range(2)]
    assert min(takes) <= BYTES_PER_PIXEL, f"{takes} bytes a pixel"


def test_what_makes_larger_pictures_asks_first() -> None:
    """Before an engine is opened or an array laid out: the bench hears the size, at the engine's own scale too."""
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
