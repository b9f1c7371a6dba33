"""The engines of a worker process: which engine a step gets, and what the record says about the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import Share
from goldsmith.engines.generator_inpainter import GeneratorInpainter
from goldsmith.engines.kinds import GENERATOR, INPAINTER, UPSCALER
from goldsmith.engines.protocols import EngineNeed, GenerationOptions
from goldsmith.errors import InputError
from goldsmith.files import Filesystem
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.library import Library
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.step_context import JobParts, WorkerStepContext

CONFIG = Path(__file__).parents[2] / "config" / "models.toml"


@pytest.fixture
def provider(tmp_path: Path) -> EngineProvider:
    """Return a provider with an empty models folder: only engines without weights are available."""
    return EngineProvider(WorkerConfig(models_file=str(CONFIG), weights_folder=str(tmp_path / "weights")), WorkerSpec(queue="cpu"))


@pytest.fixture
def context(tmp_path: Path, provider: EngineProvider) -> WorkerStepContext:
    share = Share(tmp_path)
    share.put("inbox/hero.png", b"")
    job, library = share.job(), Library(tmp_path / "library")
    parts = JobParts(job, provider, ScratchFolder(tmp_path / "paper", Filesystem()), library, {}, FileIdentities(job, {}))
    return WorkerStepContext(parts, lambda fraction, note: None, seed=3)


def test_a_generating_model_serves_as_an_inpainter_with_its_options_bound(context: WorkerStepContext) -> None:
    """The engine has the step's options, and its side is that of a square with the native pixel count."""
    options = GenerationOptions("a relaxed left hand", strength=0.9)
    engine = context.engines.get(EngineNeed(INPAINTER, "null-generate"), options)
    assert isinstance(engine, GeneratorInpainter)
    assert (engine.options, engine.descriptor.kind, engine.descriptor.side) == (options, "inpaint", 256)
    assert context.recorder.engine is not None
    assert (context.recorder.engine["name"], context.recorder.engine["kind"], context.recorder.engine["why"]) == (
        "null-generate",
        "inpaint",
        "named by the step",
    )


def test_equal_fills_share_an_entry_of_the_record(context: WorkerStepContext) -> None:
    """Two fills with different seeds give one entry."""
    engine = context.engines.get(EngineNeed(INPAINTER, "null-generate"), GenerationOptions("moss"))
    pixels, hole = np.full((64, 64, 3), 0.5, np.float32), np.ones((64, 64), np.float32)
    for seed in (5, 6):
        engine.fill(pixels, hole, seed)
    assert context.recorder.engine is not None
    assert context.recorder.engine["fills"] == [{"steps": 1, "batch": 1, "seeds": []}]


def test_the_record_lists_every_engine_of_a_step_once(context: WorkerStepContext) -> None:
    """The first engine is the step's, and later engines are under ``other_engines``. Getting an engine again adds no entry."""
    context.engines.get(EngineNeed(GENERATOR, "null-generate", can=frozenset({"text"})))
    for _ in range(2):
        context.engines.get(EngineNeed(UPSCALER, "null-x2", factor=2))
        context.engines.get(EngineNeed(GENERATOR, "null-generate", can=frozenset({"text"})))
    context.engines.get(EngineNeed(UPSCALER, "null-x4", factor=4))
    assert context.recorder.engine is not None
    assert context.recorder.engine["name"] == "null-generate"
    other_engines = context.recorder.engine["other_engines"]
    assert isinstance(other_engines, list)
    assert [engine["name"] for engine in other_engines if isinstance(engine, dict)] == ["null-x2", "null-x4"]


def test_getting_the_engine_again_keeps_its_fills(context: WorkerStepContext) -> None:
    """The pictures of a set are filled one after the other."""
    for _ in range(2):
        engine = context.engines.get(EngineNeed(INPAINTER, "null-generate"), GenerationOptions("moss"))
        engine.fill(np.full((64, 64, 3), 0.5, np.float32), np.ones((64, 64), np.float32), 5)
    assert context.recorder.engine is not None
    assert context.recorder.engine["fills"] == [{"steps": 1, "batch": 1, "seeds": []}]


def test_a_prompt_that_no_engine_takes_leaves_the_default_engine(context: WorkerStepContext) -> None:
    """A brief's prompt applies to all its steps. If no model takes words, the hole is filled from its surroundings."""
    engine = context.engines.get(EngineNeed(INPAINTER), GenerationOptions("moss"))
    assert (engine.descriptor.name, engine.descriptor.takes_prompt) == ("patchmatch", False)


def test_an_unknown_model_is_refused_with_the_nearest_name(provider: EngineProvider) -> None:
    """The error is about the name, although no engine takes the required prompt."""
    with pytest.raises(InputError, match="The nearest is 'patchmatch'"):
        provider.get(EngineNeed(INPAINTER, "patchmach", needs_prompt=True), lambda note: None)
