"""The journal is on a local disk, outside the share, in one folder for each root."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from doubles.pretended_mounts import pretend
from goldsmith.errors import HostError, UsageError
from goldsmith.journal import location


def test_each_root_has_its_own_folder(tmp_path: Path) -> None:
    """Check that the folder's name is readable and differs for roots of the same name; a link to a root is that root."""
    first, second = tmp_path / "a" / "Hot Folders", tmp_path / "b" / "Hot Folders"
    first.mkdir(parents=True)
    second.mkdir(parents=True)
    (tmp_path / "link").symlink_to(first)
    assert location.root_key(first).startswith("Hot-Folders-")
    assert location.root_key(first) != location.root_key(second)
    assert location.root_key(tmp_path / "link") == location.root_key(first)


def test_the_state_directory_follows_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the order: the argument, systemd's variable, XDG's variable, the home folder."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert location.default_state_dir() == tmp_path / ".local" / "state" / "goldsmith"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert location.default_state_dir() == tmp_path / "xdg" / "goldsmith"
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/sd:/other")
    assert location.default_state_dir() == tmp_path / "sd"
    assert location.journal_path(tmp_path, tmp_path / "given").parent.parent == tmp_path / "given"


def test_only_the_owner_may_open_the_folder(tmp_path: Path) -> None:
    """Check the mode: the journal holds the names of all pictures."""
    path = location.prepare_journal_folder(tmp_path / "root", tmp_path / "state")
    assert path.name == "journal.sqlite"
    assert path.parent.stat().st_mode & 0o77 == 0


def test_a_journal_inside_the_share_is_refused(tmp_path: Path) -> None:
    """Refuse a state directory in the root, where the daemon would watch its own journal."""
    with pytest.raises(UsageError, match="inside the watched folders"):
        location.prepare_journal_folder(tmp_path, tmp_path / "state")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "virtiofs", "ceph", "fuse.sshfs", "fuse.rclone", "fuse", "fuse.new"])
def test_a_network_filesystem_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the error names the reason, and that no folder is created. An unknown FUSE program may be a network."""
    pretend(monkeypatch, tmp_path, kind)
    with pytest.raises(UsageError, match=rf"{kind}\), and SQLite's write-ahead log needs memory that all its users share"):
        location.prepare_journal_folder(tmp_path / "root", tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_folder_that_cannot_be_created_is_a_host_error(tmp_path: Path) -> None:
    """Put a file at the path of the folder."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(HostError, match="cannot be created"):
        location.prepare_journal_folder(tmp_path / "root", tmp_path / "state")


# ---------------------------------------------------------------------- a root that was moved or copied


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return an empty state directory."""
    return tmp_path / "state"


def _new_root(path: Path) -> Path:
    (path / ".goldsmith").mkdir(parents=True)
    return path


def _start(root: Path, state: Path) -> tuple[Path, str]:
    """Do what the daemon does at its start; return the journal's path, and what it says."""
    path = location.prepare_journal_folder(root, state)
    sentence = location.register_root(root, path.parent)
    if not path.exists():
        path.write_bytes(b"the journal of " + os.fsencode(root.name))
    return path, sentence


def test_a_root_gets_an_id_at_its_first_start(tmp_path: Path, state: Path) -> None:
    """The id is in the service's own folder, for the service's user alone, and stays; the first start has nothing to say."""
    root = _new_root(tmp_path / "hot")
    path, sentence = _start(root, state)
    root_id = (root / ".goldsmith/id").read_text()
    assert (sentence, len(root_id.strip())) == ("", 32)
    assert (root / ".goldsmith/id").stat().st_mode & 0o077 & ~(root / ".goldsmith").stat().st_mode == 0
    assert _start(root, state) == (path, "")
    assert (root / ".goldsmith/id").read_text() == root_id


def test_the_journal_of_a_moved_root_is_found_and_said(tmp_path: Path, state: Path) -> None:
    """Readers find it at once, also before the next start; the start says where the root was, once."""
    root = _new_root(tmp_path / "hot")
    path, _ = _start(root, state)
    (tmp_path / "other disk").mkdir()
    moved = root.rename(tmp_path / "other disk" / "hot folders")
    assert location.journal_path(moved, state) == path
    again, sentence = _start(moved, state)
    assert again == path
    assert sentence == f"{moved} was at {root} before: its journal was found by the root's id and goes on in {path.parent}."
    assert _start(moved, state) == (path, "")
    assert path.read_bytes() == b"the journal of hot"


