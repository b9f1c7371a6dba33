"""Where weights lie, whether they are there, which model a step gets, and whether a file is what it says it is.

A weights file lies in the models folder under its own name, a tree in a folder there under its model's name. A hash is read once and
noted (dot-name, with size and modification time), so that every later opening costs a ``stat``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.engines import EngineNeed, Store
from goldsmith.engines.registry.choosing import handiest, no_default, nothing_here, unable
from goldsmith.engines.registry.hashes import Notes, file_sha256, note, noted
from goldsmith.engines.registry.models import Model, Models, read_models
from goldsmith.engines.registry.origins import WEIGHTS, WeightsFile
from goldsmith.engines.registry.pins import Pin, pins_file, read_pins
from goldsmith.engines.registry.trees import Tree, wrong_files
from goldsmith.errors import MachineFault, Problem, UsageFault


def default_folder() -> Path:
    """Where weights lie unless the house says otherwise: the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "goldsmith" / "models"


def weights_of(models_file: Path, folder: Path) -> Weights:
    """The weights of the models in a models.toml, with the pins beside it. Raises UsageFault with everything that is wrong in it."""
    pins = pins_file(models_file, folder)
    read_pins(pins)  # what is wrong with them is said at once
    return Weights(read_models(models_file), folder, pins)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which model a step gets, and why: both go into the record."""

    name: str
    model: Model
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One weights file read again: ``sentence`` is empty where it is what models.toml or its pin says."""

    model: str
    file: str
    path: Path
    sentence: str


class Absent(Problem):
    """Weights that are not on this machine: what was asked can be done once they are."""


def fetch_command(name: str) -> str:
    """What a person types to get a model's weights."""
    return f"goldsmith models fetch {name}"


