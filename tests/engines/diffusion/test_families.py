"""Which ability serves a request, and the message if the model has none."""

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


def test_every_pipeline_in_the_table_exists_in_diffusers() -> None:
    """Check the names, because a wrong one would fail only in a worker process."""
    import diffusers

    for family in (*FAMILIES.values(), AUTO_FAMILY):
        for call in family.calls.values():
            assert isinstance(getattr(diffusers, call.pipeline), type), call.pipeline


def test_the_tiny_models_cover_the_whole_table() -> None:
    """Check that the tests run every row of the table."""
    assert {*tiny.FAMILIES, "qwen-image-layered"} == set(FAMILIES)
    for name, family in FAMILIES.items():
        assert set(tiny.CAN[name]) == set(family.calls)


def test_every_shipped_model_belongs_to_a_family_in_the_table() -> None:
    """Check that its entry claims only abilities of its family."""
    models = read_models(Path(__file__).parents[3] / "config" / "models.toml").models
    diffusion_models = {
        name: model.diffusion for name, model in models.items() if model.driver == "diffusers" and model.diffusion is not None
    }
    assert {diffusion.family for diffusion in diffusion_models.values()} >= set(FAMILIES) - {"qwen-image-edit"}
    for name, diffusion in diffusion_models.items():
        assert check_abilities(diffusion.family, f"models.{name}", diffusion.can) == diffusion.can


def test_an_unknown_family_uses_autopipeline() -> None:
    """Check text, image and inpaint."""
    assert find_family("of-tomorrow") is AUTO_FAMILY
    assert set(AUTO_FAMILY.calls) == {"text", "image", "inpaint"}
    assert find_family("flux") is FAMILIES["flux"]


def test_an_entry_may_claim_fewer_abilities_than_its_family() -> None:
    """Check that an ability which the family lacks is refused."""
    assert check_abilities("flux", "models.one", ("text",)) == ("text",)
    with pytest.raises(
        InputError, match=r"models\.one\.diffusion\.can: a model of the family 'flux-fill' cannot 'text'\. It can: inpaint\."
    ):
        check_abilities("flux-fill", "models.one", ("inpaint", "text"))


ALL: tuple[Ability, ...] = ("text", "image", "inpaint", "edit", "references")


@pytest.mark.parametrize(
    ("generation_request", "can", "expected"),
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
def test_a_request_uses_the_expected_ability(generation_request: GenerationRequest, can: tuple[Ability, ...], expected: Ability) -> None:
    """Check the order of abilities for a hole, and that a picture without a strength is edited by instruction."""
    assert choose_ability("one", can, generation_request) == expected


def test_references_without_a_picture_are_used() -> None:
    """Check a request with references only."""
    generation_request = replace(request("text"), references=(picture(),))
    assert choose_ability("one", ALL, generation_request) == "references"


@pytest.mark.parametrize(
    ("generation_request", "can", "sentence"),
    [
        (GenerationRequest(WISH, (1,), 64, 64), ("inpaint",), "cannot make pictures from words alone; it can fill a hole"),
        (request("image"), ("text",), "cannot start from a picture; it can make pictures from words alone"),
        (request("references"), ("text", "image"), "cannot use reference pictures; it can make pictures from words alone and start"),
        (request("inpaint"), ("text",), "cannot fill a hole; it can make pictures from words alone"),
    ],
)
def test_a_missing_ability_is_reported_with_the_others(
    generation_request: GenerationRequest, can: tuple[Ability, ...], sentence: str
) -> None:
    """Check that the message has the missing ability and the abilities of the model."""
    with pytest.raises(InputError, match=f"The model 'one' {sentence}"):
        choose_ability("one", can, generation_request)


def test_references_with_a_hole_are_for_models_that_fill_holes() -> None:
    """Check that a model that only starts from a picture is refused, and one that fills holes chosen."""
    with_references = replace(request("inpaint"), references=(picture(),))
    assert choose_ability("one", ALL, with_references) == "inpaint"
    with pytest.raises(InputError, match="cannot fill a hole"):
        choose_ability("one", ("image", "references"), with_references)
