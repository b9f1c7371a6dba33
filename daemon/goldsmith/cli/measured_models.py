"""Measures a generating model with one picture, and writes the numbers into its entry in ``models.toml``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from goldsmith.cli.entry_edit import change_diffusion_numbers
from goldsmith.cli.measuring import Measurement, measure
from goldsmith.engines.devices import find_devices, torch_backend
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.engine_loader import open_model
from goldsmith.engines.protocols import Device, OnProgress
from goldsmith.engines.registry.models import DiffusionSettings
from goldsmith.engines.registry.weights_registry import ModelChoice, WeightsRegistry
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem, resource_path, write_atomically


def measure_model(weights: WeightsRegistry, models_file: Path, name: str, on_progress: OnProgress) -> list[str]:
    """Make one picture with the model, write the numbers into its entry, and return what to tell.

    Raises UsageError for a model of another kind or an entry that cannot be changed, InputError if the weights are missing or do not fit.
    """
    model = weights.models.get(name)
    diffusion = model.diffusion
    if diffusion is None:
        raise UsageError(f"{name}: only generating models are measured, and this is one for {model.kind}.")
    device = _first_device()
    engine = open_model(weights, ModelChoice(name, model, "it is measured"), device)
    if not isinstance(engine, DiffusionEngine):
        raise UsageError(f"{name}: its driver {model.driver} uses no memory worth measuring.")
    try:
        measured = measure(engine, diffusion, device, on_progress)
    finally:
        engine.close()
    numbers = {
        "memory_mb": measured.memory_mb,
        **({"picture_mb": measured.picture_mb} if measured.picture_mb else {}),
        "seconds": measured.seconds,
    }
    return [*_findings(name, measured, diffusion), *_write(models_file, name, diffusion, numbers)]


def _first_device() -> Device:
    devices = find_devices().devices if torch_backend() in ("cuda", "hip") else ()
    return Device(devices[0].name, 1) if devices else Device("cpu", len(os.sched_getaffinity(0)))


def _findings(name: str, measured: Measurement, diffusion: DiffusionSettings) -> list[str]:
    """Return what was measured, and on what, as sentences."""
    size, facts = f"{measured.width} x {measured.height} px", measured.facts
    sentences = [
        f"{name}: a picture of {size} with {facts['steps']} steps took {measured.picture_time:.1f} s on {facts['device_title']} "
        f"in {facts['precision']}.",
        f"{name}: its weights take {measured.memory_mb} MB in {diffusion.precision}.",
    ]
    if measured.picture_mb:
        sentences.append(f"{name}: the picture took {measured.picture_mb} MB beside them, with a margin of a tenth.")
    else:
        sentences.append(
            f"{name}: the memory of the picture could not be measured, because the memory is short (offload: {facts['offload']}, "
            f"fallback: {facts['memory_fallback']}): picture_mb stays {diffusion.picture_mb}."
        )
    return sentences


def _write(models_file: Path, name: str, diffusion: DiffusionSettings, numbers: Mapping[str, int]) -> list[str]:
    """Write the numbers into the file, and return what was written. The supplied file of the program is not changed."""
    lines = ", ".join(f"{setting} = {value}" for setting, value in numbers.items())
    if models_file.resolve() == resource_path("config", "models.toml").resolve():
        return [f"This models.toml comes with the program and is not changed. In a file of your own, write: {lines}"]
    try:
        text = models_file.read_bytes().decode()
        write_atomically(Filesystem(), models_file, change_diffusion_numbers(text, name, numbers).encode(), replace=True)
    except OSError as error:
        raise HostError(f"{models_file}: cannot be changed: {error.strerror}.", f"Write by hand: {lines}") from error
    except UsageError as error:
        raise UsageError(f"{error.sentence} Write by hand: {lines}") from error
    old = {setting: getattr(diffusion, setting) for setting in numbers}
    changes = ", ".join(f"{setting} = {value} (was {old[setting]:g})" for setting, value in numbers.items())
    return [f"Written to {models_file}: {changes}."]
