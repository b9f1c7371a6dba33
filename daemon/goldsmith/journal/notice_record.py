"""The record of notices: what was found to tell, and on which channel each notice was told.

It is a file of its own beside the journal, because the journal has one writer, the daemon, and this file has another one,
``goldsmith notify``. An address of a channel is not in it: a channel has the key that its caller gives it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from goldsmith.errors import UsageError
from goldsmith.journal.sqlite_errors import read_record, translate_errors

# The name of the file, in the folder of the journal.
NOTICE_RECORD_FILE = "notices.sqlite"
_TABLES = """
    CREATE TABLE IF NOT EXISTS notice (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL, is_open INTEGER NOT NULL, kind TEXT NOT NULL, campaign BLOB NOT NULL,
        path BLOB NOT NULL, sentence TEXT NOT NULL, made_at REAL NOT NULL
    );
    CREATE UNIQUE INDEX IF NOT EXISTS notice_key ON notice (key) WHERE is_open;
    CREATE TABLE IF NOT EXISTS telling (
        channel TEXT, number INTEGER, state TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (channel, number)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS telling_due ON telling (channel, number) WHERE state = 'due';
    CREATE TABLE IF NOT EXISTS channel (
        key TEXT PRIMARY KEY, title TEXT NOT NULL, told_at REAL NOT NULL, failed_at REAL NOT NULL, failure TEXT NOT NULL,
        failures INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS delivery (
        campaign BLOB PRIMARY KEY, pictures INTEGER NOT NULL, last_at REAL NOT NULL, path BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS sending (id TEXT PRIMARY KEY, channel TEXT NOT NULL, numbers TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID
"""
_NOTICE_COLUMNS = "number, key, kind, campaign, path, sentence, made_at"


class Notice(NamedTuple):
    """One thing to tell people. ``number`` is 0 before it is recorded."""

    number: int
    # What makes it one thing: a second notice with the key of an open one is none.
    key: str
    # A kind of ``brief.settings.NoticeKind``, or "machine over": what stopped the machine has ended.
    kind: str
    # "" = in no campaign.
    campaign: str
    # The picture that it is about, relative to the root; "" = none.
    path: str
    sentence: str
    # Unix seconds.
    made_at: float


class ChannelState(NamedTuple):
    """How the last messages on a channel went. Times are Unix seconds; 0 = never."""

    key: str
    # What the channel is called in messages: never its address.
    title: str
    told_at: float = 0.0
    failed_at: float = 0.0
    # Why the last message was not taken, as a sentence; "" if it was.
    failure: str = ""
    # How many messages in a row were not taken.
    failures: int = 0


class CampaignDelivery(NamedTuple):
    """The deliveries of a campaign of which nobody was told yet."""

    campaign: str
    pictures: int
    # Unix seconds of the last one.
    last_at: float
    # One of the files of the last one; "" if it has no picture.
    path: str = ""


class Reading(NamedTuple):
    """What one look at the journal has found."""

    notices: Sequence[Notice]
    # Keys of notices that are over, such as a problem that was solved: the same may be told again when it happens again.
    closed: Collection[str]
    # What was delivered since the last look, a campaign each.
    delivered: Sequence[CampaignDelivery]
    # Campaigns that are done: their count begins anew.
    done: Collection[str]
    # Where the next look begins: which journal, and the number of the last row that was read.
    journal_began_at: float
    last_seq: int


class NoticeRecord:
    """The record of one root. One program writes it; others may read it. Every method raises HostError if the disk fails."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._db = connection
        self.path = path

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> NoticeRecord:
        """Open the record, and make it unless it is only read. Raises UsageError if there is none to read, and HostError."""
        if read_only and not path.exists():
            raise UsageError("Nobody was told anything yet.", "Start `goldsmith notify` on this root.")
        mode = "ro" if read_only else "rwc"
        with translate_errors(path):
            db = sqlite3.connect(f"file:{quote(os.fsencode(path))}?mode={mode}", uri=True, isolation_level=None, timeout=5.0)
            try:
                if not read_only:
                    db.execute("PRAGMA journal_mode = WAL")
                    db.execute("PRAGMA synchronous = FULL")
                    db.executescript(_TABLES)
            except BaseException:
                db.close()
                raise
        return cls(db, path)

    def close(self) -> None:
        self._db.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with translate_errors(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    # ------------------------------------------------------------------ what was found

    @property
    def position(self) -> tuple[float, int] | None:
        """Which journal was read last, by the time at which it began, and up to which row; None before the first look."""
        with translate_errors(self.path):
            row = self._db.execute("SELECT value FROM mark WHERE name = 'position'").fetchone()
            return None if row is None else read_record(_to_position, row)

    def add(self, reading: Reading, channels_of: Mapping[str, Collection[str]]) -> None:
        """Record what a look has found, in one transaction. ``channels_of``: by the key of a notice, the channels that tell of it."""
        with self._transaction() as db:
            db.executemany("UPDATE notice SET is_open = 0 WHERE key = ? AND is_open", [(key,) for key in reading.closed])
            for notice in reading.notices:
                values = (notice.key, notice.kind, os.fsencode(notice.campaign), os.fsencode(notice.path), notice.sentence, notice.made_at)
                cursor = db.execute(
                    "INSERT OR IGNORE INTO notice (key, is_open, kind, campaign, path, sentence, made_at) VALUES (?, 1, ?, ?, ?, ?, ?)",
                    values,
                )
                if cursor.rowcount:
                    tellings = [(channel, cursor.lastrowid, notice.made_at) for channel in channels_of.get(notice.key, ())]
                    db.executemany("INSERT INTO telling VALUES (?, ?, 'due', ?)", tellings)
            db.executemany(
                "INSERT INTO delivery VALUES (?, ?, ?, ?) ON CONFLICT (campaign) "
                "DO UPDATE SET pictures = pictures + excluded.pictures, last_at = excluded.last_at, path = excluded.path",
                [(os.fsencode(each.campaign), each.pictures, each.last_at, os.fsencode(each.path)) for each in reading.delivered],
            )
            db.executemany("DELETE FROM delivery WHERE campaign = ?", [(os.fsencode(campaign),) for campaign in reading.done])
            position = json.dumps([reading.journal_began_at, reading.last_seq])
            db.execute("INSERT OR REPLACE INTO mark VALUES ('position', ?)", (position,))

    def open_keys(self, kind: str) -> set[str]:
        """Return the keys of the notices of a kind that are not over."""
        with translate_errors(self.path):
            return {str(key) for (key,) in self._db.execute("SELECT key FROM notice WHERE kind = ? AND is_open", (kind,))}

    def deliveries(self) -> list[CampaignDelivery]:
        """Return the campaigns with deliveries of which nobody was told yet."""
        with translate_errors(self.path):
            rows = self._db.execute("SELECT campaign, pictures, last_at, path FROM delivery ORDER BY campaign")
            return [CampaignDelivery(os.fsdecode(row[0]), row[1], row[2], os.fsdecode(row[3])) for row in rows]

    # ------------------------------------------------------------------ who was told

    def due(self, channel: str, limit: int) -> tuple[list[Notice], int]:
        """Return the first ``limit`` notices that wait to be told on a channel, the oldest first, and how many wait in all."""
        condition = "WHERE telling.channel = ? AND telling.state = 'due'"
        with translate_errors(self.path):
            count = self._db.execute(f"SELECT COUNT(*) FROM telling {condition}", (channel,)).fetchone()[0]  # noqa: S608 - constants
            query = f"SELECT {_NOTICE_COLUMNS} FROM telling JOIN notice USING (number) {condition} ORDER BY number LIMIT ?"  # noqa: S608
            return [read_record(_to_notice, row) for row in self._db.execute(query, (channel, limit))], int(count)

    def is_open(self, number: int) -> bool:
        """Return whether what a notice tells of is not over."""
        with translate_errors(self.path):
            row = self._db.execute("SELECT is_open FROM notice WHERE number = ?", (number,)).fetchone()
            return bool(row and row[0])

    def sentence(self, key: str) -> str:
        """Return the sentence of the open notice with this key; "" if there is none."""
        with translate_errors(self.path):
            row = self._db.execute("SELECT sentence FROM notice WHERE key = ? AND is_open", (key,)).fetchone()
            return str(row[0]) if row else ""

    def was_told(self, key: str) -> bool:
        """Return whether the open notice with this key was told on any channel."""
        query = "SELECT 1 FROM notice JOIN telling USING (number) WHERE key = ? AND is_open AND state = 'told' LIMIT 1"
        with translate_errors(self.path):
            return self._db.execute(query, (key,)).fetchone() is not None

    def begin_sending(self, message_id: str, channel: str, numbers: Collection[int]) -> None:
        """Record that a message with these notices is on its way."""
        with self._transaction() as db:
            db.execute("INSERT INTO sending VALUES (?, ?, ?)", (message_id, channel, json.dumps([*numbers])))

    def interrupted_sending(self) -> tuple[str, str, list[int]] | None:
        """Return the id, the channel and the notices of a message that was on its way when this program was killed, or None."""
        with translate_errors(self.path):
            row = self._db.execute("SELECT id, channel, numbers FROM sending LIMIT 1").fetchone()
            return None if row is None else read_record(_to_sending, row)

    def forget_sending(self) -> None:
        """Remove the record of a message of which nobody knows what became of it: its notices are told again."""
        with self._transaction() as db:
            db.execute("DELETE FROM sending")

    def record_told(self, channel: ChannelState, numbers: Collection[int], now: float) -> None:
        """Record that a message with these notices was taken. ``now`` is in Unix seconds."""
        self._settle(channel._replace(told_at=now, failure="", failures=0), numbers, "told", now)

    def record_over(self, channel: ChannelState, numbers: Collection[int], now: float) -> None:
        """Record that these notices need not be told any more, because somebody was quicker."""
        self._settle(channel, numbers, "over", now)

    def record_given_up(self, channel: ChannelState, numbers: Collection[int], now: float) -> None:
        """Record that these notices are not told on this channel, which has not taken them for too long."""
        self._settle(channel, numbers, "given up", now)

    def record_failure(self, channel: ChannelState, failure: str, now: float) -> ChannelState:
        """Record that a message was not taken, and return the new state of the channel. The notices wait."""
        state = channel._replace(failed_at=now, failure=failure, failures=channel.failures + 1)
        self._settle(state, (), "due", now)
        return state

    def _settle(self, channel: ChannelState, numbers: Collection[int], state: str, now: float) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM sending")
            db.execute("INSERT OR REPLACE INTO channel VALUES (?, ?, ?, ?, ?, ?)", channel)
            changes = [(state, now, channel.key, number) for number in numbers]
            db.executemany("UPDATE telling SET state = ?, at = ? WHERE channel = ? AND number = ?", changes)

    def channel_states(self) -> dict[str, ChannelState]:
        """Return the state of each channel that was ever used, by its key."""
        with translate_errors(self.path):
            rows = self._db.execute("SELECT key, title, told_at, failed_at, failure, failures FROM channel")
            return {row[0]: ChannelState(*row) for row in rows}

    def forget(self, made_before: float, channels: Collection[str]) -> None:
        """Remove old notices that are over or told everywhere, and what waits for channels that are gone. ``made_before``: Unix seconds."""
        marks = ", ".join("?" * len(channels))
        with self._transaction() as db:
            db.execute(f"DELETE FROM telling WHERE state = 'due' AND channel NOT IN ({marks})", tuple(channels))  # noqa: S608 - marks only
            db.execute(f"DELETE FROM channel WHERE key NOT IN ({marks})", tuple(channels))  # noqa: S608 - marks only
            old = "SELECT number FROM notice WHERE made_at < ? AND (NOT is_open OR kind NOT IN ('problem', 'machine'))"
            waits = "SELECT number FROM telling WHERE state = 'due'"
            db.execute(f"DELETE FROM telling WHERE number IN ({old}) AND number NOT IN ({waits})", (made_before,))  # noqa: S608 - constants
            db.execute(f"DELETE FROM notice WHERE number IN ({old}) AND number NOT IN ({waits})", (made_before,))  # noqa: S608 - constants


def _to_position(row: tuple[Any, ...]) -> tuple[float, int]:
    began_at, seq = json.loads(row[0])
    return float(began_at), int(seq)


def _to_sending(row: tuple[Any, ...]) -> tuple[str, str, list[int]]:
    return str(row[0]), str(row[1]), [int(number) for number in json.loads(row[2])]


def _to_notice(row: tuple[Any, ...]) -> Notice:
    notice = Notice(*row)
    return notice._replace(campaign=os.fsdecode(notice.campaign), path=os.fsdecode(notice.path))
