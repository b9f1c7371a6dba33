"""The checks of ``goldsmith doctor`` of the journal: its folder, its content, and the journals that were set aside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from goldsmith.cli.findings import Finding, fault, note, ok
from goldsmith.cli.output import format_size
from goldsmith.cli.store_size import MAX_COUNT_SECONDS, MAX_COUNTED_FILES, archive_sentence
from goldsmith.cli.system_checks import nearest_existing
from goldsmith.errors import GoldsmithError, UsageError
from goldsmith.journal.damage import broken_journals, check_files
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import check_journal_folder, journal_bytes
from goldsmith.mounts import kind_at
from goldsmith.pipeline.archive.archived_files import measure_archive
from goldsmith.pipeline.status.daemon_state import DaemonState

# A journal of a million jobs has several GB: the check stops after this time and says so.
_MAX_CHECK_SECONDS = 5.0


def check_journal(root: Path, journal: Path, daemon: DaemonState) -> Iterator[Finding]:
    """Yield whether the journal can be kept in its folder, whether its content is sound, and each broken journal beside it."""
    try:
        check_journal_folder(journal.parent, root)
    except GoldsmithError as error:
        yield fault("journal", error.sentence, error.remedy)
        return
    folder = nearest_existing(journal.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        yield fault("journal", f"{folder} cannot be written by this user.", "Run this as the service's user, or set GOLDSMITH_STATE_DIR.")
        return
    yield _check_content(journal, kind_at(journal.parent).label, daemon)
    for kept in broken_journals(journal):
        broken_on = time.strftime("%Y-%m-%d", time.gmtime(kept.lstat().st_ctime))
        yield note(
            "broken journal",
            f"A journal was broken and was set aside on {broken_on}: {kept}. The history from before is in it alone.",
            "Check the disk (dmesg, smartctl). Remove that file, and those beside it that begin with its name, when nobody needs them.",
        )


def _check_content(journal: Path, kind: str, daemon: DaemonState) -> Finding:
    if not os.path.lexists(journal):
        return ok("journal", f"{journal} on {kind}, a local disk. `goldsmith run` makes it at its first start.")
    started = time.monotonic()
    try:
        check_files(journal, with_log=not daemon.holder)
        opened = Journal.open(journal, read_only=True)
        try:
            damage, is_whole = opened.find_damage(_MAX_CHECK_SECONDS)
        finally:
            opened.close()
    except UsageError as error:
        return note("journal", error.sentence, error.remedy)
    except GoldsmithError as error:
        return fault("journal", error.sentence, error.remedy)
    if damage:
        remedy = "Stop the service, and move the file and those beside it that begin with its name away. It then starts with a new one."
        return fault("journal", f"{journal} is broken: {damage}.", remedy)
    extent = "its content is sound" if is_whole else f"no fault in the part of it that was read in {time.monotonic() - started:.0f} s"
    return ok("journal", f"{journal} on {kind}, a local disk; {extent}.")


def check_store_size(root: Path, journal: Path, keep_days: int) -> Finding:
    """Return the sizes of archive and journal, and whether anything is ever pruned."""
    sentence = archive_sentence(measure_archive(root, MAX_COUNTED_FILES, MAX_COUNT_SECONDS))
    pruning = f"pruned after {keep_days} days" if keep_days else "nothing is pruned (keep_days = 0)"
    return ok("archive and journal", f"{sentence} The journal has {format_size(journal_bytes(journal))}; {pruning}.")
