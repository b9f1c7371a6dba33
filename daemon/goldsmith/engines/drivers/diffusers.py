"""Diffusers models (Apache-2.0): one driver for every family in ``goldsmith.engines.diffusion.families``."""

from __future__ import annotations

from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, plan_layout
from goldsmith.engines.memory import free_mb
from goldsmith.engines.protocols import Device, Generator, ModelFiles
from goldsmith.engines.registry.models import Model


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Generator:
    """Return the engine, with a memory layout for the memory that is free on the device now.

    Raises InputError if the model is incomplete, does not match its entry, or does not fit; DeviceError if the device fails.
    """
    diffusion = model.diffusion
    assert diffusion is not None  # noqa: S101 - read_models refuses a generating model without it

    def plan(largest: float) -> MemoryLayout:
        return plan_layout(name, diffusion, largest, device, free_mb(device), free_mb(Device("cpu")))

    return DiffusionEngine(name, model, model_files, device, plan)
