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

from goldsmith.errors import GoldsmithError, UsageFault
from goldsmith.files import fold, shipped

if TYPE_CHECKING:
    from goldsmith.journal.journal import Journal
    from goldsmith.pipeline.status.daemon_state import Daemon
    from goldsmith.pipeline.status.explain import Explain
    from goldsmith.service import Setup

Root = Annotated[
    Path | None,
    typer.Option("--root", "-r", envvar="GOLDSMITH_ROOT", help="The folder that holds inbox/ and the others.", show_envvar=True),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The folder of house.toml, line.toml and models.toml (default: ROOT/config)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]

_MARK = ".goldsmith"
"""What every root has in it."""
_MOST_NAMED = 5


def root_of(given: Path | None, config: Path | None = None, near: Path | None = None) -> Path:
    """The root that is meant. UsageFault where none can be told.

    The one that was named; else ``root`` of the configuration that was named; else the one that the file ``near`` lies in, or
    the one we stand in; else a checkout's own hotfolders/.
    """
    found = given or _root_in(config) or _root_around(near) or _root_around(Path())
    if found is not None:
        return Path(os.path.abspath(found.expanduser()))
    own = shipped("samples").parent
    if own.name == "hotfolders":
        return own
    raise UsageFault("Which folders?", "Say it with --root, e.g. --root ~/hotfolders, or set GOLDSMITH_ROOT.")


def _root_in(config: Path | None) -> Path | None:
    """``root`` in the house.toml of a configuration that was named."""
    named = config or (Path(os.environ["GOLDSMITH_CONFIG"]) if os.environ.get("GOLDSMITH_CONFIG") else None)
    if named is None:
        return None
    from goldsmith.brief.settings import find_config, read_config, read_house

    file = find_config(named).file("house.toml")
    return read_house(read_config(file), str(file)).root


def _root_around(near: Path | None) -> Path | None:
    """The root that a place lies in. A folder everybody may write to (/tmp) is none, whatever somebody puts there."""
    if near is None:
        return None
    folder = Path(os.path.abspath(near))
    marked = (each for each in (folder, *folder.parents) if os.path.isdir(each / _MARK))
    return next((each for each in marked if not each.stat().st_mode & stat.S_IWOTH), None)


@dataclass(frozen=True)
class Place:
    """A root as the commands that only look see it."""

    setup: Setup
    journal: Journal | None
    no_journal: str
    """Why there is no journal to read; "" where there is one."""
    barred: bool
    """True where there may be one, and this user may not read it."""
    journal_file: Path
    daemon: Daemon

    @property
    def root(self) -> Path:
        return self.setup.root

    def explain(self) -> Explain:
        """Law 7's sentences for this root, as of now."""
        from goldsmith.pipeline.intake.completeness import Pace
        from goldsmith.pipeline.scheduler.readiness import Judge
        from goldsmith.pipeline.scheduler.texts import Texts
        from goldsmith.pipeline.status.explain import Explain

        setup, house = self.setup, self.setup.house
        judge = Judge(setup.line, setup.resolver, Texts(setup.root).bytes_of)
        return Explain(setup.root, setup.line, judge, self.journal, self.daemon, Pace(house.quiet, house.breath, house.weak_quiet))


@contextmanager
def looking_at(root: Path | None, config: Path | None, near: Path | None = None) -> Iterator[Place]:
    """The root that is meant, with its journal open for reading and what its daemon tells."""
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.place import journal_path
    from goldsmith.pipeline.status.daemon_state import daemon_of
    from goldsmith.service import STATE_FILE, set_up

    setup = set_up(root_of(root, config, near), config)
    file = journal_path(setup.root, setup.house.state_dir)
    journal, why, barred = None, "", False
    try:
        journal = Journal.open(file, read_only=True)
    except GoldsmithError as fault:
        why = str(fault)
    except OSError as error:
        barred = True
        why = f"The journal {file} cannot be read: {error.strerror}. Ask as the service's user, or as root."
    place = Place(setup, journal, why, barred, file, daemon_of(setup.root, file.parent / STATE_FILE))
    if journal is None:
        yield place
        return
    with closing(journal):
        yield place


def spellings(root: Path, given: Path) -> list[str]:
    """The paths relative to the root that may be meant by a file named from here, from the root, or whole; existing ones first.

    UsageFault where the file is not in the root.
    """
    real_root = os.path.realpath(root)
    found: list[str] = []
    for candidate in (Path(os.path.abspath(given)), Path(os.path.abspath(root / given))):
        for spelt, base in ((candidate, str(root)), (Path(os.path.realpath(candidate.parent), candidate.name), real_root)):
            if spelt.is_relative_to(base):
                found.append(spelt.relative_to(base).as_posix())
                break
    if not found:
        raise UsageFault(f"{given} is not in {root}.", "Name a file inside the folders, or another --root.")
    return sorted(dict.fromkeys(found), key=lambda path: not os.path.lexists(root / path))


def file_in(place: Place, given: Path) -> str:
    """The file that is meant, relative to the root: by its path, by where it was taken from, or by its bare name in any folder."""
    found = spellings(place.root, given)
    if os.path.lexists(place.root / found[0]):
        return found[0]
    taken = [path for path in found if place.journal is not None and any(place.journal.history(path))]
    if taken:
        return taken[0]
    inside = [path for path in found if path.partition("/")[0] in place.setup.line.folders]
    return named_in(place.setup, given) or once_called(place, given) or next(iter([*inside, *found]))


def once_called(place: Place, given: Path) -> str | None:
    """The input of this bare name that was taken last, wherever it lay; None where there never was one."""
    if place.journal is None or len(given.parts) != 1:
        return None
    wanted, found = fold(given.name), None
    for row in place.journal.history():
        if fold(row.path.rpartition("/")[2]) == wanted:
            found = row.path
    return found


def named_in(setup: Setup, given: Path) -> str | None:
    """The one file in the line's folders that has this bare name; None where there is none. UsageFault where there are several."""
    from goldsmith.pipeline.status.explain import walk

    found: list[str] = []
    for folder in setup.line.folders if len(given.parts) == 1 else ():
        for where, names in walk(setup.root, folder):
            found += (f"{where}/{each}" for each in names if fold(each) == fold(given.name))
    if len(found) > 1:
        listed = ", ".join(found[:_MOST_NAMED]) + (f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else "")
        raise UsageFault(f"There are {len(found)} files called {given.name}: {listed}.", "Say which, with its folder.")
    return found[0] if found else None


def some(names: Sequence[str], most: int = 3) -> str:
    """A few of many names."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
