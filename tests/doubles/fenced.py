"""Runs a function behind the fence of a worker process: in a thread of its own, because a fence cannot be taken down again."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import TypeVar

from doubles.press import press_file
from goldsmith.engines.registry.models import read_models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
from goldsmith.files import resource_path
from goldsmith.jobs.protocol import WorkerFolders
from goldsmith.pipeline.workers.worker_specs import find_model_paths
from goldsmith.worker.fence import fence_thread
from goldsmith.worker.landlock import landlock_version

CHECKOUT = Path(__file__).parents[2]

_Result = TypeVar("_Result")


def run_fenced(function: Callable[[], _Result], scratch: Path, folders: WorkerFolders | None = None) -> _Result:
    """Return what the function returns, or raise what it raises.

    It may write in ``scratch`` only, and read what a worker process with these folders may, by default the shipped models and the
    material of the tests.
    """
    version = landlock_version()
    if not version:
        return function()
    readable = folders or _shipped_models(scratch)
    results: list[_Result] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            fence_thread(version, str(scratch), readable)
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - a test may fail, or be skipped
            errors.append(error)

    earlier_folder, tempfile.tempdir = tempfile.tempdir, str(scratch)
    thread = Thread(target=work, name="fenced")
    # What an earlier test has left could not be removed from behind the fence.
    gc.disable()
    try:
        thread.start()
        thread.join()
    finally:
        gc.enable()
        tempfile.tempdir = earlier_folder
    if errors:
        raise errors[0]
    return results[0]


def _shipped_models(scratch: Path) -> WorkerFolders:
    models_file = resource_path("config", "models.toml")
    weights = WeightsRegistry(read_models(models_file), default_models_folder())
    # The press profile is made once in a process, perhaps by an earlier test; the contract tests read the manual and the samples.
    inputs = (str(press_file().parent), *(str(CHECKOUT / name) for name in ("docs", "hotfolders", "config")))
    return WorkerFolders(work=str(scratch), inputs=inputs, models=find_model_paths(scratch, weights, models_file))
