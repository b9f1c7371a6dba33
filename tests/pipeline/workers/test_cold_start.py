"""A worker process reports its loaded and loading models, so that the daemon keeps jobs together and people see why jobs wait."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldsmith.engines import engine_loader
from goldsmith.engines.kinds import GENERATOR, INPAINTER
from goldsmith.engines.model_cache import ModelCache
from goldsmith.engines.protocols import EngineNeed
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
def messages() -> list[ModelsMessage]:
    return []


@pytest.fixture
def provider(tmp_path: Path, messages: list[ModelsMessage], monkeypatch: pytest.MonkeyPatch) -> EngineProvider:
    """Return an engine provider with room for one model at a time."""
    monkeypatch.setattr(engine_loader, "_MODEL_CACHE", ModelCache(max_engines=1))
    models = tmp_path / "models.toml"
    entries = (("one", "null"), ("two", "null"), ("broken", "no_such_driver"))
    models.write_text(LIGHT + "".join(ENTRY.replace("NAME", name).replace("DRIVER", driver) for name, driver in entries))
    return EngineProvider(
        WorkerConfig(models_file=str(models), weights_folder=str(tmp_path)),
        WorkerSpec(queue="gpu"),
        ModelsChangeFilter(messages.append).emit,
    )


def open_model(provider: EngineProvider, name: str) -> list[str]:
    """Open a generating model, and return the job's notes about it."""
    notes: list[str] = []
    provider.get(EngineNeed(GENERATOR, name), notes.append)
    return notes


def test_a_model_is_reported_while_it_loads_and_when_it_is_loaded(provider: EngineProvider, messages: list[ModelsMessage]) -> None:
    """The model is reported once. The next job finds the model loaded, and no message is sent."""
    assert open_model(provider, "one") == ["loading one"]
    assert messages == [ModelsMessage(loading="one"), ModelsMessage(loaded=("one",))]
    assert open_model(provider, "one") == []
    assert len(messages) == 2


def test_a_model_that_was_unloaded_is_not_reported_any_more(provider: EngineProvider, messages: list[ModelsMessage]) -> None:
    """The report has only models that are still loaded."""
    open_model(provider, "one")
    open_model(provider, "two")
    assert messages[-1] == ModelsMessage(loaded=("two",))
    assert open_model(provider, "one") == ["loading one"]
    assert messages[-1] == ModelsMessage(loaded=("one",))


def test_a_model_that_fails_to_load_is_not_reported_as_loading_for_ever(provider: EngineProvider, messages: list[ModelsMessage]) -> None:
    """The job gets the sentence, and the next report names no loading model."""
    with pytest.raises(InputError):
        open_model(provider, "broken")
    assert messages == [ModelsMessage(loading="broken"), ModelsMessage()]


def test_light_engines_are_not_reported(provider: EngineProvider, messages: list[ModelsMessage]) -> None:
    """Light engines load quickly, so jobs are not kept together for them. If a model is unloaded for a light engine, this is reported."""
    provider.get(EngineNeed(INPAINTER, "light"), lambda note: None)
    assert messages == []
    open_model(provider, "one")
    provider.get(EngineNeed(INPAINTER, "light"), lambda note: None)
    assert messages[-1] == ModelsMessage()
