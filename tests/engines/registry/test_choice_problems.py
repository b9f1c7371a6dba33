"""Which model a step gets when models generate: by name, by a name of the house, by what it can do, by whether it takes words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldsmith.engines.kinds import ENGINE_KINDS
from goldsmith.engines.protocols import Ability, EngineNeed
from goldsmith.engines.registry.models import DefaultModels, DiffusionSettings, Model, Models
from goldsmith.engines.registry.weights_registry import WeightsMissing, WeightsRegistry
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.errors import InputError

INDEX = '{"_class_name": "XPipeline", "unet": ["diffusers", "UNet"]}'


def _generates(*can: Ability, folder: Path | None = None) -> Model:
    diffusion = DiffusionSettings(family="sdxl", can=can, pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)
    return Model(kind="generate", driver="diffusers", licence="MIT", folder=folder, diffusion=diffusion)


def _house(tmp_path: Path, **defaults: tuple[str, ...]) -> WeightsRegistry:
    file = WeightsFile.model_validate({"name": "migan.onnx", "sha256": "0" * 64, "bytes": 3})
    models = {
        "migan": Model(kind="inpaint", driver="migan", licence="MIT", files=(file,)),
        "patchmatch": Model(kind="inpaint", driver="patchmatch", licence="MIT"),
        "big": _generates("text", "image", folder=tmp_path / "big"),
        "filler": _generates("inpaint", folder=tmp_path / "filler"),
        "painter": _generates("text", folder=tmp_path / "painter"),
        "nothing": Model(**{**dict(_generates("text", "inpaint")), "driver": "null"}),
    }
    usual: dict[str, tuple[str, ...]] = {
        "inpaint": ("migan", "patchmatch"),
        "inpaint_words": ("filler", "big"),
        "generate": ("big", "painter"),
    }
    names = {"premium": "big", "fill": "filler", "quick": "patchmatch"}
    return WeightsRegistry(Models(models=models, names=names, defaults=DefaultModels(**{**usual, **defaults})), tmp_path / "models")


def _bring(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(INDEX)
    (folder / "unet/model.safetensors").write_bytes(b"weights")


def _asks(kind: str, model: str | None = None, *can: Ability, words: bool = False) -> EngineNeed[Any]:
    return EngineNeed(ENGINE_KINDS[kind], model, needs_prompt=words, can=frozenset(can))


def test_inpainting_without_words_still_needs_no_weights(tmp_path: Path) -> None:
    """Whatever models generate: a mask alone falls to the engine that comes with the program."""
    assert _house(tmp_path).choose(_asks("inpaint")).name == "patchmatch"


def test_words_are_never_left_aside_in_silence(tmp_path: Path) -> None:
    """A step with a prompt and no model for it is told what to fetch, by the house's own name; PatchMatch is not taken instead."""
    with pytest.raises(
        WeightsMissing,
        match=r"has a prompt, and no model that takes a prompt has its weights on this machine\. Run: goldsmith models fetch fill",
    ):
        _house(tmp_path).choose(_asks("inpaint", words=True))


def test_words_go_to_the_first_default_that_is_here(tmp_path: Path) -> None:
    """And the record says which better one was passed over."""
    _bring(tmp_path / "big")
    choice = _house(tmp_path).choose(_asks("inpaint", words=True))
    assert choice.name == "big"
    assert "the weights of filler are not on this machine (goldsmith models fetch filler)" in choice.why


def test_a_model_without_words_named_for_words_is_a_problem(tmp_path: Path) -> None:
    """Named together with a prompt: one of the two has to go, and those that take words are listed."""
    with pytest.raises(
        InputError, match=r"'migan' takes no prompt\. Remove the prompt, or name a model that takes one: premium, fill, big, filler"
    ):
        _house(tmp_path).choose(_asks("inpaint", "migan", words=True))
    with pytest.raises(InputError, match=r"'quick' \(patchmatch\) takes no prompt"):
        _house(tmp_path).choose(_asks("inpaint", "quick", words=True))


@pytest.mark.parametrize(
    ("name", "why"), [("big", "named by the step"), ("premium", "named premium by the step, which is big in models.toml")]
)
def test_a_generating_model_serves_inpainting_and_the_record_has_both_names(tmp_path: Path, name: str, why: str) -> None:
    """One that can fill, start from a picture or edit; the name that was said and the model that was used."""
    _bring(tmp_path / "big")
    choice = _house(tmp_path).choose(_asks("inpaint", name))
    assert (choice.name, choice.why) == ("big", why)


