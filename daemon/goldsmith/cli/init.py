"""``goldsmith init``: a set of folders that is ready to be watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldsmith.brief.house import CONFIG_FILES
from goldsmith.brief.stages import Line, read_line
from goldsmith.cli.screen import say
from goldsmith.files import shipped
from goldsmith.line.library import SHELVES
from goldsmith.line.naming import ARCHIVE, WORK

_SIDE = {
    "library": "What briefs may refer to by name: recipes, looks (.cube, .cdl), fonts, logos, faces, plates, sounds.",
    ARCHIVE: "Every original and every input ever taken, by date. Goldsmith never deletes anything from here.",
}


def init(root: Annotated[Path, typer.Argument(help="The folder to make them in.", metavar="ROOT")]) -> None:
    """Make the folders, their one-line READMEs, library/ and a commented config/. What is there already stays as it is.

    Example: goldsmith init ~/hotfolders
    """
    made = make_root(root)
    say(f"{root} is ready: {', '.join(made.folders)}.")
    say(f"Start it with: goldsmith run --root {root}")


def make_root(root: Path) -> Line:
    """The folders of a root, made where they are missing; the line they were made for."""
    root.mkdir(parents=True, exist_ok=True)
    config = root / "config"
    if not config.is_dir():
        config.mkdir(mode=0o755)
    for name in CONFIG_FILES:
        _put(config / name, shipped("config", name).read_text())
        (config / name).chmod(0o644)
    config.chmod(0o755)
    file = config / "line.toml"
    line = read_line(file.read_bytes(), str(file))
    for folder in line.folders:
        _folder(root / folder, _about(line, folder))
    for folder, about in _SIDE.items():
        _folder(root / folder, about)
    for shelf in SHELVES:
        (root / "library" / shelf).mkdir(exist_ok=True)
    (root / WORK).mkdir(parents=True, exist_ok=True)
    return line


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
    _put(path / "README.txt", about + "\n")


def _put(path: Path, text: str) -> None:
    if not path.exists():
        path.write_text(text)
