"""Masks that steps find by themselves, and the steps that use them in place of the regions, for every operation that finds a region."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from doubles import operation_samples
from doubles.step_context import DetectDouble, EnginesDouble, NullInpainter, StepContextDouble
from goldsmith.operation import Operation, PictureOperation
from goldsmith.ops import catalogue
from goldsmith.ops.cutout.operation import Cutout
from goldsmith.ops.erase.operation import Erase
from goldsmith.picture.picture import freeze
from goldsmith.worker.found_masks import masks_used_up

EXAMPLES = [(word, operation) for word in sorted(catalogue()) for operation in operation_samples.examples(word) if operation.found_region()]


def with_mask(operation: Operation, name: str = "mask") -> Operation:
    settings = operation.settings_with_mask(operation.model_dump(exclude_unset=True), name)
    return type(operation).model_validate(settings)


@pytest.mark.parametrize(("word", "operation"), EXAMPLES, ids=[f"{word}-{number}" for number, (word, _) in enumerate(EXAMPLES)])
def test_a_step_with_an_approved_mask_finds_nothing_more(word: str, operation: Operation) -> None:
    """It needs that mask, and its other settings stay."""
    assert isinstance(operation, PictureOperation)
    after = with_mask(operation, "approved")
    assert after.found_region() == ""
    assert "approved" in after.needs().masks
    kept = {name: value for name, value in operation.model_dump().items() if name not in ("where", "model", "shadow")}
    assert {name: value for name, value in after.model_dump().items() if name in kept} == kept


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Erase(where="mask"), ""),
        (Erase(where="subject"), "subject, with its soft edge"),
        (Erase(where="left"), "left"),
        (Erase(where="mask", shadow="auto"), "mask, with its shadows"),
        (Cutout(), "subject"),
        (Cutout(model="big"), "subject, found by big"),
        (Cutout(where="MASK"), ""),
    ],
)
def test_the_words_say_what_is_found(operation: Operation, words: str) -> None:
    """A painted mask is no finding; its shadows are."""
    assert operation.found_region() == words


def test_the_found_mask_of_an_erasure_has_the_soft_edge_and_gives_the_same_pixels() -> None:
    """A detected object is erased with its rim: the mask that a person sees has it, and the step adds no further one."""
    picture, soft = operation_samples.picture(60, 80), np.zeros((60, 80), np.float32)
    soft[20:36, 30:50], soft[19, 30:50] = 1, 0.3
    context = StepContextDouble(engines=EnginesDouble(NullInpainter(side=64)), detect=DetectDouble({"subject": freeze(soft)}))
    operation = Erase(where="subject", model="null-inpaint")
    mask = operation.find_region(picture, context)
    assert mask[18, 40] == 1
    masked = replace(picture, masks={"mask": mask})
    after = with_mask(operation)
    assert isinstance(after, PictureOperation)
    results = [each.apply(on, context).pixels for each, on in ((operation, picture), (after, masked))]
    assert np.array_equal(results[0], results[1])
    assert (results[0] != picture.pixels).any()


def test_only_masks_that_no_other_step_uses_are_used_up() -> None:
    """A mask that helped to find another one and is used nowhere else does not travel on."""
    assert masks_used_up([Erase(where="mask & left"), Erase(where="other | top")]) == {"mask", "other"}
    assert masks_used_up([Erase(where="mask & left"), Erase(where="mask")]) == set()
