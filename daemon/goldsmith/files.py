"""Files on a share: what one is (signature, folded name, litter), and how one is put down whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import signal
import stat
import struct
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from goldsmith.errors import InputError

# What the operating system reports when the machine is at fault rather than the file.
MACHINE_ERRNOS = frozenset(
    {errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN}
    | {errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EREMOTEIO}
)
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

# Dot-names of files that are being written; one left behind by a crash may be removed.
TEMP_PREFIX = ".goldsmith-new-"
OPEN_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_IGNORED_PREFIXES = (".", "~$", "#", "~syncthing~")
_IGNORED_SUFFIXES = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload"),
    *(".aria2", ".aria2__temp", ".swp", ".lock", ".bak", ".icloud"),
    ".problem.jpg",  # what shows a problem, put beside its note by ourselves
)
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini"})
_IGNORED_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "lost+found", "$recycle.bin", "system volume information"})

_OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_FLAG_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_HARD_LINK_UNSUPPORTED = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK})
_ACL_USER_OBJ, _ACL_GROUP_OBJ, _ACL_MASK, _ACL_OTHER = 0x01, 0x04, 0x10, 0x20
_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")
_NETWORK_FILESYSTEMS = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "coda", "davfs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs"),
        *("ocfs2", "gfs2", "orangefs", "vboxsf", "vmhgfs", "prl_fs"),
    }
)
_LOCAL_FUSE_FILESYSTEMS = frozenset(
    ("ntfs-3g", "exfat-fuse", "mergerfs", "fuse-overlayfs", "bindfs", "gocryptfs", "encfs", "cryfs", "lxcfs")
)


def _find_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """renameat2(2) of the C library; None where it is older than the call."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return cast("Callable[[int, bytes, int, bytes, int], int] | None", function)


_renameat2 = _find_renameat2()


class FileSignature(NamedTuple):
    """What a file is without reading it; two equal signatures of a path mean that nothing was written in between."""

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> FileSignature:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)

    def same_content(self, other: FileSignature) -> bool:
        """Equal but for ctime and device: a rename on the same filesystem changes ctime and nothing else."""
        return (self.ino, self.size, self.mtime_ns) == (other.ino, other.size, other.mtime_ns)


