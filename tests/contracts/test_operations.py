"""The contract of every operation. These tests take the operations from the catalogue and name none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from PIL import ImageCms
from pydantic import ValidationError

from doubles.operation_samples import context, examples, picture
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable, FileOperation, Operation, PictureOperation, SetOperation
from goldsmith.ops import catalogue
from goldsmith.picture.picture import Picture
from goldsmith.picture.region import parse_region

WORDS = list(catalogue())
SHAPES = [(1, 1), (1, 19), (8, 3), (37, 53)]
KINDS = list(product([8, 16], [1, 3], [False, True]))


def _examples_of(kind: type[Operation]) -> list[ParameterSet]:
    """Return every example of every operation of that type, as test parameters."""
    operations = [(word, operation) for word in WORDS if issubclass(catalogue()[word], kind) for operation in examples(word)]
    return [pytest.param(operation, id=f"{word}-{number}") for number, (word, operation) in enumerate(operations)]


def _pictures() -> list[ParameterSet]:
    variants = [(shape, *kind) for shape, kind in product(SHAPES, KINDS)]
    return [
        pytest.param(picture(*shape, channels, depth, alpha=alpha), id=f"{shape[0]}x{shape[1]}x{channels}-{depth}bit{'-alpha' * alpha}")
        for shape, depth, channels, alpha in variants
    ]


def _arrays(source: Picture) -> list[np.ndarray]:
    return [source.pixels, *([] if source.alpha is None else [source.alpha]), *source.masks.values()]


def _pairs(*, masked: bool = False) -> list[ParameterSet]:
    """Return every example with every picture; with ``masked``, only those that use a mask and keep the size.

    A mask over the whole of a one-pixel picture leaves no pixel to work from; that case is not tested here.
    """
    pairs = []
    for operation_parameter, picture_parameter in product(_examples_of(PictureOperation), _pictures()):
        (operation,), (source,) = operation_parameter.values, picture_parameter.values
        has_masks = bool(operation.needs().masks)
        keeps_size = not operation.changes_geometry and not operation.keeps_region_only
        is_fully_masked = has_masks and source.pixels.shape[:2] == (1, 1)
        if ((has_masks and keeps_size) or not masked) and not is_fully_masked:
            pairs.append(pytest.param(operation, source, id=f"{operation_parameter.id}-{picture_parameter.id}"))
    return pairs


@pytest.mark.parametrize("word", WORDS)
def test_the_summary_is_a_sentence(word: str) -> None:
    """``goldsmith ops`` prints the first line of the docstring: one sentence, at most one line."""
    first = (catalogue()[word].__doc__ or "").strip().splitlines()[0]
    assert first[:1].isupper()
    assert first.endswith(".")
    assert len(first) <= 120


@pytest.mark.parametrize("word", WORDS)
def test_every_setting_has_a_description(word: str) -> None:
    """The manual and ``goldsmith ops`` show these sentences."""
    undescribed = [name for name, setting in catalogue()[word].model_fields.items() if not (setting.description or "").strip()]
    assert undescribed == []


@pytest.mark.parametrize("word", WORDS)
def test_settings_are_frozen_and_refuse_unknown_names(word: str) -> None:
    """A misspelt setting is an error, and a step cannot change while it runs."""
    kind = catalogue()[word]
    assert kind.model_config.get("frozen") is True
    assert kind.model_config.get("extra") == "forbid"
    with pytest.raises(ValidationError, match="no_such_setting"):
        kind.model_validate({"no_such_setting": 1})


@pytest.mark.parametrize("word", WORDS)
def test_every_operation_has_an_example(word: str) -> None:
    """Its page in the manual has an example brief with such a step, or its defaults alone are valid."""
    assert examples(word)


@pytest.mark.parametrize("operation", _examples_of(Operation))
def test_settings_survive_the_resolved_brief(operation: Operation) -> None:
    """Settings that are written as plain data and read back are equal and have the same needs."""
    again = type(operation).model_validate(operation.model_dump(mode="json", exclude_none=True))
    assert again == operation
    assert again.needs() == operation.needs()


@pytest.mark.parametrize("word", WORDS)
def test_nan_and_infinity_are_refused(word: str) -> None:
    """No setting accepts them, nor an absurdly large number."""
    kind = catalogue()[word]
    for name, value in product(kind.model_fields, [float("nan"), float("inf"), -1e30]):
        with pytest.raises(ValidationError):
            kind.model_validate({name: value})


@pytest.mark.parametrize(("operation", "source"), _pairs())
def test_a_picture_operation_changes_only_the_pixels(operation: PictureOperation, source: Picture) -> None:
    """Depth, ppi, metadata, profile, alpha, masks and, unless the operation declares a change, the size are kept; values are in 0..1."""
    before = [array.copy() for array in _arrays(source)]
    result = operation.apply(source, context())
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(source), strict=True))
    assert (result.depth, result.ppi, result.metadata, result.icc) == (source.depth, source.ppi, source.metadata, source.icc)
    assert operation.keeps_region_only or (result.alpha is None) == (source.alpha is None)
    assert set(result.masks) == set(source.masks)
    assert all(array.shape[:2] == (result.height, result.width) for array in _arrays(result))
    assert all(array.dtype == np.float32 and not array.flags.writeable for array in _arrays(result))
    assert all(np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 for array in _arrays(result))
    assert operation.changes_geometry or (result.height, result.width) == (source.height, source.width)
    assert result.channels in (source.channels, 3)


@pytest.mark.parametrize("operation", _examples_of(PictureOperation))
@pytest.mark.parametrize("depth", [8, 16])
def test_the_same_picture_and_seed_give_the_same_pixels(operation: PictureOperation, depth: int) -> None:
    """Two runs give the same bytes and findings. An operation that changes no pixel returns the same object."""
    source = picture(37, 53, depth=depth, alpha=True)  # type: ignore[arg-type]
    step_contexts = context(), context()
    first, second = (operation.apply(source, step_context) for step_context in step_contexts)
    assert all(np.array_equal(a, b) for a, b in zip(_arrays(first), _arrays(second), strict=True))
    assert step_contexts[0].results.findings == step_contexts[1].results.findings
    if np.array_equal(first.pixels, source.pixels):
        assert first is source


@pytest.mark.parametrize(("operation", "source"), _pairs(masked=True))
def test_nothing_changes_outside_the_mask(operation: PictureOperation, source: Picture) -> None:
    """No code differs where the region is zero, or the masks if the operation has no region; the number of differences is on record."""
    assert operation.needs().masks <= set(source.masks), "the manual's examples use the mask names `mask` and `sky`"
    where = getattr(operation, "where", "")
    region = parse_region(where or " | ".join(operation.needs().masks)).evaluate(source)
    outside = region == 0
    step_context = context()
    result = operation.apply(source, step_context)
    codes = result.to_codes()[outside]  # a grey picture may become a colour picture
    assert np.array_equal(codes, np.broadcast_to(source.to_codes()[outside], codes.shape))
    assert step_context.results.findings.get("outside_changed", 0) == 0


@pytest.mark.parametrize("operation", _examples_of(PictureOperation))
def test_a_profile_is_kept(operation: PictureOperation) -> None:
    """The embedded profile is unchanged, whatever happens to the pixels."""
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert operation.apply(picture(37, 53, icc=icc), context()).icc == icc


@pytest.mark.parametrize("operation", _examples_of(FileOperation))
@pytest.mark.parametrize("source", _pictures())
def test_a_file_operation_gives_the_same_files_at_every_run(operation: FileOperation, source: Picture) -> None:
    """Each file has its own name. A refusal has the same message each time. The picture is not changed."""
    before = [array.copy() for array in _arrays(source)]

    def files_or_message() -> Sequence[Deliverable] | str:
        try:
            return operation.make_files(source, context())
        except InputError as problem:
            return str(problem)

    first, second = files_or_message(), files_or_message()
    assert all(np.array_equal(old, new) for old, new in zip(before, _arrays(source), strict=True))
    if isinstance(first, str) or isinstance(second, str):
        assert first == second
        return
    assert [(file.tail, file.suffix, file.data) for file in first] == [(file.tail, file.suffix, file.data) for file in second]
    assert len({file.tail + file.suffix for file in first}) == len(first)
    assert all(file.suffix.startswith(".") and file.data for file in first)


@pytest.mark.parametrize("operation", _examples_of(SetOperation))
def test_a_set_operation_gives_the_same_pictures_at_every_run(operation: SetOperation) -> None:
    """It returns at least one picture, or explains why no picture is suitable."""

    def pictures_or_message() -> list[tuple[tuple[int, ...], bytes]] | str:
        try:
            return [
                (result.pixels.shape, result.pixels.tobytes())
                for result in operation.apply_set([picture(37, 53), picture(20, 31, depth=16)], context())
            ]
        except InputError as problem:
            return str(problem)

    assert pictures_or_message() == pictures_or_message() != []
