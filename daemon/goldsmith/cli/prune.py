"""The command ``goldsmith prune``: remove what is old and what nothing needs from archive and journal."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, find_root
from goldsmith.cli.output import format_size, print_json, print_text
from goldsmith.errors import AlreadyRunningError, HostError, UsageError

if TYPE_CHECKING:
    from goldsmith.pipeline.archive.pruning import PruneReport

_AGE = re.compile(r"(\d{1,5})([dwy]?)")
_DAYS = {"": 1, "d": 1, "w": 7, "y": 365}


def prune(
    older: Annotated[str | None, typer.Option("--older", metavar="AGE", help="90d, 12w or 2y (default: keep_days).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed. Works beside a running service.")] = False,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove from archive and journal what is older and what no younger delivery needs to be made again.

    Pictures that still wait in the folders keep their history, and everything that the manifest of a younger delivery names stays.
    A running service prunes by itself, once a day, if keep_days is set.

    Example: goldsmith prune --older 90d --dry-run
    """
    from goldsmith.service.one_off import run_pruning
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config), config)
    days = setup.settings.keep_days if older is None else _parse_age(older)
    if not days:
        raise UsageError("It is not said what is old.", "Name an age, as in --older 90d, or set keep_days in goldsmith.toml.")
    try:
        report = run_pruning(setup, days, is_dry_run=dry_run)
    except AlreadyRunningError as error:
        remedy = f"Set keep_days = {days} in goldsmith.toml and reload the service: it then prunes once a day. Or stop it first."
        raise AlreadyRunningError(error.sentence, remedy) from None
    if as_json:
        print_json({"dry_run": dry_run, **asdict(report)})
    else:
        _print_report(report, is_dry_run=dry_run)
    if report.refused_files:
        raise HostError(f"{report.refused_files} old files could not be removed: {report.refusal}", "Run this as the service's user.")


def _parse_age(text: str) -> int:
    """Return an age in days. Raises UsageError if the text is no age, or less than a day."""
    match = _AGE.fullmatch(text.strip().lower())
    days = int(match[1]) * _DAYS[match[2]] if match else 0
    if not days:
        raise UsageError(f"--older {text} is not an age.", "Write a number and d, w or y, as in 90d, 12w or 2y; at least 1d.")
    return days


def _print_report(report: PruneReport, *, is_dry_run: bool) -> None:
    if report.journal_began_at:
        began_on = time.strftime("%Y-%m-%d", time.gmtime(report.journal_began_at))
        print_text(f"Nothing is removed: the journal begins on {began_on}, so it does not know what older pictures still need.")
        return
    verb = "Would remove" if is_dry_run else "Removed"
    print_text(
        f"{verb} {report.files} files of the archive from before {report.archived_before} ({format_size(report.file_bytes)}), "
        f"and {report.rows} rows of the journal (about {format_size(report.row_bytes)})."
    )
    if report.kept_files:
        print_text(f"{report.kept_files} older files stay: younger deliveries, or pictures in the folders, need them.")
    if report.old_deliveries:
        print_text(f"{report.old_deliveries} deliveries are older than that: they cannot be made again once their sources are gone.")
