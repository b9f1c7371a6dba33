"""Reference adapters, IP-Adapters (Ye et al., "IP-Adapter", 2023): the model that they guide loads them beside its own weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from goldsmith.engines.kinds import REFERENCE_ADAPTER
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles, ReferenceAdapter
from goldsmith.engines.registry.models import Model


@dataclass(frozen=True, slots=True)
class _IpAdapterWeights:
    """A ``ReferenceAdapter``: verified weights on this disk; nothing is loaded yet."""

    descriptor: EngineDescriptor
    model_files: ModelFiles
    weights_path: Path
    encoder_folder: Path


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> ReferenceAdapter:
    """Return the weights of the reference adapter, for a ``GenerationRequest``."""
    reference = model.reference
    assert reference is not None  # noqa: S101 - read_models refuses a reference adapter without it
    descriptor = EngineDescriptor(
        name=name,
        kind=REFERENCE_ADAPTER.name,
        licence=model.licence,
        weights=model_files.weights,
        device=device.name,
        revision=model_files.revision,
        family=reference.family,
    )
    return _IpAdapterWeights(descriptor, model_files, model_files.folder / reference.weights, model_files.folder / reference.encoder)
