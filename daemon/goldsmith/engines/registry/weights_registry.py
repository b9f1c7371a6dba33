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
from typing import Any

from goldsmith.engines import EngineNeed, ModelFiles
from goldsmith.engines.kinds import GENERATOR, UPSCALER
from goldsmith.engines.registry.choice_problems import no_default_problem, no_weights_sentence, preferred_name, unsuitable_problem
from goldsmith.engines.registry.hash_cache import HashCache, file_sha256, read_stamp, write_stamp
from goldsmith.engines.registry.model_tree import ModelTree, wrong_files
from goldsmith.engines.registry.models import Model, Models, read_models
from goldsmith.engines.registry.pins import ModelPin, pins_path_for, read_pins
from goldsmith.engines.registry.weights_sources import WEIGHTS_SUFFIX, WeightsFile
from goldsmith.errors import HostError, InputError, UsageError


def default_models_folder() -> Path:
    """Where weights lie unless the house says otherwise: the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "goldsmith" / "models"


def open_weights_registry(models_file: Path, folder: Path) -> WeightsRegistry:
    """The weights of the models in a models.toml, with the pins beside it. Raises UsageError with everything that is wrong in it."""
    pins = pins_path_for(models_file, folder)
    read_pins(pins)  # what is wrong with them is said at once
    return WeightsRegistry(read_models(models_file), folder, pins)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model a step gets, and why: both go into the record."""

    name: str
    model: Model
    why: str


@dataclass(frozen=True, slots=True)
class WeightsVerdict:
    """One weights file read again: ``sentence`` is empty where it is what models.toml or its pin says."""

    model: str
    file: str
    path: Path
    sentence: str


class WeightsMissing(InputError):
    """Weights that are not on this machine: what was asked can be done once they are."""


def fetch_command(name: str) -> str:
    """What a person types to get a model's weights."""
    return f"goldsmith models fetch {name}"


