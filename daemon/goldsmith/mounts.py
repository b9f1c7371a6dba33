"""Kinds of mounts: one row for each kind of filesystem, with what the daemon may rely on there.

The kernel's table of mounts (/proc/self/mountinfo, proc(5)) says which kind a path or an open file is on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import sys
import threading
from dataclasses import dataclass
from typing import Literal

# local: every change passes through this kernel. network: other machines change the files too.
# stacked: the files of other folders under another name, so programs on this machine can change them behind the mount's back.
Place = Literal["local", "stacked", "network"]

_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")
_AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _AT_STATX_FORCE_SYNC = 0x100, 0x1000, 0x2000
_STATX_BASIC_STATS, _STATX_MNT_ID = 0x7FF, 0x1000
# Size of ``struct statx``, and the offset of ``stx_mnt_id`` in it (linux/stat.h).
_STATX_BYTES, _STATX_MNT_ID_OFFSET = 256, 0x90

_libc = ctypes.CDLL(None, use_errno=True)


# What stays the same while nobody writes to a file, and not only as long as the kernel remembers the file.
_BOTH = frozenset({"inode", "ctime"})
_INODE = frozenset({"inode"})
_NEITHER: frozenset[str] = frozenset()
_SECOND_NS = 1_000_000_000
# Options of mount(8) that leave all files to their owner alone.
_UMASK = "uid=USER,gid=GROUP,umask=077"
_MODES = "uid=USER,gid=GROUP,dir_mode=0700,file_mode=0600"


@dataclass(frozen=True, slots=True)
class MountKind:
    """One kind of filesystem, and which facts about a file stay the same there while nobody writes to it.

    ``name`` is its type in the table of mounts ("nfs4", "fuse.sshfs"), or "" if the table does not have it.
    """

    name: str
    place: Place = "local"
    # What people call it; "" = as ``name``.
    title: str = ""
    keeps: frozenset[str] = _BOTH
    # The mtime may lose what is finer than this when a file is renamed or the mount reads it again, in nanoseconds.
    mtime_step_ns: int = 1
    # Whether statvfs(3) tells how many more files fit.
    counts_files: bool = True
    # Where files have no modes of their own: the options of the mount that give them modes. "" elsewhere.
    owner_options: str = ""
    # False for a FUSE program without a row here.
    is_known: bool = True

    @property
    def is_shared(self) -> bool:
        """Whether files change without this kernel's knowledge: it reports no such change, and a lease on them means nothing."""
        return self.place != "local"

    @property
    def is_program(self) -> bool:
        """Whether a FUSE program provides it, other than one that reads a disk."""
        return self.name == "fuse" or self.name.startswith("fuse.")

    @property
    def knows_own_writers(self) -> bool:
        """Whether a lease at least tells if a program on this machine has a file open for writing."""
        return self.place == "local" or self.is_program

    @property
    def may_be_network(self) -> bool:
        """Whether other machines may use the files too; of an unknown FUSE program nobody can tell."""
        return self.place == "network" or not self.is_known

    @property
    def label(self) -> str:
        """The name for a sentence: "ext4", "SSH (fuse.sshfs)"."""
        return f"{self.title} ({self.name})" if self.title else self.name or "an unknown filesystem"

    @property
    def short_label(self) -> str:
        """The name in a list: "ext4", "SSH"."""
        return self.title or self.name.removeprefix("fuse.") or "unknown"

    def mode_remedy(self, otherwise: str) -> str:
        """Return what closes a file or a folder to other users: the mount's options where files have no modes, else ``otherwise``."""
        if not self.owner_options:
            return otherwise
        options = self.owner_options.replace("USER", str(os.geteuid())).replace("GROUP", str(os.getegid()))
        ids = "with the numbers of the user and the group that run Goldsmith"
        if not self.is_known:
            return f"{otherwise}; if that changes nothing, mount it with the options {options} ({ids})"
        return f"Files have no permissions of their own on {self.label}: mount it with the options {options} ({ids})"


