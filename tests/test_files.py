"""Files: put down whole or not at all, never over another, never through a link, and like the folder they lie in."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from functools import partial
from pathlib import Path

import pytest

from doubles.disk import Disk, Script
from goldsmith.errors import InputError
from goldsmith.files import (
    FileSignature,
    Filesystem,
    PathAt,
    filesystem_type,
    fold_name,
    has_writer,
    inherit_folder_permissions,
    is_ignored_file,
    is_ignored_folder,
    is_network_filesystem,
    open_input,
    resource_path,
    write_atomically,
)

KINDS = {"flag": {}, "links": {"flags": False}, "neither": {"flags": False, "links": False}}


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest) -> Disk:
    """A disk that knows RENAME_NOREPLACE, one that only knows hard links, and one that knows neither."""
    return Disk(Script(), **KINDS[request.param])


def test_a_rename_never_overwrites(disk: Disk, tmp_path: Path) -> None:
    """Whatever the filesystem can do, a name that is taken stays as it is, and the source too."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(PathAt.from_path(one), PathAt.from_path(two))
    assert (one.read_bytes(), two.read_bytes()) == (b"1", b"2")


def test_a_rename_moves(disk: Disk, tmp_path: Path) -> None:
    """A free name gets the file, inode and all, between open folders as well as between paths."""
    (tmp_path / "a").mkdir()
    one, two = tmp_path / "one", tmp_path / "a" / "two"
    one.write_bytes(b"1")
    inode = one.stat().st_ino
    folders = [os.open(folder, os.O_RDONLY) for folder in (tmp_path, tmp_path / "a")]
    disk.rename_noreplace(PathAt(folders[0], "one"), PathAt(folders[1], "two"))
    assert str(PathAt(folders[1], "two")) == str(two)
    assert two.stat().st_ino == inode
    assert not one.exists()
    for folder in folders:
        os.close(folder)


def test_a_rename_of_nothing_leaves_nothing(disk: Disk, tmp_path: Path) -> None:
    """No empty file is left where the source is missing."""
    with pytest.raises(FileNotFoundError):
        disk.rename_noreplace(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert list(tmp_path.iterdir()) == []


def test_publish_puts_down_whole(tmp_path: Path) -> None:
    """All bytes, even where each write takes only half of them; nothing else is left beside it."""
    write_atomically(Disk(Script()), tmp_path / "note.txt", b"0123456789" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    assert (tmp_path / "note.txt").read_bytes() == b"0123456789" * 1000


def test_publish_replaces_only_when_asked(tmp_path: Path) -> None:
    """An existing file is kept unless replacing it is what was asked for."""
    write_atomically(Filesystem(), tmp_path / "note.txt", b"old")
    with pytest.raises(FileExistsError):
        write_atomically(Filesystem(), tmp_path / "note.txt", b"new")
    assert (tmp_path / "note.txt").read_bytes() == b"old"
    write_atomically(Filesystem(), tmp_path / "note.txt", b"new", replace=True)
    assert (tmp_path / "note.txt").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_publish_leaves_nothing_where_the_disk_fails(tmp_path: Path) -> None:
    """Whichever call fails: the old file or the new one, never a half one, and no dot-name."""
    calls = Script()
    write_atomically(Disk(calls), tmp_path / "dry", b"0123456789")
    (tmp_path / "dry").unlink()
    for at, call in enumerate(calls.calls, 1):
        path = tmp_path / "note.txt"
        path.write_bytes(b"old")
        with pytest.raises(OSError, match="No space"):
            write_atomically(Disk(Script(at, lambda _: OSError(errno.ENOSPC, "No space left"))), path, b"0123456789", replace=True)
        assert path.read_bytes() in (b"old", b"0123456789"), call
        assert [found.name for found in tmp_path.iterdir()] == ["note.txt"]


def test_a_copy_keeps_time_and_says_its_hash(tmp_path: Path) -> None:
    """The hash is that of the bytes that were copied, and a taken name is refused."""
    (tmp_path / "one").write_bytes(b"abc")
    os.utime(tmp_path / "one", ns=(1, 1_234_567_890_123_456_789))
    digest = Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "two").stat().st_mtime_ns == 1_234_567_890_123_456_789
    with pytest.raises(FileExistsError):
        Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, _socket, partial(os.symlink, "/etc/passwd")], ids=["folder", "fifo", "socket", "symlink"]
)
def test_only_ordinary_files_are_opened(make: object, tmp_path: Path) -> None:
    """A folder, FIFO, socket or link called x.png is refused at once, and never waited for."""
    assert callable(make)
    make(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x\.png is not an ordinary file"):
        open_input(tmp_path / "x.png")


def test_a_missing_input_is_said_as_such(tmp_path: Path) -> None:
    """What cannot be opened raises the plain OSError."""
    with pytest.raises(FileNotFoundError):
        open_input(tmp_path / "x.png")


def test_a_writer_is_noticed(tmp_path: Path) -> None:
    """True while somebody has it open for writing, False afterwards; asking leaves no lease behind."""
    path = tmp_path / "x.png"
    path.write_bytes(b"x")
    fd = open_input(path)
    if has_writer(fd) is None:
        pytest.skip("this filesystem gives no leases")
    with path.open("ab"):
        assert has_writer(fd) is True
    assert has_writer(fd) is False
    with path.open("ab"):
        pass
    os.close(fd)


def test_no_lease_is_no_answer() -> None:
    """Where the kernel has no leases (here: a pipe), nothing is claimed."""
    ends = os.pipe()
    assert has_writer(ends[0]) is None
    for end in ends:
        os.close(end)


def test_a_file_gets_the_mode_of_its_folder(tmp_path: Path) -> None:
    """The folder's mode without the execute bits."""
    tmp_path.chmod(0o2775)
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "x").chmod(0o600)
    inherit_folder_permissions(tmp_path / "x", tmp_path)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o664


