"""Open onnx files so that the same input gives the same output: one session with a fixed, recorded number of threads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError

if TYPE_CHECKING:
    import onnxruntime


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a CPU session with this many threads. Raises InputError if onnxruntime refuses the file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # A thread that waits for another one sleeps: spinning took up to a third more processor time from the jobs beside this one.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # onnxruntime raises its errors; printing would repeat them
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # a border - onnxruntime's error classes share no narrower base
        raise InputError(f"{path}: onnxruntime cannot open this model: {error}", "Run: goldsmith models verify") from error


def only_file(name: str, files: Mapping[str, Path]) -> Path:
    """Return the model's only file. Raises InputError if models.toml lists more or none."""
    if len(files) != 1:
        raise InputError(f"models.{name}.files: this driver needs exactly one .onnx file, {len(files)} are listed.")
    return next(iter(files.values()))


def weights_hashes(model: Model) -> tuple[tuple[str, str], ...]:
    """Return (file name, sha256) of each file, for a descriptor."""
    return tuple((file.name, file.sha256) for file in model.files)


def describe_threads(threads: int) -> str:
    """Return the number of threads in words, for a descriptor."""
    return "1 thread" if threads == 1 else f"{threads} threads"
