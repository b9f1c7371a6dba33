"""The choice of a generating model for a step: by name, by alias, by ability, and with or without a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldsmith.engines.kinds import ENGINE_KINDS
from goldsmith.engines.protocols import Ability, EngineNeed
from goldsmith.engines.registry.choice_problems import list_capable_models
from goldsmith.engines.registry.models import DefaultModels, DiffusionSettings, Model, Models
from goldsmith.engines.registry.weights_registry import WeightsMissing, WeightsRegistry
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.errors import InputError

INDEX = '{"_class_name": "XPipeline", "unet": ["diffusers", "UNet"]}'


def _generator(*can: Ability, folder: Path | None = None) -> Model:
    diffusion = DiffusionSettings(family="sdxl", can=can, pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)
    return Model(kind="generate", driver="diffusers", licence="MIT", folder=folder, diffusion=diffusion)


def _registry(tmp_path: Path, **defaults: tuple[str, ...]) -> WeightsRegistry:
    file = WeightsFile.model_validate({"name": "migan.onnx", "sha256": "0" * 64, "bytes": 3})
    models = {
        "migan": Model(kind="inpaint", driver="migan", licence="MIT", files=(file,)),
        "patchmatch": Model(kind="inpaint", driver="patchmatch", licence="MIT"),
        "big": _generator("text", "image", folder=tmp_path / "big"),
        "filler": _generator("inpaint", folder=tmp_path / "filler"),
        "painter": _generator("text", folder=tmp_path / "painter"),
        "nothing": Model(**{**dict(_generator("text", "inpaint")), "driver": "null"}),
    }
    lists: dict[str, tuple[str, ...]] = {
        "inpaint": ("migan", "patchmatch"),
        "inpaint_words": ("filler", "big"),
        "generate": ("big", "painter"),
    }
    names = {"premium": "big", "fill": "filler", "quick": "patchmatch"}
    return WeightsRegistry(Models(models=models, names=names, defaults=DefaultModels(**{**lists, **defaults})), tmp_path / "models")


def _create_folder(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text(INDEX)
    (folder / "unet/model.safetensors").write_bytes(b"weights")


def _need(kind: str, model: str | None = None, *can: Ability, words: bool = False) -> EngineNeed[Any]:
    return EngineNeed(ENGINE_KINDS[kind], model, needs_prompt=words, can=frozenset(can))


def test_inpainting_without_a_prompt_needs_no_weights(tmp_path: Path) -> None:
    """Check that a mask alone falls back to the engine without weights."""
    assert _registry(tmp_path).choose(_need("inpaint")).name == "patchmatch"


def test_a_prompt_is_refused_if_no_model_with_weights_takes_prompts(tmp_path: Path) -> None:
    """Check that a prompt without a suitable model gives the command to fetch one, by alias, instead of PatchMatch."""
    with pytest.raises(
        WeightsMissing,
        match=r"has a prompt, and no model that takes a prompt has its weights on this machine\. Run: goldsmith models fetch fill",
    ):
        _registry(tmp_path).choose(_need("inpaint", words=True))


def test_a_prompt_goes_to_the_first_default_with_weights(tmp_path: Path) -> None:
    """Check that the record names the earlier default, which has no weights."""
    _create_folder(tmp_path / "big")
    choice = _registry(tmp_path).choose(_need("inpaint", words=True))
    assert choice.name == "big"
    assert "the weights of filler are not on this machine (goldsmith models fetch filler)" in choice.why


def test_a_named_model_that_takes_no_prompt_is_refused_for_a_prompt(tmp_path: Path) -> None:
    """Check that the message lists the models that take a prompt."""
    with pytest.raises(
        InputError, match=r"'migan' takes no prompt\. Remove the prompt, or name a model that takes one: premium, fill, big, filler"
    ):
        _registry(tmp_path).choose(_need("inpaint", "migan", words=True))
    with pytest.raises(InputError, match=r"'quick' \(patchmatch\) takes no prompt"):
        _registry(tmp_path).choose(_need("inpaint", "quick", words=True))


@pytest.mark.parametrize(
    ("name", "why"), [("big", "named by the step"), ("premium", "named premium by the step, which is big in models.toml")]
)
def test_a_generating_model_serves_inpainting_and_the_record_has_both_names(tmp_path: Path, name: str, why: str) -> None:
    """Check a model that starts from a picture, under its name and its alias."""
    _create_folder(tmp_path / "big")
    choice = _registry(tmp_path).choose(_need("inpaint", name))
    assert (choice.name, choice.why) == ("big", why)


def test_a_model_that_generates_only_from_words_cannot_fill(tmp_path: Path) -> None:
    """Check that the message has its abilities, the missing ability, and the models that have it."""
    _create_folder(tmp_path / "painter")
    with pytest.raises(
        InputError,
        match=r"'painter' can make pictures from words alone; it cannot fill a hole\. Models that can: quick, patchmatch, premium, fill",
    ):
        _registry(tmp_path).choose(_need("inpaint", "painter"))


def _two_generators(tmp_path: Path, first: str, second: str, **settings: object) -> WeightsRegistry:
    """Return a registry with two defaults for generating, the first one forbidden or allowed for paid work as these words say."""
    models = {
        name: _generator("text", folder=tmp_path / name).model_copy(update={"commercial": commercial})
        for name, commercial in (("heavy", first), ("light", second))
    }
    defaults = DefaultModels.model_validate({"generate": ("heavy", "light")})
    return WeightsRegistry(Models.model_validate({"models": models, "defaults": defaults, **settings}), tmp_path / "models")


@pytest.mark.parametrize(("first", "second", "name"), [("no", "yes", "light"), ("limited", "yes", "light"), ("yes", "yes", "heavy")])
def test_a_model_that_allows_paid_work_is_suggested_for_fetching(tmp_path: Path, first: str, second: str, name: str) -> None:
    """Check that the first default is not suggested if a later one is freer."""
    with pytest.raises(WeightsMissing, match=f"Run: goldsmith models fetch {name}"):
        _two_generators(tmp_path, first, second).choose(_need("generate", None, "text"))


def test_models_that_are_here_are_suggested_first_and_then_free_ones(tmp_path: Path) -> None:
    """Check a model that another licence forbids, before and after its weights arrive."""
    registry = _two_generators(tmp_path, "no", "yes", names={"pen": "light"})
    assert list_capable_models(registry.models, _need("generate"), registry.is_available) == "pen, light, heavy"
    _create_folder(tmp_path / "heavy")
    assert list_capable_models(registry.models, _need("generate"), registry.is_available) == "heavy, pen, light"


def test_a_rule_can_refuse_models_that_do_not_allow_paid_work(tmp_path: Path) -> None:
    """Check a default, a name and an alias, and what the sentences say about each kind of licence."""
    for name in ("heavy", "light"):
        _create_folder(tmp_path / name)
    assert _two_generators(tmp_path, "no", "yes").choose(_need("generate", None, "text")).name == "heavy"
    reasons = {
        "no": "does not allow paid work",
        "limited": "allows paid work only within limits",
        "not said": "does not say whether its licence",
    }
    for commercial, reason in reasons.items():
        registry = _two_generators(tmp_path, commercial, "yes", names={"premium": "heavy"}, only_commercial=True)
        assert registry.choose(_need("generate", None, "text")).name == "light"
        for name in ("heavy", "premium"):
            with pytest.raises(
                InputError, match=f"may not be used here: .*{reason}.* only_commercial = true.* Models that may: light"
            ) as caught:
                registry.choose(_need("generate", name, "text"))
            assert not isinstance(caught.value, WeightsMissing)
    with pytest.raises(InputError, match="no default model for generating pictures"):
        _two_generators(tmp_path, "no", "no", only_commercial=True).choose(_need("generate", None, "text"))


@pytest.mark.parametrize(
    ("licence", "paid_work", "expected"),
    [("MIT", {}, "yes"), ("Apache-2.0", {}, "yes"), ("LicenseRef-ours", {}, "not said"), ("LicenseRef-ours", {"commercial": "yes"}, "yes")],
)
def test_an_entry_that_says_nothing_about_paid_work_does_not_allow_it(licence: str, paid_work: dict[str, str], expected: str) -> None:
    """Check free licences, a licence of one's own, and an entry that says it."""
    assert Model.model_validate({"kind": "inpaint", "driver": "migan", "licence": licence, **paid_work}).commercial == expected


