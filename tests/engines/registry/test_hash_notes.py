"""Notes of hashes are believed only for the state of a file that was read, and only from a place that nobody else can write."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from doubles.weights import change_in_place
from goldsmith.engines.open_weights import make_stamp
from goldsmith.engines.registry import hash_notes
from goldsmith.engines.registry.hash_notes import HandedOutFiles, HashNotes

RIGHT, WRONG = b"the right weights", b"the wrong weights"
SHA = hashlib.sha256(RIGHT).hexdigest()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return the path of a file of weights."""
    path = tmp_path / "net.onnx"
    path.write_bytes(RIGHT)
    return path


@pytest.fixture
def stored(tmp_path: Path, weights: Path) -> Path:
    """Return a file with the note of the weights."""
    file = tmp_path / "state" / "weights.json"
    notes = HashNotes(file)
    notes.read(weights)
    notes.save()
    return file


def test_a_note_is_found_in_the_file(stored: Path, weights: Path) -> None:
    """Check the note and the modes: the folder is private, and the file is readable, so that root can note what the service reads."""
    note = HashNotes(stored).find(weights)
    assert note is not None
    assert (note.sha256, note.stamp.size) == (SHA, len(RIGHT))
    assert (stored.parent.stat().st_mode & 0o777, stored.stat().st_mode & 0o777) == (0o700, 0o644)
    assert os.listdir(stored.parent) == ["weights.json"]


def test_a_flipped_byte_with_the_old_time_is_noticed(stored: Path, weights: Path) -> None:
    """Check the same inode, size and modification time."""
    change_in_place(weights, WRONG)
    assert HashNotes(stored).find(weights) is None
    assert HashNotes(stored).read(weights).sha256 == hashlib.sha256(WRONG).hexdigest()


def test_another_file_in_its_place_is_noticed(stored: Path, weights: Path) -> None:
    """Check a copy with the same content, size and times."""
    before = weights.stat()
    copy = weights.with_name("copy")
    copy.write_bytes(WRONG)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
    copy.replace(weights)
    assert HashNotes(stored).find(weights) is None


def test_a_file_that_changes_while_it_is_read_is_not_noted(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a change between the last byte and the stamp."""
    digest = hashlib.file_digest

    def digest_and_change(source: object, name: str) -> object:
        result = digest(source, name)  # type: ignore[arg-type]
        change_in_place(weights, WRONG)
        return result

    monkeypatch.setattr(hash_notes.hashlib, "file_digest", digest_and_change)
    notes = HashNotes()
    with pytest.raises(OSError, match="it changes while it is read"):
        notes.read(weights)
    assert notes.last(weights) is None


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_notes_that_others_can_write_are_not_believed(stored: Path, mode: int) -> None:
    """Check a file that its group or everybody can write."""
    assert HashNotes(stored).stored()
    stored.chmod(mode)
    assert HashNotes(stored).stored() == {}


def test_a_link_to_notes_is_not_followed(stored: Path, tmp_path: Path) -> None:
    """Check a link in the place of the file."""
    stored.rename(tmp_path / "elsewhere.json")
    stored.symlink_to(tmp_path / "elsewhere.json")
    assert HashNotes(stored).stored() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: the file belongs to another user")
def test_notes_of_another_user_are_not_believed(stored: Path) -> None:
    """Check a file of another user in root's folder, and the same file where the folder is that user's too."""
    os.chown(stored, 5002, 5002)
    assert HashNotes(stored).stored() == {}
    os.chown(stored.parent, 5002, 5002)
    assert HashNotes(stored).stored()


@pytest.mark.parametrize("content", [b"{\xff", b"[]", b'{"a": ["00"]}', b'{"a": 1}'])
def test_invalid_notes_are_ignored(stored: Path, weights: Path, content: bytes) -> None:
    """Check that the file itself is read, and that the notes are replaced."""
    stored.write_bytes(content)
    notes = HashNotes(stored)
    assert notes.read(weights).sha256 == SHA
    notes.save()
    assert list(HashNotes(stored).stored()) == [str(weights)]


def test_notes_of_files_that_are_gone_are_dropped(stored: Path, weights: Path) -> None:
    """Check the file of notes after another file was noted; the notes of another process in the meantime stay."""
    other = weights.with_name("other.onnx")
    other.write_bytes(RIGHT)
    notes = HashNotes(stored)
    notes.read(other)
    weights.unlink()
    notes.save()
    assert list(json.loads(stored.read_bytes())) == [str(other)]


def test_notes_without_a_file_end_with_the_process(weights: Path, tmp_path: Path) -> None:
    """Check the notes of a worker process: those that it was given, and its own, which nobody else reads."""
    notes = HashNotes(known=HashNotes().stored())
    assert notes.read(weights) == notes.find(weights)
    notes.save()
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_a_state_folder_that_cannot_be_written_is_no_fault(weights: Path, tmp_path: Path) -> None:
    """Check a file in the place of the folder."""
    (tmp_path / "state").write_bytes(b"")
    notes = HashNotes(tmp_path / "state" / "weights.json")
    notes.read(weights)
    notes.save()
    assert notes.find(weights)


def _hand_out(files: HandedOutFiles, path: Path) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        return files.hand_out(path, fd)
    finally:
        os.close(fd)


def test_a_file_that_is_handed_out_is_read_once_for_each_state(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gigabytes are not read for each step. A changed file is read again, also with its old size and time."""
    reads: list[object] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hash_notes.hashlib, "file_digest", lambda source, name: reads.append(source) or digest(source, name))
    files = HandedOutFiles()
    assert [_hand_out(files, weights) for _ in range(3)] == [SHA] * 3
    assert files.note(weights).sha256 == SHA
    assert len(reads) == 1
    change_in_place(weights, WRONG)
    assert _hand_out(files, weights) == hashlib.sha256(WRONG).hexdigest()
    assert len(reads) == 2


def test_what_was_handed_out_stays_the_state_that_is_loaded(weights: Path) -> None:
    """If the file changes after it was handed out, the note is still that of the handed-out state: the load is then refused."""
    files = HandedOutFiles()
    _hand_out(files, weights)
    weights.write_bytes(WRONG)
    assert files.note(weights).sha256 == SHA
    assert files.note(weights).stamp != make_stamp(weights.stat())
    other = weights.with_name("other.onnx")
    other.write_bytes(RIGHT)
    assert files.note(other).sha256 == SHA
    other.write_bytes(WRONG)
    assert files.note(other).sha256 == hashlib.sha256(WRONG).hexdigest(), "it was never handed out"
