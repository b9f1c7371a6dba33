"""What a computer of a cluster is and what it sees of a root: ``python -P -m goldsmith.cluster.node_report``.

The program reads a request from its standard input and writes the report to its standard output, both as JSON. It decodes no picture and
imports no model. A mount whose server is gone blocks every program that looks at it, so that ``run_node_report`` sets a time limit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

import goldsmith
from goldsmith.engines.devices import find_devices
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.model_tree import noted_hashes
from goldsmith.engines.registry.weights_registry import WeightsRegistry, open_weights_registry
from goldsmith.errors import GoldsmithError, HostError
from goldsmith.files import OPEN_FOLDER_FLAGS
from goldsmith.journal.location import weights_notes_path

# Seconds until a report counts as failed. Weights that nobody has read before are read once, at the speed of their disk.
REPORT_SECONDS = 600.0
# Packages that decode, compute or write pixels: with other versions, a job may have another result.
PIXEL_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "onnxruntime",
    "Pillow",
    "numpy",
    "scipy",
    "opencv-python-headless",
    "opencolorio",
    "imagecodecs",
    "tifffile",
    "pikepdf",
    "psd-tools",
    "PyPatchMatch",
    "uharfbuzz",
    "c2pa-python",
)
# A canary has less; more is not read.
_MAX_CANARY_BYTES = 4096
_CANARY_MODE = 0o600


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReportRequest(_Record):
    """What a node is asked. Every path is one on the node."""

    root: str
    """Absolute path of the root."""
    canary: str = ""
    """Path below ``root`` of a file that the daemon has written, in a folder where the node writes one too; "" = no canary."""
    inputs: tuple[str, ...] = ()
    """Paths below ``root`` of the folders that hold inputs of jobs."""
    models_file: str = ""
    """Absolute path of models.toml; "" = no models."""
    weights_folder: str = ""
    """Absolute path of the folder of the weights."""
    models: tuple[str, ...] = ()
    """Names of models whose weights are hashed."""
    hash_notes: str = ""
    """Absolute path of the notes of hashes, "" = those of the user's own state folder."""


class PathFault(_Record):
    """A path that could not be used, and why."""

    path: str
    reason: str
    errno: int = 0


class ModelReport(_Record):
    """The weights of one model on a node."""

    missing: str = ""
    """Why the model cannot be used there, as a sentence; "" if its weights are complete."""
    entry: str = ""
    """A hash of its entry in models.toml, without the places of its files and what people read about it."""
    hashes: dict[str, str] = {}
    """The sha256 of each of its files as it is on the disk, by the file's name."""


class GpuReport(_Record):
    """A GPU of a node. ``total_mb`` is its memory in MiB; 0 = unknown."""

    name: str
    title: str
    total_mb: int = 0


class NodeReport(_Record):
    """What a computer is and sees."""

    host: str
    user_id: int
    package_version: str
    package_hash: str
    """A hash of the names and the contents of the package's files."""
    python: str
    packages: dict[str, str]
    """The version of each of ``PIXEL_PACKAGES``; "" = not installed."""
    started_at: float
    """The node's clock when the report began, in Unix seconds."""
    ended_at: float
    """The node's clock when the report was complete."""
    root: str
    root_fault: PathFault | None = None
    canary_text: str = ""
    canary_fault: PathFault | None = None
    answer_name: str = ""
    """The name of the file that the node has written beside the canary."""
    answer_text: str = ""
    """Its content."""
    answer_fault: PathFault | None = None
    unreadable_inputs: tuple[PathFault, ...] = ()
    models_fault: str = ""
    """Why models.toml cannot be used, as a sentence."""
    models: dict[str, ModelReport] = {}
    gpus: tuple[GpuReport, ...] = ()


