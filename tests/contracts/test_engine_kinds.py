"""A new kind of engine needs a protocol and a row in the table of kinds, and no other change."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pytest

from doubles.jobs import Share
from goldsmith.engines import drivers
from goldsmith.engines.engine_loader import open_engine
from goldsmith.engines.kinds import ENGINE_KINDS, INPAINTER
from goldsmith.engines.protocols import Device, EngineDescriptor, EngineKind, EngineNeed
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.errors import InputError, UsageError
from goldsmith.files import Filesystem
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.library.availability import model_names_by_kind
from goldsmith.library.library import Library
from goldsmith.operation import PictureOperation, StepContext, StepNeeds
from goldsmith.picture.picture import Picture, Pixels, freeze
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.file_identities import FileIdentities
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.step_context import JobParts, WorkerStepContext


@runtime_checkable
class DepthEstimator(Protocol):
    """Estimates how far away each pixel is."""

    @property
    def descriptor(self) -> EngineDescriptor: ...

    def estimate_depth(self, pixels: Pixels) -> Pixels:
        """Return the depth, (h, w, 1), 0..1, of ``pixels`` (h, w, 3)."""


DEPTH_ESTIMATOR: EngineKind[DepthEstimator] = EngineKind("depth", DepthEstimator, "estimating depth")  # type: ignore[type-abstract]

DRIVER = """
from goldsmith.engines.protocols import EngineDescriptor

class Ramp:
    def __init__(self, descriptor):
        self.descriptor = descriptor

    def estimate_depth(self, pixels):
        return pixels[:, :, :1] / 2

def open_engine(name, model, model_files, device):
    return Ramp(EngineDescriptor(name=name, kind=model.kind, licence=model.licence))
"""
MODELS = """
[defaults]
depth = ["ramp"]
[models.ramp]
kind = "depth"
driver = "ramp_for_test"
licence = "MIT"
[models.plain]
kind = "inpaint"
driver = "ramp_for_test"
licence = "MIT"
"""


class DepthMap(PictureOperation):
    """Replaces the picture with its depth."""

    def needs(self) -> StepNeeds:
        return StepNeeds(engines=(EngineNeed(DEPTH_ESTIMATOR),))

    def apply(self, picture: Picture, context: StepContext) -> Picture:
        return picture.with_pixels(context.engines.get(EngineNeed(DEPTH_ESTIMATOR)).estimate_depth(picture.pixels))


@pytest.fixture
def models_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models.toml with a model of the new kind, its row in the table and its driver."""
    monkeypatch.setitem(ENGINE_KINDS, DEPTH_ESTIMATOR.name, DEPTH_ESTIMATOR)
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "ramp_for_test.py").write_text(DRIVER)
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(tmp_path / "drivers")])
    path = tmp_path / "models.toml"
    path.write_text(MODELS)
    return path


def test_an_operation_uses_an_engine_of_a_new_kind(tmp_path: Path, models_file: Path) -> None:
    """The worker chooses the default model, opens and records it, and the step gets an engine with the protocol's methods."""
    share = Share(tmp_path)
    share.put("inbox/hero.png", b"")
    notes: list[str] = []
    parts = JobParts(
        share.job(),
        EngineProvider(WorkerConfig(models_file=str(models_file), weights_folder=str(tmp_path)), WorkerSpec(queue="cpu")),
        ScratchFolder(tmp_path / "scratch", Filesystem()),
        Library(tmp_path / "library"),
        {},
        FileIdentities(share.job(), {}),
    )
    context = WorkerStepContext(parts, lambda fraction, note: notes.append(note), seed=0)
    picture = Picture(freeze(np.full((4, 6, 3), 0.5, np.float32)))
    assert np.array_equal(DepthMap().apply(picture, context).pixels, np.full((4, 6, 1), 0.25, np.float32))
    record = context.recorder.engine
    assert record is not None
    assert (record["name"], record["kind"], record["licence"]) == ("ramp", "depth", "MIT")
    assert notes == ["loading ramp"]


def test_models_of_a_new_kind_are_listed_and_a_missing_default_is_reported(tmp_path: Path, models_file: Path) -> None:
    """The list holds the model; without a default, the error gives the purpose of the kind."""
    weights = WeightsRegistry(read_models(models_file), tmp_path)
    assert model_names_by_kind(weights)["depth"] == ["ramp"]
    models_file.write_text(MODELS.replace('depth = ["ramp"]', ""))
    with pytest.raises(InputError, match="no default model for estimating depth"):
        WeightsRegistry(read_models(models_file), tmp_path).choose(EngineNeed(DEPTH_ESTIMATOR))


def test_a_kind_that_is_not_in_the_table_is_refused(models_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of such a kind and a list of defaults for it are errors in models.toml."""
    monkeypatch.delitem(ENGINE_KINDS, "depth")
    with pytest.raises(UsageError, match=r"models\.ramp\.kind: 'depth' is not a kind of engine; the kinds are: inpaint, matte"):
        read_models(models_file)
    models_file.write_text(MODELS.replace('kind = "depth"', 'kind = "inpaint"'))
    with pytest.raises(UsageError, match=r"defaults\.depth: there is no such setting"):
        read_models(models_file)


def test_a_driver_that_opens_another_kind_is_refused(tmp_path: Path, models_file: Path) -> None:
    """The engine must implement the protocol of its kind."""
    weights = WeightsRegistry(read_models(models_file), tmp_path)
    with pytest.raises(InputError, match=r"models\.plain: the driver 'ramp_for_test' opens no Inpainter, which kind = 'inpaint' needs"):
        open_engine(weights, EngineNeed(INPAINTER, "plain"), Device())
