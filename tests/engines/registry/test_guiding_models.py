"""Which models follow a control picture or reference pictures is known from models.toml, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from doubles import tiny, tiny_adapters, tiny_control
from goldsmith.engines.kinds import CONTROL_NET, GENERATOR, INPAINTER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.weights_registry import WeightsRegistry, open_weights_registry
from goldsmith.errors import InputError, UsageError
from goldsmith.guides import adapter_need

NAMES = {"qwen": "qwen-image", "sd3": "sd3", "sdxl": "sdxl", "fill": "sdxl-inpaint", "klein": "flux2-klein"}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> WeightsRegistry:
    """Return the registry of some tiny models, with a control model and an adapter for SDXL."""
    folder = tmp_path_factory.mktemp("config")
    guiding = [tiny_control.entry("sdxl-depth"), tiny_adapters.entry("sdxl")]
    models = tiny.models_toml(NAMES).replace("[defaults]\n", '[defaults]\ncontrol = ["sdxl-depth"]\nreference = ["sdxl-likeness"]\n')
    (folder / "models.toml").write_text("\n".join([models, *guiding]), encoding="utf-8")
    return open_weights_registry(folder / "models.toml", folder / "models")


def refusal(registry: WeightsRegistry, need: EngineNeed[Any]) -> str:
    with pytest.raises(InputError) as caught:
        registry.choose(need)
    return str(caught.value)


@pytest.mark.parametrize(
    ("need", "name"),
    [
        (EngineNeed(GENERATOR, can=frozenset({"image"})), "qwen"),
        (EngineNeed(GENERATOR, can=frozenset({"image"}), controlled=frozenset({"image"})), "sdxl"),
        (EngineNeed(GENERATOR, can=frozenset({"text"}), referenced=frozenset({"text"})), "sd3"),
        (EngineNeed(INPAINTER, needs_prompt=True), "qwen"),
        (EngineNeed(INPAINTER, needs_prompt=True, controlled=frozenset({"inpaint"})), "sdxl"),
        (EngineNeed(INPAINTER, needs_prompt=True, can=frozenset({"inpaint", "references"})), "klein"),
    ],
)
def test_the_default_is_the_first_model_that_follows_what_the_step_has(registry: WeightsRegistry, need: EngineNeed[Any], name: str) -> None:
    """Check a control picture and references, each with and without."""
    assert registry.choose(need).name == name


@pytest.mark.parametrize(
    ("model", "need", "sentence"),
    [
        (
            "qwen",
            {"controlled": {"image"}},
            "'qwen' cannot follow a control picture to start from a picture; with that, it can make pictures",
        ),
        (
            "klein",
            {"controlled": {"text"}},
            "cannot follow a control picture to make pictures from words alone; models of its family have no",
        ),
        (
            "klein",
            {"referenced": {"image"}},
            "cannot follow reference pictures with a strength to start from a picture; models of its family",
        ),
        (
            "sd3",
            {"controlled": {"image"}, "referenced": {"image"}},
            "a control picture and reference pictures with a strength to start",
        ),
    ],
)
def test_a_named_model_that_cannot_is_refused_in_words(registry: WeightsRegistry, model: str, need: Any, sentence: str) -> None:
    """Check what it lacks, what it can instead, and models that can."""
    settings = {name: frozenset(abilities) for name, abilities in need.items()}
    text = refusal(registry, EngineNeed(GENERATOR, model, **settings))
    assert sentence in text
    assert "sdxl" in text


def test_a_guiding_model_fits_the_model_that_it_guides(registry: WeightsRegistry) -> None:
    """Check the adapter of SDXL for a model of the same base, and the sentences for other families, by name and as a default."""
    assert registry.choose(adapter_need(None, EngineNeed(GENERATOR, "fill"))).name == "sdxl-likeness"
    named_refusal = refusal(registry, adapter_need("sdxl-likeness", EngineNeed(GENERATOR, "sd3")))
    assert "guides models of the family sdxl; it is not for reference pictures with a strength for the family sd3" in named_refusal
    assert "no default model for reference pictures with a strength for the family sd3" in refusal(
        registry, adapter_need(None, EngineNeed(GENERATOR, "sd3"))
    )
    control = refusal(registry, EngineNeed(CONTROL_NET, control="depth", guides=EngineNeed(GENERATOR, "sd3")))
    assert "no default model for control pictures of depth with sd3" in control


def test_an_adapter_without_its_encoder_is_missing(tmp_path: Path) -> None:
    """Check that the missing file is named, for each of its two parts."""
    folder = tmp_path / "adapter"
    text = tiny_adapters.entry("sdxl").replace(str(tiny_adapters.folder("sdxl")), str(folder))
    (tmp_path / "models.toml").write_text(f"{text}\n", encoding="utf-8")
    registry = open_weights_registry(tmp_path / "models.toml", tmp_path / "models")
    (folder / "models").mkdir(parents=True)
    assert registry.first_missing("sdxl-likeness") == str(folder / tiny_adapters.WEIGHTS)
    (folder / tiny_adapters.WEIGHTS).touch()
    assert registry.first_missing("sdxl-likeness") == str(folder / tiny_adapters.ENCODER / "config.json")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (
            'family = "sdxl"\nweights = "../ip.safetensors"',
            "has a form that is not allowed; it is a .safetensors file",
        ),
        ('family = "sdxl"\nweights = "ip.bin"', "has a form that is not allowed; it is a .safetensors file"),
        ('family = "sdxl"\nweights = "ip.safetensors"\nencoder = "/srv"', "it is a folder in the model's folder"),
    ],
)
def test_an_adapter_lies_in_its_own_folder_and_is_no_pickle(tmp_path: Path, table: str, sentence: str) -> None:
    """Check paths that lead out of it, and a pickle."""
    entry = '[models.one]\nkind = "reference"\ndriver = "ip_adapter"\nlicence = "MIT"\nfolder = "/srv/x"\n[models.one.reference]\n'
    (tmp_path / "models.toml").write_text(entry + table + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        open_weights_registry(tmp_path / "models.toml", tmp_path / "models")


def test_a_reference_table_belongs_to_a_model_of_kind_reference(tmp_path: Path) -> None:
    """Check a model of that kind without a table."""
    (tmp_path / "models.toml").write_text(
        '[models.one]\nkind = "reference"\ndriver = "ip_adapter"\nlicence = "MIT"\nfolder = "/srv/x"\n', encoding="utf-8"
    )
    with pytest.raises(UsageError, match=r"a model of kind reference, and only such a model, has a \[reference\] table"):
        open_weights_registry(tmp_path / "models.toml", tmp_path / "models")