def test_the_copy_of_a_root_gets_a_journal_of_its_own(tmp_path: Path, state: Path) -> None:
    """The original is still there and keeps its own; the copy is said once, and each keeps its journal, also after another move."""
    root = _new_root(tmp_path / "hot")
    path, _ = _start(root, state)
    shutil.copytree(root, tmp_path / "copy")
    assert location.journal_path(tmp_path / "copy", state) != path
    other, sentence = _start(tmp_path / "copy", state)
    assert other != path
    assert sentence == f"{tmp_path / 'copy'} is a copy of {root}, which is still there: it gets an id and a journal of its own."
    assert (root / ".goldsmith/id").read_text() != (tmp_path / "copy/.goldsmith/id").read_text()
    assert (_start(root, state), _start(tmp_path / "copy", state)) == ((path, ""), (other, ""))
    moved = root.rename(tmp_path / "moved")
    assert _start(moved, state)[0] == path


def test_another_root_at_the_path_of_a_moved_one_gets_a_journal_of_its_own(tmp_path: Path, state: Path) -> None:
    """Two disks were exchanged: each root keeps its journal, whatever its path."""
    first, second = _new_root(tmp_path / "a" / "hot"), _new_root(tmp_path / "b" / "hot")
    paths = _start(first, state)[0], _start(second, state)[0]
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    assert (_start(first, state)[0], _start(second, state)[0]) == (paths[1], paths[0])
    new = _new_root(tmp_path / "new")
    _start(new, state)
    shutil.rmtree(first)
    new_path = location.journal_path(new, state)
    new.rename(first)
    assert location.journal_path(first, state) == new_path


def test_a_root_whose_journal_is_gone_is_said(tmp_path: Path, state: Path) -> None:
    """It has an id, so it has been worked on: another state directory, or a lost one, is no silent new start."""
    root = _new_root(tmp_path / "hot")
    _start(root, state)
    path, sentence = _start(root, tmp_path / "other state")
    assert "has been worked on before, but there is no journal of it" in sentence
    assert str(tmp_path / "other state") in sentence
    assert _start(root, tmp_path / "other state") == (path, "")


def test_a_root_that_lost_its_own_folder_keeps_its_journal(tmp_path: Path, state: Path) -> None:
    """Somebody removed .goldsmith: at the same path the root gets its old id back."""
    root = _new_root(tmp_path / "hot")
    path, _ = _start(root, state)
    root_id = (root / ".goldsmith/id").read_text()
    shutil.rmtree(root / ".goldsmith")
    _new_root(root)
    assert _start(root, state) == (path, "")
    assert (root / ".goldsmith/id").read_text() == root_id


def test_the_same_root_by_another_path_is_no_copy(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bind mount shows one root at two paths: it has one journal. (The test stands in for the mount with the same inode.)"""
    root = _new_root(tmp_path / "hot")
    path, _ = _start(root, state)
    other = _new_root(tmp_path / "bound")
    os.link(root / ".goldsmith/id", other / ".goldsmith/id")
    assert location.journal_path(other, state) == path


@pytest.mark.parametrize("content", [b"", b"../../etc/passwd", b"x" * 50, b"0" * 200, b"\xff\xfe"])
def test_an_id_that_is_none_is_not_used(tmp_path: Path, state: Path, content: bytes) -> None:
    """The journal is found by the path, and the root gets a new id."""
    root = _new_root(tmp_path / "hot")
    (root / ".goldsmith/id").write_bytes(content)
    path, _ = _start(root, state)
    assert path.parent.name == location.root_key(root)
    assert len((root / ".goldsmith/id").read_text().strip()) == 32


def test_a_disk_that_refuses_the_id_is_a_host_error(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start waits, and tries again."""
    root = _new_root(tmp_path / "hot")
    path = location.prepare_journal_folder(root, state)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(location, "write_atomically_in", refuse)
    with pytest.raises(HostError, match=r"The id of .*hot cannot be written: No space left on device"):
        location.register_root(root, path.parent)
