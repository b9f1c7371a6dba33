"""``goldsmith check``: everything that is wrong with a brief, a recipe or a file of the configuration; nothing is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.places import Config, Root, named_in, root_of, spellings
from goldsmith.cli.screen import plain, say, table
from goldsmith.errors import Problem, UsageFault
from goldsmith.files import fold, open_input

if TYPE_CHECKING:
    from goldsmith.service import Setup


def check(
    file: Annotated[Path, typer.Argument(help="A brief, prompt, recipe or picture, or a line, house or models file.", metavar="FILE")],
    root: Root = None,
    config: Config = None,
) -> None:
    """Say everything that is wrong with a brief, recipe, line, house or models file, or with all that lies beside a picture.

    Runs nothing. A brief that is right is shown as it would be run, stage by stage.
    Exit code 3 where a brief is at fault, 2 where a file of the configuration is.

    Example: goldsmith check inbox/spring/hero.toml
    """
    path = _found(file, root, config)
    data = _bytes(path)
    kind = _kind(path, data)
    if kind in ("house", "line", "models"):
        _CONFIG[kind](path, data)
        return
    from goldsmith.cli.rehearsal import Rehearsal

    setup = _setup(root, config, path)
    library = setup.library if os.path.isdir(setup.root / "library") else None
    Rehearsal(setup, library).show(path, data, _inside(setup, path), kind)


def _found(file: Path, root: Path | None, config: Path | None) -> Path:
    """Where the file lies that is meant: from here, from the root, or by its bare name in any folder of the line."""
    path = Path(os.path.abspath(file))
    if os.path.lexists(path):
        return path  # a file outside every root can be checked as well
    from goldsmith.service import set_up

    setup = set_up(root_of(root, config, near=file), config)
    path = setup.root / spellings(setup.root, file)[0]
    if os.path.lexists(path):
        return path
    named = named_in(setup, file)
    if named is None:
        raise UsageFault(f"{file} is not there.", "Name a brief, a recipe, a picture or a file of the configuration.")
    return setup.root / named


def _bytes(path: Path) -> bytes:
    """No more of the file than a brief may have."""
    from goldsmith.brief.reading import MAX_BYTES

    try:
        with os.fdopen(open_input(path), "rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageFault(f"{path} cannot be read: {error.strerror}.", "Ask as somebody who may read it.") from None


def _kind(path: Path, data: bytes) -> str:
    """house, line, models, recipe, prompt, brief or picture: by name and place, and where these say nothing, by what is in it."""
    from goldsmith.pipeline.intake.names import HIDDEN, classify

    name = fold(path.name)
    if name in ("house.toml", "line.toml", "models.toml"):
        return name.removesuffix(".toml")
    if name.endswith((".toml", HIDDEN)):
        if fold(path.parent.name) == "recipes":
            return "recipe"
        return _by_content(data)
    role = classify(path.name).role
    if role == "prompt":
        return "prompt"
    if role in ("other", "foreign", "litter", "note", "look") and not _is_sidecar(path):
        raise UsageFault(
            f"{plain(path.name)} is no brief, no recipe, no picture and no file of the configuration.", "Nothing in it can be checked."
        )
    return "picture"


def _is_sidecar(path: Path) -> bool:
    from goldsmith.pipeline.intake.names import classify

    return classify(path.name).role == "look" and any(
        os.path.exists(path.parent / f"{path.stem}{each}") for each in (".png", ".jpg", ".tif")
    )


def _by_content(data: bytes) -> str:
    from goldsmith.brief.reading import BriefFault, read_toml
    from goldsmith.brief.settings import House

    try:
        keys = set(read_toml(data, "it"))
    except BriefFault:
        return "brief"
    if "stage" in keys:
        return "line"
    if keys & {"models", "defaults"}:
        return "models"
    return "house" if keys and keys <= set(House.model_fields) else "brief"


def _house(path: Path, data: bytes) -> None:
    from goldsmith.brief.settings import House, read_house

    house = read_house(data, str(path), os.environ)
    _right(path, "a house file")
    usual = House.model_construct()
    changed = [(name, str(getattr(house, name))) for name in House.model_fields if getattr(house, name) != getattr(usual, name)]
    table(("setting", "differs from the usual"), changed) if changed else say("Every setting is as usual.")


def _line(path: Path, data: bytes) -> None:
    from goldsmith.brief.pipeline import read_line

    line = read_line(data, str(path))
    _right(path, "a line file")
    rows = [
        (stage.name, f"{stage.folder}/", f"{stage.next}/", stage.lane, _words(stage.allowed), " ".join(step.op for step in stage.default))
        for stage in line.stages
    ]
    table(("stage", "folder", "next", "lane", "steps allowed", "default steps"), rows)


def _words(allowed: frozenset[str] | None) -> str:
    return "all" if allowed is None else ", ".join(sorted(allowed))


def _models(path: Path, data: bytes) -> None:
    from goldsmith.engines.registry.models import read_models

    found = read_models(path)
    _right(path, "a models file")
    say(f"It names {len(found.models)} models: {', '.join(found.models)}.")


_CONFIG = {"house": _house, "line": _line, "models": _models}


def _right(path: Path, what: str) -> None:
    say(f"{path.name}: nothing is wrong. It was read as {what}.")


def _setup(root: Path | None, config: Path | None, path: Path) -> Setup:
    """What the file is checked against: the root it lies in or that was named; else what travels with the program."""
    from goldsmith.service import set_up

    try:
        place = root_of(root, config, near=path)
    except UsageFault:
        place = path.parent
    return set_up(place, config)


def _inside(setup: Setup, path: Path) -> str | None:
    """The file relative to the root, where it lies in a folder of the line."""
    try:
        inside = spellings(setup.root, path)[0]
    except UsageFault:
        return None
    if setup.line.of_folder(inside.partition("/")[0]) is None or "/" not in inside:
        return None
    if not os.path.lexists(setup.root / inside):
        raise Problem(f"{plain(inside)} is gone.")
    return inside
