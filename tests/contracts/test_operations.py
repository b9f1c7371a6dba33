"""The contract that every operation keeps. This file finds the operations and names none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from PIL import ImageCms
from pydantic import ValidationError

from doubles.ground import context, examples, picture
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, FileOperation, Operation, PictureOperation, SetOperation
from goldsmith.ops import catalogue
from goldsmith.picture.picture import Picture
from goldsmith.picture.region import parse_region

WORDS = list(catalogue())
SHAPES = [(1, 1), (1, 19), (8, 3), (37, 53)]
KINDS = list(product([8, 16], [1, 3], [False, True]))


def _of(kind: type[Operation]) -> list[ParameterSet]:
    """Return every example of every operation of that type, as test parameters."""
    found = [(word, made) for word in WORDS if issubclass(catalogue()[word], kind) for made in examples(word)]
    return [pytest.param(made, id=f"{word}-{number}") for number, (word, made) in enumerate(found)]


def _pictures() -> list[ParameterSet]:
    made = [(shape, *kind) for shape, kind in product(SHAPES, KINDS)]
    return [
        pytest.param(picture(*shape, channels, depth, alpha=alpha), id=f"{shape[0]}x{shape[1]}x{channels}-{depth}bit{'-alpha' * alpha}")
        for shape, depth, channels, alpha in made
    ]


def _arrays(one: Picture) -> list[np.ndarray]:
    return [one.pixels, *([] if one.alpha is None else [one.alpha]), *one.masks.values()]


def _pairs(*, masked: bool = False) -> list[ParameterSet]:
    """Return every example with every picture; with ``masked`` only those that use a mask and keep the size.

    A mask over the whole of a one-pixel picture leaves nothing to work from; that is a problem of its own, not tried here.
    """
    found = []
    for operation, given in product(_of(PictureOperation), _pictures()):
        (made,), (on,) = operation.values, given.values
        uses = bool(made.needs().masks)
        if ((uses and not made.changes_geometry and not made.keeps_region_only) or not masked) and not (
            uses and on.pixels.shape[:2] == (1, 1)
        ):
            found.append(pytest.param(made, on, id=f"{operation.id}-{given.id}"))
    return found


@pytest.mark.parametrize("word", WORDS)
def test_the_summary_is_a_sentence(word: str) -> None:
    """``goldsmith ops`` prints the first line of the docstring: one sentence, at most one line."""
    first = (catalogue()[word].__doc__ or "").strip().splitlines()[0]
    assert first[:1].isupper()
    assert first.endswith(".")
    assert len(first) <= 120


@pytest.mark.parametrize("word", WORDS)
def test_every_setting_says_what_it_is_for(word: str) -> None:
    """The manual and ``goldsmith ops`` show these sentences."""
    silent = [name for name, setting in catalogue()[word].model_fields.items() if not (setting.description or "").strip()]
    assert silent == []


@pytest.mark.parametrize("word", WORDS)
def test_settings_are_frozen_and_refuse_what_they_do_not_know(word: str) -> None:
    """A misspelt setting is an error and a step cannot change while it runs."""
    kind = catalogue()[word]
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"
    with pytest.raises(ValidationError, match="no_such_setting"):
        kind.model_validate({"no_such_setting": 1})


@pytest.mark.parametrize("word", WORDS)
def test_the_manual_shows_how_to_use_it(word: str) -> None:
    """Its page has an example brief with a step of it, or it works by its defaults alone."""
    assert examples(word)


@pytest.mark.parametrize("operation", _of(Operation))
def test_settings_survive_the_resolved_brief(operation: Operation) -> None:
    """Written as plain data and read back, they are equal and have the same needs."""
    again = type(operation).model_validate(operation.model_dump(mode="json", exclude_none=True))
    assert again == operation
    assert again.needs() == operation.needs()


@pytest.mark.parametrize("word", WORDS)
def test_nan_and_infinity_are_refused(word: str) -> None:
    """No setting accepts them or an absurdly large number."""
    kind = catalogue()[word]
    for name, value in product(kind.model_fields, [float("nan"), float("inf"), -1e30]):
        with pytest.raises(ValidationError):
            kind.model_validate({name: value})


@pytest.mark.parametrize(("operation", "given"), _pairs())
def test_a_picture_operation_keeps_everything_else(operation: PictureOperation, given: Picture) -> None:
    """Depth, ppi, metadata, profile, alpha and masks stay; values are in 0..1; the size is the same unless it declares a change."""
    before = [array.copy() for array in _arrays(given)]
    done = operation.apply(given, context())
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(given), strict=True))
    assert (done.depth, done.ppi, done.metadata, done.icc) == (given.depth, given.ppi, given.metadata, given.icc)
    assert operation.keeps_region_only or (done.alpha is None) == (given.alpha is None)
    assert set(done.masks) == set(given.masks)
    assert all(array.shape[:2] == (done.height, done.width) for array in _arrays(done))
    assert all(array.dtype == np.float32 and not array.flags.writeable for array in _arrays(done))
    assert all(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 for array in _arrays(done))
    assert operation.changes_geometry or (done.height, done.width) == (given.height, given.width)
    assert done.channels in (given.channels, 3)


@pytest.mark.parametrize("operation", _of(PictureOperation))
@pytest.mark.parametrize("depth", [8, 16])
def test_the_same_picture_and_seed_give_the_same_pixels(operation: PictureOperation, depth: int) -> None:
    """Two runs give the same bytes and findings; a neutral setting returns the same object."""
    given = picture(37, 53, depth=depth, alpha=True)  # type: ignore[arg-type]
    benches = context(), context()
    first, second = (operation.apply(given, one) for one in benches)
    assert all(np.array_equal(a, b) for a, b in zip(_arrays(first), _arrays(second), strict=True))
    assert benches[0].results.findings == benches[1].results.findings
    if np.array_equal(first.pixels, given.pixels):
        assert first is given


@pytest.mark.parametrize(("operation", "given"), _pairs(masked=True))
def test_outside_the_mask_nothing_changes(operation: PictureOperation, given: Picture) -> None:
    """No code differs where its region (or its masks, if it has no region) is zero; the count is on record."""
    assert operation.needs().masks <= set(given.masks), "the manual's examples use the mask names `mask` and `sky`"
    where = getattr(operation, "where", "")
    region = parse_region(where or " | ".join(operation.needs().masks)).evaluate(given)
    outside = region == 0
    seen = context()
    done = operation.apply(given, seen)
    left = done.to_codes()[outside]  # a grey picture may become a colour picture
    assert np.array_equal(left, np.broadcast_to(given.to_codes()[outside], left.shape))
    assert seen.results.findings.get("outside_changed", 0) == 0


@pytest.mark.parametrize("operation", _of(PictureOperation))
def test_a_profile_is_kept(operation: PictureOperation) -> None:
    """The embedded profile is unchanged, whatever happens to the pixels."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert operation.apply(picture(37, 53, icc=icc), context()).icc == icc


