"""What the command line prints: tables and colour on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from goldsmith.errors import GoldsmithError

if TYPE_CHECKING:
    from goldsmith.brief.settings import House

_UNTOLD = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

Advance = Callable[[str, float, str], None]
"""(which bar, 0..1, what is being done)"""


def terminal() -> bool:
    """True where a person watches."""
    return sys.stdout.isatty()


def plain(text: str) -> str:
    """The text on one line whatever it holds: names on a share may have line breaks, colour codes and undecodable bytes."""
    return "".join("�" if char in _BIDI or unicodedata.category(char) in _UNTOLD else char for char in text)


def say(text: str = "") -> None:
    """A sentence; what stands on several lines stays so, and no line holds anything that a terminal would obey."""
    print("\n".join(map(plain, text.split("\n"))))


def wide() -> bool:
    """True where whole sentences fit into a table's column: in a pipe, and on a terminal of 120 columns and more."""
    return not terminal() or shutil.get_terminal_size().columns >= _WIDE


def say_json(value: object) -> None:
    """One value on one line, in ASCII: names with undecodable bytes have no UTF-8."""
    print(json.dumps(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table: ruled on a terminal, tab-separated with a heading line in a pipe (row by row as they come)."""
    if not terminal():
        for row in (columns, *rows) if isinstance(rows, Sequence) else _headed(columns, rows):
            print("\t".join(map(plain, row)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold underline")
    cells = [list(map(plain, row)) for row in rows]
    for number, column in enumerate(columns):
        short = all(len(row[number]) <= _WORD for row in cells)
        made.add_column(column, overflow="fold", no_wrap=short)
    for row in cells:
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(made)


_WIDE = 120
_WORD = 20
"""Cells up to so many letters are never broken over lines."""
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red", "problem": "red", "delivered": "green"}


def _headed(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    yield columns
    yield from rows


def heading(text: str) -> None:
    """What the next table or lines are about."""
    if not terminal():
        say(f"\n{text}")
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(f"\n{plain(text)}", style="bold"))


def size_of(count: float) -> str:
    """Bytes as people say them: 940 B, 28 kB, 1.4 GB (units of 1000)."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5 or unit == "GB":
            break
    return f"{count:.1f} {unit}" if count < 10 else f"{count:.0f} {unit}"


def bar(fraction: float, width: int = 10) -> str:
    """How far something is, in a table's cell."""
    if not terminal():
        return f"{fraction:.0%}"
    full = round(max(0.0, min(1.0, fraction)) * width)
    return f"{'█' * full}{'░' * (width - full)} {fraction:.0%}"


@contextmanager
def bars(names: Sequence[str] = ()) -> Iterator[Advance]:
    """A progress bar for each name (those that are named later get theirs then) on a terminal; in a pipe, a line when one ends."""
    if not terminal():
        yield _Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("[dim]{task.fields[note]}")) as shown:
        tasks = {name: shown.add_task(name, total=1.0, start=False, note="") for name in names}

        def advance(name: str, fraction: float, note: str = "") -> None:
            if name not in tasks:
                tasks[name] = shown.add_task(name, total=1.0, start=False, note="")
            shown.start_task(tasks[name])
            shown.update(tasks[name], completed=fraction, note=plain(note))

        yield advance


class _Lines:
    """Progress for a pipe: what is begun, and when it is done."""

    def __init__(self) -> None:
        self._done: dict[str, bool] = {}

    def __call__(self, name: str, fraction: float, note: str = "") -> None:
        whole = fraction >= 1.0
        if whole and not self._done.get(name):
            say(f"{name}: done")
        self._done[name] = whole or self._done.get(name, False)


def complain(error: GoldsmithError) -> None:
    """What is wrong and what to do, on stderr."""
    text = f"goldsmith: {error.sentence}" + (f"\n{error.remedy}" if error.remedy else "")
    print("\n".join(map(plain, text.split("\n"))), file=sys.stderr)


def log_to_stderr(house: House) -> None:
    """structlog as the house says: JSON for the journal, colour on a terminal."""
    import structlog

    console = house.log_format == "console" or (house.log_format == "auto" and sys.stderr.isatty())
    levels = {"debug": 10, "info": 20, "warning": 30, "error": 40}
    renderer = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(levels[house.log_level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
