"""A broken journal is told apart from a disk that fails, and is set aside with its companions."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.broken_journal import break_open_journal
from goldsmith.errors import HostError, UsageError
from goldsmith.journal import damage
from goldsmith.journal.damage import broken_journals, set_aside
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import HistoryRow
from goldsmith.journal.sqlite_errors import JournalBroken, JournalError, translate_errors

NOON = 1_790_000_000.0
DAY = "2026-09-21"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a closed journal with some hundred records."""
    path = tmp_path / "journal.sqlite"
    journal = Journal.open(path)
    with journal.batch():
        for number in range(300):
            journal.record_hold(f"inbox/{number}.png", "f", "It is broken. " * 20, "", "", 1.0)
    journal.close()
    return path


def _problem(number: int) -> HistoryRow:
    return HistoryRow(
        job_id=str(number),
        path=f"inbox/{number}.png",
        sha256="aa",
        started_at=1.0,
        stage="edit",
        outcome="problem",
        record={"sentence": "It is broken. " * 100},
    )


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def _keep_log_open(path: Path) -> None:
    """Leave a write-ahead log beside the journal, like a daemon that was killed."""
    journal = Journal.open(path)
    journal.record_hold("inbox/last.png", "f", "It is broken.", "", "", 1.0)
    copies = [(Path(f"{path}{ending}"), path.with_name(f"copy{ending}")) for ending in ("", "-wal")]
    for source, copy in copies:
        shutil.copyfile(source, copy)
    journal.close()
    for source, copy in copies:
        copy.replace(source)


