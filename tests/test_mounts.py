"""The kinds of mounts: which kind a path is on, what it keeps, and what is true of a file that others write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.mounted import mounted
from doubles.pretended_mounts import LEASE_ANSWERS, pretend
from goldsmith.files import FileSignature, Filesystem, PathAt, has_writer
from goldsmith.mounts import MountTable, kind_at, kind_of_device, kind_of_type, synced_status


def test_the_kind_of_a_path_is_known(tmp_path: Path) -> None:
    """Ask for an existing path and for one that does not exist yet."""
    assert kind_at("/proc/self").name == "proc"
    assert kind_at(tmp_path / "not" / "yet") == kind_at(tmp_path)
    assert kind_at(tmp_path).name


def test_the_table_of_mounts_is_read_with_its_escapes(tmp_path: Path) -> None:
    """A later mount hides an earlier one at the same place; a space in a name is written as an octal number."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "2 1 0:41 / /srv/hot\\040folders rw master:2 shared:3 - nfs4 nas:/hot\\040folders rw\n"
        "3 1 0:42 / /srv/hot\\040folders/inbox rw - xfs /dev/sdb rw\n"
        "4 1 0:43 / /srv/hot\\040folders/inbox rw - fuse.sshfs user@host: rw\n"
    )
    mounts = MountTable(str(table))
    assert mounts.kind_at("/srv/hot folders/selected/a.png").name == "nfs4"
    assert mounts.kind_at("/srv/hot folders/inbox").name == "fuse.sshfs"
    assert mounts.kind_at("/srv/hot").name == "ext4"
    assert mounts.kind_of_device(os.makedev(0, 41)).name == "nfs4"
    assert mounts.kind_of_device(os.makedev(0, 99)).place == "local"


def test_without_the_table_nothing_is_known_and_nothing_fails(tmp_path: Path) -> None:
    """The kernel may be out of descriptors at that moment. The next look tries again."""
    table = MountTable(str(tmp_path / "mountinfo"))
    assert table.kind_at("/").label == "an unknown filesystem"
    (tmp_path / "mountinfo").write_text("1 0 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
    assert table.kind_at("/").label == "ext4"


@pytest.mark.parametrize(
    "name", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "davfs", "afs", "ceph", "fuse.sshfs", "fuse.rclone", "fuse.s3fs"]
)
def test_network_kinds_are_recognised(name: str) -> None:
    """The journal is refused there, and no lease is asked for."""
    kind = kind_of_type(name)
    assert (kind.place, kind.is_shared, kind.may_be_network) == ("network", True, True)


@pytest.mark.parametrize("name", ["fuse.mergerfs", "fuse.bindfs", "fuse.encfs", "fuse.gocryptfs", "fuse.cryfs", "ecryptfs"])
def test_stacked_kinds_are_recognised(name: str) -> None:
    """Programs can change their files behind the mount, on this machine."""
    kind = kind_of_type(name)
    assert (kind.place, kind.is_shared, kind.may_be_network) == ("stacked", True, False)


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "vfat", "exfat", "ntfs3", "fuseblk", "f2fs", ""])
def test_local_kinds_are_recognised(name: str) -> None:
    """Every change passes through this kernel."""
    assert not kind_of_type(name).is_shared


def test_a_program_without_a_row_may_be_anything() -> None:
    """It counts as stacked; with an address as its source, as davfs2 has, as a network. The journal is refused on both."""
    for name in ("fuse", "fuse.something-new"):
        kind = kind_of_type(name, "/srv/source")
        assert (kind.place, kind.keeps, kind.counts_files, kind.may_be_network) == ("stacked", frozenset(), False, True)
    assert kind_of_type("fuse", "https://cloud.example/dav").place == "network"


