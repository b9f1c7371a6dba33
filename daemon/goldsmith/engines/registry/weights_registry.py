"""The models folder: which weights are present and valid, and which model a step gets.

A weights file is in the models folder under its own name, a tree in a subfolder with the model's name. A file that was read is noted with
its stamp and its hash, whether right or wrong, so that every later check costs only a ``stat``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldsmith.engines.kinds import GENERATOR, UPSCALER
from goldsmith.engines.open_weights import FileStamp, make_stamp
from goldsmith.engines.protocols import EngineNeed, ModelFiles
from goldsmith.engines.registry.choice_problems import (
    forbidden_problem,
    no_default_problem,
    no_weights_sentence,
    preferred_name,
    unsuitable_problem,
)
from goldsmith.engines.registry.family_additions import additions_family
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.model_tree import ModelTree, noted_hashes, wrong_files
from goldsmith.engines.registry.models import Model, Models, read_models
from goldsmith.engines.registry.pins import ModelPin, content_digest, pins_path_for, read_pins
from goldsmith.engines.registry.weights_sources import WEIGHTS_SUFFIX, WeightsFile
from goldsmith.errors import HostError, InputError, UsageError


def default_models_folder() -> Path:
    """Return the models folder for settings without ``models_dir``: a folder in the user's data folder."""
    home = os.environ.get("XDG_DATA_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "share") / "goldsmith" / "models"


def open_weights_registry(models_file: Path, folder: Path, notes: HashNotes | None = None) -> WeightsRegistry:
    """Return the registry for a models.toml and the pins beside it. Raises UsageError with all their faults.

    notes: the notes of hashes; None for notes that end with this process.
    """
    pins = pins_path_for(models_file, folder)
    read_pins(pins)  # raises at once if they have faults
    return WeightsRegistry(read_models(models_file), folder, pins, notes)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model that a step gets, and the reason for the record."""

    name: str
    model: Model
    why: str


@dataclass(frozen=True, slots=True)
class WeightsVerdict:
    """The verification of one weights file; ``sentence`` is "" if it matches models.toml or its pin."""

    model: str
    file: str
    path: Path
    sentence: str


class WeightsMissing(InputError):
    """The weights of a model are not on this machine. The job waits until they are."""


def fetch_command(name: str) -> str:
    """Return the command that fetches a model's weights."""
    return f"goldsmith models fetch {name}"


class WeightsRegistry:
    """The models of a models.toml, and the folder with their weights."""

    def __init__(self, models: Models, folder: Path, pins: Path | None = None, notes: HashNotes | None = None) -> None:
        self.models = models
        self.folder = folder
        self.notes = notes or HashNotes()
        self.pins_path = pins
        self._pins: dict[str, ModelPin] = {}
        self._pins_stamp: tuple[int, int] | None = None

    def path_of(self, file: WeightsFile) -> Path:
        """Return the path of a weights file in the models folder."""
        return self.folder / file.name

    def pin_of(self, name: str) -> ModelPin | None:
        """Return the pin of a model's tree, or None. The file is read again if it has changed."""
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
            except UsageError as fault:  # edited since the start: only this job waits, the daemon goes on
                raise InputError(fault.sentence, fault.remedy) from fault
        return self._pins.get(name)

    def change_token(self) -> int:
        """Return a number that changes when weights or pins appear, disappear or change, from a ``stat`` of each."""
        rows: list[tuple[str, int, int, int]] = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            rows += [_stat_row(Path(entry.path)) for entry in entries if not entry.name.startswith(".")]
        places = (place for model in self.models.models.values() for place in (model.folder, model.file) if place is not None)
        rows += [_stat_row(path) for place in places for path in (place, place / "model_index.json", place / "config.json")]
        if self.pins_path is not None:
            rows.append(_stat_row(self.pins_path))
        return hash(tuple(sorted(rows)))

    def folders(self) -> tuple[str, ...]:
        """Return the absolute paths of the folders in which models lie: the registry's own, and the one above each model with a place."""
        places = (place for model in self.models.models.values() for place in (model.folder, model.file) if place is not None)
        return (str(self.folder), *dict.fromkeys(str(place.parent) for place in places))

    def tree_of(self, name: str) -> ModelTree | None:
        """Return the tree or the local single file of a model; None if models.toml lists all its files with their hashes."""
        name = self.models.resolve_name(name)
        model = self.models.models[name]
        if model.repository is None and model.folder is None and model.file is None:
            return None
        root = model.folder or (self.folder / name if model.repository is not None or model.file is None else model.file.parent)
        return ModelTree(name, model, root, self.pin_of(name))

    def is_available(self, name: str) -> bool:
        """Return whether all weights of the model exist with their size; reads only ``stat`` and small indices."""
        return not self.first_missing(name)

    def missing_files(self, name: str) -> tuple[WeightsFile, ...]:
        """Return the listed weights files that are missing. Raises InputError for an unknown name."""
        return tuple(file for file in self.models.get(name).files if not self._is_present(file))

    def first_missing(self, name: str) -> str:
        """Return the first missing file of a model's weights; "" if all are present. Raises InputError for an unknown name."""
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

    def choose(self, need: EngineNeed[Any]) -> ModelChoice:
        """Return the model for a step: the one that it names, else the first suitable default whose weights are present. Models that the
        rule ``only_commercial`` forbids are refused by name, and are no defaults.

        A named upscaler is used at its own scale; ``need.factor`` only chooses among defaults. Raises InputError for an unknown name, a
        wrong kind, a missing ability, or if there is no default; WeightsMissing if only weights are missing.
        """
        need = self._with_family(need)
        if need.model is not None:
            return self._choose_named(need, need.model)
        suitable = [
            name
            for name in self.models.defaults.candidates(need)
            if self.models.models[name].can_serve(need) and self.models.is_allowed(name)
        ]
        unavailable: list[str] = []
        for candidate in suitable:
            if self.is_available(candidate):
                return ModelChoice(candidate, self.models.models[candidate], _default_reason(unavailable))
            unavailable.append(candidate)
        if not suitable:
            raise no_default_problem(self.models, need, self.is_available)
        others = [name for name in self.models.models if name not in suitable and self._is_alternative(need, name)]
        remedy = f"Run: {fetch_command(preferred_name(self.models, suitable))}"
        raise WeightsMissing(no_weights_sentence(need, others), remedy)

    def _with_family(self, need: EngineNeed[Any]) -> EngineNeed[Any]:
        """Return the need of a control model or a reference adapter with the family of the model that it guides.

        If that model cannot be chosen, the need for it says so.
        """
        if need.guides is None or need.family:
            return need
        try:
            diffusion = self.choose(need.guides).model.diffusion
        except InputError:
            return need
        return need if diffusion is None else replace(need, family=additions_family(diffusion.family))

    def _is_alternative(self, need: EngineNeed[Any], name: str) -> bool:
        """Return whether a model could be named for the need, and its weights are present."""
        model = self.models.models[name]
        is_suitable = model.driver != "null" and model.can_serve(need) and self.models.is_allowed(name)
        return is_suitable and need.kind is not UPSCALER and self.is_available(name)

    def _choose_named(self, need: EngineNeed[Any], given_name: str) -> ModelChoice:
        name = self.models.resolve_name(given_name)
        model = self.models.models[name]
        label = repr(given_name) if given_name == name else f"{given_name!r} ({name})"
        if not model.can_serve(need):
            raise unsuitable_problem(self.models, need, model, label, self.is_available)
        if not self.models.is_allowed(name):
            raise forbidden_problem(self.models, need, model, label, self.is_available)
        if self.first_missing(name):
            raise WeightsMissing(*self._missing_message(name, label, given_name))
        return ModelChoice(
            name, model, "named by the step" if given_name == name else f"named {given_name} by the step, which is {name} in models.toml"
        )

    def _missing_message(self, name: str, label: str, given_name: str) -> tuple[str, str]:
        """Return the sentence and the remedy for a model whose weights are missing."""
        model, missing, tree = self.models.models[name], self.first_missing(name), self.tree_of(name)
        if tree is not None and tree.is_pin_stale():
            sentence = f"The model {label} is pinned to {tree.pinned_origin}, but models.toml names other weights now."
            return sentence, f"Run: goldsmith models pin {name}"
        if (model.folder is not None or model.file is not None) and tree is not None:
            absent = next((path for path in (tree.root, model.file) if path is not None and not path.exists()), None)
            if absent is not None and model.repository is None:
                sentence = f"The weights of the model {label} are not there: {absent} does not exist, or may not be entered."
                return sentence, "Put them there, or correct models.toml."
            if tree.pin is not None:
                return f"The weights of the model {label} differ from their pin: {missing}.", _repin_remedy(name)
            if not os.path.isabs(missing) or ": " in missing:
                return f"The model {label} cannot be used: {missing}.", "Replace it, or correct models.toml."
            return f"The weights of the model {label} are not where models.toml says: {missing}.", "Put them there, or correct models.toml."
        place = missing.removeprefix(f"{self.folder}/")
        return f"The weights of the model {label} are not on this machine ({place}).", f"Run: {fetch_command(given_name)}"

    def locations(self, name: str) -> tuple[Path, ...]:
        """Return the paths of the model's files and of its tree, whether they exist or not."""
        tree = self.tree_of(name)
        return tuple(self.path_of(file) for file in self.models.get(name).files) + ((tree.root,) if tree is not None else ())

    def expected_hashes(self, name: str) -> dict[Path, str]:
        """Return the sha256 of every file of a model whose hash is known, from models.toml, its pin or its fetch, by path."""
        hashes = {self.path_of(file): file.sha256 for file in self.models.get(name).files}
        tree = self.tree_of(name)
        return hashes if tree is None else {**hashes, **{tree.path_of(each): sha256 for each, (_, sha256) in tree.expected_files().items()}}

    def remedy(self, name: str) -> str:
        """Return what to do about a file of a model that differs from its hash."""
        model = self.models.get(name)
        is_local = model.repository is None and (model.folder is not None or model.file is not None)
        return _repin_remedy(name) if is_local else f"Run: {fetch_command(name)}"

    def verified_files(self, name: str) -> ModelFiles:
        """Return the model's weights after verifying every file. Raises InputError if one differs from models.toml or its pin."""
        name = self.models.resolve_name(name)
        model = self.models.models[name]
        paths = {}
        for file in model.files:
            sentence = self.find_fault(file, read_again=False)
            if sentence:
                raise InputError(sentence, f"Run: {fetch_command(name)}")
            paths[file.name] = self.path_of(file)
        single = next((path for path in paths.values() if model.kind == GENERATOR.name), None)
        file_hashes = tuple((file.name, file.sha256) for file in model.files)
        tree = self.tree_of(name)
        if tree is None:
            return ModelFiles(
                paths, self.folder, single_file=single, weights=file_hashes, stamps=self._stamps(paths.values(), set(paths.values()))
            )
        self.require_valid(tree)
        tree_files = {each: tree.path_of(each) for each in tree.file_names()}
        noted = noted_hashes(tree, self.notes)
        known = {**{each: sha256 for each, (_, sha256) in tree.expected_files().items()}, **noted}
        tree_hashes = tuple((each, sha256) for each, sha256 in known.items() if each.lower().endswith(WEIGHTS_SUFFIX))
        files = {**tree_files, **paths}
        compared = {*paths.values(), *map(tree.path_of, known)}
        is_known_by_content_only = tree.pin is None and tree.fetch_record() is None
        return ModelFiles(
            files,
            tree.root,
            single_file=model.file or single,
            revision=f"{tree.revision}, content {content_digest(noted)[:16]}" if is_known_by_content_only else tree.revision,
            weights=(*file_hashes, *tree_hashes),
            stamps=self._stamps(files.values(), compared),
            # A single file may lie in any folder, and other files that appear there do not matter.
            is_tree=model.file is None or tree.root != model.file.parent,
        )

    def _stamps(self, paths: Iterable[Path], compared: Set[Path]) -> dict[Path, FileStamp]:
        """Return the stamp with which each compared file was hashed, and the present stamp of every other. Raises HostError."""
        stamps = {}
        for path in paths:
            note = self.notes.last(path) if path in compared else None
            try:
                stamps[path] = note.stamp if note is not None else make_stamp(path.stat())
            except OSError as error:
                raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        return stamps

    def require_valid(self, tree: ModelTree, *, read_again: bool = False) -> None:
        """Raise InputError unless the tree is complete and, if it is pinned, matches its pin; ``read_again`` as for ``find_fault``."""
        if tree.first_missing():
            raise WeightsMissing(*self._missing_message(tree.name, repr(tree.name), tree.name))
        sentence = next(iter(wrong_files(tree, self.notes, read_again=read_again).values()), "")
        if sentence:
            raise InputError(sentence, self.remedy(tree.name))

    def verify(self, name: str | None = None) -> Iterator[WeightsVerdict]:
        """Hash the weights of one model, or of all models with any file here, and yield the verdict on each file.

        Without known hashes, a tree is only checked for completeness.
        """
        names = (
            [each for each in self.models.models if any(map(Path.exists, self.locations(each)))]
            if name is None
            else [self.models.resolve_name(name)]
        )
        for each in names:
            for file in self.models.models[each].files:
                yield WeightsVerdict(each, file.name, self.path_of(file), self._find_fault_on_disk(file))
            tree = self.tree_of(each)
            if tree is not None:
                yield from self._verify_tree(tree)

    def _verify_tree(self, tree: ModelTree) -> Iterator[WeightsVerdict]:
        expected = {} if tree.is_pin_stale() else tree.expected_files()
        if not expected and not tree.first_missing():
            try:
                noted_hashes(tree, self.notes)  # worker processes get the notes, and need not read the files again
            except HostError as error:
                yield WeightsVerdict(tree.name, str(tree.root.name), tree.root, error.sentence)
                return
        if not expected:
            sentence = self._missing_message(tree.name, repr(tree.name), tree.name)[0] if tree.first_missing() else ""
            yield WeightsVerdict(tree.name, str(tree.root), tree.root, sentence)
            return
        try:
            wrong = wrong_files(tree, self.notes, read_again=True)
        except HostError as error:  # one unreadable file must not keep the others from being read
            yield WeightsVerdict(tree.name, str(tree.root.name), tree.root, error.sentence)
            return
        for name in expected:
            yield WeightsVerdict(tree.name, name, tree.path_of(name), wrong.get(name, ""))

    def _find_fault_on_disk(self, file: WeightsFile) -> str:
        try:
            return self.find_fault(file, read_again=True)
        except HostError as error:  # one unreadable file must not keep the others from being read
            return error.sentence

    def find_fault(self, file: WeightsFile, *, read_again: bool) -> str:
        """Return why the file differs from models.toml; "" if it matches. ``read_again``: read it even if its hash is noted."""
        path = self.path_of(file)
        try:
            size = path.stat().st_size
            if size != file.size:
                return f"{path}: it has {size} bytes, but models.toml has {file.size}."
            actual_sha256 = self.notes.read(path, read_again=read_again).sha256
        except FileNotFoundError:
            return f"{path}: this file is missing."
        except OSError as error:
            raise HostError(f"{path}: cannot be read: {error.strerror}.", "Check the models folder.") from error
        self.notes.save()
        return "" if actual_sha256 == file.sha256 else f"{path}: its sha256 is {actual_sha256}, but models.toml has {file.sha256}."


def _repin_remedy(name: str) -> str:
    return f"If the change is intended, run: goldsmith models pin {name}"


def _stat_row(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns


def _default_reason(passed_over: list[str]) -> str:
    if not passed_over:
        return "the first default"
    first, others = passed_over[0], len(passed_over) - 1
    models = f"{first} and {others} others" if others else first
    return f"default number {others + 2}: the weights of {models} are not on this machine ({fetch_command(first)})"
