"""Models of diffusers (Apache-2.0): one driver for every family that ``goldsmith.engines.diffusion.families`` knows."""

from __future__ import annotations

from goldsmith.engines import Device, Generator, ModelFiles
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, plan_layout
from goldsmith.engines.memory import free_mb
from goldsmith.engines.registry.models import Model


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> Generator:
    """The engine, laid out by what is free on the device at this moment.

    Raises InputError where the model is not whole, is not what its entry says, or does not fit; DeviceFault where the device fails.
    """
    diffusion = model.diffusion
    assert diffusion is not None  # noqa: S101 - models.toml is refused without it

    def plan(largest: float) -> MemoryLayout:
        return plan_layout(name, diffusion, largest, device, free_mb(device), free_mb(Device("cpu")))

    return DiffusionEngine(name, model, model_files, device, plan)
