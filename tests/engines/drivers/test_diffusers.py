"""From models.toml to pictures: every family by name, offline, as a worker process opens it."""

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

QUICK_FAMILIES = [family for family in tiny.FAMILIES if not family.startswith("qwen-image-edit")]


@pytest.fixture(autouse=True)
def _own_model_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this file its own model cache."""
    monkeypatch.setattr("goldsmith.engines.engine_loader._MODEL_CACHE", ModelCache())


@functools.cache
def _models_toml(memory_mb: int) -> str:
    return tiny.models_toml({family: family for family in tiny.FAMILIES}, memory_mb=memory_mb)


def _weights(tmp_path: Path, memory_mb: int = 8) -> WeightsRegistry:
    (tmp_path / "models.toml").write_text(_models_toml(memory_mb), encoding="utf-8")
    return WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path / "weights")


@pytest.mark.parametrize("family", QUICK_FAMILIES)
def test_every_family_generates_a_picture_offline(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check text if the family has it, otherwise inpaint; no socket is opened."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        pytest.fail("the code opened a socket")

    weights = _weights(tmp_path)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    if "text" in tiny.CAN[family]:
        generator, choice = open_engine(weights, EngineNeed(GENERATOR, family, can=frozenset({"text"})), Device())
        pixels = generator.generate(GenerationRequest(GenerationOptions("a cat"), (1,), WIDTH, HEIGHT)).pictures[0]
    else:
        inpainter, choice = open_engine(weights, EngineNeed(INPAINTER, family), Device(), GenerationOptions("a cat"))
        pixels = inpainter.fill(picture(), hole(), 1)
    assert (choice.name, pixels.shape) == (family, (HEIGHT, WIDTH, 3))


def test_the_default_for_filling_with_a_prompt_is_an_inpainter(tmp_path: Path) -> None:
    """Check that the inpainter has the options of the call."""
    engine, choice = open_engine(_weights(tmp_path), EngineNeed(INPAINTER, needs_prompt=True), Device(), GenerationOptions("moss"))
    assert isinstance(engine, GeneratorInpainter)
    assert (choice.name, engine.options.prompt) == ("sdxl", "moss")


def test_a_model_stays_open_until_another_needs_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that generator and inpainter share one engine, which is closed for another model."""
    weights = _weights(tmp_path, memory_mb=400)
    generator, _ = open_engine(weights, EngineNeed(GENERATOR, "flux"), Device())
    filler, _ = open_engine(weights, EngineNeed(INPAINTER, "flux"), Device())
    assert isinstance(filler, GeneratorInpainter)
    assert filler.generator is generator
    assert loaded_models() == ("flux",)
    monkeypatch.setattr(engine_loader._MODEL_CACHE, "_measure_free_mb", lambda device: 500 if "flux" in loaded_models() else 1000)
    open_engine(weights, EngineNeed(GENERATOR, "krea2"), Device())
    assert loaded_models() == ("krea2",)


def test_a_model_that_does_not_fit_is_refused_before_loading(tmp_path: Path) -> None:
    """Check that the message has the required and the free memory."""
    with pytest.raises(InputError, match="The model 'flux' needs about 200000008 MB of memory on cpu, but only"):
        open_engine(_weights(tmp_path, memory_mb=100_000_000), EngineNeed(GENERATOR, "flux"), Device())


def test_a_model_without_its_tree_is_refused(tmp_path: Path) -> None:
    """Check that diffusers is not called."""
    text = _models_toml(8).replace(str(tiny.folder("flux")), str(tmp_path / "nowhere"))
    (tmp_path / "models.toml").write_text(text, encoding="utf-8")
    weights = WeightsRegistry(read_models(tmp_path / "models.toml"), tmp_path / "weights")
    with pytest.raises(InputError, match=r"The weights of the model 'flux' are not"):
        open_engine(weights, EngineNeed(GENERATOR, "flux"), Device())
