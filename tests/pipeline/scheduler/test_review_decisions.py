"""What a place in review/ means, read from names and briefs alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import pytest

from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.resolve import Resolver, SourceFile
from goldsmith.errors import InputError
from goldsmith.files import resource_path
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.bundle_index import UNCHECKED, BundleIndex
from goldsmith.pipeline.scheduler.readiness import Invalid, Readiness, Waiting
from goldsmith.pipeline.stage_work import Decision, Ready

HOME = ("hero.toml", "hero.review.jpg", "hero.review.before.png")
BRIEF = """\
prompt = "a desk"
seed = {seed}
review = ["generate", "edit"]
resolved = true
[in_review]
stage = "{stage}"
seed = {seed}
bytes = 1000
[[generate]]
op = "regenerate"
seeds = [5, 9]
[[generate]]
op = "select"
[[edit]]
op = "inpaint"
prompt = "a hand,"
[[edit]]
op = "outpaint"
right = "10%"
"""
Check = Callable[..., Decision | str]


def bundle_at(paths: Sequence[str], asset: str) -> Bundle:
    index = BundleIndex()
    for path in paths:
        folder, _, name = path.rpartition("/")
        index.get_or_create(folder).add(name, UNCHECKED)
    return next(bundle for bundle in index.bundles() if bundle.asset == asset)


@pytest.fixture
def check() -> Check:
    """Return a function that says what a picture at a path means: the decision, or a sentence."""
    pipeline = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "pipeline.toml")

    def no_recipe(name: str) -> SourceFile:
        raise InputError(name)

    def run(
        asset: str, *, brief: str = BRIEF, stage: str = "edit", seed: int = 7, remark: str = "", beside: Sequence[str] = HOME
    ) -> object:
        texts = {"hero.toml": brief.format(stage=stage, seed=seed).encode(), "hero.txt": remark.encode()}
        paths = [asset, *(f"review/acme/{name}" for name in beside)]
        paths += [f"{os.path.dirname(asset)}/hero.txt"] if remark else []
        size = os.stat_result((0o100644, 0, 0, 1, 0, 0, 1000, 0, 0, 0))
        readiness = Readiness(pipeline, Resolver(pipeline, no_recipe), lambda path: texts[os.path.basename(path)], lambda _: size)
        brief_alone = asset if asset.startswith("review/") else "review/acme/hero.toml"
        result = readiness.check(bundle_at(paths, brief_alone))
        if isinstance(result, Ready):
            assert result.decision is not None
            assert result.steps == ()
            return result.decision
        assert isinstance(result, Waiting | Invalid)
        return result.sentence if isinstance(result, Waiting) else result.problem.sentence

    return run  # type: ignore[return-value]


def decided(result: Decision | str) -> Decision:
    assert isinstance(result, Decision), result
    return result


def test_a_picture_in_its_place_waits_since_its_sheet_was_made(check: Check) -> None:
    """An old sheet is named with its day."""
    assert check("review/acme/hero.png") == (
        f"Waits for your eye since {time.strftime('%Y-%m-%d %H:%M', time.localtime(0))}"
        + ". Drag it into review/approve, into review/again to have it made anew with another seed, or into review/reject."
    )


@pytest.mark.parametrize(("tray", "kind"), [("approve", "approve"), ("Again", "again"), ("reject", "reject")])
def test_each_tray_is_a_decision(check: Check, tray: str, kind: str) -> None:
    """The stage is that of the note in the brief, and no brief that goes on has the note."""
    decision = decided(check(f"review/{tray}/hero.png"))
    assert (decision.kind, decision.stage.name) == (kind, "edit")
    assert decision.brief is None or decision.brief.in_review is None


def test_a_picture_of_the_same_size_in_the_next_folder_is_the_result(check: Check) -> None:
    """Another folder, or another size, is another picture."""
    decision = decided(check("masked/acme/hero.png"))
    assert (decision.kind, decision.picture) == ("beside", "masked/acme/hero.png")
    assert "has left review/" in str(check("graded/acme/hero.png"))
    assert "has left review/" in str(check("masked/hero.png", brief=BRIEF.replace("bytes = 1000", "bytes = 1001")))


def test_another_try_has_the_next_seed_and_the_remark_where_steps_take_words(check: Check) -> None:
    """A prompt of a step gets the words, the brief's prompt if a step reads it; steps without words stay as they are."""
    brief = decided(check("review/again/hero.png", remark="warmer light")).brief
    assert brief is not None
    inpaint, outpaint = brief.steps_by_stage["edit"]
    assert (brief.seed, brief.prompt) == (8, "a desk, warmer light")
    assert inpaint.settings["prompt"] == "a hand, warmer light"
    assert dict(outpaint.settings) == {"right": "10%"}