def _break_log(path: Path, data: bytes) -> None:
    _keep_log_open(path)
    _overwrite(Path(f"{path}-wal"), 0, data)


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _drop_table(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TABLE placed_file")
    db.close()


BREAKS: dict[str, Callable[[Path], object]] = {
    "cut in half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut in its first page": lambda path: os.truncate(path, 1000),
    "empty": lambda path: os.truncate(path, 0),
    "a header of zeros": lambda path: _overwrite(path, 0, bytes(100)),
    "pages of noise": lambda path: _overwrite(path, 4096, b"\x5a" * (path.stat().st_size - 4096)),
    "an unknown format of the file": lambda path: _overwrite(path, 18, b"\x09\x09"),
    "an unknown format of the tables": lambda path: _overwrite(path, 44, b"\x00\x00\x00\x63"),
    "no database": lambda path: path.write_bytes(b"this is no database" * 100),
    "a folder": _make_folder,
    "a table is missing": _drop_table,
    "a log of noise": lambda path: _break_log(path, b"\x5a" * 40_000),
    "a log whose header is lost": lambda path: _break_log(path, bytes(32)),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_every_kind_of_damage_is_recognised_at_the_start(path: Path, name: str) -> None:
    """Each is JournalBroken, with the file and a remedy. Set aside, it makes room for a new journal, and nothing of it is lost."""
    BREAKS[name](path)
    sizes = sorted(os.path.getsize(path.with_name(each)) for each in os.listdir(path.parent) if path.is_file())
    with pytest.raises(JournalBroken, match=r"journal\.sqlite is broken: ") as refusal:
        Journal.open(path)
    assert "The pictures are safe in the folders" in refusal.value.remedy
    kept = set_aside(path, NOON)
    assert kept.name == f"journal.sqlite.broken-{DAY}"
    assert not sizes or sorted(os.path.getsize(path.with_name(each)) for each in os.listdir(path.parent)) == sizes
    journal = Journal.open(path)
    assert journal.is_new
    assert journal.all_holds() == []
    journal.close()
    assert broken_journals(path) == [kept]


@pytest.mark.parametrize("name", [name for name in BREAKS if not name.startswith("a log")])
def test_a_reader_says_what_is_broken(path: Path, name: str) -> None:
    """It changes nothing."""
    BREAKS[name](path)
    with pytest.raises(JournalBroken, match=r"journal\.sqlite is broken: "):
        Journal.open(path, read_only=True)
    assert broken_journals(path) == []


def test_a_log_that_was_written_to_its_end_is_used(path: Path) -> None:
    """A kill leaves a log with records. They are read, and so is a journal beside a log of zeros, which a power loss can leave."""
    _keep_log_open(path)
    journal = Journal.open(path)
    assert len(journal.all_holds()) == 301
    journal.close()
    Path(f"{path}-wal").write_bytes(bytes(40_000))
    journal = Journal.open(path)
    assert len(journal.all_holds()) == 301
    journal.close()


def test_the_log_and_its_index_go_with_the_journal(path: Path) -> None:
    """A second broken journal of a day gets a number, and a new journal never finds the log of an old one."""
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").write_bytes(b"of the first")
    first = set_aside(path, NOON)
    assert Path(f"{first}-wal").read_bytes() == Path(f"{first}-shm").read_bytes() == b"of the first"
    path.write_bytes(b"")
    second = set_aside(path, NOON)
    assert second.name == f"journal.sqlite.broken-{DAY}.2"
    assert broken_journals(path) == [first, second]
    assert {each.name for each in path.parent.iterdir()} == {first.name, f"{first.name}-wal", f"{first.name}-shm", second.name}


MACHINE_FAULTS = {
    sqlite3.SQLITE_FULL: "Free some space",
    sqlite3.SQLITE_IOERR: "Check its disk",
    sqlite3.SQLITE_IOERR | 10 << 8: "Check its disk",
    sqlite3.SQLITE_CANTOPEN: "its folder is there",
    sqlite3.SQLITE_READONLY: "Mount its disk for writing",
    sqlite3.SQLITE_PERM: "Let Goldsmith's user",
    sqlite3.SQLITE_BUSY: "Another program holds it",
    sqlite3.SQLITE_LOCKED: "Another program holds it",
}


@pytest.mark.parametrize("code", list(MACHINE_FAULTS))
def test_a_fault_of_the_machine_is_no_damage(path: Path, code: int) -> None:
    """The code decides, whatever the text says: a text that speaks of damage changes nothing, and each kind has its own remedy."""
    error = sqlite3.OperationalError("database disk image is malformed")
    error.sqlite_errorcode = code
    with pytest.raises(JournalError) as refusal, translate_errors(path):
        raise error
    assert not isinstance(refusal.value, JournalBroken)
    assert MACHINE_FAULTS[code] in refusal.value.remedy


@pytest.mark.parametrize("code", [sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT | 1 << 8])
def test_damage_has_its_codes(path: Path, code: int) -> None:
    """The text may be anything."""
    error = sqlite3.DatabaseError("something else")
    error.sqlite_errorcode = code
    with pytest.raises(JournalBroken), translate_errors(path):
        raise error


def test_a_journal_that_another_program_locks_is_not_set_aside(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup that locks the file is a fault of the machine, and passes."""
    monkeypatch.setattr(sqlite3, "connect", lambda *words, connect=sqlite3.connect, **options: connect(*words, **{**options, "timeout": 0}))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalError, match="locked") as refusal:
        Journal.open(path)
    assert not isinstance(refusal.value, JournalBroken)
    other.close()
    Journal.open(path).close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_journal_that_cannot_be_looked_at_is_not_set_aside(path: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the system's reason."""

    def refuse(*_: object) -> os.stat_result:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(damage.os, "stat", refuse)
    with pytest.raises(JournalError, match=os.strerror(number)) as refusal:
        Journal.open(path)
    assert not isinstance(refusal.value, JournalBroken)


def test_a_full_disk_at_the_first_start_leaves_no_empty_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite makes the file before it writes to it. An empty file would count as broken at the next try."""
    path = tmp_path / "journal.sqlite"

    class FullDisk(sqlite3.Connection):
        """A connection whose tables do not fit on the disk."""

        def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
            """Run a statement that only reads."""
            if sql.startswith("BEGIN"):
                error = sqlite3.OperationalError("database or disk is full")
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
                raise error
            return super().execute(sql, parameters)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *words, connect=sqlite3.connect, **options: connect(*words, **options, factory=FullDisk))
        with pytest.raises(JournalError, match="full"):
            Journal.open(path)
    assert list(tmp_path.iterdir()) == []
    Journal.open(path).close()


def test_a_broken_journal_that_cannot_be_moved_is_a_fault_of_the_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon waits, and tries again."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(damage.os, "rename", refuse)
    with pytest.raises(JournalError, match="cannot be moved aside: Permission denied"):
        set_aside(path, NOON)


def test_a_journal_of_a_newer_version_is_not_set_aside(path: Path) -> None:
    """It is sound: the newer version can go on with it."""
    db = sqlite3.connect(path)
    with db:
        db.execute("INSERT INTO migration VALUES ('from the future', 0)")
    db.close()
    with pytest.raises(UsageError, match="newer Goldsmith"):
        Journal.open(path)


def test_damage_while_it_is_open_is_remembered_until_it_is_replaced(path: Path) -> None:
    """After the replacement the same object writes to a new journal; the broken one is beside it."""
    journal = Journal.open(path)
    break_open_journal(path)
    with pytest.raises(JournalBroken):
        journal.all_holds()
    assert journal.damage is not None
    kept = journal.replace_broken(NOON)
    assert (journal.damage, journal.is_new, kept.exists()) == (None, True, True)
    journal.record_hold("inbox/a.png", "f", "It is broken.", "", "", 1.0)
    assert len(journal.all_holds()) == 1
    journal.close()


def _refuse_to_open(path: Path) -> sqlite3.Connection:
    raise JournalError("The disk is full.")


def test_a_replacement_that_fails_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then every call says that there is no journal, as a fault of the machine."""
    journal = Journal.open(path)
    with monkeypatch.context() as patched:
        patched.setattr(damage.os, "rename", lambda *_: os.unlink("/nonexistent/file/of/nobody/else"))
        patched.setattr(
            "goldsmith.journal.journal._open_for_writing", lambda path: (_ for _ in ()).throw(JournalError("The disk is full."))
        )
        with pytest.raises(JournalError, match="The disk is full"):
            journal.replace_broken(NOON)
        with pytest.raises(HostError, match="there is no new one yet"):
            journal.open_plans()
    journal.replace_broken(NOON)
    assert journal.open_plans() == []
    journal.close()


def test_a_record_that_is_no_record_is_damage(path: Path) -> None:
    """SQLite has no checksums: a damaged page can give a text that is no JSON."""
    db = sqlite3.connect(path)
    with db:
        db.execute("INSERT INTO history VALUES (1, 'j', x'61', 'aa', 1, 1, 's', 'passed', '[', '', '{}', x'61')")
        db.execute("INSERT INTO plan VALUES (1, 'p', 'no json')")
    db.close()
    journal = Journal.open(path)
    with pytest.raises(JournalBroken, match="one of its records cannot be read"):
        journal.last_rows(1)
    with pytest.raises(JournalBroken):
        journal.open_plans()
    journal.close()


def test_the_search_for_damage_ends_in_time(path: Path) -> None:
    """It says when it had no time, finds nothing in a sound journal, and finds a damaged page of a table that no start reads."""
    journal = Journal.open(path)
    for number in range(50):
        journal.record_problem(_problem(number))
    assert journal.find_damage(600.0) == ("", True)
    assert journal.find_damage(0.0) == ("", False)
    journal.close()
    size = path.stat().st_size
    _overwrite(path, size - 4096, b"\x5a" * 4096)
    journal = Journal.open(path)
    first_damage, is_whole = journal.find_damage(600.0)
    assert first_damage
    assert is_whole
    journal.close()