@pytest.mark.parametrize("name", LEASE_ANSWERS)
def test_no_lease_is_asked_for_on_a_shared_mount(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the kernel would answer, it says nothing about the writers: not that there is one, and not that there is none."""
    pretended = pretend(monkeypatch, tmp_path, name)
    path = tmp_path / "hero.png"
    path.write_bytes(b"x")
    with path.open("rb") as file, path.open("ab"):
        assert has_writer(file.fileno()) is None
    assert pretended.lease_questions == 0


def test_on_a_program_s_mount_a_lease_still_tells_of_own_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results of a worker are written on this machine only. NFS 4 refuses a lease even then."""
    path = tmp_path / "result.png"
    path.write_bytes(b"x")
    pretend(monkeypatch, tmp_path, "fuse.sshfs")
    with path.open("rb") as file:
        assert has_writer(file.fileno(), is_own=True) is False
        with path.open("ab"):
            assert has_writer(file.fileno(), is_own=True) is True
    pretend(monkeypatch, tmp_path, "nfs4")
    with path.open("rb") as file:
        assert has_writer(file.fileno(), is_own=True) is None


def test_a_signature_has_only_what_its_kind_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new inode, ctime or fraction of a second is no change on SSH; another size or second is."""
    first, second = tmp_path / "first", tmp_path / "second"
    for path, nanoseconds in ((first, 5_100_000_000), (second, 5_900_000_000)):
        path.write_bytes(b"1234")
        os.utime(path, ns=(nanoseconds, nanoseconds))
    pretend(monkeypatch, tmp_path, "fuse.sshfs")
    signature, other = FileSignature.from_stat(first.stat()), FileSignature.from_stat(second.stat())
    assert signature == other
    assert not signature.is_same_file(other), "only the contents can tell"
    os.utime(second, ns=(6_000_000_000, 6_000_000_000))
    assert FileSignature.from_stat(second.stat()) != signature
    pretend(monkeypatch, tmp_path, "ext4")
    assert FileSignature.from_stat(first.stat()).is_same_file(FileSignature.from_stat(first.stat()))
    assert FileSignature.from_stat(first.stat()) != signature


@pytest.mark.parametrize("kind", ["sshfs", "bindfs", "mergerfs"])
def test_a_look_sees_what_others_write(kind: str, tmp_path: Path) -> None:
    """This kernel remembers the size of a file for a second, and SSH for 20 s. A look that trusts it takes a growing file for finished."""
    with mounted(kind, tmp_path / "mount", tmp_path / "at") as mount:
        assert kind_at(mount.at / "hero.png").is_shared
        assert kind_of_device(mount.at.stat().st_dev).is_shared
        assert mount.behind is not None
        with (mount.behind / "hero.png").open("wb", buffering=0) as other_side:
            for size in range(1000, 5000, 1000):
                other_side.write(bytes(1000))
                with (mount.at / "hero.png").open("rb") as file:
                    assert synced_status(file.fileno()).st_size == size


@pytest.mark.parametrize("kind", ["bindfs", "encfs", "mergerfs", "gocryptfs", "sshfs"])
def test_a_move_is_no_change(kind: str, tmp_path: Path) -> None:
    """The move gives a new ctime there, and with some kinds a new inode or a coarser mtime, at once or when the kernel asks again."""
    with mounted(kind, tmp_path / "mount", tmp_path / "at") as mount:
        before, after = mount.at / "inbox" / "hero.png", mount.at / "selected" / "hero.png"
        for path in (before, after):
            path.parent.mkdir()
        before.write_bytes(b"unchanged")
        os.utime(before, ns=(1_700_000_001_123_456_789, 1_700_000_001_123_456_789))
        read = FileSignature.from_stat(before.lstat())
        with before.open("rb"):  # a commit holds its results open
            Filesystem().rename_noreplace(PathAt.from_path(before), PathAt.from_path(after))
            assert FileSignature.from_stat(after.lstat()) == read
        Path("/proc/sys/vm/drop_caches").write_text("2")
        with after.open("rb") as file:
            assert FileSignature.from_stat(synced_status(file.fileno())) == read


def test_a_new_mount_is_noticed(tmp_path: Path) -> None:
    """The table is read again when the kernel says that it has changed, since device numbers are used again."""
    assert not kind_at(tmp_path / "at").is_shared
    with mounted("bindfs", tmp_path / "mount", tmp_path / "at") as mount:
        assert kind_of_device(mount.at.stat().st_dev).is_shared
    assert not kind_at(tmp_path / "at").is_shared
