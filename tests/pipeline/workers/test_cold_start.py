"""A lane process says which models it holds and which it is loading, so that jobs can be kept together and people can see why they wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.engines import EngineNeed, engine_loader
from goldsmith.engines.kinds import GENERATOR, INPAINTER
from goldsmith.engines.model_cache import ModelCache
from goldsmith.errors import InputError
from goldsmith.jobs.protocol import ModelsMessage, WorkerConfig, WorkerSpec
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.main import ModelsChangeFilter

ENTRY = """
[models.NAME]
kind = "generate"
driver = "DRIVER"
licence = "Apache-2.0"
[models.NAME.diffusion]
family = "null"
can = ["text"]
pixels = 65536
multiple = 16
steps = 1
guidance = 0
memory_mb = 10
picture_mb = 1
"""
LIGHT = '[models.light]\nkind = "inpaint"\ndriver = "null"\nlicence = "CC0-1.0"\n'


@pytest.fixture
def told() -> list[ModelsMessage]:
    return []


@pytest.fixture
def shop(tmp_path: Path, told: list[ModelsMessage], monkeypatch: pytest.MonkeyPatch) -> EngineProvider:
    """A lane with room for one model at a time."""
    monkeypatch.setattr(engine_loader, "_MODEL_CACHE", ModelCache(max_engines=1))
    models = tmp_path / "models.toml"
    entries = (("one", "null"), ("two", "null"), ("broken", "no_such_driver"))
    models.write_text(LIGHT + "".join(ENTRY.replace("NAME", name).replace("DRIVER", driver) for name, driver in entries))
    return EngineProvider(
        WorkerConfig(models_file=str(models), weights_folder=str(tmp_path)), WorkerSpec(queue="gpu"), ModelsChangeFilter(told.append).emit
    )


def open_one(shop: EngineProvider, name: str) -> list[str]:
    """Open a generating model; what the job's own note says of it."""
    notes: list[str] = []
    shop.get(EngineNeed(GENERATOR, name), notes.append)
    return notes


def test_a_model_is_told_while_it_is_loaded_and_when_it_is(shop: EngineProvider, told: list[ModelsMessage]) -> None:
    """Once; the next job finds it warm, and nothing is said."""
    assert open_one(shop, "one") == ["loading one"]
    assert told == [ModelsMessage(loading="one"), ModelsMessage(loaded=("one",))]
    assert open_one(shop, "one") == []
    assert len(told) == 2


def test_a_model_that_had_to_make_room_is_cold_again(shop: EngineProvider, told: list[ModelsMessage]) -> None:
    """What is told is what is really there."""
    open_one(shop, "one")
    open_one(shop, "two")
    assert told[-1] == ModelsMessage(loaded=("two",))
    assert open_one(shop, "one") == ["loading one"]
    assert told[-1] == ModelsMessage(loaded=("one",))


def test_one_that_cannot_be_loaded_is_not_said_to_be_loading_for_ever(shop: EngineProvider, told: list[ModelsMessage]) -> None:
    """Its job gets the sentence; the lane holds what it held."""
    with pytest.raises(InputError):
        open_one(shop, "broken")
    assert told == [ModelsMessage(loading="broken"), ModelsMessage()]


def test_light_engines_are_not_told(shop: EngineProvider, told: list[ModelsMessage]) -> None:
    """They are loaded in a moment; jobs are not kept together for them. But what had to make room for one is told."""
    shop.get(EngineNeed(INPAINTER, "light"), lambda note: None)
    assert told == []
    open_one(shop, "one")
    shop.get(EngineNeed(INPAINTER, "light"), lambda note: None)
    assert told[-1] == ModelsMessage()
