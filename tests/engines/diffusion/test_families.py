"""Which way a request is worked, and what is said where a model has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from doubles import tiny
from doubles.tiny_engines import WISH, picture, request
from goldsmith.engines.diffusion.families import AUTO_FAMILY, FAMILIES, check_abilities, choose_ability, find_family
from goldsmith.engines.protocols import Ability, GenerationRequest
from goldsmith.engines.registry.models import read_models
from goldsmith.errors import InputError


def test_every_pipeline_in_the_table_is_one_of_diffusers() -> None:
    """A name that does not exist is found here and not in a lane."""
    import diffusers

    for family in (*FAMILIES.values(), AUTO_FAMILY):
        for way in family.calls.values():
            assert isinstance(getattr(diffusers, way.pipeline), type), way.pipeline


def test_the_tiny_models_do_all_that_the_table_says() -> None:
    """So that every row of it is run by the tests."""
    assert set(tiny.FAMILIES) == set(FAMILIES)
    for name, family in FAMILIES.items():
        assert set(tiny.CAN[name]) == set(family.calls)


def test_every_model_that_comes_with_goldsmith_is_of_a_family_in_the_table() -> None:
    """And promises nothing that its family has no way for."""
    models = read_models(Path(__file__).parents[3] / "config" / "models.toml").models
    run = {name: model.diffusion for name, model in models.items() if model.driver == "diffusers" and model.diffusion is not None}
    assert {diffusion.family for diffusion in run.values()} >= set(FAMILIES) - {"qwen-image-edit"}
    for name, diffusion in run.items():
        assert check_abilities(diffusion.family, f"models.{name}", diffusion.can) == diffusion.can


def test_a_family_that_the_table_lacks_has_autopipeline_s_ways() -> None:
    """Words, pictures, holes."""
    assert find_family("of-tomorrow") is AUTO_FAMILY
    assert set(AUTO_FAMILY.calls) == {"text", "image", "inpaint"}
    assert find_family("flux") is FAMILIES["flux"]


def test_an_entry_s_abilities_are_its_own_choice_among_those() -> None:
    """Fewer than the family has is allowed, more is not."""
    assert check_abilities("flux", "models.one", ("text",)) == ("text",)
    with pytest.raises(
        InputError, match=r"models\.one\.diffusion\.can: a model of the family 'flux-fill' cannot 'text'\. It can: inpaint\."
    ):
        check_abilities("flux-fill", "models.one", ("inpaint", "text"))


ALL: tuple[Ability, ...] = ("text", "image", "inpaint", "edit", "references")


@pytest.mark.parametrize(
    ("asked", "can", "expected"),
    [
        (request("text"), ALL, "text"),
        (request("image"), ALL, "image"),
        (request("image"), ("text", "edit"), "edit"),
        (request("edit"), ALL, "edit"),
        (request("edit"), ("text", "image"), "image"),
        (request("inpaint"), ALL, "inpaint"),
        (request("inpaint"), ("text", "image", "edit"), "image"),
        (request("inpaint"), ("edit",), "edit"),
        (request("references"), ALL, "references"),
    ],
)
def test_a_request_goes_the_way_it_asks_for(asked: GenerationRequest, can: tuple[Ability, ...], expected: Ability) -> None:
    """A hole by inpainting, else anew from the crop, else by instruction; a picture with no strength is an instruction to an editor."""
    assert choose_ability("one", can, asked) == expected


def test_references_alone_are_looked_at() -> None:
    """Also without a picture to start from."""
    asked = replace(request("text"), references=(picture(),))
    assert choose_ability("one", ALL, asked) == "references"


@pytest.mark.parametrize(
    ("asked", "can", "sentence"),
    [
        (GenerationRequest(WISH, (1,), 64, 64), ("inpaint",), "cannot make pictures from words alone; it can fill a hole"),
        (request("image"), ("text",), "cannot start from a picture; it can make pictures from words alone"),
        (request("references"), ("text", "image"), "cannot use reference pictures; it can make pictures from words alone and start"),
        (request("inpaint"), ("text",), "cannot fill a hole; it can make pictures from words alone"),
    ],
)
def test_what_it_has_no_way_for_is_told_with_what_it_has(asked: GenerationRequest, can: tuple[Ability, ...], sentence: str) -> None:
    """In the user's words."""
    with pytest.raises(InputError, match=f"The model 'one' {sentence}"):
        choose_ability("one", can, asked)


def test_references_are_not_left_aside_in_silence() -> None:
    """No pipeline here looks at them while it fills a hole."""
    with pytest.raises(InputError, match="cannot use reference pictures while it fills a hole"):
        choose_ability("one", ALL, replace(request("inpaint"), references=(picture(),)))
