"""What a bundle is ready for, and if for nothing, why: one sentence each."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, LINE, SELECT, SHARPEN
from goldsmith.brief.brief import Availability
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.errors import InputError
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles
from goldsmith.pipeline.scheduler.readiness import Invalid, Readiness, ReadinessResult, Ready, Waiting

TEXTS = Mapping[str, str]


def verdict(names: list[str], texts: TEXTS | None = None, folder: str = "selected", campaign_brief: str | None = None) -> ReadinessResult:
    """The verdict on the first picture of a folder with these names."""
    written = dict(texts or {})

    def read(path: str) -> bytes:
        if path not in written:
            raise InputError(f"{path} is gone.")
        return written[path].encode()

    def recipe(name: str) -> tuple[bytes, str]:
        raise InputError(f"There is no recipe {name}.")

    line = read_pipeline(LINE.encode(), "pipeline.toml")
    stock = Availability({"inpaint": ["null-inpaint"]}, lambda shelf, name, suffixes: False, lambda shelf: [])
    return Readiness(line, Resolver(line, recipe, stock), read).check(_first(names, folder, campaign_brief))


def _first(names: list[str], folder: str, campaign_brief: str | None) -> Bundle:
    return group_bundles(folder, "", names, campaign_brief)[0]


def sentence(found: ReadinessResult) -> str:
    if isinstance(found, Waiting):
        return found.sentence
    assert isinstance(found, Invalid), found
    return found.problem.sentence


def test_a_picture_alone_waits_for_an_instruction() -> None:
    """And is told what one is called."""
    assert sentence(verdict(["hero.png"])) == (
        "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."
    )


def test_sidecars_alone_wait_for_their_picture() -> None:
    """By its name."""
    assert sentence(verdict(["hero.toml"], {"selected/hero.toml": SHARPEN})).startswith(
        "Waiting for its picture: nothing beside it is called “hero”"
    )


WORDS = '[[edit]]\nop = "regenerate"\nprompt = "a chair"\n'


def test_a_brief_alone_is_ready_where_its_first_step_needs_no_picture() -> None:
    """With its own words, the brief's prompt or hero.txt; references may lie beside it."""
    brief = {"selected/hero.toml": WORDS}
    for names, texts in [
        (["hero.toml"], brief),
        (["hero.toml", "hero.ref.png", "hero.cube"], brief),
        (["hero.toml"], {"selected/hero.toml": 'prompt = "a chair"\n' + WORDS.replace('prompt = "a chair"', "")}),
        (["hero.toml", "hero.txt"], {"selected/hero.toml": WORDS.replace('prompt = "a chair"', ""), "selected/hero.txt": "a chair"}),
    ]:
        found = verdict(names, texts)
        assert isinstance(found, Ready), found
        assert [step.op for step in found.steps] == ["regenerate"]
        assert not found.has_all_named_inputs


@pytest.mark.parametrize(
    ("names", "text", "said"),
    [
        (["hero.toml"], WORDS + "strength = 0.4\n", "(step 1 of edit, regenerate, needs one)"),
        (["hero.toml"], WORDS + INPAINT, "(step 2 of edit, inpaint, needs a mask of one)"),
        (["hero.toml", "hero.mask.png"], WORDS, "has a picture's ending."),
        (["hero.toml", "hero.keep.png"], WORDS, "has a picture's ending."),
        (["hero.toml"], GRADE, "(step 1 of edit"),
        (["hero.toml"], SELECT, "has a picture's ending."),
    ],
    ids=["strength", "mask step", "mask", "keep", "passing through", "ended before"],
)
def test_a_brief_that_needs_a_picture_waits_for_it(names: list[str], text: str, said: str) -> None:
    """And says why, where a step is the reason."""
    told = sentence(verdict(names, {"selected/hero.toml": text}))
    assert told.startswith("Waiting for its picture: nothing beside it is called “hero”")
    assert said in told or text == GRADE


def test_a_brief_alone_without_words_says_what_to_write() -> None:
    """Or its picture may come."""
    told = sentence(verdict(["hero.toml"], {"selected/hero.toml": WORDS.replace('prompt = "a chair"', "")}))
    assert told == "Waiting for its picture, or for words to make one from: write a prompt into hero.toml."


def test_a_prompt_alone_is_told_how_a_picture_is_made_from_words() -> None:
    """It makes none by itself."""
    told = sentence(verdict(["hero.txt"], {"selected/hero.txt": "a chair"}))
    assert told.startswith("Waiting for its picture")
    assert told.endswith("To have one made from words, put a brief (“hero.toml”) here whose first step makes pictures.")