def fold_name(name: str) -> str:
    """The name as names are compared: NFC, case folded. Undecodable bytes (surrogates) stay as they are."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_ignored_file(name: str) -> bool:
    """True for names that are never an asset: dot-files, editors' and browsers' temporary files, what file managers drop."""
    low = name.casefold()
    return (
        low.startswith(_IGNORED_PREFIXES)
        or low.endswith(_IGNORED_SUFFIXES)
        or low in _IGNORED_NAMES
        or "conflicted copy" in low
        or ".sync-conflict-" in low
    )


def is_ignored_folder(name: str) -> bool:
    """True for folders that are never walked into."""
    return name.startswith((".", "~$")) or name.casefold() in _IGNORED_FOLDERS


def is_regular_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


class PathAt(NamedTuple):
    """A name in an open folder. ``folder`` is a descriptor, or AT_FDCWD when ``name`` is a whole path."""

    dir_fd: int
    name: str

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> PathAt:
        return cls(_AT_FDCWD, os.fspath(path))

    def __str__(self) -> str:
        if self.dir_fd == _AT_FDCWD:
            return self.name
        try:
            return os.path.join(os.readlink(f"/proc/self/fd/{self.dir_fd}"), self.name)
        except OSError:
            return self.name


class Filesystem:
    """Every call that changes a share, as ordinary methods: the seam at which tests let a disk fill, fail or vanish.

    All raise plain OSError. Folders are open descriptors, so that a folder swapped for a symlink in between is never followed.
    """

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        """One rename that never overwrites: FileExistsError where ``target`` is taken.

        renameat2(2) with RENAME_NOREPLACE; where a filesystem refuses the flag (NFS, some FUSE), link and unlink; where it has
        no hard links either, a look and a plain rename: the one place with a gap, of microseconds. (An empty file that reserves
        the name would close it, but be found in the way by recovery after a crash.)
        """
        try:
            return self.rename_flagged(source, target)
        except OSError as error:
            if error.errno not in _RENAME_FLAG_UNSUPPORTED:
                raise
        try:
            self.link(source, target)
        except OSError as error:
            if error.errno not in _HARD_LINK_UNSUPPORTED:
                raise
        else:
            return self.unlink(source)
        try:
            self.lstat(target)
        except FileNotFoundError:
            return self.replace(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        names = os.fsencode(source.name), os.fsencode(target.name)
        if _renameat2 is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if _renameat2(source.dir_fd, names[0], target.dir_fd, names[1], _RENAME_NOREPLACE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), source.name, None, target.name)

    def replace(self, source: PathAt, target: PathAt) -> None:
        os.replace(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)

    def link(self, source: PathAt, target: PathAt) -> None:
        os.link(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd, follow_symlinks=False)

    def unlink(self, at: PathAt) -> None:
        os.unlink(at.name, dir_fd=at.dir_fd)

    def mkdir(self, at: PathAt) -> None:
        os.mkdir(at.name, 0o777, dir_fd=at.dir_fd)

    def create(self, at: PathAt) -> int:
        """A new empty file, open for writing; FileExistsError where the name is taken."""
        return os.open(at.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=at.dir_fd)

    def open(self, at: PathAt) -> int:
        """An existing regular file, open for reading; never a symlink, never waiting for a FIFO."""
        return os.open(at.name, _OPEN_FILE_FLAGS, dir_fd=at.dir_fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def fsync_dir(self, folder: int) -> None:
        os.fsync(folder)

    def lstat(self, at: PathAt) -> os.stat_result:
        return os.stat(at.name, dir_fd=at.dir_fd, follow_symlinks=False)

    def write_all(self, fd: int, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(fd, rest) :]

    def copy(self, source: PathAt, target: PathAt) -> str:
        """Copy the bytes of ``source`` to the new file ``target``, fsync it and return the SHA-256 of what was copied.

        The times go along. A half copy that an OSError leaves behind is the caller's to remove.
        """
        reader = self.open(source)
        try:
            writer = self.create(target)
            try:
                digest = hashlib.sha256()
                while block := os.read(reader, 1 << 20):
                    self.write_all(writer, block)
                    digest.update(block)
                status = os.fstat(reader)
                os.utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
                self.fsync(writer)
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        return digest.hexdigest()

    def sha256(self, at: PathAt) -> str:
        fd = self.open(at)
        with os.fdopen(fd, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(fs: Filesystem, path: Path, data: bytes, *, replace: bool = False) -> None:
    """Put ``data`` down at ``path`` whole or not at all, durably: dot-name beside it, write, fsync, rename, fsync of the folder.

    FileExistsError where something lies there already, unless ``replace``. The file gets the folder's group, mode and ACL.
    """
    folder = os.open(path.parent, OPEN_FOLDER_FLAGS)
    try:
        new, target = PathAt(folder, f"{TEMP_PREFIX}{secrets.token_hex(8)}"), PathAt(folder, path.name)
        fd = fs.create(new)
        try:
            try:
                fs.write_all(fd, data)
                inherit_folder_permissions(fd, folder)
                fs.fsync(fd)
            finally:
                os.close(fd)
            (fs.replace if replace else fs.rename_noreplace)(new, target)
        except BaseException:
            with contextlib.suppress(OSError):
                fs.unlink(new)
            raise
        fs.fsync_dir(folder)
    finally:
        os.close(folder)


def open_input(path: str | os.PathLike[str]) -> int:
    """A descriptor of the regular file at ``path``, for reading; never a symlink, FIFO, socket, device or folder.

    Raises InputError where it is one of those, and plain OSError where it cannot be opened.
    """
    name = os.path.basename(os.fspath(path))
    try:
        fd = os.open(path, _OPEN_FILE_FLAGS)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise
        raise InputError(f"{name} is not an ordinary file.", "Put the picture itself there, not a link or a device.") from None
    if not is_regular_file(os.fstat(fd)):
        os.close(fd)
        raise InputError(f"{name} is not an ordinary file.", "Put the picture itself there, not a folder, a link or a device.")
    return fd


def has_writer(fd: int) -> bool | None:
    """Whether another program has this file open for writing; None where the kernel will not say (no lease to be had).

    fcntl(2): a read lease is refused with EAGAIN while a writer is there. It is given back at once, since holding it would block
    writers. SIGURG stands in for SIGIO, which would end this program if a writer came in that instant.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def inherit_folder_permissions(file: int | str | os.PathLike[str], folder: int | str | os.PathLike[str]) -> None:
    """Give a file the group, mode and default ACL of the folder it is for; root also hands it to the folder's owner.

    What the system does not allow is left as it is: permissions never fail a job. Mode: the folder's without the execute bits.
    """
    with contextlib.suppress(OSError):
        status, there = os.stat(file), os.stat(folder)
        owner = there.st_uid if os.geteuid() == 0 else status.st_uid
        if (status.st_uid, status.st_gid) != (owner, there.st_gid):
            with contextlib.suppress(OSError):
                os.chown(file, owner if owner != status.st_uid else -1, there.st_gid)
        mode = stat.S_IMODE(there.st_mode) & 0o666
        if stat.S_IMODE(status.st_mode) != mode:
            with contextlib.suppress(OSError):
                os.chmod(file, mode)
        acl = os.getxattr(folder, "system.posix_acl_default")
        os.setxattr(file, "system.posix_acl_access", _without_execute(acl))


