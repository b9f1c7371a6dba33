"""Which root and which configuration a command means, and which file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.files import fold_name, resource_path

if TYPE_CHECKING:
    from goldsmith.journal.journal import Journal
    from goldsmith.pipeline.status.daemon_state import DaemonState
    from goldsmith.pipeline.status.explain import Explainer
    from goldsmith.service import Setup

RootOption = Annotated[
    Path | None,
    typer.Option("--root", "-r", envvar="GOLDSMITH_ROOT", help="The folder that holds inbox/ and the others.", show_envvar=True),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The folder of goldsmith.toml, pipeline.toml and models.toml (default: ROOT/config)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

# What every root has in it.
_ROOT_MARKER = ".goldsmith"
_MAX_LISTED = 5


def find_root(explicit: Path | None, config: Path | None = None, near: Path | None = None) -> Path:
    """The root that is meant. UsageFault where none can be told.

    The one that was named; else ``root`` of the configuration that was named; else the one that the file ``near`` lies in, or
    the one we stand in; else a checkout's own hotfolders/.
    """
    found = explicit or _root_from_config(config) or _enclosing_root(near) or _enclosing_root(Path())
    if found is not None:
        return Path(os.path.abspath(found.expanduser()))
    own = resource_path("samples").parent
    if own.name == "hotfolders":
        return own
    raise UsageError("Which folders?", "Say it with --root, e.g. --root ~/hotfolders, or set GOLDSMITH_ROOT.")


def _root_from_config(config: Path | None) -> Path | None:
    """``root`` in the goldsmith.toml of a configuration that was named."""
    named = config or (Path(os.environ["GOLDSMITH_CONFIG"]) if os.environ.get("GOLDSMITH_CONFIG") else None)
    if named is None:
        return None
    from goldsmith.brief.settings import find_config, read_config, read_settings

    file = find_config(named).path_of("goldsmith.toml")
    return read_settings(read_config(file), str(file)).root


def _enclosing_root(near: Path | None) -> Path | None:
    """The root that a place lies in. A folder everybody may write to (/tmp) is none, whatever somebody puts there."""
    if near is None:
        return None
    folder = Path(os.path.abspath(near))
    marked = (each for each in (folder, *folder.parents) if os.path.isdir(each / _ROOT_MARKER))
    return next((each for each in marked if not each.stat().st_mode & stat.S_IWOTH), None)


@dataclass(frozen=True)
class Location:
    """A root as the commands that only look see it."""

    setup: Setup
    journal: Journal | None
    # Why there is no journal to read; "" where there is one.
    journal_error: str
    # True where there may be one, and this user may not read it.
    is_journal_unreadable: bool
    journal_file: Path
    daemon: DaemonState

    @property
    def root(self) -> Path:
        return self.setup.root

    def explain(self) -> Explainer:
        """Law 7's sentences for this root, as of now."""
        from goldsmith.pipeline.intake.file_tracker import SettleTimes
        from goldsmith.pipeline.scheduler.readiness import Readiness
        from goldsmith.pipeline.scheduler.text_files import TextFileCache
        from goldsmith.pipeline.status.explain import Explainer

        setup, house = self.setup, self.setup.settings
        judge = Readiness(setup.pipeline, setup.resolver, TextFileCache(setup.root).read_bytes)
        return Explainer(
            setup.root, setup.pipeline, judge, self.journal, self.daemon, SettleTimes(house.quiet, house.breath, house.weak_quiet)
        )


@contextmanager
def open_location(root: Path | None, config: Path | None, near: Path | None = None) -> Iterator[Location]:
    """The root that is meant, with its journal open for reading and what its daemon tells."""
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.location import journal_path
    from goldsmith.pipeline.status.daemon_state import read_daemon_state
    from goldsmith.service import STATE_FILE, load_setup

    setup = load_setup(find_root(root, config, near), config)
    file = journal_path(setup.root, setup.settings.state_dir)
    journal, why, barred = None, "", False
    try:
        journal = Journal.open(file, read_only=True)
    except GoldsmithError as fault:
        why = str(fault)
    except OSError as error:
        barred = True
        why = f"The journal {file} cannot be read: {error.strerror}. Ask as the service's user, or as root."
    place = Location(setup, journal, why, barred, file, read_daemon_state(setup.root, file.parent / STATE_FILE))
    if journal is None:
        yield place
        return
    with closing(journal):
        yield place


def candidate_paths(root: Path, file: Path) -> list[str]:
    """The paths relative to the root that may be meant by a file named from here, from the root, or whole; existing ones first.

    UsageFault where the file is not in the root.
    """
    real_root = os.path.realpath(root)
    found: list[str] = []
    for candidate in (Path(os.path.abspath(file)), Path(os.path.abspath(root / file))):
        for spelt, base in ((candidate, str(root)), (Path(os.path.realpath(candidate.parent), candidate.name), real_root)):
            if spelt.is_relative_to(base):
                found.append(spelt.relative_to(base).as_posix())
                break
    if not found:
        raise UsageError(f"{file} is not in {root}.", "Name a file inside the folders, or another --root.")
    return sorted(dict.fromkeys(found), key=lambda path: not os.path.lexists(root / path))


def resolve_file(location: Location, file: Path) -> str:
    """The file that is meant, relative to the root: by its path, by where it was taken from, or by its bare name in any folder."""
    found = candidate_paths(location.root, file)
    if os.path.lexists(location.root / found[0]):
        return found[0]
    taken = [path for path in found if location.journal is not None and any(location.journal.history(path))]
    if taken:
        return taken[0]
    inside = [path for path in found if path.partition("/")[0] in location.setup.pipeline.folders]
    return find_by_name(location.setup, file) or find_in_history(location, file) or next(iter([*inside, *found]))


def find_in_history(location: Location, file: Path) -> str | None:
    """The input of this bare name that was taken last, wherever it lay; None where there never was one."""
    if location.journal is None or len(file.parts) != 1:
        return None
    wanted, found = fold_name(file.name), None
    for row in location.journal.history():
        if fold_name(row.path.rpartition("/")[2]) == wanted:
            found = row.path
    return found


def find_by_name(setup: Setup, file: Path) -> str | None:
    """The one file in the line's folders that has this bare name; None where there is none. UsageFault where there are several."""
    from goldsmith.pipeline.status.explain import walk_folder

    found: list[str] = []
    for folder in setup.pipeline.folders if len(file.parts) == 1 else ():
        for where, names in walk_folder(setup.root, folder):
            found += (f"{where}/{each}" for each in names if fold_name(each) == fold_name(file.name))
    if len(found) > 1:
        listed = ", ".join(found[:_MAX_LISTED]) + (f" and {len(found) - _MAX_LISTED} more" if len(found) > _MAX_LISTED else "")
        raise UsageError(f"There are {len(found)} files called {file.name}: {listed}.", "Say which, with its folder.")
    return found[0] if found else None


def abbreviate_list(names: Sequence[str], limit: int = 3) -> str:
    """A few of many names."""
    return ", ".join(names[:limit]) + (", …" if len(names) > limit else "")
