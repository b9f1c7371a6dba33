"""The journal is on a local disk, outside the share, in one folder for each root."""

from __future__ import annotations

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
