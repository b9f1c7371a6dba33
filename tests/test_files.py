"""Files are written completely or not at all, never overwrite, never follow a link, and get the permissions of their folder."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable
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
from goldsmith.pipeline.scheduler.problem_notes import write_note, write_preview

KINDS = {"flag": {}, "links": {"flags": False}, "neither": {"flags": False, "links": False}}


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest) -> Disk:
    """Return a disk with RENAME_NOREPLACE, one that has only hard links, and one that has neither."""
    return Disk(Script(), **KINDS[request.param])


def test_a_rename_never_overwrites(disk: Disk, tmp_path: Path) -> None:
    """Rename to a taken name: both files stay as they are, whatever the filesystem can do."""
    source, target = tmp_path / "one", tmp_path / "two"
    source.write_bytes(b"1")
    target.write_bytes(b"2")
    with pytest.raises(FileExistsError):
        disk.rename_noreplace(PathAt.from_path(source), PathAt.from_path(target))
    assert (source.read_bytes(), target.read_bytes()) == (b"1", b"2")


def test_a_rename_keeps_the_inode(disk: Disk, tmp_path: Path) -> None:
    """Rename between open folders."""
    (tmp_path / "a").mkdir()
    source, target = tmp_path / "one", tmp_path / "a" / "two"
    source.write_bytes(b"1")
    inode = source.stat().st_ino
    folders = [os.open(folder, os.O_RDONLY) for folder in (tmp_path, tmp_path / "a")]
    disk.rename_noreplace(PathAt(folders[0], "one"), PathAt(folders[1], "two"))
    assert str(PathAt(folders[1], "two")) == str(target)
    assert target.stat().st_ino == inode
    assert not source.exists()
    for folder in folders:
        os.close(folder)


def test_a_rename_of_a_missing_file_creates_nothing(disk: Disk, tmp_path: Path) -> None:
    """Rename a missing file: no empty file is left."""
    with pytest.raises(FileNotFoundError):
        disk.rename_noreplace(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert list(tmp_path.iterdir()) == []


def test_an_atomic_write_writes_every_byte(tmp_path: Path) -> None:
    """Write to a disk that takes only half of the bytes at a time; no other file is left in the folder."""
    write_atomically(Disk(Script()), tmp_path / "note.txt", b"0123456789" * 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    assert (tmp_path / "note.txt").read_bytes() == b"0123456789" * 1000


def test_an_atomic_write_replaces_a_file_only_if_asked_to(tmp_path: Path) -> None:
    """Write to an existing path without and with ``replace``."""
    write_atomically(Filesystem(), tmp_path / "note.txt", b"old")
    with pytest.raises(FileExistsError):
        write_atomically(Filesystem(), tmp_path / "note.txt", b"new")
    assert (tmp_path / "note.txt").read_bytes() == b"old"
    write_atomically(Filesystem(), tmp_path / "note.txt", b"new", replace=True)
    assert (tmp_path / "note.txt").read_bytes() == b"new"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_atomic_write_leaves_the_old_or_the_new_file_when_the_disk_fails(tmp_path: Path) -> None:
    """Fail each call in turn: there is never an incomplete file, and no dot-name is left."""
    calls = Script()
    write_atomically(Disk(calls), tmp_path / "dry", b"0123456789")
    (tmp_path / "dry").unlink()
    for at, call in enumerate(calls.calls, 1):
        path = tmp_path / "note.txt"
        path.write_bytes(b"old")
        with pytest.raises(OSError, match="No space"):
            write_atomically(Disk(Script(at, lambda _: OSError(errno.ENOSPC, "No space left"))), path, b"0123456789", replace=True)
        assert path.read_bytes() in (b"old", b"0123456789"), call
        assert [entry.name for entry in tmp_path.iterdir()] == ["note.txt"]


def test_a_copy_keeps_the_times_and_returns_its_hash(tmp_path: Path) -> None:
    """Copy a file, then copy it to the same name again: the taken name is refused."""
    (tmp_path / "one").write_bytes(b"abc")
    os.utime(tmp_path / "one", ns=(1, 1_234_567_890_123_456_789))
    digest = Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (tmp_path / "two").stat().st_mtime_ns == 1_234_567_890_123_456_789
    with pytest.raises(FileExistsError):
        Filesystem().copy(PathAt.from_path(tmp_path / "one"), PathAt.from_path(tmp_path / "two"))


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, _socket, partial(os.symlink, "/etc/passwd")], ids=["folder", "fifo", "socket", "symlink"]
)
def test_only_ordinary_files_are_opened(make: object, tmp_path: Path) -> None:
    """Open a folder, a FIFO, a socket and a link called x.png: each is refused at once."""
    assert callable(make)
    make(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x\.png is not an ordinary file"):
        open_input(tmp_path / "x.png")


def test_a_missing_input_is_an_os_error(tmp_path: Path) -> None:
    """Open a missing file."""
    with pytest.raises(FileNotFoundError):
        open_input(tmp_path / "x.png")


def test_another_writer_is_detected(tmp_path: Path) -> None:
    """Check while the file is open for writing and afterwards; no lease is left behind."""
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


def test_there_is_no_answer_without_leases() -> None:
    """Ask about a pipe, for which the kernel grants no lease."""
    ends = os.pipe()
    assert has_writer(ends[0]) is None
    for end in ends:
        os.close(end)


def _inherit(file: Path, folder: Path) -> None:
    """Call ``inherit_folder_permissions`` with descriptors."""
    descriptors = os.open(file, os.O_RDONLY), os.open(folder, os.O_RDONLY)
    inherit_folder_permissions(*descriptors)
    for fd in descriptors:
        os.close(fd)


def test_a_file_gets_the_mode_of_its_folder(tmp_path: Path) -> None:
    """Check that the file gets the folder's mode without the execute bits."""
    tmp_path.chmod(0o2775)
    (tmp_path / "x").write_bytes(b"")
    (tmp_path / "x").chmod(0o600)
    _inherit(tmp_path / "x", tmp_path)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o664


