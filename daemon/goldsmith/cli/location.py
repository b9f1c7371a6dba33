"""Finds the root, the configuration and the file that a command refers to."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.errors import UsageError
from goldsmith.files import fold_name, resource_path
from goldsmith.root_folder import RootFolder

if TYPE_CHECKING:
    from goldsmith.service.location import Location
    from goldsmith.service.setup import Setup

RootOption = Annotated[
    Path | None,
    typer.Option("--root", "-r", envvar="GOLDSMITH_ROOT", help="The folder that holds inbox/ and the others.", show_envvar=True),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The folder of goldsmith.toml, pipeline.toml and models.toml (default: ROOT/config)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

# A folder that every root contains.
_ROOT_MARKER = ".goldsmith"
_MAX_LISTED = 5


def find_root(explicit: Path | None, config: Path | None = None, near: Path | None = None) -> Path:
    """Return the root that a command refers to. Raises UsageError if there is none.

    The first of: ``explicit``; ``root`` of the named configuration; the root that contains the file ``near``; the root that contains the
    working directory; the hotfolders/ of a checkout.
    """
    root = explicit or _root_from_config(config) or _enclosing_root(near) or _enclosing_root(Path())
    if root is not None:
        return Path(os.path.abspath(root.expanduser()))
    own = resource_path("samples").parent
    if own.name == "hotfolders":
        return own
    raise UsageError("No root is given.", "Name it with --root, for example --root ~/hotfolders, or set GOLDSMITH_ROOT.")


def _root_from_config(config: Path | None) -> Path | None:
    """Return ``root`` in the goldsmith.toml of the configuration that --config or GOLDSMITH_CONFIG names; None if it names none."""
    config_folder = config or (Path(os.environ["GOLDSMITH_CONFIG"]) if os.environ.get("GOLDSMITH_CONFIG") else None)
    if config_folder is None:
        return None
    from goldsmith.brief.settings import find_config, read_config, read_settings

    file = find_config(config_folder).path_of("goldsmith.toml")
    return read_settings(read_config(file), str(file)).root


def _enclosing_root(near: Path | None) -> Path | None:
    """Return the root that contains ``near``. A folder that everybody may write to, such as /tmp, does not count."""
    if near is None:
        return None
    folder = Path(os.path.abspath(near))
    roots = (path for path in (folder, *folder.parents) if os.path.isdir(path / _ROOT_MARKER))
    return next((path for path in roots if not path.stat().st_mode & stat.S_IWOTH), None)


@contextmanager
def open_location(root: Path | None, config: Path | None, near: Path | None = None) -> Iterator[Location]:
    """Yield the root that a command refers to, with its journal open for reading and the state of its daemon.

    The steps in pipeline.toml are read only if a picture needs them: their operations take longer to import than everything else.
    """
    from goldsmith.service.location import open_setup
    from goldsmith.service.setup import load_setup_to_look

    with open_setup(load_setup_to_look(find_root(root, config, near), config)) as location:
        yield location


def candidate_paths(root: Path, file: Path) -> list[str]:
    """Return the paths, relative to the root, that ``file`` may refer to: from the working directory, from the root, or absolute.

    Existing files come first. Raises UsageError if the file is not in the root.
    """
    real_root = os.path.realpath(root)
    paths: list[str] = []
    for candidate in (Path(os.path.abspath(file)), Path(os.path.abspath(root / file))):
        for path, base in ((candidate, str(root)), (Path(os.path.realpath(candidate.parent), candidate.name), real_root)):
            if path.is_relative_to(base):
                paths.append(path.relative_to(base).as_posix())
                break
    if not paths:
        raise UsageError(f"{file} is not in {root}.", "Name a file inside the folders, or another --root.")
    return sorted(dict.fromkeys(paths), key=lambda path: not os.path.lexists(root / path))


def resolve_file(location: Location, file: Path) -> str:
    """Return the file, relative to the root: by its path, by the path of an earlier input, or by its bare name in any folder."""
    candidates = candidate_paths(location.root, file)
    if os.path.lexists(location.root / candidates[0]):
        return candidates[0]
    consumed = [path for path in candidates if location.journal is not None and location.journal.has_row_at(path)]
    if consumed:
        return consumed[0]
    inside = [path for path in candidates if path.partition("/")[0] in location.setup.pipeline.shared_folders]
    return find_by_name(location.setup, file) or find_in_history(location, file) or next(iter([*inside, *candidates]))


def find_in_history(location: Location, file: Path) -> str | None:
    """Return the path of the last input with this bare name, in any folder; None if there was none."""
    if location.journal is None or len(file.parts) != 1:
        return None
    return location.journal.last_path_named(file.name)


def find_by_name(setup: Setup, file: Path) -> str | None:
    """Return the file with this bare name in the pipeline's folders; None if there is none. Raises UsageError if there are several."""
    matches: list[str] = []
    for folder in setup.pipeline.shared_folders if len(file.parts) == 1 else ():
        for folder_path, names in RootFolder(setup.root).walk(folder):
            matches += (f"{folder_path}/{name}" for name in names if fold_name(name) == fold_name(file.name))
    if len(matches) > 1:
        listed = ", ".join(matches[:_MAX_LISTED]) + (f" and {len(matches) - _MAX_LISTED} more" if len(matches) > _MAX_LISTED else "")
        raise UsageError(f"There are {len(matches)} files called {file.name}: {listed}.", "Name one of them with its folder.")
    return matches[0] if matches else None


def abbreviate_list(names: Sequence[str], limit: int = 3) -> str:
    """Return the first ``limit`` names, separated by commas, and an ellipsis if there are more."""
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