def read_node_report(request: ReportRequest, clock: Callable[[], float] = time.time, cache: Path | None = None) -> NodeReport:
    """Return what this computer is and sees, and write a file beside the canary.

    ``cache``: the file in which hashes of weights are noted, so that each file is read once; None = a file in the user's cache.
    """
    started_at = clock()
    models_fault, models = _report_models(request, cache or _default_cache())
    # The root itself may be a link, as on the daemon's computer.
    root_fault = _fault_of(request.root, lambda: os.close(os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)))
    canary = {} if root_fault is not None or not request.canary else _exchange_canary(request)
    folders = [] if root_fault is not None else [os.path.join(request.root, name) for name in request.inputs]
    unreadable = [_fault_of(folder, partial(_read_folder, folder)) for folder in folders]
    return NodeReport(
        host=socket.gethostname(),
        user_id=os.geteuid(),
        package_version=goldsmith.__version__,
        package_hash=package_hash(),
        python=platform.python_version(),
        packages={name: _package_version(name) for name in PIXEL_PACKAGES},
        started_at=started_at,
        root=request.root,
        root_fault=root_fault,
        unreadable_inputs=tuple(fault for fault in unreadable if fault is not None),
        models_fault=models_fault,
        models=models,
        gpus=_find_gpus(),
        ended_at=clock(),
        **canary,
    )


def run_node_report(request: ReportRequest, seconds: float = REPORT_SECONDS) -> NodeReport:
    """Return the report of this computer, made by a process of its own. Raises HostError if it fails or takes longer than ``seconds``.

    A process that hangs in a dead mount cannot be killed. It is left behind: to wait for it would hang, too.
    """
    host = socket.gethostname()
    command = [sys.executable, "-P", "-m", "goldsmith.cluster.node_report"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/", env=_report_environment(os.environ)
    )
    try:
        output, errors = process.communicate(request.model_dump_json().encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise HostError(
            f"The node {host} did not report within {seconds:g} s what it sees of {request.root}.",
            "Check there that the share answers (ls), and that its disk can be read.",
        ) from None
    try:
        return NodeReport.model_validate_json(output)
    except ValidationError:
        reason = errors.decode("utf-8", "replace").strip().rpartition("\n")[2] or f"exit code {process.returncode}"
        raise HostError(
            f"The node {host} could not report what it sees of {request.root}: {reason}.", "Install the same Goldsmith there as here."
        ) from None


def _report_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for the program. It finds the package where this process has found it, and gets no token of Ray."""
    environment = {name: value for name, value in inherited.items() if not name.startswith("RAY_") and name != "PYTHONPATH"}
    folder = str(Path(goldsmith.__file__).resolve().parents[1])
    is_installed = folder in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return environment if is_installed else environment | {"PYTHONPATH": folder}


def package_hash() -> str:
    """Return a hash of the names and the contents of the package's files, as 64 hex digits.

    Bytecode is left out, and what only an installed package contains (``shipped``): a checkout has the same hash as its installation.
    """
    folder = Path(goldsmith.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(_package_files(folder)):
        content = hashlib.sha256((folder / path).read_bytes()).hexdigest()
        digest.update(f"{path}\0{content}\n".encode())
    return digest.hexdigest()


def _package_files(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        is_top = parent == str(folder)
        folders[:] = [name for name in folders if name != "__pycache__" and not (is_top and name == "shipped")]
        yield from (os.path.relpath(os.path.join(parent, name), folder) for name in files if not name.endswith(".pyc"))


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _find_gpus() -> tuple[GpuReport, ...]:
    # Ray hides the GPUs from a process that has not asked for one.
    devices = find_devices(environ={}).devices
    return tuple(GpuReport(name=each.name, title=each.title, total_mb=each.total_mb) for each in devices)


# ---------------------------------------------------------------------- the root


def _exchange_canary(request: ReportRequest) -> dict[str, object]:
    """Read the daemon's file and write one beside it. Return the fields of the report about both."""
    path = os.path.join(request.root, request.canary)
    fields: dict[str, object] = {}
    fault = _fault_of(path, lambda: fields.update(canary_text=_read_canary(path)))
    if fault is not None:
        return {"canary_fault": fault}
    name, text = f"answer-{secrets.token_hex(8)}", secrets.token_hex(16)
    answer = os.path.join(os.path.dirname(path), name)
    fault = _fault_of(answer, lambda: _write_canary(answer, text))
    return {**fields, "answer_fault": fault} if fault is not None else {**fields, "answer_name": name, "answer_text": text}


def _read_canary(path: str) -> str:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return file.read(_MAX_CANARY_BYTES).decode("ascii", "replace")


def _write_canary(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, _CANARY_MODE), "wb") as file:
        file.write(text.encode("ascii"))
        file.flush()
        # The server has it then, and another computer can read it.
        os.fsync(file.fileno())


