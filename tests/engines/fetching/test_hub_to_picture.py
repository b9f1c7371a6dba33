"""A real (tiny) model from a hub to a picture: fetched, pinned, opened offline, and recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles import tiny
from doubles.hub import COMMIT, HubDouble, hub_double
from goldsmith.engines.engine_loader import open_engine
from goldsmith.engines.fetching.fetch import fetch
from goldsmith.engines.fetching.pin_model import pin_model
from goldsmith.engines.kinds import GENERATOR
from goldsmith.engines.protocols import Device, EngineNeed, GenerationOptions, GenerationRequest
from goldsmith.engines.registry.models import DefaultModels, DiffusionSettings, Model, Models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository
from goldsmith.errors import InputError


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    top = tiny.folder("sdxl")
    files = {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}
    with hub_double(files, monkeypatch) as double:
        yield double


def _weights(folder: Path) -> WeightsRegistry:
    diffusion = DiffusionSettings(
        family="sdxl", can=("text",), pixels=tiny.PIXELS, multiple=tiny.MULTIPLE, steps=2, guidance=2, memory_mb=8, picture_mb=8
    )
    model = Model(kind="generate", driver="diffusers", licence="CC0-1.0", repository=HubRepository(hub="org/model"), diffusion=diffusion)
    models = Models(models={"drawer": model}, names={"premium": "drawer"}, defaults=DefaultModels(generate=("drawer",)))
    return WeightsRegistry(models, folder, folder / "models.pins.toml")


def test_a_fetched_model_generates_a_picture_offline(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a model under its alias: no request after the fetch, and a descriptor with the commit and the weights' hashes."""
    weights = _weights(tmp_path)
    with pytest.raises(InputError, match="goldsmith models fetch premium"):
        open_engine(weights, EngineNeed(GENERATOR, "premium"), Device())
    fetch(weights, "premium")
    pin_model(weights, "premium")
    hub.requests.clear()
    hub.refusal = (500, "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    engine, choice = open_engine(weights, EngineNeed(GENERATOR, "premium", can=frozenset({"text"})), Device())
    assert choice.why == "named premium by the step, which is drawer in models.toml"
    assert engine.descriptor.name == "drawer"
    assert engine.descriptor.revision == COMMIT
    assert {name for name, _ in engine.descriptor.weights} == {name for name in hub.files if name.endswith(".safetensors")}
    result = engine.generate(GenerationRequest(GenerationOptions("a hand"), (7,), 64, 64))
    assert result.pictures[0].shape == (64, 64, 3)
    assert not hub.requests