def test_one_that_can_only_draw_from_words_cannot_fill(tmp_path: Path) -> None:
    """It says what it can, what it cannot, and who could."""
    _bring(tmp_path / "painter")
    with pytest.raises(
        InputError,
        match=r"'painter' can make pictures from words alone; it cannot fill a hole\. Models that can: premium, fill, quick, migan",
    ):
        _house(tmp_path).choose(_asks("inpaint", "painter"))


def test_a_model_is_held_to_what_is_asked_of_it(tmp_path: Path) -> None:
    """Every ability that is asked and lacking is named, in words."""
    with pytest.raises(
        InputError,
        match=r"'premium' \(big\) can make pictures from words alone and start from a picture; "
        r"it cannot edit by instruction and use reference pictures\. Models that can: none",
    ):
        _house(tmp_path).choose(_asks("generate", "premium", "image", "edit", "references"))


def test_the_default_is_the_first_that_can_do_what_is_asked(tmp_path: Path) -> None:
    """A model that is here and cannot is passed over without a word: it was never a choice."""
    _bring(tmp_path / "big")
    _bring(tmp_path / "painter")
    house = _house(tmp_path, generate=("painter", "big"))
    assert house.choose(_asks("generate", None, "text")).name == "painter"
    choice = house.choose(_asks("generate", None, "image"))
    assert (choice.name, choice.why) == ("big", "the first default")


def test_nothing_that_can_is_told_apart_from_nothing_that_is_here(tmp_path: Path) -> None:
    """No default can edit: fetching would not help, so it is not suggested. One could draw: it is."""
    house = _house(tmp_path)
    with pytest.raises(InputError, match=r"no default model for generating pictures that can edit by instruction\. Add one") as caught:
        house.choose(_asks("generate", None, "edit"))
    assert not isinstance(caught.value, WeightsMissing)
    with pytest.raises(
        WeightsMissing, match=r"No model for generating pictures has its weights on this machine\. Run: goldsmith models fetch premium"
    ):
        house.choose(_asks("generate"))


def test_one_that_lies_here_and_is_no_default_is_pointed_at(tmp_path: Path) -> None:
    """Rather than saying that nothing is here."""
    _bring(tmp_path / "big")
    with pytest.raises(
        WeightsMissing, match=r"No default for inpainting with a prompt has its weights on this machine; these models have: big\."
    ):
        _house(tmp_path, inpaint_words=("filler",)).choose(_asks("inpaint", words=True))


def test_a_generating_model_does_not_enlarge(tmp_path: Path) -> None:
    """Asked for by name in an upscale step: the kind is the sentence."""
    with pytest.raises(InputError, match=r"'big' is for generate, not for upscale\. Models for upscale: none"):
        _house(tmp_path).choose(_asks("upscale", "big"))


def test_a_folder_that_is_not_there_is_told_with_its_place(tmp_path: Path) -> None:
    """Nothing can be fetched: it is the admin's own."""
    with pytest.raises(
        WeightsMissing, match=r"'premium' \(big\) are not where models\.toml says: .*/big/model_index\.json\. Put them there"
    ):
        _house(tmp_path).choose(_asks("generate", "premium"))


def test_an_unknown_name_gets_the_nearest_of_models_and_names(tmp_path: Path) -> None:
    """The house's own names count."""
    with pytest.raises(InputError, match=r"no model called 'premum'\. The nearest is 'premium'"):
        _house(tmp_path).choose(_asks("generate", "premum"))


def test_a_long_list_of_models_is_cut_short(tmp_path: Path) -> None:
    """The house's own names come first, null models not at all, and the rest are counted."""
    models = {f"m{number}": _generates("text", "inpaint") for number in range(9)} | {"painter": _generates("text")}
    house = WeightsRegistry(Models(models=models, names={"fill": "m8"}), tmp_path)
    with pytest.raises(InputError, match=r"Models that can: fill, m0, m1, m2, m3, m4 and 4 more \(goldsmith models list\)\.$"):
        house.choose(_asks("inpaint", "painter"))