# Kinds without a row are local and keep both, unless a FUSE program provides them. After a rename the kernel invents the ctime of a
# program's files, and reads another one later.
_KINDS = {
    kind.name: kind
    for kind in (
        MountKind("nfs", "network", "NFS 3"),
        MountKind("nfs4", "network", "NFS 4"),
        MountKind("cifs", "network", "SMB", owner_options=_MODES),
        MountKind("smb3", "network", "SMB", owner_options=_MODES),
        MountKind("smbfs", "network", "SMB", owner_options=_MODES),
        *(MountKind(name, "network") for name in ("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "ocfs2", "gfs2", "orangefs")),
        *(MountKind(name, "network", counts_files=False) for name in ("afs", "coda")),
        # The files of a virtual machine's host.
        MountKind("9p", "network", counts_files=False),
        MountKind("virtiofs", "network", "", _INODE),
        MountKind(
            "vboxsf", "network", "", _NEITHER, _SECOND_NS, counts_files=False, owner_options="uid=USER,gid=GROUP,dmode=0700,fmode=0600"
        ),
        *(MountKind(name, "network", "", _NEITHER, _SECOND_NS, counts_files=False) for name in ("prl_fs", "vmhgfs", "fuse.vmhgfs-fuse")),
        MountKind("fuse.sshfs", "network", "SSH", _NEITHER, _SECOND_NS),
        MountKind("fuse.rclone", "network", "", _NEITHER, _SECOND_NS, counts_files=False, owner_options=_UMASK),
        *(
            MountKind(name, "network", "WebDAV", _NEITHER, _SECOND_NS, counts_files=False)
            for name in ("davfs", "fuse.davfs", "fuse.davfs2")
        ),
        *(
            MountKind(f"fuse.{name}", "network", "", _NEITHER, _SECOND_NS, counts_files=False)
            for name in ("s3fs", "gcsfuse", "goofys", "geesefs", "juicefs", "blobfuse2", "curlftpfs", "smbnetfs", "seaweedfs")
        ),
        *(MountKind(f"fuse.{name}", "network", "", _INODE) for name in ("glusterfs", "ceph", "ceph-fuse")),
        # A rename leaves microseconds of the mtime, a hard link whole seconds.
        MountKind("fuse.encfs", "stacked", "", _INODE, _SECOND_NS),
        *(MountKind(f"fuse.{name}", "stacked", "", _INODE) for name in ("bindfs", "gocryptfs", "fuse-overlayfs")),
        # Inode numbers come from hashes of paths, or from a counter.
        *(
            MountKind(f"fuse.{name}", "stacked", "", _NEITHER)
            for name in ("mergerfs", "unionfs", "unionfs-fuse", "mhddfs", "cryfs", "securefs")
        ),
        MountKind("ecryptfs", "stacked", "", _INODE),
        MountKind("aufs", "stacked", "", _NEITHER),
        # Disks of Windows and of cameras: inode numbers change when the kernel has forgotten a file.
        MountKind("vfat", "local", "FAT", _NEITHER, 2 * _SECOND_NS, counts_files=False, owner_options=_UMASK),
        MountKind("msdos", "local", "FAT", _NEITHER, 2 * _SECOND_NS, counts_files=False, owner_options=_UMASK),
        MountKind("exfat", "local", "exFAT", _NEITHER, 2 * _SECOND_NS, counts_files=False, owner_options=_UMASK),
        MountKind("ntfs", "local", "NTFS", owner_options=_UMASK),
        MountKind("ntfs3", "local", "NTFS", owner_options=_UMASK),
        # A FUSE program that reads a disk: ntfs-3g or exfat-fuse.
        MountKind("fuseblk", "local", "NTFS or exFAT", _NEITHER, counts_files=False, owner_options=_UMASK),
        MountKind("fuse.ntfs-3g", "local", "NTFS", _NEITHER, counts_files=False, owner_options=_UMASK),
        MountKind("fuse.exfat-fuse", "local", "exFAT", _NEITHER, counts_files=False, owner_options=_UMASK),
    )
}
# The kind of a device that the table does not have: btrfs gives each subvolume one of its own.
UNKNOWN_KIND = MountKind("")
_URL = "://"


def kind_of_type(name: str, source: str = "") -> MountKind:
    """Return the kind with this type in the table of mounts. ``source`` is what is mounted: an address there means a network."""
    known = _KINDS.get(name)
    if known is not None:
        return known
    if name != "fuse" and not name.startswith("fuse."):
        return MountKind(name)
    place: Place = "network" if _URL in source else "stacked"
    return MountKind(name, place, "FUSE", _NEITHER, counts_files=False, owner_options=_UMASK, is_known=False)


class MountTable:
    """The mounts of this process, read again only when the kernel says that they have changed."""

    def __init__(self, path: str = "/proc/self/mountinfo") -> None:
        self._path = path
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._changes = select.poll()
        # (mount point, kind), in the table's order: of two mounts at one place the later one hides the earlier.
        self._mounts: list[tuple[str, MountKind]] = []
        self._by_device: dict[int, MountKind] = {}

    def kind_at(self, path: str | os.PathLike[str]) -> MountKind:
        """Return the kind of the filesystem that holds ``path``, or will hold it."""
        real = os.path.realpath(path)
        longest, kind_at_longest = -1, UNKNOWN_KIND
        for mount, kind in self._read()[0]:
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= longest:
                longest, kind_at_longest = len(mount), kind
        return kind_at_longest

    def kind_of_device(self, device: int) -> MountKind:
        """Return the kind of the filesystem with this ``st_dev``; a local one if the table has no such device, as with btrfs."""
        return self._read()[1].get(device, UNKNOWN_KIND)

    def _read(self) -> tuple[list[tuple[str, MountKind]], dict[int, MountKind]]:
        with self._lock:
            try:
                if self._fd is None:
                    self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                    self._changes.register(self._fd, select.POLLPRI)
                    self._parse(self._fd)
                elif self._changes.poll(0):
                    self._parse(self._fd)
            except OSError:
                # The kernel is out of memory or of descriptors. The mounts that were known stay in use; the next look tries again.
                self._close()
            return self._mounts, self._by_device

    def _parse(self, fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        data = bytearray()
        while block := os.read(fd, 1 << 16):
            data += block
        mounts: list[tuple[str, MountKind]] = []
        by_device: dict[int, MountKind] = {}
        for row in bytes(data).splitlines():
            fields, _, rest = row.partition(b" - ")
            words, (name, source, *_) = fields.split(b" "), rest.split(b" ")
            kind = kind_of_type(os.fsdecode(_unescape(name)), os.fsdecode(_unescape(source)))
            mounts.append((os.fsdecode(_unescape(words[4])), kind))
            major, _, minor = words[2].partition(b":")
            by_device[os.makedev(int(major), int(minor))] = kind
        self._mounts, self._by_device = mounts, by_device

    def _close(self) -> None:
        if self._fd is not None:
            self._changes.unregister(self._fd)
            os.close(self._fd)
            self._fd = None


_table = MountTable()


def kind_at(path: str | os.PathLike[str]) -> MountKind:
    """Return the kind of the filesystem that holds ``path``, or will hold it."""
    return _table.kind_at(path)


def kind_of_device(device: int) -> MountKind:
    """Return the kind of the filesystem with this ``st_dev``."""
    return _table.kind_of_device(device)


def synced_status(fd: int) -> os.stat_result:
    """Return the status of a file that was just opened, as the other side of a shared mount has it, not as this kernel remembers it.

    Raises OSError.
    """
    status = os.fstat(fd)
    if not kind_of_device(status.st_dev).is_shared:
        return status
    _statx(fd, "", _AT_EMPTY_PATH | _AT_STATX_FORCE_SYNC, _STATX_BASIC_STATS)
    return os.fstat(fd)


def refresh_status(folder: int, name: str) -> None:
    """Make the kernel ask the filesystem for a file's status: FUSE mounts would go on to count two names for up to a second."""
    with contextlib.suppress(OSError):  # then the old status lasts a second longer
        _statx(folder, name, _AT_SYMLINK_NOFOLLOW | _AT_STATX_FORCE_SYNC, _STATX_BASIC_STATS)


def mount_id(fd: int) -> int:
    """Return the number of the mount that an open file or folder was reached through, as in the kernel's table.

    A bind mount has a number of its own, although its device is that of the filesystem that it shows. A kernel before Linux 5.8 does not
    tell the number; the result is then the device's. Raises OSError.
    """
    answer = _statx(fd, "", _AT_EMPTY_PATH, _STATX_MNT_ID)
    if not int.from_bytes(answer[:4], sys.byteorder) & _STATX_MNT_ID:
        return os.fstat(fd).st_dev
    return int.from_bytes(answer[_STATX_MNT_ID_OFFSET : _STATX_MNT_ID_OFFSET + 8], sys.byteorder)


def mount_device(number: int) -> str:
    """Return the device of the mount with this number as /proc/locks writes it ("fe:00"). Raises OSError.

    Each subvolume of btrfs has a device of its own in stat(2); this is the device that they have in common.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        devices = (row.split(maxsplit=3)[2] for row in table if row.startswith(f"{number} "))
        major, minor = map(int, next(devices, f"{os.major(number)}:{os.minor(number)}").split(":"))
    return f"{major:02x}:{minor:02x}"


def _statx(folder: int, name: str, flags: int, mask: int) -> bytes:
    """Return the ``struct statx`` of a name in an open folder, or with ``""`` and AT_EMPTY_PATH of the descriptor. Raises OSError."""
    answer = ctypes.create_string_buffer(_STATX_BYTES)
    if _libc.statx(folder, os.fsencode(name), flags, mask, answer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer.raw


def _unescape(field: bytes) -> bytes:
    return _OCTAL_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)