def test_a_file_gets_the_default_acl_of_its_folder(tmp_path: Path) -> None:
    """Compare with a file that was created in the folder: named users keep their rights, and nobody may execute it."""
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
    _inherit(tmp_path.parent / "moved", tmp_path)
    actual, expected = (os.getxattr(path, "system.posix_acl_access") for path in (tmp_path.parent / "moved", tmp_path / "made"))
    assert struct.unpack_from("<HHI", actual, 12) == (2, 7, 4321)
    assert actual == expected


def test_permissions_never_fail_a_job(tmp_path: Path) -> None:
    """Pass a pipe, which takes no permissions."""
    folder, ends = os.open(tmp_path, os.O_RDONLY), os.pipe()
    os.close(ends[0])
    inherit_folder_permissions(ends[0], folder)
    inherit_folder_permissions(ends[1], folder)
    for fd in (ends[1], folder):
        os.close(fd)


class PermissionRecorder:
    """Records every change of permissions and every rename that makes a name visible, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        for name in ("chmod", "fchmod", "lchmod", "chown", "fchown", "lchown", "setxattr"):
            if hasattr(os, name):
                monkeypatch.setattr(os, name, partial(self._change, name, getattr(os, name)))

    def _change(self, name: str, call: Callable[..., None], file: object, *arguments: object, **options: object) -> None:
        self.events.append(f"{name} by {'descriptor' if isinstance(file, int) else 'path'}")
        call(file, *arguments, **options)


class RecordingFilesystem(Filesystem):
    """A filesystem whose renames note the mode of the file at that moment."""

    def __init__(self, recorder: PermissionRecorder) -> None:
        self.recorder = recorder

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        """Note the rename, and do it."""
        self._note(source, target)
        super().rename_flagged(source, target)

    def replace(self, source: PathAt, target: PathAt) -> None:
        """Note the rename, and do it."""
        self._note(source, target)
        super().replace(source, target)

    def _note(self, source: PathAt, target: PathAt) -> None:
        mode = stat.S_IMODE(os.stat(source.name, dir_fd=source.dir_fd).st_mode)
        self.recorder.events.append(f"rename to {target.name} with mode {mode:o}")


def _write(fs: Filesystem, path: Path) -> None:
    write_atomically(fs, path, b"new")


def _replace(fs: Filesystem, path: Path) -> None:
    path.write_bytes(b"old")
    write_atomically(fs, path, b"new", replace=True)


def _note(fs: Filesystem, path: Path) -> None:
    write_note(fs, path.parent, path.name, "It is broken.", "Send it again.")


def _preview(fs: Filesystem, path: Path) -> None:
    write_preview(fs, path.parent, path.with_suffix("").name + ".txt", b"new")


@pytest.mark.parametrize(
    ("publish", "name"),
    [(_write, "x.txt"), (_replace, "x.txt"), (_note, "x.problem.txt"), (_preview, "x.problem.jpg")],
    ids=["a new file", "a replacement", "a note", "a preview"],
)
def test_a_file_has_its_permissions_before_it_is_visible(
    publish: Callable[[Filesystem, Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Record the order: the mode is set through the descriptor, then comes the rename, and the published name is not changed."""
    tmp_path.chmod(0o2770)
    recorder = PermissionRecorder(monkeypatch)
    publish(RecordingFilesystem(recorder), tmp_path / name)
    assert "chmod by descriptor" in recorder.events
    assert recorder.events[-1] == f"rename to {name} with mode 660"
    assert not [event for event in recorder.events if event.endswith("by path")]
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o660


