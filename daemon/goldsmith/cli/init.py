"""The command ``goldsmith init``: creates the folders of a root."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.output import print_text
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem, PathAt, resource_path
from goldsmith.root_folder import RootFolder

if TYPE_CHECKING:
    from goldsmith.brief.pipeline import Pipeline

README = "README.txt"
_MAX_STUDIO_CHARS = 60

_SIDE_FOLDERS = {
    "library": "The files that briefs may name: recipes, looks (.cube, .cdl), heroes, loras, fonts, logos, "
    "faces (each with the person's consent), plates, profiles (.icc), sounds, wildcards (.txt).",
    "archive": "Every original and every input, by date. Goldsmith never deletes anything here.",
}


_REVIEW_FOLDERS = {
    "review": "Results that wait for your eye, if a brief or the pipeline asks for it. Look at hero.png and at its sheet, hero.review.jpg. "
    "Then drag hero.png into approve, again or reject; leave the other files where they are.",
    "review/approve": "A picture that you drag here goes on to the next folder.",
    "review/again": "A picture that you drag here is made again with another seed. Words in a hero.txt beside hero.png are added to the "
    "prompt.",
    "review/reject": "A picture that you drag here goes to the archive, with all that belongs to it. Put your reasons into a hero.txt "
    "beside hero.png.",
}


def init(
    root: Annotated[Path, typer.Argument(help="The folder in which to create them.", metavar="ROOT")],
    studio: Annotated[str, typer.Option("--studio", metavar="NAME", help="The name that signs deliverables.")] = "A Goldsmith studio",
    identity: Annotated[bool, typer.Option("--identity", help="Make only what signs deliverables, and no folders.")] = False,
) -> None:
    """Create the folders, their one-line READMEs, library/ and a commented config/. Existing files stay unchanged.

    Only the owner can write to what is created, whatever the umask. A certificate that signs the content credentials of deliverables is
    made in the state directory, unless there is one.

    Example: goldsmith init ~/hotfolders --studio "Acme Retouching"
    """
    if identity:
        print_text(_make_identity(root, studio))
        return
    # Whoever may write to the root or to library/ controls other people's work. The owner opens the stages to a group: docs/running.md.
    os.umask(os.umask(0o022) | 0o022)
    pipeline = make_root(root)
    print_text(f"{root} is ready: {', '.join(f'{folder}/' for folder in pipeline.folders)}.")
    print_text(f"Its configuration is in {root / 'config'}; comments explain every line.")
    print_text(_make_identity(root, studio))
    print_text(f"Start it with: goldsmith run --root {shlex.quote(str(root))}")


def _make_identity(root: Path, studio: str) -> str:
    """Make the identity that signs deliverables, unless there is one, and return a sentence about it.

    It is in the state directory that the settings name: those of ``root``, or of the environment. Raises HostError if the disk refuses.
    """
    from goldsmith.brief.settings import find_config, read_config, read_settings
    from goldsmith.credentials.signing_identity import create_identity
    from goldsmith.service.signing import identity_folder

    file = find_config(None, root).path_of("goldsmith.toml")
    settings = read_settings(read_config(file), str(file))
    if settings.credentials.certificate is not None:
        return f"Deliverables are signed with {settings.credentials.certificate}."
    name = "".join(letter for letter in studio if letter.isprintable()).strip()[:_MAX_STUDIO_CHARS]
    if not name:
        raise UsageError("The name of the studio is empty.", 'For example: --studio "Acme Retouching"')
    files = create_identity(identity_folder(settings.state_dir), name)
    return f"Deliverables are signed with {files.certificate}; goldsmith doctor says when it expires."


def make_root(root: Path) -> Pipeline:
    """Create the missing folders and files of a root, and return its pipeline.

    Raises UsageError if the root lies in another one or holds another one, and HostError if the disk refuses.
    """
    from goldsmith.jobs.work_folder import WorkFolder
    from goldsmith.library.library import LIBRARY_FOLDERS
    from goldsmith.pipeline.commit.nested_roots import require_separate_root

    share = RootFolder(root)
    try:
        require_separate_root(root, _read_pipeline(root / "config").folders, trust_everybody=True)
        root.mkdir(parents=True, exist_ok=True)
        # First, because it refuses a filesystem on which `goldsmith run` would refuse everything else.
        WorkFolder(root).prepare()
        pipeline = _create_config(root / "config")
        for folder in pipeline.folders:
            _create_folder(share, folder, _folder_description(pipeline, folder))
        for folder, description in (*_REVIEW_FOLDERS.items(), *_SIDE_FOLDERS.items()):
            _create_folder(share, folder, description)
        for name in LIBRARY_FOLDERS:
            share.make_folder(f"library/{name}")
        for look in sorted(resource_path("samples", "library", "looks").iterdir()):
            _put_if_missing(share, f"library/looks/{look.name}", look.read_bytes())
    except OSError as error:
        raise HostError(
            f"{error.filename or root} cannot be created: {error.strerror}.", "Name a folder that this user may write to."
        ) from error
    return pipeline


def _create_config(config: Path) -> Pipeline:
    """Create config/ and its files, and return the pipeline. Only their owner may write them, because they control what runs here."""
    from goldsmith.brief.settings import CONFIG_FILES

    if not config.is_dir():
        config.mkdir()
        config.chmod(0o755)
    for name in CONFIG_FILES:
        if _write_if_missing(config / name, resource_path("config", name).read_text()):
            (config / name).chmod(0o644)
    return _read_pipeline(config)


def _read_pipeline(config: Path) -> Pipeline:
    """Return the pipeline of a configuration, or the shipped one if it has none yet."""
    from goldsmith.brief.pipeline import read_pipeline

    own, shipped = config / "pipeline.toml", resource_path("config", "pipeline.toml")
    file = own if own.exists() else shipped
    return read_pipeline(file.read_bytes(), str(file))


def _folder_description(pipeline: Pipeline, folder: str) -> str:
    stage = pipeline.stage_of_folder(folder)
    if stage is None:
        return "Finished deliverables, each with a manifest of all the work on it."
    origin = (
        "" if folder == pipeline.folders[0] else f"Pictures that have passed {pipeline.stages[pipeline.folders.index(folder) - 1].name}. "
    )
    mask = " or a mask (hero.mask.png)" if pipeline.moves_with_mask(stage) else ""
    mask += " or a look (hero.cube)" if stage.look_steps else ""
    return (
        f"{origin}A picture alone waits here. With a brief (hero.toml){mask} beside it, "
        f"it goes through {stage.name} and moves to {stage.next_folder}/."
    )


def _create_folder(share: RootFolder, path: str, description: str) -> None:
    share.make_folder(path)
    _put_if_missing(share, f"{path}/{README}", f"{description}\n".encode())


def _put_if_missing(share: RootFolder, path: str, data: bytes) -> None:
    """Write a file unless something has its name. A folder that is a link is not written to."""
    folder_path, _, name = path.rpartition("/")
    fs = Filesystem()
    with share.opened_folder(folder_path) as folder, contextlib.suppress(FileExistsError):
        fd = fs.create(PathAt(folder, name))
        try:
            fs.write_all(fd, data)
        finally:
            os.close(fd)


def _write_if_missing(path: Path, text: str) -> bool:
    """Write a file unless it exists. Return whether it was written."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True
