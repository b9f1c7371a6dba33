"""From a models.toml to pictures: every family by its name, offline, as a lane opens it."""

from __future__ import annotations

import functools
import socket
from pathlib import Path
from typing import Any

import pytest

from doubles import tiny
from doubles.tiny_engines import HEIGHT, WIDTH, hole, picture
from goldsmith.engines import engine_loader
from goldsmith.engines.engine_loader import loaded_models, open_engine
from goldsmith.engines.generator_inpainter import GeneratorInpainter
from goldsmith.engines.kinds import GENERATOR, INPAINTER
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import Device, EngineNeed, GenerationOptions, GenerationRequest
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError

QUICK = [family for family in tiny.FAMILIES if not family.startswith("qwen-image-edit")]


@pytest.fixture(autouse=True)
def _own_residency(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this file opens is gone with it."""
    monkeypatch.setattr("goldsmith.engines.engine_loader._MODEL_CACHE", ModelCache())


@functools.cache
def _text(memory_mb: int) -> str:
    return tiny.models_toml({family: family for family in tiny.FAMILIES}, memory_mb=memory_mb)


def _weights(tmp_path: Path, memory_mb: int = 8) -> WeightsRegistry:
    (tmp_path / "models.toml").write_text(_text(memory_mb), encoding="utf-8")
    return WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path / "weights")


@pytest.mark.parametrize("family", QUICK)
def test_every_family_goes_from_its_entry_to_a_picture_without_a_network(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words where it takes words alone, a hole where it does not; no socket is ever asked for."""

    def refuse(*given: Any, **named: Any) -> Any:
        pytest.fail("a socket was asked for")

    weights = _weights(tmp_path)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    if "text" in tiny.CAN[family]:
        generator, choice = open_engine(weights, EngineNeed(GENERATOR, family, can=frozenset({"text"})), Device())
        made = generator.generate(GenerationRequest(GenerationOptions("a cat"), (1,), WIDTH, HEIGHT)).pictures[0]
    else:
        inpainter, choice = open_engine(weights, EngineNeed(INPAINTER, family), Device(), GenerationOptions("a cat"))
        made = inpainter.fill(picture(), hole(), 1)
    assert (choice.name, made.shape) == (family, (HEIGHT, WIDTH, 3))


def test_the_default_for_filling_with_words_is_a_model_that_fills(tmp_path: Path) -> None:
    """It comes as an inpainter, with the wish that was given."""
    engine, choice = open_engine(_weights(tmp_path), EngineNeed(INPAINTER, needs_prompt=True), Device(), GenerationOptions("moss"))
    assert isinstance(engine, GeneratorInpainter)
    assert (choice.name, engine.options.prompt) == ("sdxl", "moss")


def test_the_same_model_stays_open_and_others_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a generator and as an inpainter it is one engine; where the next does not fit beside it, it goes."""
    weights = _weights(tmp_path, memory_mb=400)
    generator, _ = open_engine(weights, EngineNeed(GENERATOR, "flux"), Device())
    filler, _ = open_engine(weights, EngineNeed(INPAINTER, "flux"), Device())
    assert isinstance(filler, GeneratorInpainter)
    assert filler.generator is generator
    assert loaded_models() == ("flux",)
    monkeypatch.setattr(engine_loader._MODEL_CACHE, "_measure_free_mb", lambda device: 500 if "flux" in loaded_models() else 1000)
    open_engine(weights, EngineNeed(GENERATOR, "krea2"), Device())
    assert loaded_models() == ("krea2",)


def test_a_model_that_does_not_fit_is_told_before_it_is_read(tmp_path: Path) -> None:
    """The entry says what it needs; the machine says what it has."""
    with pytest.raises(InputError, match="The model 'flux' needs about 200000008 MB of memory on cpu, but only"):
        open_engine(_weights(tmp_path, memory_mb=100_000_000), EngineNeed(GENERATOR, "flux"), Device())


def test_a_model_whose_tree_is_gone_is_a_sentence(tmp_path: Path) -> None:
    """Long before diffusers is asked."""
    text = _text(8).replace(str(tiny.folder("flux")), str(tmp_path / "nowhere"))
    (tmp_path / "models.toml").write_text(text, encoding="utf-8")
    weights = WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path / "weights")
    with pytest.raises(InputError, match=r"The weights of the model 'flux' are not where models\.toml says"):
        open_engine(weights, EngineNeed(GENERATOR, "flux"), Device())
