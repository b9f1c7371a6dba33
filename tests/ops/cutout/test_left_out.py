"""Parts that a matte left out are found by the colours that go on beside its outline; whole subjects have none."""

from __future__ import annotations

import numpy as np
import pytest

from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.ops.cutout.left_out import find_left_out
from goldsmith.ops.cutout.operation import Cutout
from goldsmith.picture.picture import Mask, Picture, Pixels, freeze

Y, X = np.mgrid[:240, :360]
BODY = ((X - 180) / 110) ** 2 + ((Y - 130) / 60) ** 2 < 1
HEAD = BODY & (X < 160)


def scene(body: np.ndarray = BODY, channels: int = 3) -> Pixels:
    """A brown body on a green ground, both with grain."""
    colours = np.where(body[:, :, None], [0.55, 0.35, 0.2], [0.35, 0.55, 0.3]) + np.random.default_rng(2).normal(0, 0.03, (240, 360, 1))
    return np.asarray(np.clip(colours[:, :, 3 - channels :], 0, 1), np.float32)


def matte(body: np.ndarray) -> Mask:
    return np.asarray(body, np.float32)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_body_that_the_matte_leaves_out_is_found(channels: int) -> None:
    """The matte ends in the middle of the body: the rest lies beside it, and nothing of the ground."""
    left_out, share = find_left_out(scene(channels=channels), matte(HEAD))
    rest = BODY & ~HEAD
    assert share == pytest.approx(rest.sum() / BODY.sum(), rel=0.1)
    assert (left_out & rest).sum() > 0.9 * rest.sum()
    assert (left_out & ~BODY).sum() < 0.05 * rest.sum()
    assert find_left_out(scene(channels=channels), matte(HEAD))[1] == share


def test_a_whole_subject_leaves_nothing_out() -> None:
    """Neither a matte that is right, nor one whose outline is a few px off, nor another thing of the same colours elsewhere."""
    assert find_left_out(scene(), matte(BODY))[1] == 0
    smaller = ((X - 180) / 107) ** 2 + ((Y - 130) / 57) ** 2 < 1
    assert find_left_out(scene(), matte(smaller))[1] == 0
    assert find_left_out(scene(BODY | ((X > 310) & (Y < 50))), matte(BODY))[1] == 0


def test_a_thing_of_the_same_colours_behind_an_edge_is_not_left_out() -> None:
    """A grey branch at the brown end of a subject whose head is as grey is no part of it; where it goes on from the head, it may be."""
    grain = np.random.default_rng(2).normal(0, 0.03, (240, 360, 1))
    shares = []
    for at_head in (False, True):
        branch = (np.abs(Y - 130) < 25) & ((X < 180) if at_head else (X > 180)) & ~BODY
        grey = branch | (BODY & (X < 160))
        picture = np.clip(np.where(grey[:, :, None], [0.45, 0.45, 0.5], scene()) + grain, 0, 1).astype(np.float32)
        shares.append(find_left_out(picture, matte(BODY))[1])
    assert shares[0] == 0
    assert shares[1] > 0.1


def test_mattes_without_an_outline_leave_nothing_out() -> None:
    """An empty matte, a full one, and a picture of a few px."""
    for body in (np.zeros_like(BODY), np.ones_like(BODY)):
        assert find_left_out(scene(), matte(body))[1] == 0
    assert find_left_out(scene()[:2, :3], matte(BODY)[:2, :3])[1] == 0
    assert find_left_out(scene()[100:103, 68:74], matte(BODY)[100:103, 68:74])[0].shape == (3, 6)


def test_a_cutout_that_leaves_a_part_out_is_held_and_shown() -> None:
    """The note has the share; the picture beside it shows the place. With a limit of 1, or a painted mask, it passes."""
    picture = Picture(freeze(scene()), masks={"head": freeze(matte(HEAD))})
    context = StepContextDouble(spots={"subject": matte(HEAD)})
    with pytest.raises(InputError, match="its colours go on"):
        Cutout().apply(picture, context)
    (overlay,) = context.results.problem_pictures
    changed = np.abs(overlay.pixels - picture.pixels).max(axis=2) > 0.05
    assert (changed & BODY & ~HEAD)[130, 200:260].all()
    context = StepContextDouble(spots={"subject": matte(HEAD)})
    Cutout(max_left_out=1).apply(picture, context)
    assert context.results.findings["left_out"] > 0.5  # type: ignore[operator]
    Cutout(where="head").apply(picture, StepContextDouble())
