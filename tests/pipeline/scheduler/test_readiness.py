"""Readiness: a bundle can start, or one sentence says why it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from doubles.commission import EXPORT, GRADE, INPAINT, PIPELINE, SELECT, SHARPEN
from goldsmith.brief.brief import Availability
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.brief.resolve import Resolver
from goldsmith.engines.protocols import Ability
from goldsmith.engines.registry.models import DiffusionSettings, Model, Models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError
from goldsmith.library.availability import check_engine
from goldsmith.pipeline.intake.bundle import Bundle, group_bundles
from goldsmith.pipeline.scheduler.readiness import Invalid, Readiness, ReadinessResult, Waiting
from goldsmith.pipeline.stage_work import Ready

TEXTS = Mapping[str, str]


def check_readiness(
    names: list[str],
    texts: TEXTS | None = None,
    folder: str = "selected",
    campaign_brief: str | None = None,
    generators: Mapping[str, Sequence[Ability]] | None = None,
) -> ReadinessResult:
    """Return the readiness of the first picture in a folder with these names; ``texts`` gives the contents of text files.

    generators: the abilities of each generating model on this machine.
    """
    contents = dict(texts or {})

    def read(path: str) -> bytes:
        if path not in contents:
            raise InputError(f"{path} is gone.")
        return contents[path].encode()

    def recipe(name: str) -> tuple[bytes, str]:
        raise InputError(f"There is no recipe {name}.")

    pipeline = read_pipeline(PIPELINE.encode(), "pipeline.toml")
    availability = Availability({"inpaint": ["null-inpaint"]}, lambda folder, name, suffixes: False, lambda folder: [])
    if generators is not None:
        availability = replace(availability, model_names=None, why_unavailable=partial(check_engine, _registry(generators)))
    return Readiness(pipeline, Resolver(pipeline, recipe, availability), read).check(_first(names, folder, campaign_brief))


def _registry(generators: Mapping[str, Sequence[Ability]]) -> WeightsRegistry:
    """Return models without weights, each with these abilities."""
    models = {
        name: Model(
            kind="generate",
            driver="null",
            licence="MIT",
            diffusion=DiffusionSettings(
                family="sdxl", can=tuple(can), pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1
            ),
        )
        for name, can in generators.items()
    }
    return WeightsRegistry(Models(models=models), Path("/nowhere"))


def _first(names: list[str], folder: str, campaign_brief: str | None) -> Bundle:
    return group_bundles(folder, "", names, campaign_brief)[0]


def sentence(result: ReadinessResult) -> str:
    """Return the sentence of a bundle that waits or is invalid."""
    if isinstance(result, Waiting):
        return result.sentence
    assert isinstance(result, Invalid), result
    return result.problem.sentence


def test_a_picture_alone_waits_for_an_instruction() -> None:
    """The sentence names the files that would be an instruction."""
    assert sentence(check_readiness(["hero.png"])) == (
        "Waiting for an instruction: put a mask (“hero.mask.png”) or a brief (“hero.toml”) beside it."
    )


def test_sidecars_alone_wait_for_their_picture() -> None:
    """The sentence gives the name that the picture must have."""
    assert sentence(check_readiness(["hero.toml"], {"selected/hero.toml": SHARPEN})).startswith(
        "Waiting for its picture: nothing beside it is called “hero”"
    )


PROMPT_BRIEF = '[[edit]]\nop = "regenerate"\nprompt = "a chair"\n'


def test_a_lone_brief_is_ready_if_its_first_step_needs_no_picture() -> None:
    """The prompt may be in the step, in the brief or in hero.txt. References may lie beside the brief."""
    brief = {"selected/hero.toml": PROMPT_BRIEF}
    for names, texts in [
        (["hero.toml"], brief),
        (["hero.toml", "hero.ref.png", "hero.cube"], brief),
        (["hero.toml"], {"selected/hero.toml": 'prompt = "a chair"\n' + PROMPT_BRIEF.replace('prompt = "a chair"', "")}),
        (["hero.toml", "hero.txt"], {"selected/hero.toml": PROMPT_BRIEF.replace('prompt = "a chair"', ""), "selected/hero.txt": "a chair"}),
    ]:
        result = check_readiness(names, texts)
        assert isinstance(result, Ready), result
        assert [step.op for step in result.steps] == ["regenerate"]
        assert not result.has_all_named_inputs


MODEL_BRIEF = PROMPT_BRIEF + 'model = "one"\n'
WITH_PICTURE = ["hero.png", "hero.toml"]
WITH_REFERENCE = [*WITH_PICTURE, "hero.ref.png"]


@pytest.mark.parametrize(
    ("names", "settings", "can", "expected"),
    [
        (WITH_PICTURE, "", ("text",), "'one' can make pictures from words alone; it cannot start from a picture or edit by instruction"),
        (WITH_PICTURE, "strength = 0.4", ("edit",), "'one' can edit by instruction; it cannot start from a picture"),
        (WITH_REFERENCE, "", ("text", "image"), "it cannot use reference pictures"),
        (["hero.toml", "hero.ref.png"], "", ("text", "image"), "it cannot use reference pictures"),
        (["hero.toml"], "", ("edit",), "regenerate, cannot do without: The model 'one' can edit by instruction; it cannot make pictures"),
        (WITH_REFERENCE, "strength = 0.4", ("image", "references"), "edit.1.strength is 0.4, but there is a reference picture beside it"),
        (WITH_PICTURE, "references = true", ("image", "references"), "edit.1.references is true, but there is no reference picture"),
    ],
)
def test_what_the_model_cannot_do_is_known_before_a_device_is_free(
    names: list[str], settings: str, can: tuple[Ability, ...], expected: str
) -> None:
    """Check picture, words alone, references and a strength, from the names of the files alone."""
    result = check_readiness(names, {"selected/hero.toml": f"{MODEL_BRIEF}{settings}\n"}, generators={"one": can})
    assert expected in sentence(result)
    assert isinstance(result, Waiting) == (names == ["hero.toml"])


@pytest.mark.parametrize(
    ("names", "settings", "can"),
    [
        (["hero.toml"], "", ("text",)),
        (["hero.toml", "hero.ref.png"], "", ("references",)),
        (WITH_PICTURE, "", ("edit",)),
        (WITH_PICTURE, "", ("image",)),
        (WITH_REFERENCE, "", ("references",)),
        (WITH_REFERENCE, "references = false", ("image",)),
        (WITH_REFERENCE, "references = false\nstrength = 0.4", ("image",)),
    ],
)
def test_a_model_that_can_do_it_is_no_problem(names: list[str], settings: str, can: tuple[Ability, ...]) -> None:
    """Check the same inputs with a suitable model, and references that the brief ignores."""
    result = check_readiness(names, {"selected/hero.toml": f"{MODEL_BRIEF}{settings}\n"}, generators={"one": can})
    assert isinstance(result, Ready), result


@pytest.mark.parametrize(
    ("names", "text", "expected"),
    [
        (["hero.toml"], PROMPT_BRIEF + "strength = 0.4\n", "(step 1 of edit, regenerate, needs one)"),
        (["hero.toml"], PROMPT_BRIEF + INPAINT, "(step 2 of edit, inpaint, needs a mask of one)"),
        (["hero.toml", "hero.mask.png"], PROMPT_BRIEF, "has a picture's extension."),
        (["hero.toml", "hero.keep.png"], PROMPT_BRIEF, "has a picture's extension."),
        (["hero.toml"], GRADE, "has a picture's extension."),
        (["hero.toml"], SELECT, "has a picture's extension."),
    ],
    ids=["strength", "mask step", "mask", "keep", "passing through", "ended before"],
)
def test_a_brief_that_needs_a_picture_waits_for_it(names: list[str], text: str, expected: str) -> None:
    """If a step is the reason, the sentence names it."""
    message = sentence(check_readiness(names, {"selected/hero.toml": text}))
    assert message.startswith("Waiting for its picture: nothing beside it is called “hero”")
    assert expected in message


def test_a_lone_brief_without_a_prompt_asks_for_one() -> None:
    """The sentence also names the picture, which would do as well."""
    message = sentence(check_readiness(["hero.toml"], {"selected/hero.toml": PROMPT_BRIEF.replace('prompt = "a chair"', "")}))
    assert message == "Waiting for its picture, or for words to make one from: write a prompt into hero.toml."


def test_the_sentence_for_a_lone_prompt_says_how_to_make_a_picture_from_words() -> None:
    """A prompt without a brief makes no picture."""
    message = sentence(check_readiness(["hero.txt"], {"selected/hero.txt": "a chair"}))
    assert message.startswith("Waiting for its picture")
    assert message.endswith("To have one made from words, put a brief (“hero.toml”) here whose first step makes pictures.")


def test_an_invalid_lone_brief_is_reported_at_once() -> None:
    """The report does not wait for the picture."""
    result = check_readiness(["hero.toml"], {"selected/hero.toml": PROMPT_BRIEF.replace("regenerate", "regenrate")})
    assert isinstance(result, Invalid)
    assert "regenrate" in sentence(result)


def test_a_picture_in_the_last_folder_waits_for_nothing() -> None:
    """The last folder has no stage."""
    assert (
        sentence(check_readiness(["hero.png"], folder="delivered")) == "delivered/ is the end of the pipeline: nothing more happens here."
    )


def test_a_brief_that_ends_before_this_folder_says_how_to_go_on() -> None:
    """The sentence names the table to add and the file to add it to."""
    message = sentence(check_readiness(["hero.png", "hero.toml"], {"masked/hero.toml": SELECT + SHARPEN}, folder="masked"))
    assert message == "Its brief ends with edit: add [[grade]] to hero.toml, or move the picture on by hand."


@pytest.mark.parametrize(
    ("where", "file"),
    [("mask", "hero.mask.png"), ("sky", "hero.mask.sky.png"), ("sky & mask", "hero.mask.png")],
    ids=["unnamed", "named", "both"],
)
def test_a_step_that_needs_a_mask_waits_for_that_mask(where: str, file: str) -> None:
    """The sentence gives the step's number, its stage and the name of the file."""
    message = sentence(check_readiness(["hero.png", "hero.toml"], {"selected/hero.toml": INPAINT.replace('"mask"', f'"{where}"')}))
    assert message.startswith("Waiting for ")
    assert "(step 1 of edit needs" in message
    assert f"put “{file}” beside it." in message