def test_every_missing_ability_is_reported(tmp_path: Path) -> None:
    """Check that the message has each missing ability in words."""
    with pytest.raises(
        InputError,
        match=r"'premium' \(big\) can make pictures from words alone and start from a picture; "
        r"it cannot edit by instruction and use reference pictures\. Models that can: none",
    ):
        _registry(tmp_path).choose(_need("generate", "premium", "image", "edit", "references"))


def test_the_default_is_the_first_suitable_model(tmp_path: Path) -> None:
    """Check that the record ignores an unsuitable default."""
    _create_folder(tmp_path / "big")
    _create_folder(tmp_path / "painter")
    registry = _registry(tmp_path, generate=("painter", "big"))
    assert registry.choose(_need("generate", None, "text")).name == "painter"
    choice = registry.choose(_need("generate", None, "image"))
    assert (choice.name, choice.why) == ("big", "the first default")


def test_the_message_says_whether_a_suitable_default_or_its_weights_are_missing(tmp_path: Path) -> None:
    """Check that a fetch is suggested only if a suitable default exists."""
    registry = _registry(tmp_path)
    with pytest.raises(InputError, match=r"no default model for generating pictures that can edit by instruction\. Add one") as caught:
        registry.choose(_need("generate", None, "edit"))
    assert not isinstance(caught.value, WeightsMissing)
    with pytest.raises(
        WeightsMissing, match=r"No model for generating pictures has its weights on this machine\. Run: goldsmith models fetch premium"
    ):
        registry.choose(_need("generate"))