def test_a_file_gets_the_default_acl_of_its_folder(tmp_path: Path) -> None:
    """As if it had been made there: named users keep their rights, nobody may execute it."""
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", *entry)
        for entry in [(1, 7, 2**32 - 1), (2, 7, 4321), (4, 5, 2**32 - 1), (16, 7, 2**32 - 1), (32, 0, 2**32 - 1)]
    )
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this filesystem keeps no ACLs")
    (tmp_path / "made").touch(0o666)
    (tmp_path.parent / "moved").write_bytes(b"")
    inherit_folder_permissions(tmp_path.parent / "moved", tmp_path)
    got, wanted = (os.getxattr(path, "system.posix_acl_access") for path in (tmp_path.parent / "moved", tmp_path / "made"))
    assert struct.unpack_from("<HHI", got, 12) == (2, 7, 4321)
    assert got == wanted


def test_permissions_never_fail_a_job(tmp_path: Path) -> None:
    """What is not there or not allowed is simply left."""
    inherit_folder_permissions(tmp_path / "missing", tmp_path)


def test_the_kind_of_filesystem_is_told(tmp_path: Path) -> None:
    """Of what is there and of what is not there yet."""
    assert filesystem_type("/proc/self") == "proc"
    assert filesystem_type(tmp_path / "not" / "yet") == filesystem_type(tmp_path) != ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "afs", "fuse.rclone"])
def test_network_filesystems_are_known(kind: str) -> None:
    """Also those FUSE mounts that nobody has heard of."""
    assert is_network_filesystem(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuse.mergerfs", "fuseblk", ""])
def test_local_filesystems_are_known(kind: str) -> None:
    """Including the few FUSE mounts that are nothing but a local disk."""
    assert not is_network_filesystem(kind)


def test_what_is_shipped_is_found() -> None:
    """In a checkout it lies where it is edited."""
    assert resource_path("config", "pipeline.toml").parent.name == "config"
    assert resource_path("samples").parent.name == "hotfolders"
    assert resource_path("config").parent == resource_path("systemd").parent


def test_names_are_compared_as_people_read_them() -> None:
    """NFC and case folded; undecodable bytes survive."""
    assert fold_name("Grün.PNG") == fold_name("GRU\u0308N.png")
    assert fold_name("a\udcff") == "a\udcff"


@pytest.mark.parametrize(
    "name", [".x", "._hero.png", "~$a.doc", "a.part", "Thumbs.db", "x.tmp", "hero (conflicted copy).png", "a.sync-conflict-1.png"]
)
def test_litter_is_known(name: str) -> None:
    """What programs leave lying about is never an asset."""
    assert is_ignored_file(name)


def test_a_picture_is_no_litter() -> None:
    """Nor is a folder with an ordinary name."""
    assert not is_ignored_file("hero.png")
    assert is_ignored_folder("@eaDir")
    assert not is_ignored_folder("acme")


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    """Writing changes it; renaming leaves the content's part as it was."""
    path = tmp_path / "x"
    path.write_bytes(b"1")
    first = FileSignature.from_stat(path.stat())
    path.rename(tmp_path / "y")
    assert FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)
    (tmp_path / "y").write_bytes(b"22")
    assert not FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)


def test_the_watcher_loads_no_pixels() -> None:
    """This floor stays light: nothing that decodes is imported by it."""
    assert "goldsmith.files" in sys.modules
    assert not {"PIL", "cv2", "torch"} & set(vars(sys.modules["goldsmith.files"]))