@pytest.mark.parametrize(("text", "explicit"), [(INPAINT, True), (SHARPEN, False)])
def test_steps_that_name_their_masks_wait_for_no_further_sidecars(text: str, explicit: bool) -> None:
    """Steps that name no mask leave time for sidecars to arrive."""
    result = check_readiness(["hero.png", "hero.toml", "hero.mask.png"], {"selected/hero.toml": text})
    assert isinstance(result, Ready)
    assert result.has_all_named_inputs is explicit
    assert (result.stage.name, [step.op for step in result.steps]) == ("edit", ["inpaint" if explicit else "sharpen"])


def test_a_keep_counts_as_a_mask() -> None:
    """hero.keep.png is an inverted mask."""
    assert isinstance(check_readiness(["hero.png", "hero.toml", "hero.keep.png"], {"selected/hero.toml": INPAINT}), Ready)


def test_a_bare_mask_is_ready_for_one_stage() -> None:
    """If the stage of the folder has no steps for a bare mask, the picture waits."""
    result = check_readiness(["hero.png", "hero.mask.png"])
    assert isinstance(result, Ready)
    assert result.resolved.is_single_stage
    assert isinstance(check_readiness(["hero.png", "hero.mask.png"], folder="graded"), Waiting)


def test_a_brief_for_later_stages_runs_the_default_steps_of_this_one() -> None:
    """The brief has only a deliver stage, and the picture is in the folder of grade."""
    result = check_readiness(["hero.png", "hero.toml"], {"masked/hero.toml": EXPORT}, folder="masked")
    assert isinstance(result, Ready)
    assert [step.op for step in result.steps] == ["grade"]


