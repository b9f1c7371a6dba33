"""A root as a program beside the daemon sees it: its setup, its journal for reading, and the state of its daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from goldsmith.errors import GoldsmithError, HostError, UsageError
from goldsmith.journal.damage import broken_journals
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, read_daemon_state
from goldsmith.pipeline.status.explain import Explainer
from goldsmith.pipeline.status.sentences import refused_node_sentence
from goldsmith.service.setup import Setup, build_explainer

Result = TypeVar("Result")


@dataclass(frozen=True)
class Location:
    """A root as a program beside the daemon sees it: its configuration, its journal and the state of its daemon."""

    setup: Setup
    journal: Journal | None
    # Why the journal cannot be read, or None.
    journal_fault: GoldsmithError | None
    # True if the journal exists, but this user may not read it.
    is_journal_unreadable: bool
    journal_file: Path
    daemon: DaemonState

    @property
    def journal_error(self) -> str:
        """Why the journal cannot be read, or ""."""
        return "" if self.journal_fault is None else str(self.journal_fault)

    @property
    def journal_problem(self) -> str:
        """Why the journal cannot be read although it is there, or ""."""
        return self.journal_error if self.is_journal_unreadable or isinstance(self.journal_fault, HostError) else ""

    @property
    def root(self) -> Path:
        return self.setup.root

    def explain(self, texts: TextFileCache | None = None) -> Explainer:
        """Return an explainer of this root's files, as of now. ``texts``: briefs that were read before; None = none were."""
        return build_explainer(self.setup, self.journal, self.daemon, texts)

    def remarks(self) -> Iterator[str]:
        """Yield a sentence for every broken journal and every pause, and one about how the daemon sees new files."""
        daemon = self.daemon
        for kept in broken_journals(self.journal_file):
            yield (
                f"The journal was broken and is kept as {kept}: Goldsmith went on with a new one, and the history from before is not in it."
            )
        if daemon.pause_reason:
            yield f"Everything waits: {daemon.pause_reason}"
        yield from (f"The queue “{queue}” is paused: {reason}" for queue, reason in daemon.queue_pauses.items() if reason)
        # A pause of a queue for which no node is left has said it already.
        paused = " ".join(daemon.queue_pauses.values())
        yield from (refused_node_sentence(refusal) for refusal in daemon.node_refusals if refusal not in paused)
        yield from daemon.unavailable_folders.values()
        yield from daemon.permission_refusals.values()
        yield from daemon.status_file_refusals.values()
        if daemon.watcher_error:
            yield daemon.watcher_error
        polled = [f"{folder}/" for folder, mode in daemon.watch_modes.items() if mode == "polling"]
        if polled:
            yield f"No events come from {', '.join(polled)}: polling every {self.setup.settings.poll:g} s."
        elif daemon.watch_modes:
            yield "Events arrive from every folder: Goldsmith sees a new file at once."
        if daemon.weak_quiet_folders:
            folder_list = ", ".join(f"{folder}/" for folder in sorted(daemon.weak_quiet_folders))
            yield (
                f"In {folder_list} Goldsmith cannot tell if a program is still writing: files must be quiet for "
                f"{self.setup.settings.weak_quiet:g} s there (the weaker rule)."
            )


@contextmanager
def open_setup(setup: Setup) -> Iterator[Location]:
    """Yield the root of a setup with its journal open for reading and the state of its daemon."""
    file = journal_path(setup.root, setup.settings.state_dir)
    journal, fault, is_unreadable = None, None, False
    try:
        journal = Journal.open(file, read_only=True)
    except GoldsmithError as error:
        fault = error
    except OSError as error:
        is_unreadable = True
        fault = UsageError(f"The journal {file} cannot be read: {error.strerror}.", "Run this as the service's user, or as root.")
    daemon = read_daemon_state(setup.root, file.parent / STATE_FILE)
    if isinstance(fault, UsageError) and daemon.holder and not daemon.has_state_file and not is_unreadable:
        fault = UsageError(
            f"Goldsmith is running here ({daemon.holder}), but its journal is not at {file}.",
            "Name its folder with GOLDSMITH_STATE_DIR, or run this as the service's user.",
        )
    location = Location(setup, journal, fault, is_unreadable, file, daemon)
    if journal is None:
        yield location
        return
    with closing(journal):
        yield location


def read_with_journal(location: Location, read: Callable[[Location], Result]) -> tuple[Location, Result]:
    """Return the location and what ``read`` makes of it. If the journal fails meanwhile, both are without the journal, and say why."""
    try:
        return location, read(location)
    except HostError as fault:
        if location.journal is None:
            raise
        without = replace(location, journal=None, journal_fault=fault)
        return without, read(without)