@pytest.mark.parametrize(
    ("remark", "sentence"),
    [
        ("warm light " * 363 + "there", "the prompt has 4006 characters"),
        ("a ring <lora:film:0.8>", "Your remark cannot be added to the prompt: <lora:film:0.8>"),
    ],
)
def test_a_remark_that_no_prompt_can_have_is_a_problem(check: Check, remark: str, sentence: str) -> None:
    """The new brief would be refused when it is read, and the picture would never be made again."""
    assert sentence in str(check("review/again/hero.png", remark=remark))


def test_another_try_without_words_changes_the_seed_alone(check: Check) -> None:
    """Prompts and settings stay as they are."""
    brief = decided(check("review/again/hero.png")).brief
    assert brief is not None
    assert (brief.seed, brief.prompt, brief.steps_by_stage["edit"][0].settings["prompt"]) == (8, "a desk", "a hand,")


def test_another_try_counts_exact_seeds_on(check: Check) -> None:
    """Its first step makes the picture, so it needs no original."""
    brief = decided(check("review/again/hero.png", stage="generate", beside=("hero.toml", "hero.review.jpg"))).brief
    assert brief is not None
    assert brief.steps_by_stage["generate"][0].settings["seeds"] == [10, 11]


def test_the_greatest_seed_is_followed_by_the_first(check: Check) -> None:
    """0 would mean a seed from the picture's name."""
    brief = decided(check("review/again/hero.png", seed=2**32 - 1)).brief
    assert brief is not None
    assert brief.seed == 1


def test_another_try_without_the_original_is_a_problem(check: Check) -> None:
    """The first step needs a picture, and there is none."""
    assert "cannot be made again" in str(check("review/again/hero.png", beside=("hero.toml", "hero.review.jpg")))


def test_words_beside_a_rejected_picture_are_its_reasons(check: Check) -> None:
    """They are kept with the decision; no brief goes on."""
    decision = decided(check("review/reject/hero.png", remark="six fingers"))
    assert (decision.remark, decision.brief) == ("six fingers", None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("stage = ", "stage = 7 #"), "in_review"),
        (("[in_review]", "[in_revue]"), "in_revue"),
        (("bytes = 1000", "bytes = -1"), "in_review.bytes"),
        (("bytes = 1000", 'bytes = 1000\npath = "/etc"'), "in_review.path"),
    ],
)
def test_a_note_that_was_damaged_is_a_problem_with_its_place(check: Check, change: tuple[str, str], sentence: str) -> None:
    """The sentence names the key, as for every other mistake in a brief."""
    assert sentence in str(check("review/approve/hero.png", brief=BRIEF.replace(*change)))


def test_a_stage_that_the_pipeline_does_not_have_is_a_problem(check: Check) -> None:
    """The same holds for a stage to review that is misspelt, and for the last stage."""
    assert "in_review.stage" in str(check("review/approve/hero.png", stage="paint"))
    assert "review.2" in str(check("review/approve/hero.png", brief=BRIEF.replace('"generate", "edit"', '"generate", "edti"')))
    assert "makes the files for the client" in str(
        check("review/approve/hero.png", brief=BRIEF.replace('["generate", "edit"]', '["deliver"]'))
    )


def test_a_brief_without_the_note_belongs_to_no_result(check: Check) -> None:
    """The sentence depends on whether the picture lies in a tray."""
    own = 'title = "mine"\n[[edit]]\nop = "erase"\n'
    assert "Nothing called “hero” waits" in str(check("review/approve/hero.png", brief=own))
    assert "holds results that wait for a person" in str(check("review/acme/hero.png", brief=own))
