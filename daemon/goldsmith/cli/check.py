"""The command ``goldsmith check``: lists every error in a brief, a recipe or a configuration file, without running anything."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, candidate_paths, find_by_name, find_root
from goldsmith.cli.output import print_table, print_text, sanitise
from goldsmith.errors import InputError, UsageError
from goldsmith.files import fold_name, open_input

if TYPE_CHECKING:
    from goldsmith.service.setup import Setup


def check(
    file: Annotated[Path, typer.Argument(help="A brief, prompt, recipe or picture, or a configuration file.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """List every error in a brief, a recipe or a configuration file, or in the files beside a picture.

    Runs nothing. For a valid brief, shows the steps that it would run, stage by stage.
    Exit code 3 for errors in a brief, 2 for errors in a configuration file.

    Example: goldsmith check inbox/spring/hero.toml
    """
    path = _find_file(file, root, config)
    data = _read_bytes(path)
    kind = _file_kind(path, data)
    if kind in _CONFIG_CHECKS:
        _CONFIG_CHECKS[kind](path, data)
        return
    from goldsmith.cli.dry_run import DryRun

    setup = _load_setup(root, config, path)
    library = setup.library if os.path.isdir(setup.root / "library") else None
    DryRun(setup, library).show(path, data, _path_in_root(setup, path), kind)


def _find_file(file: Path, root: Path | None, config: Path | None) -> Path:
    """Return the path of the file: from the working directory, from the root, or by its bare name in a folder of the pipeline."""
    path = Path(os.path.abspath(file))
    if os.path.lexists(path):
        return path  # the file may be outside every root
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config, near=file), config)
    try:
        path = setup.root / candidate_paths(setup.root, file)[0]
    except UsageError:  # a missing file may be named outside the root as well
        path = Path(os.path.abspath(file))
    if os.path.lexists(path):
        return path
    match = find_by_name(setup, file)
    if match is None:
        raise UsageError(f"{file} does not exist.", "Name a brief, a recipe, a picture or a configuration file.")
    return setup.root / match


def _read_bytes(path: Path) -> bytes:
    """Return the content of the file, cut off one byte after the largest size of a brief."""
    from goldsmith.brief.parsing import MAX_FILE_BYTES

    try:
        with os.fdopen(open_input(path), "rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Run this as a user who may read it.") from None


def _file_kind(path: Path, data: bytes) -> str:
    """Return settings, pipeline, models, recipe, prompt, brief or picture: by name and folder, else by the content."""
    from goldsmith.pipeline.intake.file_names import HIDDEN_BRIEF_SUFFIX, classify

    name = fold_name(path.name)
    if name in _CONFIG_KINDS:
        return _CONFIG_KINDS[name]
    if name.endswith((".toml", HIDDEN_BRIEF_SUFFIX)):
        if fold_name(path.parent.name) == "recipes":
            return "recipe"
        return _kind_by_content(data)
    role = classify(path.name).role
    if role == "prompt":
        return "prompt"
    if role in ("other", "foreign", "litter", "note", "look", "xmp") and not _is_look_sidecar(path):
        raise UsageError(f"{sanitise(path.name)} is not a brief, a recipe, a picture or a configuration file.", "Name such a file.")
    return "picture"


def _is_look_sidecar(path: Path) -> bool:
    from goldsmith.picture.formats.table import picture_suffixes
    from goldsmith.pipeline.intake.file_names import classify

    return classify(path.name).role == "look" and any(os.path.exists(path.parent / f"{path.stem}{suffix}") for suffix in picture_suffixes())


def _kind_by_content(data: bytes) -> str:
    from goldsmith.brief.parsing import BriefError, read_toml
    from goldsmith.brief.settings import Settings

    try:
        keys = set(read_toml(data, "the file"))
    except BriefError:
        return "brief"
    if "stage" in keys:
        return "pipeline"
    if keys & {"models", "defaults"}:
        return "models"
    return "settings" if keys and keys <= set(Settings.model_fields) else "brief"


def _check_settings(path: Path, data: bytes) -> None:
    from goldsmith.brief.pipeline import read_pipeline
    from goldsmith.brief.settings import ConfigDir, Settings, read_config, read_settings
    from goldsmith.service.setup import require_queues

    settings = read_settings(data, str(path), os.environ)
    if settings.queues:
        pipeline_file = ConfigDir(path.parent).path_of("pipeline.toml")
        require_queues(settings, path, read_pipeline(read_config(pipeline_file), str(pipeline_file)))
    _print_valid(path, "a settings file")
    defaults = Settings.model_construct()
    changed = [name for name in Settings.model_fields if getattr(settings, name) != getattr(defaults, name)]
    rows = [(name, _setting_text(getattr(settings, name))) for name in changed]
    print_table(("setting", "value"), rows) if rows else print_text("Every setting has its default.")


def _setting_text(value: object) -> str:
    """Return a setting as text: of a table what is written in it, with asterisks for a secret."""
    if isinstance(value, tuple):
        return "; ".join(map(_setting_text, value))
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_setting_text(each)}" for name, each in value.items())
    written = getattr(value, "model_fields_set", None)
    if written is None:
        return str(value)
    return ", ".join(f"{name} = {_setting_text(getattr(value, name))}" for name in sorted(written))


def _check_pipeline(path: Path, data: bytes) -> None:
    from goldsmith.brief.pipeline import read_pipeline

    pipeline = read_pipeline(data, str(path))
    _print_valid(path, "a pipeline file")
    rows = [
        (
            stage.name,
            f"{stage.folder}/",
            f"{stage.next_folder}/",
            stage.queue,
            _allowed_text(stage.allowed_ops),
            " ".join(step.op for step in stage.default_steps),
        )
        for stage in pipeline.stages
    ]
    print_table(("stage", "folder", "next", "queue", "allowed steps", "default steps"), rows)


def _allowed_text(allowed: frozenset[str] | None) -> str:
    return "all" if allowed is None else ", ".join(sorted(allowed))


def _check_models(path: Path, data: bytes) -> None:
    from goldsmith.cli.model_entries import model_faults, model_remarks
    from goldsmith.engines.registry.models import read_models

    models = read_models(path)
    faults = [fault for name, model in models.models.items() for fault in model_faults(name, model)]
    if faults:
        raise UsageError("\n".join(f"{path}: {fault}" for fault in faults))
    _print_valid(path, "a models file")
    print_text(f"It names {len(models.models)} models: {', '.join(models.models)}.")
    for remark in (remark for name, model in models.models.items() for remark in model_remarks(name, model)):
        print_text(remark)


_CONFIG_KINDS = {"goldsmith.toml": "settings", "pipeline.toml": "pipeline", "models.toml": "models"}
_CONFIG_CHECKS = {"settings": _check_settings, "pipeline": _check_pipeline, "models": _check_models}


def _print_valid(path: Path, kind: str) -> None:
    print_text(f"{path.name}: no errors. It was read as {kind}.")


def _load_setup(root: Path | None, config: Path | None, path: Path) -> Setup:
    """Return the setup that the file is checked against: of the root, or, without a root, of the supplied configuration."""
    from goldsmith.service.setup import load_setup

    try:
        folder = find_root(root, config, near=path)
    except UsageError:
        folder = path.parent
    return load_setup(folder, config)


def _path_in_root(setup: Setup, path: Path) -> str | None:
    """Return the path relative to the root; None if the file is not in a folder of the pipeline."""
    try:
        inside = candidate_paths(setup.root, path)[0]
    except UsageError:
        return None
    if setup.pipeline.stage_of_folder(inside.partition("/")[0]) is None or "/" not in inside:
        return None
    if not os.path.lexists(setup.root / inside):
        raise InputError(f"{sanitise(inside)} does not exist any more.")
    return inside