def test_a_suitable_model_that_is_no_default_is_suggested(tmp_path: Path) -> None:
    """Check that the message names the model."""
    _create_folder(tmp_path / "big")
    with pytest.raises(
        WeightsMissing, match=r"No default for inpainting with a prompt has its weights on this machine; these models have: big\."
    ):
        _registry(tmp_path, inpaint_words=("filler",)).choose(_need("inpaint", words=True))


def test_a_generating_model_does_not_enlarge(tmp_path: Path) -> None:
    """Check that a generating model is refused in an upscale step because of its kind."""
    with pytest.raises(InputError, match=r"'big' is for generate, not for upscale\. Models for upscale: none"):
        _registry(tmp_path).choose(_need("upscale", "big"))


def test_a_missing_local_folder_is_reported_with_its_path(tmp_path: Path) -> None:
    """Check that no fetch is suggested: the folder belongs to the administrator."""
    with pytest.raises(
        WeightsMissing, match=r"'premium' \(big\) are not there: .*/big does not exist, or may not be entered\. Put them there"
    ):
        _registry(tmp_path).choose(_need("generate", "premium"))


def test_an_unknown_name_gets_the_nearest_model_or_alias(tmp_path: Path) -> None:
    """Check an alias."""
    with pytest.raises(InputError, match=r"no model called 'premum'\. The nearest is 'premium'"):
        _registry(tmp_path).choose(_need("generate", "premum"))


def test_a_long_list_of_models_is_shortened(tmp_path: Path) -> None:
    """Check that aliases come first, null models are left out, and the others are counted."""
    models = {f"m{number}": _generator("text", "inpaint") for number in range(9)} | {"painter": _generator("text")}
    registry = WeightsRegistry(Models(models=models, names={"fill": "m8"}), tmp_path)
    with pytest.raises(InputError, match=r"Models that can: fill, m0, m1, m2, m3, m4 and 4 more \(goldsmith models list\)\.$"):
        registry.choose(_need("inpaint", "painter"))