def _without_execute(acl: bytes) -> bytes:
    """A default ACL as it applies to a plain file: owner, others, and the mask (or else the group) lose their execute bit.

    Layout (linux/posix_acl_xattr.h): u32 version, then entries of u16 tag, u16 permissions, u32 id, little-endian.
    """
    entries = list(struct.iter_unpack("<HHI", acl[4:]))
    capped = {_ACL_USER_OBJ, _ACL_OTHER, _ACL_MASK if any(tag == _ACL_MASK for tag, _, _ in entries) else _ACL_GROUP_OBJ}
    return acl[:4] + b"".join(struct.pack("<HHI", tag, perm & 6 if tag in capped else perm, who) for tag, perm, who in entries)


def filesystem_type(path: str | os.PathLike[str]) -> str:
    """The kind of filesystem ``path`` lies on, or will lie on once it is made ("ext4", "nfs4", "fuse.sshfs" …); "" if unknown."""
    real = os.path.realpath(path)
    best, kind = -1, ""
    with open("/proc/self/mountinfo", "rb") as table:
        for row in table:
            fields, _, rest = row.partition(b" - ")
            mount = os.fsdecode(_OCTAL_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), fields.split()[4]))
            inside = real == mount or real.startswith(mount.rstrip("/") + "/")
            if inside and len(mount) >= best:
                best, kind = len(mount), os.fsdecode(rest.split()[0])
    return kind


def is_network_filesystem(fs_type: str) -> bool:
    """True for filesystems that may be shared with another host, or with one beneath this: no shared memory and no events across."""
    return fs_type in _NETWORK_FILESYSTEMS or (fs_type.startswith("fuse.") and fs_type.removeprefix("fuse.") not in _LOCAL_FUSE_FILESYSTEMS)


def resource_path(*parts: str) -> Path:
    """A file that travels with the program: ``shipped("config", "pipeline.toml")``, ``"samples"`` or ``"systemd"``.

    In a wheel they lie inside the package, in a checkout where they are edited.
    """
    package = Path(__file__).resolve().parent
    if (package / "shipped").is_dir():
        return package.joinpath("shipped", *parts)
    checkout = package.parent.parent
    return (checkout / "hotfolders" if parts[:1] == ("samples",) else checkout).joinpath(*parts)


def display_name(name: str) -> str:
    """Return the name as a sentence may show it: no control characters, text-direction characters or undecodable bytes."""
    return "".join("�" if char in _DIRECTION or unicodedata.category(char) in ("Cc", "Cs") else char for char in name)