def test_a_brief_alone_that_is_wrong_is_told_at_once() -> None:
    """It need not wait for its picture to be told."""
    found = verdict(["hero.toml"], {"selected/hero.toml": WORDS.replace("regenerate", "regenrate")})
    assert isinstance(found, Invalid)
    assert "regenrate" in sentence(found)


def test_at_the_end_of_the_line_nothing_happens() -> None:
    """delivered/ is no stage."""
    assert sentence(verdict(["hero.png"], folder="delivered")) == "delivered/ is the end of the pipeline: nothing more happens here."


def test_a_brief_that_ended_before_this_folder_says_how_to_go_on() -> None:
    """With the table to add and the file to add it to."""
    told = sentence(verdict(["hero.png", "hero.toml"], {"masked/hero.toml": SELECT + SHARPEN}, folder="masked"))
    assert told == "Its brief ends with edit: add [[grade]] to hero.toml, or move the picture on by hand."


@pytest.mark.parametrize(
    ("where", "file"),
    [("mask", "hero.mask.png"), ("sky", "hero.mask.sky.png"), ("sky & mask", "hero.mask.png")],
    ids=["unnamed", "named", "both"],
)
def test_a_step_that_needs_a_mask_waits_for_exactly_that(where: str, file: str) -> None:
    """Its number, its stage and the file's name."""
    told = sentence(verdict(["hero.png", "hero.toml"], {"selected/hero.toml": INPAINT.replace('"mask"', f'"{where}"')}))
    assert told.startswith("Waiting for ")
    assert "(step 1 of edit needs" in told
    assert f"put “{file}” beside it." in told


@pytest.mark.parametrize(("text", "explicit"), [(INPAINT, True), (SHARPEN, False)])
def test_steps_that_named_what_they_need_wait_for_nothing_more(text: str, explicit: bool) -> None:
    """Others leave time for more sidecars."""
    found = verdict(["hero.png", "hero.toml", "hero.mask.png"], {"selected/hero.toml": text})
    assert isinstance(found, Ready)
    assert found.has_all_named_inputs is explicit
    assert (found.stage.name, [step.op for step in found.steps]) == ("edit", ["inpaint" if explicit else "sharpen"])


def test_a_keep_is_a_mask_too() -> None:
    """hero.keep.png, the other way round."""
    assert isinstance(verdict(["hero.png", "hero.toml", "hero.keep.png"], {"selected/hero.toml": INPAINT}), Ready)


def test_a_bare_mask_is_ready_for_one_stage() -> None:
    """And only where masks mean something: in the last folders it waits."""
    found = verdict(["hero.png", "hero.mask.png"])
    assert isinstance(found, Ready)
    assert found.resolved.is_single_stage
    assert isinstance(verdict(["hero.png", "hero.mask.png"], folder="graded"), Waiting)


def test_a_brief_of_later_stages_takes_a_picture_through_this_one() -> None:
    """The stage's own default steps run."""
    found = verdict(["hero.png", "hero.toml"], {"masked/hero.toml": EXPORT}, folder="masked")
    assert isinstance(found, Ready)
    assert [step.op for step in found.steps] == ["grade"]


def test_a_campaigns_brief_stands_for_a_missing_one() -> None:
    """And a fault in it is told by its own name."""
    found = verdict(["hero.png"], {"selected/brief.toml": SHARPEN + GRADE}, campaign_brief="selected/brief.toml")
    assert isinstance(found, Ready)
    wrong = verdict(["hero.png"], {"selected/brief.toml": '[[edit]]\nop = "sharpn"\n'}, campaign_brief="selected/brief.toml")
    assert isinstance(wrong, Invalid)
    assert sentence(wrong).startswith("brief.toml: edit.1.op")


def test_two_pictures_that_share_a_mask_are_a_problem() -> None:
    """It must say which it means."""
    found = verdict(["hero.jpg", "hero.png", "hero.mask.png"])
    assert isinstance(found, Invalid)
    assert "could belong to" in sentence(found)


def test_a_brief_that_cannot_be_read_is_a_problem() -> None:
    """Whatever the reason, it has its sentence."""
    assert sentence(verdict(["hero.png", "hero.toml"])) == "selected/hero.toml is gone."


def test_names_are_shown_without_what_would_break_a_sentence() -> None:
    """Newlines and undecodable bytes."""
    told = sentence(verdict(["two\nlines\udce9.png"]))
    assert "\n" not in told
    assert told.encode()
