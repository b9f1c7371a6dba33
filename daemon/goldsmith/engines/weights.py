"""Where weights lie, whether they are there, which model a step gets, and whether a file is what it says it is.

A weights file lies in the models folder under its own name. Its hash is read once and noted beside it (dot-name, with size and
modification time), so that every later opening costs a ``stat``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.engines import EngineKind, EngineNeed, Store
from goldsmith.engines.models import Model, Models, WeightsFile
from goldsmith.errors import MachineFault, Problem


def default_folder() -> Path:
    """Where weights lie unless the house says otherwise: the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "goldsmith" / "models"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model a step gets, and why: both go into the record."""

    name: str
    model: Model
    why: str


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One line of ``goldsmith models list``."""

    name: str
    kind: str
    scale: int
    licence: str
    size: int
    present: bool
    paths: tuple[Path, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One weights file read again: ``sentence`` is empty where it is what models.toml says."""

    model: str
    file: str
    path: Path
    sentence: str


def fetch_command(name: str) -> str:
    """What a person types to get a model's weights."""
    return f"goldsmith models fetch {name}"


class Weights:
    """The models a house may use, and the folder where their weights lie."""

    def __init__(self, models: Models, folder: Path) -> None:
        self.models = models
        self.folder = folder

    def path(self, file: WeightsFile) -> Path:
        return self.folder / file.name

    def available(self, name: str) -> bool:
        """True where every weights file of the model lies in its place at its size (a ``stat`` each, nothing is read)."""
        return not self.missing(name)

    def missing(self, name: str) -> tuple[WeightsFile, ...]:
        """The weights files of the model that are not there. Raises Problem for a name that is not in models.toml."""
        return tuple(file for file in self.models.named(name).files if not self._lies(file))

    def _lies(self, file: WeightsFile) -> bool:
        try:
            return self.path(file).stat().st_size == file.size
        except OSError:
            return False

    def choose(self, need: EngineNeed) -> Choice:
        """The model a step gets: the one it names, else the first default of its kind and factor whose weights are present.

        A named upscaler is taken at whatever scale it has; ``need.factor`` only chooses among defaults.
        Raises Problem: unknown name, wrong kind, weights missing, no default for that factor.
        """
        kind, factor = need.kind, need.factor
        if need.model is not None:
            return self._named(kind, need.model)
        wanted = self.models.defaults.wanted(kind, factor)
        absent: list[str] = []
        for candidate in wanted:
            if self.available(candidate):
                return Choice(candidate, self.models.models[candidate], _why(absent))
            absent.append(candidate)
        what = f"enlarging x{factor}" if kind == "upscale" else "inpainting"
        if not wanted:
            factors = ", ".join(sorted(self.models.defaults.upscale)) or "none"
            raise Problem(f"models.toml has no default model for {what}.", f"Name a model; the factors with a default are: {factors}.")
        raise Problem(f"No model for {what} has its weights on this machine.", f"Run: {fetch_command(wanted[0])}")

    def _named(self, kind: EngineKind, name: str) -> Choice:
        model = self.models.named(name)
        if model.kind != kind:
            raise Problem(f"The model {name!r} is for {model.kind}, not for {kind}.", f"For {kind} there are: {', '.join(self._of(kind))}.")
        missing = self.missing(name)
        if missing:
            raise Problem(f"The weights of the model {name!r} are not on this machine ({missing[0].name}).", f"Run: {fetch_command(name)}")
        return Choice(name, model, "asked for by name")

    def _of(self, kind: EngineKind) -> list[str]:
        return sorted(name for name, model in self.models.models.items() if model.kind == kind)

    def rows(self) -> list[ModelRow]:
        """What ``goldsmith models list`` shows, in the order of models.toml."""
        return [
            ModelRow(
                name=name,
                kind=model.kind,
                scale=model.scale,
                licence=model.licence,
                size=sum(file.size for file in model.files),
                present=self.available(name),
                paths=tuple(self.path(file) for file in model.files),
                about=model.about,
            )
            for name, model in self.models.models.items()
        ]

    def opened(self, name: str) -> Store:
        """The model's weights, each file known to be what models.toml says. Raises Problem where one is not."""
        paths = {}
        model = self.models.named(name)
        for file in model.files:
            sentence = self.fault(file, again=False)
            if sentence:
                raise Problem(sentence, f"Run: {fetch_command(name)}")
            paths[file.name] = self.path(file)
        single = next((path for path in paths.values() if model.kind == "generate" and path.suffix == ".safetensors"), None)
        return Store(paths, self.folder, single=single, weights=tuple((file.name, file.sha256) for file in model.files))

    def verify(self, name: str | None = None) -> Iterator[Verdict]:
        """Read the weights of one model, or of all that have any file here, and compare their hashes."""
        names = [name] if name is not None else [row.name for row in self.rows() if any(path.exists() for path in row.paths)]
        for each in names:
            for file in self.models.named(each).files:
                yield Verdict(each, file.name, self.path(file), self.fault(file, again=True))

    def fault(self, file: WeightsFile, *, again: bool) -> str:
        """Why the file is not what models.toml says; empty where it is. ``again`` reads it even where its hash is noted already."""
        path = self.path(file)
        try:
            status = path.stat()
            stamp: list[str | int] = [file.sha256, status.st_size, status.st_mtime_ns]
            if status.st_size != file.size:
                return f"{path}: has {status.st_size} bytes, models.toml says {file.size}."
            if not again and _noted(path) == stamp:
                return ""
            found = file_sha256(path)
        except FileNotFoundError:
            return f"{path}: is not there."
        except OSError as error:
            raise MachineFault(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        if found != file.sha256:
            return f"{path}: its sha256 is {found}, models.toml says {file.sha256}."
        _note(path, stamp)
        return ""


def _why(absent: list[str]) -> str:
    if not absent:
        return "the house's first choice"
    missing = "; ".join(f"{name} comes first but its weights are not on this machine ({fetch_command(name)})" for name in absent)
    return f"the house's choice number {len(absent) + 1}: {missing}"


def file_sha256(path: Path) -> str:
    """The sha256 of a file, as 64 hex digits."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _note_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.checked")


def _noted(path: Path) -> list[str | int] | None:
    try:
        noted: list[str | int] = json.loads(_note_path(path).read_bytes())
    except (OSError, ValueError):
        return None
    return noted


def _note(path: Path, stamp: list[str | int]) -> None:
    """Remember that the file was read and found right. A models folder nobody may write to is read again by each process."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.checking")
    with contextlib.suppress(OSError):
        temporary.write_text(json.dumps(stamp), encoding="ascii")
        temporary.replace(_note_path(path))