def test_the_type_of_a_filesystem_is_known(tmp_path: Path) -> None:
    """Ask for an existing path and for one that does not exist yet."""
    assert filesystem_type("/proc/self") == "proc"
    assert filesystem_type(tmp_path / "not" / "yet") == filesystem_type(tmp_path) != ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "afs", "fuse.rclone"])
def test_network_filesystems_are_recognised(kind: str) -> None:
    """Check network filesystems and FUSE mounts of unknown types."""
    assert is_network_filesystem(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "fuse.mergerfs", "fuseblk", ""])
def test_local_filesystems_are_recognised(kind: str) -> None:
    """Check local filesystems and the few FUSE mounts that are local disks."""
    assert not is_network_filesystem(kind)


def test_shipped_files_are_found() -> None:
    """Find them in a checkout, where people edit them."""
    assert resource_path("config", "pipeline.toml").parent.name == "config"
    assert resource_path("samples").parent.name == "hotfolders"
    assert resource_path("config").parent == resource_path("systemd").parent


def test_names_are_compared_without_case_and_in_one_unicode_form() -> None:
    """Fold names to NFC and to one case; undecodable bytes survive."""
    assert fold_name("Grün.PNG") == fold_name("GRU\u0308N.png")
    assert fold_name("a\udcff") == "a\udcff"


@pytest.mark.parametrize(
    "name", [".x", "._hero.png", "~$a.doc", "a.part", "Thumbs.db", "x.tmp", "hero (conflicted copy).png", "a.sync-conflict-1.png"]
)
def test_temporary_files_are_ignored(name: str) -> None:
    """Check names that programs leave behind."""
    assert is_ignored_file(name)


def test_pictures_and_ordinary_folders_are_not_ignored() -> None:
    """Check a picture, an ordinary folder and a folder of a NAS."""
    assert not is_ignored_file("hero.png")
    assert is_ignored_folder("@eaDir")
    assert not is_ignored_folder("acme")


def test_a_signature_changes_with_the_file(tmp_path: Path) -> None:
    """Check that a rename keeps the signature's content part, and that a write changes it."""
    path = tmp_path / "x"
    path.write_bytes(b"1")
    first = FileSignature.from_stat(path.stat())
    path.rename(tmp_path / "y")
    assert FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)
    (tmp_path / "y").write_bytes(b"22")
    assert not FileSignature.from_stat((tmp_path / "y").stat()).same_content(first)


def test_the_files_module_imports_no_picture_library() -> None:
    """Look for decoders among the module's names."""
    assert "goldsmith.files" in sys.modules
    assert not {"PIL", "cv2", "torch"} & set(vars(sys.modules["goldsmith.files"]))