class Weights:
    """The models a house may use, and the folder where their weights lie."""

    def __init__(self, models: Models, folder: Path, pins: Path | None = None) -> None:
        self.models = models
        self.folder = folder
        self.pins_path = pins
        self._pins: dict[str, Pin] = {}
        self._pins_stamp: tuple[int, int] | None = None

    def path(self, file: WeightsFile) -> Path:
        return self.folder / file.name

    def pin(self, name: str) -> Pin | None:
        """What is written down about a model's tree; read anew where the file has changed since."""
        if self.pins_path is None:
            return None
        try:
            status = self.pins_path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = None
        if stamp != self._pins_stamp:
            try:
                self._pins, self._pins_stamp = read_pins(self.pins_path), stamp
            except UsageFault as fault:  # it was right when the daemon began; now the job waits, and nothing else stops
                raise Problem(fault.sentence, fault.remedy) from fault
        return self._pins.get(name)

    def stamp(self) -> int:
        """A number that changes when weights or pins come, go or change: a look at the models folder and at folders of this machine."""
        rows: list[tuple[str, int, int, int]] = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            rows += [_seen(Path(entry.path)) for entry in entries if not entry.name.startswith(".")]
        places = (place for model in self.models.models.values() for place in (model.folder, model.file) if place is not None)
        rows += [_seen(path) for place in places for path in (place, place / "model_index.json")]
        if self.pins_path is not None:
            rows.append(_seen(self.pins_path))
        return hash(tuple(sorted(rows)))

    def tree(self, name: str) -> Tree | None:
        """The tree, or the single file of this machine, that a model is; None for models whose files are all named by hash."""
        name = self.models.meant(name)
        model = self.models.models[name]
        if model.repository is None and model.folder is None and model.file is None:
            return None
        top = model.folder or (self.folder / name if model.repository is not None or model.file is None else model.file.parent)
        return Tree(name, model, top, self.pin(name))

    # ------------------------------------------------------------------ what is there

    def available(self, name: str) -> bool:
        """True where all of the model's weights lie in their place at their size (``stat`` and small indices only)."""
        return not self.lacks(name)

    def missing(self, name: str) -> tuple[WeightsFile, ...]:
        """The weights files named by hash that are not there. Raises Problem for a name that is not in models.toml."""
        return tuple(file for file in self.models.named(name).files if not self._lies(file))

    def lacks(self, name: str) -> str:
        """The first thing of a model's weights that is not there; "" where all is. Raises Problem for an unknown name."""
        missing = self.missing(name)
        if missing:
            return missing[0].name
        tree = self.tree(name)
        return "" if tree is None else tree.lacks()

    def _lies(self, file: WeightsFile) -> bool:
        try:
            return self.path(file).stat().st_size == file.size
        except OSError:
            return False

    # ------------------------------------------------------------------ which one

    def choose(self, need: EngineNeed) -> Choice:
        """The model a step gets: the one it names, else the first default that can do it and whose weights are present.

        A named upscaler is taken at whatever scale it has; ``need.factor`` only chooses among defaults.
        Raises Problem: unknown name, wrong kind, not able, no default; Absent where only weights are missing.
        """
        if need.model is not None:
            return self._named(need, need.model)
        able = [name for name in self.models.defaults.wanted(need) if self.models.models[name].serves(need)]
        absent: list[str] = []
        for candidate in able:
            if self.available(candidate):
                return Choice(candidate, self.models.models[candidate], _why(absent))
            absent.append(candidate)
        if not able:
            raise no_default(self.models, need)
        others = [each for each in self.models.models if each not in able and self._would_do(need, each)]
        remedy = f"Run: {fetch_command(handiest(self.models, able))}"
        raise Absent(nothing_here(need, others), remedy)

    def _would_do(self, need: EngineNeed, name: str) -> bool:
        """True for a model that is no default, lies here, and could be asked for by name."""
        model = self.models.models[name]
        return model.driver != "null" and model.serves(need) and need.kind != "upscale" and self.available(name)

    def _named(self, need: EngineNeed, asked: str) -> Choice:
        name = self.models.meant(asked)
        model = self.models.models[name]
        called = repr(asked) if asked == name else f"{asked!r} ({name})"
        if not model.serves(need):
            raise unable(self.models, need, model, called)
        if self.lacks(name):
            raise Absent(*self._absence(name, called, asked))
        return Choice(name, model, "asked for by name" if asked == name else f"asked for as {asked}, which is {name} in models.toml")

    def _absence(self, name: str, called: str, asked: str) -> tuple[str, str]:
        """The sentence and the remedy for a model whose weights are not here."""
        model, lacks, tree = self.models.models[name], self.lacks(name), self.tree(name)
        if tree is not None and tree.stale():
            sentence = f"The model {called} is pinned to {tree.pinned_to}, but models.toml names other weights now."
            return sentence, f"Run: goldsmith models pin {name}"
        if (model.folder is not None or model.file is not None) and tree is not None and tree.pin is not None:
            return f"The weights of the model {called} are not as they are pinned: {lacks}.", _repin(name)
        if model.folder is not None or model.file is not None:
            return f"The weights of the model {called} are not where models.toml says: {lacks}.", "Put them there, or correct models.toml."
        place = lacks.removeprefix(f"{self.folder}/")
        return f"The weights of the model {called} are not on this machine ({place}).", f"Run: {fetch_command(asked)}"

    # ------------------------------------------------------------------ opening, verifying

    def places(self, name: str) -> tuple[Path, ...]:
        """Where the model's files, or the top of its tree, lie or would lie."""
        tree = self.tree(name)
        return tuple(self.path(file) for file in self.models.named(name).files) + ((tree.top,) if tree is not None else ())

    def opened(self, name: str) -> Store:
        """The model's weights, each file known to be what models.toml or its pin says. Raises Problem where one is not."""
        name = self.models.meant(name)
        model = self.models.models[name]
        paths = {}
        for file in model.files:
            sentence = self.fault(file, again=False)
            if sentence:
                raise Problem(sentence, f"Run: {fetch_command(name)}")
            paths[file.name] = self.path(file)
        single = next((path for path in paths.values() if model.kind == "generate"), None)
        named = tuple((file.name, file.sha256) for file in model.files)
        tree = self.tree(name)
        if tree is None:
            return Store(paths, self.folder, single=single, weights=named)
        self.refuse_wrong(tree)
        found = {each: tree.path(each) for each in tree.names()}
        known = tuple((each, sha256) for each, (_, sha256) in tree.expected().items() if each.endswith(WEIGHTS))
        return Store({**found, **paths}, tree.top, single=model.file or single, revision=tree.revision, weights=(*named, *known))

    def refuse_wrong(self, tree: Tree, *, again: bool = False) -> None:
        """Raise Problem unless the tree is whole and, where it is pinned, what its pin says; ``again`` as for ``fault``."""
        if tree.lacks():
            raise Absent(*self._absence(tree.name, repr(tree.name), tree.name))
        sentence = next(iter(wrong_files(tree, self.notes(tree.name), again=again).values()), "")
        if sentence:
            remedy = (
                f"Run: {fetch_command(tree.name)}"
                if tree.model.repository is not None
                else f"If it is meant to be so: goldsmith models pin {tree.name}"
            )
            raise Problem(sentence, remedy)

    def notes(self, name: str) -> Notes:
        """Which of a tree's files were read and found right."""
        return Notes(self.folder, name)

    def verify(self, name: str | None = None) -> Iterator[Verdict]:
        """Read the weights of one model, or of all that have any file here, and compare their hashes.

        Of a tree whose hashes nobody knows only the presence can be told.
        """
        names = (
            [each for each in self.models.models if any(map(Path.exists, self.places(each)))] if name is None else [self.models.meant(name)]
        )
        for each in names:
            for file in self.models.models[each].files:
                yield Verdict(each, file.name, self.path(file), self.fault(file, again=True))
            tree = self.tree(each)
            if tree is not None:
                yield from self._verified(tree)

    def _verified(self, tree: Tree) -> Iterator[Verdict]:
        expected = {} if tree.stale() else tree.expected()
        if not expected:
            sentence = self._absence(tree.name, repr(tree.name), tree.name)[0] if tree.lacks() else ""
            yield Verdict(tree.name, str(tree.top), tree.top, sentence)
            return
        wrong = wrong_files(tree, self.notes(tree.name), again=True)
        for name in expected:
            yield Verdict(tree.name, name, tree.path(name), wrong.get(name, ""))

    def fault(self, file: WeightsFile, *, again: bool) -> str:
        """Why the file is not what models.toml says; empty where it is. ``again`` reads it even where its hash is noted already."""
        path = self.path(file)
        try:
            status = path.stat()
            stamp: list[str | int] = [file.sha256, status.st_size, status.st_mtime_ns]
            if status.st_size != file.size:
                return f"{path}: has {status.st_size} bytes, models.toml says {file.size}."
            if not again and noted(path) == stamp:
                return ""
            found = file_sha256(path)
        except FileNotFoundError:
            return f"{path}: is not there."
        except OSError as error:
            raise MachineFault(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        if found != file.sha256:
            return f"{path}: its sha256 is {found}, models.toml says {file.sha256}."
        note(path, stamp)
        return ""


def _repin(name: str) -> str:
    return f"If it is meant to be so: goldsmith models pin {name}"


def _seen(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns


def _why(absent: list[str]) -> str:
    if not absent:
        return "the house's first choice"
    first, others = absent[0], len(absent) - 1
    passed = f"{first} and {others} others come first but their" if others else f"{first} comes first but its"
    return f"the house's choice number {others + 2}: {passed} weights are not on this machine ({fetch_command(first)})"
