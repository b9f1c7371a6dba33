"""``goldsmith init``: a set of folders that is ready to be watched."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.screen import say
from goldsmith.errors import MachineFault
from goldsmith.files import shipped

if TYPE_CHECKING:
    from goldsmith.brief.pipeline import Line

README = "README.txt"

_SIDE = {
    "library": "What briefs may name: recipes, looks (.cube, .cdl), heroes, loras, fonts, logos, "
    "faces (each with the person's consent), plates, profiles (.icc), sounds.",
    "archive": "Every original and every input ever taken, by date. Goldsmith never deletes anything from here.",
}


def init(root: Annotated[Path, typer.Argument(help="The folder to make them in.", metavar="ROOT")]) -> None:
    """Make the folders, their one-line READMEs, library/ and a commented config/. What is there already stays as it is.

    Example: goldsmith init ~/hotfolders
    """
    made = make_root(root)
    say(f"{root} is ready: {', '.join(f'{folder}/' for folder in made.folders)}.")
    say(f"Its configuration is in {root / 'config'}; every line of it is explained there.")
    say(f"Start it with: goldsmith run --root {shlex.quote(str(root))}")


def make_root(root: Path) -> Line:
    """The folders of a root, made where they are missing; the line they were made for."""
    from goldsmith.library.library import SHELVES
    from goldsmith.pipeline.commit.naming import WORK

    try:
        root.mkdir(parents=True, exist_ok=True)
        line = _configured(root / "config")
        for folder in line.folders:
            _folder(root / folder, _about(line, folder))
        for folder, about in _SIDE.items():
            _folder(root / folder, about)
        for shelf in SHELVES:
            (root / "library" / shelf).mkdir(exist_ok=True)
        for look in sorted(shipped("samples", "library", "looks").iterdir()):
            _put(root / "library" / "looks" / look.name, look.read_text())
        (root / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineFault(
            f"{error.filename or root} cannot be made: {error.strerror}.", "Name a folder that this user may write to."
        ) from error
    return line


def _configured(config: Path) -> Line:
    """config/ with its three files, writable by their owner alone: they say what is run on this machine."""
    from goldsmith.brief.pipeline import read_line
    from goldsmith.brief.settings import CONFIG_FILES

    if not config.is_dir():
        config.mkdir()
        config.chmod(0o755)
    for name in CONFIG_FILES:
        if _put(config / name, shipped("config", name).read_text()):
            (config / name).chmod(0o644)
    file = config / "line.toml"
    return read_line(file.read_bytes(), str(file))


def _about(line: Line, folder: str) -> str:
    stage = line.of_folder(folder)
    if stage is None:
        return "What is finished: deliverables, each with the manifest of everything that was done to it."
    before = "" if folder == line.folders[0] else f"What has been through {line.stages[line.folders.index(folder) - 1].name}. "
    return (
        f"{before}A picture alone waits here. With a brief (hero.toml) or a mask (hero.mask.png) beside it, "
        f"{stage.name} is done to it and it goes on to {stage.next}/."
    )


def _folder(path: Path, about: str) -> None:
    path.mkdir(exist_ok=True)
    _put(path / README, about + "\n")


def _put(path: Path, text: str) -> bool:
    """Write a file that is not there yet; whether it was written."""
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        return False
    return True
