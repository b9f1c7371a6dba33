"""What the command line prints: tables and colour on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import structlog

from goldsmith.brief.house import House
from goldsmith.errors import GoldsmithError


def terminal() -> bool:
    """True where a person watches."""
    return sys.stdout.isatty()


def say(text: str = "") -> None:
    """One line. Names with undecodable bytes are shown with a replacement character."""
    print(text.encode("utf-8", "replace").decode())


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: ruled on a terminal, tab-separated with a heading line in a pipe."""
    clean = [[cell.encode("utf-8", "replace").decode() for cell in row] for row in rows]
    if not terminal():
        for row in (columns, *clean):
            print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in clean:
        made.add_row(*(Text(cell) for cell in row))
    Console().print(made)


def complain(error: GoldsmithError) -> None:
    """What is wrong and what to do, on stderr."""
    text = f"goldsmith: {error.sentence}" + (f"\n{error.remedy}" if error.remedy else "")
    print(text.encode("utf-8", "replace").decode(), file=sys.stderr)


def log_to_stderr(house: House) -> None:
    """structlog as the house says: JSON for the journal, colour on a terminal."""
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
