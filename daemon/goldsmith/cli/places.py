"""Which root and which configuration a command means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from goldsmith.errors import UsageFault
from goldsmith.files import shipped

Root = Annotated[
    Path | None,
    typer.Option("--root", "-r", envvar="GOLDSMITH_ROOT", help="The folder that holds inbox/ and the others.", show_envvar=True),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The folder of house.toml, line.toml and models.toml (default: ROOT/config)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]


def root_of(given: Path | None) -> Path:
    """The root that was named, or a checkout's own hotfolders/."""
    if given is not None:
        return Path(os.path.abspath(given))
    own = shipped("samples").parent
    if own.name == "hotfolders":
        return own
    raise UsageFault("Which folders?", "Say it with --root, e.g. --root ~/hotfolders, or set GOLDSMITH_ROOT.")


def inside(root: Path, given: Path) -> str:
    """The path relative to the root of a file that may be named from here, from the root, or whole."""
    for candidate in (Path(os.path.abspath(given)), root / given):
        real = Path(os.path.realpath(candidate.parent)) / candidate.name
        if real.is_relative_to(os.path.realpath(root)) and (os.path.lexists(candidate) or not given.is_absolute()):
            if candidate.is_relative_to(root) and (os.path.lexists(candidate) or candidate == root / given):
                return candidate.relative_to(root).as_posix()
            return real.relative_to(os.path.realpath(root)).as_posix()
    raise UsageFault(f"{given} is not in {root}.", "Name a file inside the folders, or another --root.")