class WeightsRegistry:
    """The models a house may use, and the folder where their weights lie."""

    def __init__(self, models: Models, folder: Path, pins: Path | None = None) -> None:
        self.models = models
        self.folder = folder
        self.pins_path = pins
        self._pins: dict[str, ModelPin] = {}
        self._pins_stamp: tuple[int, int] | None = None

    def path_of(self, file: WeightsFile) -> Path:
        return self.folder / file.name

    def pin_of(self, name: str) -> ModelPin | None:
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
            except UsageError as fault:  # it was right when the daemon began; now the job waits, and nothing else stops
                raise InputError(fault.sentence, fault.remedy) from fault
        return self._pins.get(name)

    def change_token(self) -> int:
        """A number that changes when weights or pins come, go or change: a look at the models folder and at folders of this machine."""
        rows: list[tuple[str, int, int, int]] = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            rows += [_stat_row(Path(entry.path)) for entry in entries if not entry.name.startswith(".")]
        places = (place for model in self.models.models.values() for place in (model.folder, model.file) if place is not None)
        rows += [_stat_row(path) for place in places for path in (place, place / "model_index.json")]
        if self.pins_path is not None:
            rows.append(_stat_row(self.pins_path))
        return hash(tuple(sorted(rows)))

    def tree_of(self, name: str) -> ModelTree | None:
        """The tree, or the single file of this machine, that a model is; None for models whose files are all named by hash."""
        name = self.models.resolve_name(name)
        model = self.models.models[name]
        if model.repository is None and model.folder is None and model.file is None:
            return None
        top = model.folder or (self.folder / name if model.repository is not None or model.file is None else model.file.parent)
        return ModelTree(name, model, top, self.pin_of(name))

    # ------------------------------------------------------------------ what is there

    def is_available(self, name: str) -> bool:
        """True where all of the model's weights lie in their place at their size (``stat`` and small indices only)."""
        return not self.first_missing(name)

    def missing_files(self, name: str) -> tuple[WeightsFile, ...]:
        """The weights files named by hash that are not there. Raises InputError for a name that is not in models.toml."""
        return tuple(file for file in self.models.get(name).files if not self._is_present(file))

    def first_missing(self, name: str) -> str:
        """The first thing of a model's weights that is not there; "" where all is. Raises InputError for an unknown name."""
        missing = self.missing_files(name)
        if missing:
            return missing[0].name
        tree = self.tree_of(name)
        return "" if tree is None else tree.first_missing()

    def _is_present(self, file: WeightsFile) -> bool:
        try:
            return self.path_of(file).stat().st_size == file.size
        except OSError:
            return False

    # ------------------------------------------------------------------ which one

    def choose(self, need: EngineNeed[Any]) -> ModelChoice:
        """The model a step gets: the one it names, else the first default that can do it and whose weights are present.

        A named upscaler is taken at whatever scale it has; ``need.factor`` only chooses among defaults.
        Raises InputError: unknown name, wrong kind, not able, no default; Absent where only weights are missing.
        """
        if need.model is not None:
            return self._choose_named(need, need.model)
        able = [name for name in self.models.defaults.candidates(need) if self.models.models[name].can_serve(need)]
        absent: list[str] = []
        for candidate in able:
            if self.is_available(candidate):
                return ModelChoice(candidate, self.models.models[candidate], _default_reason(absent))
            absent.append(candidate)
        if not able:
            raise no_default_problem(self.models, need)
        others = [each for each in self.models.models if each not in able and self._is_alternative(need, each)]
        remedy = f"Run: {fetch_command(preferred_name(self.models, able))}"
        raise WeightsMissing(no_weights_sentence(need, others), remedy)

    def _is_alternative(self, need: EngineNeed[Any], name: str) -> bool:
        """True for a model that is no default, lies here, and could be asked for by name."""
        model = self.models.models[name]
        return model.driver != "null" and model.can_serve(need) and need.kind is not UPSCALER and self.is_available(name)

    def _choose_named(self, need: EngineNeed[Any], given_name: str) -> ModelChoice:
        name = self.models.resolve_name(given_name)
        model = self.models.models[name]
        called = repr(given_name) if given_name == name else f"{given_name!r} ({name})"
        if not model.can_serve(need):
            raise unsuitable_problem(self.models, need, model, called)
        if self.first_missing(name):
            raise WeightsMissing(*self._missing_message(name, called, given_name))
        return ModelChoice(
            name, model, "asked for by name" if given_name == name else f"asked for as {given_name}, which is {name} in models.toml"
        )

    def _missing_message(self, name: str, label: str, given_name: str) -> tuple[str, str]:
        """The sentence and the remedy for a model whose weights are not here."""
        model, lacks, tree = self.models.models[name], self.first_missing(name), self.tree_of(name)
        if tree is not None and tree.is_pin_stale():
            sentence = f"The model {label} is pinned to {tree.pinned_origin}, but models.toml names other weights now."
            return sentence, f"Run: goldsmith models pin {name}"
        if (model.folder is not None or model.file is not None) and tree is not None and tree.pin is not None:
            return f"The weights of the model {label} are not as they are pinned: {lacks}.", _repin_remedy(name)
        if model.folder is not None or model.file is not None:
            return f"The weights of the model {label} are not where models.toml says: {lacks}.", "Put them there, or correct models.toml."
        place = lacks.removeprefix(f"{self.folder}/")
        return f"The weights of the model {label} are not on this machine ({place}).", f"Run: {fetch_command(given_name)}"

    # ------------------------------------------------------------------ opening, verifying

    def locations(self, name: str) -> tuple[Path, ...]:
        """Where the model's files, or the top of its tree, lie or would lie."""
        tree = self.tree_of(name)
        return tuple(self.path_of(file) for file in self.models.get(name).files) + ((tree.root,) if tree is not None else ())

    def verified_files(self, name: str) -> ModelFiles:
        """The model's weights, each file known to be what models.toml or its pin says. Raises InputError where one is not."""
        name = self.models.resolve_name(name)
        model = self.models.models[name]
        paths = {}
        for file in model.files:
            sentence = self.find_fault(file, ignore_cache=False)
            if sentence:
                raise InputError(sentence, f"Run: {fetch_command(name)}")
            paths[file.name] = self.path_of(file)
        single = next((path for path in paths.values() if model.kind == GENERATOR.name), None)
        named = tuple((file.name, file.sha256) for file in model.files)
        tree = self.tree_of(name)
        if tree is None:
            return ModelFiles(paths, self.folder, single_file=single, weights=named)
        self.require_valid(tree)
        found = {each: tree.path_of(each) for each in tree.file_names()}
        known = tuple((each, sha256) for each, (_, sha256) in tree.expected_files().items() if each.endswith(WEIGHTS_SUFFIX))
        return ModelFiles({**found, **paths}, tree.root, single_file=model.file or single, revision=tree.revision, weights=(*named, *known))

    def require_valid(self, tree: ModelTree, *, ignore_cache: bool = False) -> None:
        """Raise InputError unless the tree is whole and, where it is pinned, what its pin says; ``again`` as for ``fault``."""
        if tree.first_missing():
            raise WeightsMissing(*self._missing_message(tree.name, repr(tree.name), tree.name))
        sentence = next(iter(wrong_files(tree, self.hash_cache(tree.name), ignore_cache=ignore_cache).values()), "")
        if sentence:
            remedy = (
                f"Run: {fetch_command(tree.name)}"
                if tree.model.repository is not None
                else f"If it is meant to be so: goldsmith models pin {tree.name}"
            )
            raise InputError(sentence, remedy)

    def hash_cache(self, name: str) -> HashCache:
        """Which of a tree's files were read and found right."""
        return HashCache(self.folder, name)

    def verify(self, name: str | None = None) -> Iterator[WeightsVerdict]:
        """Read the weights of one model, or of all that have any file here, and compare their hashes.

        Of a tree whose hashes nobody knows only the presence can be told.
        """
        names = (
            [each for each in self.models.models if any(map(Path.exists, self.locations(each)))]
            if name is None
            else [self.models.resolve_name(name)]
        )
        for each in names:
            for file in self.models.models[each].files:
                yield WeightsVerdict(each, file.name, self.path_of(file), self.find_fault(file, ignore_cache=True))
            tree = self.tree_of(each)
            if tree is not None:
                yield from self._verify_tree(tree)

    def _verify_tree(self, tree: ModelTree) -> Iterator[WeightsVerdict]:
        expected = {} if tree.is_pin_stale() else tree.expected_files()
        if not expected:
            sentence = self._missing_message(tree.name, repr(tree.name), tree.name)[0] if tree.first_missing() else ""
            yield WeightsVerdict(tree.name, str(tree.root), tree.root, sentence)
            return
        wrong = wrong_files(tree, self.hash_cache(tree.name), ignore_cache=True)
        for name in expected:
            yield WeightsVerdict(tree.name, name, tree.path_of(name), wrong.get(name, ""))

    def find_fault(self, file: WeightsFile, *, ignore_cache: bool) -> str:
        """Why the file is not what models.toml says; empty where it is. ``again`` reads it even where its hash is noted already."""
        path = self.path_of(file)
        try:
            status = path.stat()
            stamp: list[str | int] = [file.sha256, status.st_size, status.st_mtime_ns]
            if status.st_size != file.size:
                return f"{path}: has {status.st_size} bytes, models.toml says {file.size}."
            if not ignore_cache and read_stamp(path) == stamp:
                return ""
            found = file_sha256(path)
        except FileNotFoundError:
            return f"{path}: is not there."
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        if found != file.sha256:
            return f"{path}: its sha256 is {found}, models.toml says {file.sha256}."
        write_stamp(path, stamp)
        return ""


def _repin_remedy(name: str) -> str:
    return f"If it is meant to be so: goldsmith models pin {name}"


def _stat_row(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns


def _default_reason(passed_over: list[str]) -> str:
    if not passed_over:
        return "the house's first choice"
    first, others = passed_over[0], len(passed_over) - 1
    passed = f"{first} and {others} others come first but their" if others else f"{first} comes first but its"
    return f"the house's choice number {others + 2}: {passed} weights are not on this machine ({fetch_command(first)})"
