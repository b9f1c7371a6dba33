"""Control models, ControlNets of diffusers (Apache-2.0): the model that they guide loads them beside its own weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from goldsmith.engines.kinds import CONTROL_NET
from goldsmith.engines.protocols import ControlName, ControlNet, Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.models import Model


@dataclass(frozen=True, slots=True)
class _ControlNetWeights:
    """A ``ControlNet``: verified weights on this disk; nothing is loaded yet."""

    descriptor: EngineDescriptor
    model_files: ModelFiles
    modes: Mapping[ControlName, int]


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> ControlNet:
    """Return the weights of the control model, for a ``GenerationRequest``."""
    control = model.control
    assert control is not None  # noqa: S101 - read_models refuses a control model without it
    descriptor = EngineDescriptor(
        name=name,
        kind=CONTROL_NET.name,
        licence=model.licence,
        weights=model_files.weights,
        device=device.name,
        revision=model_files.revision,
        family=control.family,
        controls=control.controls,
    )
    return _ControlNetWeights(descriptor, model_files, dict(control.modes))