def test_a_campaigns_brief_replaces_a_missing_brief() -> None:
    """A problem in the campaign's brief is reported under the brief's own name."""
    result = check_readiness(["hero.png"], {"selected/brief.toml": SHARPEN + GRADE}, campaign_brief="selected/brief.toml")
    assert isinstance(result, Ready)
    wrong = check_readiness(["hero.png"], {"selected/brief.toml": '[[edit]]\nop = "sharpn"\n'}, campaign_brief="selected/brief.toml")
    assert isinstance(wrong, Invalid)
    assert sentence(wrong).startswith("brief.toml: edit.1.op")


def test_a_mask_that_could_belong_to_two_pictures_is_a_problem() -> None:
    """The mask's name must say which picture it belongs to."""
    result = check_readiness(["hero.jpg", "hero.png", "hero.mask.png"])
    assert isinstance(result, Invalid)
    assert "could belong to" in sentence(result)


def test_a_brief_that_cannot_be_read_is_a_problem() -> None:
    """The sentence of the failed read is reported."""
    assert sentence(check_readiness(["hero.png", "hero.toml"])) == "selected/hero.toml is gone."


def test_names_are_shown_without_newlines_and_undecodable_bytes() -> None:
    """The sentence can be printed and encoded."""
    message = sentence(check_readiness(["two\nlines\udce9.png"]))
    assert "\n" not in message
    assert message.encode()


@pytest.mark.parametrize("suffix", [".psd", ".PSB", ".ora", ".kra", ".xcf"])
def test_a_file_with_layers_may_hold_the_mask_that_a_step_needs(suffix: str) -> None:
    """Only a worker can look. A format without layers still waits for its mask."""
    texts = {"selected/hero.toml": INPAINT}
    assert isinstance(check_readiness([f"hero{suffix}", "hero.toml"], texts), Ready)
    assert isinstance(check_readiness(["hero.png", "hero.toml"], texts), Waiting)


def test_a_brief_can_say_that_the_mask_is_in_the_alpha() -> None:
    """Then no other mask is waited for; a mask with a name still is."""
    from_alpha = '[mask]\nfrom = "alpha"\n'
    assert isinstance(check_readiness(["hero.png", "hero.toml"], {"selected/hero.toml": from_alpha + INPAINT}), Ready)
    sky_brief = from_alpha + INPAINT.replace('"mask"', '"sky"')
    assert isinstance(check_readiness(["hero.png", "hero.toml"], {"selected/hero.toml": sky_brief}), Waiting)