@pytest.mark.parametrize("operation", _of(FileOperation))
@pytest.mark.parametrize("given", _pictures())
def test_a_file_operation_repeats_itself(operation: FileOperation, given: Picture) -> None:
    """It gives the same files, each with its own name, or the same sentence each time; the picture stays as it is."""
    before = [array.copy() for array in _arrays(given)]

    def made() -> Sequence[Deliverable] | str:
        try:
            return operation.make_files(given, context())
        except InputError as problem:
            return str(problem)

    first, second = made(), made()
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(given), strict=True))
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        return
    assert [(one.tail, one.suffix, one.data) for one in first] == [(one.tail, one.suffix, one.data) for one in second]
    assert len({one.tail + one.suffix for one in first}) == len(first)
    assert all(one.suffix.startswith(".") and one.data for one in first)


@pytest.mark.parametrize("operation", _of(SetOperation))
def test_a_set_operation_repeats_itself(operation: SetOperation) -> None:
    """It returns at least one picture, or says in a sentence why none is suitable."""

    def decided() -> list[tuple[int, ...]] | str:
        try:
            return [one.pixels.shape for one in operation.apply_set([picture(37, 53), picture(20, 31, depth=16)], context())]
        except InputError as problem:
            return str(problem)

    assert decided() == decided() != []
