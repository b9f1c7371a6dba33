"""``goldsmith init``: a set of folders that is ready to be watched."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.output import print_text
from goldsmith.errors import HostError
from goldsmith.files import resource_path

if TYPE_CHECKING:
    from goldsmith.brief.pipeline import Pipeline

README = "README.txt"

_SIDE_FOLDERS = {
    "library": "What briefs may name: recipes, looks (.cube, .cdl), heroes, loras, fonts, logos, "
    "faces (each with the person's consent), plates, profiles (.icc), sounds.",
    "archive": "Every original and every input ever taken, by date. Goldsmith never deletes anything from here.",
}


def init(root: Annotated[Path, typer.Argument(help="The folder to make them in.", metavar="ROOT")]) -> None:
    """Make the folders, their one-line READMEs, library/ and a commented config/. What is there already stays as it is.

    Example: goldsmith init ~/hotfolders
    """
    made = make_root(root)
    print_text(f"{root} is ready: {', '.join(f'{folder}/' for folder in made.folders)}.")
    print_text(f"Its configuration is in {root / 'config'}; every line of it is explained there.")
    print_text(f"Start it with: goldsmith run --root {shlex.quote(str(root))}")


def make_root(root: Path) -> Pipeline:
    """The folders of a root, made where they are missing; the line they were made for."""
    from goldsmith.library.library import LIBRARY_FOLDERS
    from goldsmith.pipeline.commit.naming import SCRATCH_FOLDER

    try:
        root.mkdir(parents=True, exist_ok=True)
        line = _create_config(root / "config")
        for folder in line.folders:
            _create_folder(root / folder, _folder_description(line, folder))
        for folder, about in _SIDE_FOLDERS.items():
            _create_folder(root / folder, about)
        for shelf in LIBRARY_FOLDERS:
            (root / "library" / shelf).mkdir(exist_ok=True)
        for look in sorted(resource_path("samples", "library", "looks").iterdir()):
            _write_if_missing(root / "library" / "looks" / look.name, look.read_text())
        (root / SCRATCH_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{error.filename or root} cannot be made: {error.strerror}.", "Name a folder that this user may write to."
        ) from error
    return line


def _create_config(config: Path) -> Pipeline:
    """config/ with its three files, writable by their owner alone: they say what is run on this machine."""
    from goldsmith.brief.pipeline import read_pipeline
    from goldsmith.brief.settings import CONFIG_FILES

    if not config.is_dir():
        config.mkdir()
        config.chmod(0o755)
    for name in CONFIG_FILES:
        if _write_if_missing(config / name, resource_path("config", name).read_text()):
            (config / name).chmod(0o644)
    file = config / "pipeline.toml"
    return read_pipeline(file.read_bytes(), str(file))


def _folder_description(pipeline: Pipeline, folder: str) -> str:
    stage = pipeline.stage_of_folder(folder)
    if stage is None:
        return "What is finished: deliverables, each with the manifest of everything that was done to it."
    before = "" if folder == pipeline.folders[0] else f"What has been through {pipeline.stages[pipeline.folders.index(folder) - 1].name}. "
    return (
        f"{before}A picture alone waits here. With a brief (hero.toml) or a mask (hero.mask.png) beside it, "
        f"{stage.name} is done to it and it goes on to {stage.next_folder}/."
    )


def _create_folder(path: Path, description: str) -> None:
    path.mkdir(exist_ok=True)
    _write_if_missing(path / README, description + "\n")


def _write_if_missing(path: Path, text: str) -> bool:
    """Write a file that is not there yet; whether it was written."""
    try:
        with path.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        return False
    return True