def _read_folder(folder: str) -> None:
    """Read the first entry of a folder and enter it. Raises OSError."""
    fd = os.open(folder, OPEN_FOLDER_FLAGS)
    try:
        with os.scandir(fd) as entries:
            first = next(entries, None)
        if first is not None:
            os.stat(first.name, dir_fd=fd, follow_symlinks=False)
    finally:
        os.close(fd)


def _fault_of(path: str, use: Callable[[], object]) -> PathFault | None:
    """Use a path, and return the fault if the system refuses it."""
    try:
        use()
    except OSError as error:
        return PathFault(path=path, reason=error.strerror or str(error), errno=error.errno or 0)
    return None


# ---------------------------------------------------------------------- models


def _report_models(request: ReportRequest, cache: Path | None) -> tuple[str, dict[str, ModelReport]]:
    """Return why models.toml cannot be used, or "", and the report of each model."""
    if not request.models_file:
        return "", {}
    own_notes = Path(request.hash_notes) if request.hash_notes else weights_notes_path()
    notes = HashNotes(cache, known=HashNotes(own_notes).stored())
    try:
        registry = open_weights_registry(Path(request.models_file), Path(request.weights_folder), notes)
    except GoldsmithError as error:
        return error.sentence, {}
    return "", {name: _report_model(registry, name) for name in request.models}


def _report_model(registry: WeightsRegistry, name: str) -> ModelReport:
    try:
        missing = registry.first_missing(name)
        if missing:
            return ModelReport(missing=f"{missing} is not there")
        entry = registry.models.get(name).model_dump_json(exclude={"folder", "file", "about", "terms", "licence"})
        return ModelReport(entry=hashlib.sha256(entry.encode()).hexdigest(), hashes=_hash_model(registry, name))
    except GoldsmithError as error:
        return ModelReport(missing=error.sentence.rstrip("."))


def _hash_model(registry: WeightsRegistry, name: str) -> dict[str, str]:
    """Return the sha256 of each file of a model as it is on the disk. Raises HostError if one cannot be read."""
    paths = {file.name: registry.path_of(file) for file in registry.models.get(name).files}
    tree = registry.tree_of(name)
    if tree is not None:
        names = {*tree.expected_files(), *noted_hashes(tree, registry.notes)}
        paths |= {each: tree.path_of(each) for each in sorted(names)}
    hashes = {}
    for each, path in paths.items():
        try:
            hashes[each] = registry.notes.read(path).sha256
        except OSError as error:
            raise HostError(f"{path} cannot be read: {error.strerror}.", "Check the models folder.") from error
        # After each file: a report that runs out of time must not read it again.
        registry.notes.save()
    return hashes


def _default_cache() -> Path | None:
    """Return the file in the user's cache in which hashes of weights are noted; None for a user without a home folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    with contextlib.suppress(RuntimeError):
        return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "goldsmith" / "node-weights.json"
    return None


def main() -> None:
    """Answer the request on the standard input."""
    report = read_node_report(ReportRequest.model_validate_json(sys.stdin.buffer.read()))
    sys.stdout.write(report.model_dump_json())


if __name__ == "__main__":
    main()
