"""``goldsmith check``: everything that is wrong with a brief, a recipe or a file of the configuration; nothing is run."""

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
    from goldsmith.service import Setup


def check(
    file: Annotated[Path, typer.Argument(help="A brief, prompt, recipe or picture, or a line, house or models file.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Say everything that is wrong with a brief, recipe, line, house or models file, or with all that lies beside a picture.

    Runs nothing. A brief that is right is shown as it would be run, stage by stage.
    Exit code 3 where a brief is at fault, 2 where a file of the configuration is.

    Example: goldsmith check inbox/spring/hero.toml
    """
    path = _find_file(file, root, config)
    data = _read_bytes(path)
    kind = _file_kind(path, data)
    if kind in ("house", "line", "models"):
        _CONFIG_CHECKS[kind](path, data)
        return
    from goldsmith.cli.dry_run import DryRun

    setup = _load_setup(root, config, path)
    library = setup.library if os.path.isdir(setup.root / "library") else None
    DryRun(setup, library).show(path, data, _path_in_root(setup, path), kind)


def _find_file(file: Path, root: Path | None, config: Path | None) -> Path:
    """Where the file lies that is meant: from here, from the root, or by its bare name in any folder of the line."""
    path = Path(os.path.abspath(file))
    if os.path.lexists(path):
        return path  # a file outside every root can be checked as well
    from goldsmith.service import load_setup

    setup = load_setup(find_root(root, config, near=file), config)
    path = setup.root / candidate_paths(setup.root, file)[0]
    if os.path.lexists(path):
        return path
    named = find_by_name(setup, file)
    if named is None:
        raise UsageError(f"{file} is not there.", "Name a brief, a recipe, a picture or a file of the configuration.")
    return setup.root / named


def _read_bytes(path: Path) -> bytes:
    """No more of the file than a brief may have."""
    from goldsmith.brief.parsing import MAX_FILE_BYTES

    try:
        with os.fdopen(open_input(path), "rb") as opened:
            return opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Ask as somebody who may read it.") from None


def _file_kind(path: Path, data: bytes) -> str:
    """house, line, models, recipe, prompt, brief or picture: by name and place, and where these say nothing, by what is in it."""
    from goldsmith.pipeline.intake.file_names import HIDDEN_BRIEF_SUFFIX, classify

    name = fold_name(path.name)
    if name in ("goldsmith.toml", "pipeline.toml", "models.toml"):
        return name.removesuffix(".toml")
    if name.endswith((".toml", HIDDEN_BRIEF_SUFFIX)):
        if fold_name(path.parent.name) == "recipes":
            return "recipe"
        return _kind_by_content(data)
    role = classify(path.name).role
    if role == "prompt":
        return "prompt"
    if role in ("other", "foreign", "litter", "note", "look") and not _is_look_sidecar(path):
        raise UsageError(
            f"{sanitise(path.name)} is no brief, no recipe, no picture and no file of the configuration.", "Nothing in it can be checked."
        )
    return "picture"


def _is_look_sidecar(path: Path) -> bool:
    from goldsmith.pipeline.intake.file_names import classify

    return classify(path.name).role == "look" and any(
        os.path.exists(path.parent / f"{path.stem}{each}") for each in (".png", ".jpg", ".tif")
    )


def _kind_by_content(data: bytes) -> str:
    from goldsmith.brief.parsing import BriefError, read_toml
    from goldsmith.brief.settings import Settings

    try:
        keys = set(read_toml(data, "it"))
    except BriefError:
        return "brief"
    if "stage" in keys:
        return "line"
    if keys & {"models", "defaults"}:
        return "models"
    return "house" if keys and keys <= set(Settings.model_fields) else "brief"


def _check_settings(path: Path, data: bytes) -> None:
    from goldsmith.brief.settings import Settings, read_settings

    house = read_settings(data, str(path), os.environ)
    _print_valid(path, "a house file")
    usual = Settings.model_construct()
    changed = [(name, str(getattr(house, name))) for name in Settings.model_fields if getattr(house, name) != getattr(usual, name)]
    print_table(("setting", "differs from the usual"), changed) if changed else print_text("Every setting is as usual.")


def _check_pipeline(path: Path, data: bytes) -> None:
    from goldsmith.brief.pipeline import read_pipeline

    line = read_pipeline(data, str(path))
    _print_valid(path, "a line file")
    rows = [
        (
            stage.name,
            f"{stage.folder}/",
            f"{stage.next_folder}/",
            stage.queue,
            _allowed_text(stage.allowed_ops),
            " ".join(step.op for step in stage.default_steps),
        )
        for stage in line.stages
    ]
    print_table(("stage", "folder", "next", "lane", "steps allowed", "default steps"), rows)


def _allowed_text(allowed: frozenset[str] | None) -> str:
    return "all" if allowed is None else ", ".join(sorted(allowed))


def _check_models(path: Path, data: bytes) -> None:
    from goldsmith.engines.registry.models import read_models

    found = read_models(path)
    _print_valid(path, "a models file")
    print_text(f"It names {len(found.models)} models: {', '.join(found.models)}.")


_CONFIG_CHECKS = {"house": _check_settings, "line": _check_pipeline, "models": _check_models}


def _print_valid(path: Path, kind: str) -> None:
    print_text(f"{path.name}: nothing is wrong. It was read as {kind}.")


def _load_setup(root: Path | None, config: Path | None, path: Path) -> Setup:
    """What the file is checked against: the root it lies in or that was named; else what travels with the program."""
    from goldsmith.service import load_setup

    try:
        place = find_root(root, config, near=path)
    except UsageError:
        place = path.parent
    return load_setup(place, config)


def _path_in_root(setup: Setup, path: Path) -> str | None:
    """The file relative to the root, where it lies in a folder of the line."""
    try:
        inside = candidate_paths(setup.root, path)[0]
    except UsageError:
        return None
    if setup.pipeline.stage_of_folder(inside.partition("/")[0]) is None or "/" not in inside:
        return None
    if not os.path.lexists(setup.root / inside):
        raise InputError(f"{sanitise(inside)} is gone.")
    return inside
