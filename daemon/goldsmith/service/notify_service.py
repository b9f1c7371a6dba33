"""The program that tells people: looks at journal and folders every few seconds, and sends what is due. It changes neither."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from goldsmith.errors import AlreadyRunningError, GoldsmithError, HostError, UsageError, error_text
from goldsmith.journal.damage import set_aside
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import journal_path
from goldsmith.journal.notice_record import NOTICE_RECORD_FILE, NoticeRecord, Reading
from goldsmith.journal.sqlite_errors import JournalBroken
from goldsmith.pipeline.notices.channels import Channel
from goldsmith.pipeline.notices.feed import NoticeFeed, Surroundings
from goldsmith.pipeline.notices.machine_conditions import GRACE_SECONDS, MachineConditions
from goldsmith.pipeline.notices.outbox import NoticeOutbox
from goldsmith.pipeline.notices.present_state import PresentState
from goldsmith.pipeline.notices.sender_launcher import SenderLauncher
from goldsmith.pipeline.previews.preview_maker import PreviewResult
from goldsmith.pipeline.scheduler.host_health import OnEvent, traceback_text
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, read_daemon_state
from goldsmith.root_folder import RootFolder
from goldsmith.service.inspection import refuse_inspection
from goldsmith.service.one_off import opened_preview_maker
from goldsmith.service.setup import Setup, build_explainer
from goldsmith.service.stop_signals import stop_signals
from goldsmith.service.systemd_notify import SystemdNotifier

# Seconds between two looks. A look at a journal that has not changed costs a few system calls.
LOOK_INTERVAL_SECONDS = 5.0
# Seconds after which told notices are removed from the record, and between two such removals.
_KEEP_SECONDS, _FORGET_INTERVAL_SECONDS = 30 * 86_400.0, 3600.0
_LOCK_FILE = "notices.lock"
_ANSWER_FILE = "notices.answer"
_EVENT_LEVELS = {"not told": "warning", "given up": "error", "error": "error", "record replaced": "error", "waiting": "warning"}


class NotifyService:
    """Tells the notices of one root on its channels."""

    def __init__(
        self,
        setup: Setup,
        channels: Sequence[Channel],
        on_event: OnEvent | None = None,
        wall_clock: Callable[[], float] = time.time,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._setup = setup
        self._channels = channels
        self._wall_clock = wall_clock
        self._log = structlog.get_logger("goldsmith")
        self._on_event: OnEvent = on_event or self._log_event
        self._conditions = MachineConditions(str(setup.root), grace_seconds)
        self._record: NoticeRecord | None = None
        self._lock_fd = -1
        # What the journal and the state file looked like at the last look.
        self._stamp: tuple[object, ...] = ()
        self._next_forget_at = 0.0
        self._last_sentence = ""

    def run(self) -> None:
        """Look and tell until SIGTERM or Ctrl-C. Raises AlreadyRunningError if another one tells for this root."""
        refuse_inspection()
        notify = SystemdNotifier()
        try:
            with stop_signals() as signals:
                notify.ready()
                titles = ", ".join(channel.title for channel in self._channels)
                self._on_event("telling", root=str(self._setup.root), channels=titles, until="Ctrl-C or SIGTERM")
                while not signals.is_requested:
                    self.take_turn()
                    signals.wait(LOOK_INTERVAL_SECONDS)
        finally:
            self.close()

    def close(self) -> None:
        """Close the record and give the lock back."""
        if self._record is not None:
            self._record.close()
            self._record = None
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def take_turn(self) -> None:
        """Look once, and send what is due. A failure is reported, and the next turn tries again. Raises AlreadyRunningError."""
        try:
            self._take_turn()
            self._last_sentence = ""
        except AlreadyRunningError:
            raise
        except JournalBroken as damage:
            if self._record is None or str(self._record.path) not in damage.sentence:
                self._report(damage.sentence)
                return
            self._record.close()
            path, self._record = self._record.path, None
            self._set_aside(path, damage)
        except Exception as error:  # noqa: BLE001 - whatever fails, the next turn tries again
            sentence = error.sentence if isinstance(error, GoldsmithError) else f"Nothing can be told: {error_text(error)}."
            self._report(sentence, traceback_text(error))

    def _take_turn(self) -> None:
        journal_file = journal_path(self._setup.root, self._setup.settings.state_dir)
        record = self._record or self._open_record(journal_file.parent)
        outbox = self._outbox(record, journal_file.parent)
        now = self._wall_clock()
        daemon = read_daemon_state(self._setup.root, journal_file.parent / STATE_FILE)
        if self._must_look(record, journal_file, daemon):
            self._look(record, outbox, journal_file, daemon, now)
        due_in = outbox.seconds_until_due(now)
        if due_in is not None and due_in <= 0:
            with contextlib.closing(Journal.open(journal_file, read_only=True)) as journal:
                explainer = build_explainer(self._setup, journal, daemon)
                state = PresentState(RootFolder(self._setup.root), journal, record, explainer, self._make_previews)
                outbox.send_due(state.check, state.pictures)
        if now >= self._next_forget_at:
            self._next_forget_at = now + _FORGET_INTERVAL_SECONDS
            record.forget(now - _KEEP_SECONDS, [channel.key for channel in self._channels])

    def _open_record(self, folder: Path) -> NoticeRecord:
        """Take the lock, open the record and return it. Raises HostError without the journal's folder: no daemon has ever run here."""
        if not folder.is_dir():
            raise HostError("The daemon has not run on this root yet, so there is nothing to tell.")
        if self._lock_fd < 0:
            self._lock_fd = _take_lock(folder / _LOCK_FILE)
        path = folder / NOTICE_RECORD_FILE
        try:
            record = NoticeRecord.open(path)
        except JournalBroken as damage:
            self._set_aside(path, damage)
            record = NoticeRecord.open(path)
        self._record = record
        self._outbox(record, folder).finish_interrupted()
        return record

    def _outbox(self, record: NoticeRecord, folder: Path) -> NoticeOutbox:
        sender = SenderLauncher(folder / _ANSWER_FILE, self._lock_fd)
        return NoticeOutbox(record, self._channels, sender.send, sender.earlier_answer, self._on_event, self._wall_clock)

    def _must_look(self, record: NoticeRecord, journal_file: Path, daemon: DaemonState) -> bool:
        """Return whether anything may have changed since the last look, or time itself may have made something true."""
        stamp = (*map(_file_stamp, (journal_file, Path(f"{journal_file}-wal"))), daemon)
        has_changed, self._stamp = stamp != self._stamp, stamp
        return has_changed or self._conditions.is_waiting(record) or bool(record.deliveries())

    def _look(self, record: NoticeRecord, outbox: NoticeOutbox, journal_file: Path, daemon: DaemonState, now: float) -> None:
        feed = NoticeFeed(self._setup.pipeline, record, self._conditions)
        if not journal_file.exists():
            if feed.is_first_look():  # everything in the first journal will be new
                record.add(Reading((), (), (), (), 0.0, 0), {})
            return
        with contextlib.closing(Journal.open(journal_file, read_only=True)) as journal:
            surroundings = Surroundings(journal, daemon, lambda: build_explainer(self._setup, journal, daemon))
            is_more = True
            while is_more:
                is_first = feed.is_first_look()
                reading, is_more = feed.look(surroundings, now)
                record.add(reading, {} if is_first else outbox.channels_of(reading.notices))

    def _make_previews(self, paths: Sequence[str], side: int) -> dict[str, PreviewResult]:
        with opened_preview_maker(self._setup, max_processes=1) as maker:
            return maker.make(paths, side)

    def _set_aside(self, path: Path, damage: JournalBroken) -> None:
        """Set a broken record aside. What waits by now will count as told in the new one. Raises JournalError."""
        kept = set_aside(path, self._wall_clock())
        remedy = f"It is kept as {kept}. What was waiting to be told is lost: look at `goldsmith status`."
        self._on_event("record replaced", sentence=damage.sentence, remedy=remedy)

    def _report(self, sentence: str, detail: str = "") -> None:
        """Log why nothing can be told, once for each reason."""
        if sentence != self._last_sentence:
            self._on_event("waiting", sentence=sentence, remedy="It is tried again by itself.", detail=detail)
        self._last_sentence = sentence

    def _log_event(self, event: str, /, **facts: object) -> None:
        getattr(self._log, _EVENT_LEVELS.get(event, "info"))(event, **facts)


def is_telling(folder: Path) -> bool:
    """Return whether a `goldsmith notify` tells for the root whose journal is in ``folder``."""
    try:
        fd = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _take_lock(path: Path) -> int:
    """Return the descriptor of the locked file. Raises AlreadyRunningError if another process has it, and UsageError."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise UsageError(f"{path} cannot be opened: {error.strerror}.", "Run this as the service's user.") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise AlreadyRunningError(
            "Another `goldsmith notify` tells for this root, or its last message is still on its way.", "Try again in two minutes."
        ) from None
    return fd


def _file_stamp(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when the file is written; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
