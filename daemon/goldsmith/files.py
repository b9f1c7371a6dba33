"""Files on a share: signatures, folded and ignored names, atomic writes, renames that never overwrite, permissions.

It also finds the files that ship with the program.
"""

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
from goldsmith.mounts import kind_of_device, mount_id, refresh_status

# Errors for which the machine is at fault, not the file.
MACHINE_ERRNOS = frozenset(
    {errno.EIO, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ENOTCONN}
    | {errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EREMOTEIO}
)
# Errors of the whole machine, whatever file it was asked for: it has no more descriptors or memory.
EXHAUSTED_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})

# Characters that a reader cannot see, that change the direction of the text, or that a terminal obeys: control characters (with ESC and
# C1), line separators, format characters (without the visible number marks of Arabic and Kaithi), undecodable bytes, tag characters and
# blank letters. Variation selectors are not among them: they only choose the form of the letter before them.
_UNSHOWN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_NON_JOINER, _JOINER = "\u200c", "\u200d"
# Code points of the scripts in which a joiner changes how words are written: Arabic to Sinhala, Myanmar, Khmer and Mongolian, Balinese to
# Batak, Indic extensions, and the historic scripts of India (Unicode 16, 23.2).
_SCRIPTS_WITH_JOINERS = ((0x600, 0xDFF), (0x1000, 0x109F), (0x1780, 0x18AF), (0x1B00, 0x1BFF), (0xA800, 0xABFF), (0x11000, 0x11FFF))
_EMOJI_PRESENTATION = "\ufe0f"

# Begins the names of files that are being written. A file that a crash left behind may be removed.
TEMP_PREFIX = ".goldsmith-new-"
# The daemon writes this file into each stage's folder: what is at work there and what waits.
STATUS_FILE_NAME = "_status.txt"
OPEN_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_IGNORED_PREFIXES = (".", "~$", "~syncthing~")
_IGNORED_SUFFIXES = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload"),
    *(".aria2", ".aria2__temp", ".swp", ".lock", ".bak", ".icloud"),
    ".problem.jpg",  # the daemon's own previews beside problem notes
)
_IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", STATUS_FILE_NAME})
# Dropbox's words for a copy of a file that two people changed, in its languages.
_CONFLICT_WORDS = (
    "conflicted copy",
    *("in konflikt stehende kopie", "konfliktkopie", "copie en conflit", "copia en conflicto", "copia conflictiva", "copia in conflitto"),
    *("cópia em conflito", "conflicterende kopie", "kopia powodująca konflikt", "конфликтующая копия"),
)
_CONFLICT_WORDS_WITHOUT_SPACES = ("冲突副本", "衝突複本", "競合コピー")
# The names that synchronisation programs give to such a copy; only the suffix follows.
# - Dropbox: "hero (Anna's conflicted copy 2026-01-02).png". Nextcloud, ownCloud, OpenCloud: "hero (conflicted copy 2026-01-02 101112).png".
# - ownCloud before 2.5: "hero_conflict-20260102-101112.png".
# - Syncthing: "hero.sync-conflict-20260102-101112-ABCDEFG.png".
# - Seafile: "hero.png (SFConflict anna@example.com 2026-01-02-10-11-12)".
# - Synology Drive: "hero_Annas-PC_Jan-02-1011-2026_Conflict.png", also CaseConflict and the like.
_CONFLICT_COPY = re.compile(
    r"(?:"
    rf" \((?:.* )?(?:{'|'.join(_CONFLICT_WORDS)})(?: .*)?\)"
    rf"| \(.*(?:{'|'.join(_CONFLICT_WORDS_WITHOUT_SPACES)}).*\)"
    r"|_conflict-\d{8}-\d{6}"
    r"|\.sync-conflict-\d[a-z0-9-]*"
    r"| \(sfconflict .*\d{4}(?:-\d\d){5}\)"
    r"|_[^_]+_[a-z]{3}-\d\d-\d{4}-\d{4}_[a-z]*conflict(?:_\d+)?"
    r")(?: \(\d+\))?(?:\.[^.]*)?",
    re.DOTALL,
)
# The first characters of such a mark.
_CONFLICT_MARK = re.compile(r" \(|_|\.sync-conflict-")
_IGNORED_FOLDERS = frozenset({"@eadir", "__macosx", "#recycle", "lost+found", "$recycle.bin", "system volume information"})

_OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_FLAG_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
# Errors of link(2) that concern this file, its names or the disk. Any other one means that there are no hard links: vfat says EPERM,
# rclone EIO, cryfs ERANGE.
_LINK_FAILURES = frozenset(
    {errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV, errno.EACCES}
    | {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE}
)
_ACL_USER_OBJ, _ACL_GROUP_OBJ, _ACL_MASK, _ACL_OTHER = 0x01, 0x04, 0x10, 0x20


def _find_renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """Return renameat2(2) of the C library; None if the library has no such call."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return cast("Callable[[int, bytes, int, bytes, int], int] | None", function)


_renameat2 = _find_renameat2()


class FileSignature(NamedTuple):
    """A file's identity without its content. If a path has the same signature twice, nothing was written to it in between.

    ``size`` is in bytes, ``mtime_ns`` and ``ctime_ns`` are Unix times in nanoseconds. ``ino`` and ``ctime_ns`` are 0 on kinds of mounts
    that do not keep them, and ``mtime_ns`` is as coarse as the kind keeps it (``goldsmith.mounts``).
    """

    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_stat(cls, status: os.stat_result) -> FileSignature:
        """Return the signature in a stat result."""
        kind = kind_of_device(status.st_dev)
        return cls(
            status.st_dev,
            status.st_ino if "inode" in kind.keeps else 0,
            status.st_size,
            status.st_mtime_ns - status.st_mtime_ns % kind.mtime_step_ns,
            status.st_ctime_ns if "ctime" in kind.keeps else 0,
        )

    def same_content(self, other: FileSignature) -> bool:
        """Return whether inode, size and mtime agree. A rename within a filesystem changes only the ctime."""
        return (self.ino, self.size, self.mtime_ns) == (other.ino, other.size, other.mtime_ns)

    def is_same_file(self, other: FileSignature) -> bool:
        """Return whether the inodes agree. False on kinds of mounts that do not keep them: there only the contents can tell."""
        return self.ino == other.ino != 0


def fold_name(name: str) -> str:
    """Return the form in which names are compared: NFC and case-folded. Undecodable bytes (surrogates) stay as they are."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_ignored_file(name: str) -> bool:
    """Return whether a file of this name is never an asset: a dot-file, or a temporary file of an editor, browser or file manager."""
    low = name.casefold()
    is_autosave = len(low) > 2 and low[0] == low[-1] == "#"  # Emacs
    return (
        low.startswith(_IGNORED_PREFIXES)
        or low.endswith(_IGNORED_SUFFIXES)
        or low in _IGNORED_NAMES
        or is_autosave
        or is_conflict_copy(low)
    )


def is_conflict_copy(name: str) -> bool:
    """Return whether a synchronisation program made this copy of a file because two people had changed it."""
    low = name.casefold()
    if low.isascii():
        return "nfli" in low and _find_conflict_mark(low)
    return _find_conflict_mark(fold_name(low))


def _find_conflict_mark(folded: str) -> bool:
    """Return whether a folded name ends in the mark of a conflict copy, before its suffix."""
    return any(_CONFLICT_COPY.fullmatch(folded, mark.start()) for mark in _CONFLICT_MARK.finditer(folded))


def is_ignored_folder(name: str) -> bool:
    """Return whether a folder of this name is never searched."""
    return name.startswith((".", "~$")) or name.casefold() in _IGNORED_FOLDERS


class PathAt(NamedTuple):
    """A name in an open folder. ``dir_fd`` is the folder's descriptor, or AT_FDCWD if ``name`` is a complete path."""

    dir_fd: int
    name: str

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> PathAt:
        """Return the place that a complete path names."""
        return cls(_AT_FDCWD, os.fspath(path))

    def __str__(self) -> str:
        if self.dir_fd == _AT_FDCWD:
            return self.name
        try:
            return os.path.join(os.readlink(f"/proc/self/fd/{self.dir_fd}"), self.name)
        except OSError:
            return self.name


class Filesystem:
    """The system calls that change a share, as methods that tests replace to let a disk fill up, fail or vanish.

    All raise OSError. Folders are open descriptors, so a folder that is replaced by a symlink meanwhile is never followed.
    """

    # Is called with an open folder and what a file or folder in it did not get, as ``inherit_folder_permissions`` returns it.
    on_refused: Callable[[int, str], None] | None = None
    # Is called after each block of a copy for which the caller waits: a large file may take minutes.
    on_copied_block: Callable[[], None] | None = None

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        """Rename without ever overwriting. Raises FileExistsError if ``target`` is taken.

        The call is renameat2(2) with RENAME_NOREPLACE. If a filesystem refuses the flag (NFS, some FUSE), it is link and unlink. If
        there are no hard links either (rclone, cryfs), it is a check and a plain rename. Only then is there a gap, of microseconds, and
        only for other programs, because the lock of the root keeps out a second daemon. (An empty file that reserves the name would close
        the gap, but after a crash recovery would find it in the way.)
        """
        try:
            return self.rename_flagged(source, target)
        except OSError as error:
            if error.errno not in _RENAME_FLAG_UNSUPPORTED:
                raise
        try:
            self.link(source, target)
        except OSError as error:
            if error.errno in _LINK_FAILURES:
                raise
        else:
            self.unlink(source)
            return refresh_status(target.dir_fd, target.name)
        try:
            self.lstat(target)
        except FileNotFoundError:
            return self.replace(source, target)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target.name)

    def rename_flagged(self, source: PathAt, target: PathAt) -> None:
        """Rename with RENAME_NOREPLACE. Raises OSError with EINVAL, ENOSYS or EOPNOTSUPP if the flag is not supported."""
        names = os.fsencode(source.name), os.fsencode(target.name)
        if _renameat2 is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        if _renameat2(source.dir_fd, names[0], target.dir_fd, names[1], _RENAME_NOREPLACE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), source.name, None, target.name)

    def replace(self, source: PathAt, target: PathAt) -> None:
        """Rename, and overwrite ``target`` if it exists."""
        os.replace(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)

    def link(self, source: PathAt, target: PathAt) -> None:
        """Give a file a second name."""
        os.link(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd, follow_symlinks=False)

    def unlink(self, at: PathAt) -> None:
        """Remove a name."""
        os.unlink(at.name, dir_fd=at.dir_fd)

    def mkdir(self, at: PathAt, mode: int = 0o777) -> None:
        """Create a folder with the permission bits of ``mode`` that the umask leaves. Set-group-id comes from the folder it is in."""
        os.mkdir(at.name, mode & 0o777, dir_fd=at.dir_fd)

    def create(self, at: PathAt) -> int:
        """Create an empty file and return its descriptor, open for writing. Raises FileExistsError if the name is taken."""
        return os.open(at.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=at.dir_fd)

    def open(self, at: PathAt) -> int:
        """Open an existing file for reading and return its descriptor. A symlink is not followed, and a FIFO does not block."""
        return os.open(at.name, _OPEN_FILE_FLAGS, dir_fd=at.dir_fd)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of the data and return how many bytes."""
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        """Flush a file to the disk."""
        os.fsync(fd)

    def fsync_dir(self, folder: int) -> None:
        """Flush a folder's entries to the disk."""
        os.fsync(folder)

    def lstat(self, at: PathAt) -> os.stat_result:
        """Return the status of a name without following a symlink."""
        return os.stat(at.name, dir_fd=at.dir_fd, follow_symlinks=False)

    def inherit_permissions(self, file: int, folder: int) -> None:
        """Give an open file the permissions of an open folder; what the system refuses goes to ``on_refused``. Raises nothing."""
        refused = inherit_folder_permissions(file, folder)
        if refused and self.on_refused is not None:
            self.on_refused(folder, refused)

    def write_all(self, fd: int, data: bytes | memoryview) -> None:
        """Write all of the data, with as many writes as the disk needs."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.write(fd, rest) :]

    def can_rename_between(self, folder: int, other_folder: int) -> bool:
        """Return whether two open folders are in one mount of one filesystem: else a file is copied from one to the other."""
        same_device = os.fstat(folder).st_dev == os.fstat(other_folder).st_dev
        return same_device and mount_id(folder) == mount_id(other_folder)

    def copy(
        self, source: PathAt, target: PathAt, permissions_from: int | None = None, is_stopped: Callable[[], bool] | None = None
    ) -> str:
        """Copy ``source`` to the new file ``target``, fsync it and return the SHA-256 (hex) of the copied bytes.

        The copy gets the times of ``source`` and, through the descriptor that wrote it, the permissions of the open folder
        ``permissions_from``. After an OSError the caller removes the incomplete copy. EINVAL means that ``source`` is no ordinary file,
        ECANCELED that ``is_stopped`` became true.
        """
        reader = self._open_ordinary_file(source)
        try:
            writer = self.create(target)
            try:
                digest = hashlib.sha256()
                while block := os.read(reader, 1 << 20):
                    self.write_all(writer, block)
                    digest.update(block)
                    self._after_block(is_stopped)
                status = os.fstat(reader)
                os.utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
                if permissions_from is not None:
                    self.inherit_permissions(writer, permissions_from)
                self.fsync(writer)
            finally:
                os.close(writer)
        finally:
            os.close(reader)
        return digest.hexdigest()

    def _after_block(self, is_stopped: Callable[[], bool] | None) -> None:
        if is_stopped is not None and is_stopped():
            raise OSError(errno.ECANCELED, "The copy was stopped")
        if is_stopped is None and self.on_copied_block is not None:
            self.on_copied_block()

    def sha256(self, at: PathAt) -> str:
        """Return the SHA-256 (hex) of a file. Raises OSError with EINVAL if it is no ordinary file."""
        fd = self._open_ordinary_file(at)
        with os.fdopen(fd, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _open_ordinary_file(self, at: PathAt) -> int:
        """Open a file for reading that has an end: a pipe or a device could be read for ever."""
        fd = self.open(at)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "It is not an ordinary file", at.name)
        return fd


def write_atomically(fs: Filesystem, path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write ``data`` to ``path`` as ``write_atomically_in`` does."""
    folder = os.open(path.parent, OPEN_FOLDER_FLAGS)
    try:
        write_atomically_in(fs, folder, path.name, data, replace=replace)
    finally:
        os.close(folder)


def write_atomically_in(fs: Filesystem, folder: int, name: str, data: bytes, *, replace: bool = False, is_durable: bool = True) -> None:
    """Write ``data`` to the file ``name`` in an open folder durably, completely or not at all.

    The bytes go to a dot-name beside it, are fsynced and renamed, and the folder is fsynced. The file gets the folder's group, mode and
    ACL through its descriptor before the rename, so it is never visible with other permissions. Raises FileExistsError if ``name``
    exists, unless ``replace``. Without ``is_durable`` nothing is fsynced: after a power failure the file may be empty.
    """
    temporary, target = PathAt(folder, f"{TEMP_PREFIX}{secrets.token_hex(8)}"), PathAt(folder, name)
    fd = fs.create(temporary)
    try:
        try:
            fs.write_all(fd, data)
            fs.inherit_permissions(fd, folder)
            if is_durable:
                fs.fsync(fd)
        finally:
            os.close(fd)
        (fs.replace if replace else fs.rename_noreplace)(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            fs.unlink(temporary)
        raise
    if is_durable:
        fs.fsync_dir(folder)


def open_input(path: str | os.PathLike[str]) -> int:
    """Open the regular file at ``path`` for reading and return its descriptor.

    Raises InputError if it is a symlink, FIFO, socket, device or folder, and OSError if it cannot be opened.
    """
    name = os.path.basename(os.fspath(path))
    try:
        fd = os.open(path, _OPEN_FILE_FLAGS)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise
        raise InputError(f"{name} is not an ordinary file.", "Put the file itself there, not a link or a device.") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise InputError(f"{name} is not an ordinary file.", "Put the file itself there, not a folder, a link or a device.")
    return fd


def has_writer(fd: int, *, is_own: bool = False) -> bool | None:
    """Return whether another program has this file open for writing; None if the kernel cannot tell.

    The kernel refuses a read lease with EAGAIN while there is a writer: see fcntl(2). The lease is returned at once, because it would
    block writers. SIGURG replaces SIGIO, which would end this program if a writer opened the file at that moment.

    On a shared mount no lease is asked for, because the answer says nothing: FUSE grants one while another machine writes, and NFS 4
    without delegations and SMB without oplocks refuse one when nobody does. ``is_own``: only programs on this machine write the file, as
    with the results of a worker; then a lease on a FUSE mount means what it says.
    """
    kind = kind_of_device(os.fstat(fd).st_dev)
    if kind.is_shared and not (is_own and kind.knows_own_writers):
        return None
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def inherit_folder_permissions(file: int, folder: int) -> str:
    """Give an open file the group, the default ACL and the mode (without execute bits) of an open folder; as root, also its owner.

    Both are descriptors: by the time a path is changed, another file may have its name. Permissions must never fail a job, so nothing is
    raised. Return what the system refused to a file of this user's: "group", "mode" (a permission bit is missing), "ACL" or several, as in
    "group and mode"; "" if nothing. Other people's files keep what their owners gave them. A file with several names keeps its
    permissions too, because the other names may be outside the share.
    """
    try:
        file_status, folder_status = os.stat(file), os.stat(folder)
    except OSError:
        return ""
    if file_status.st_nlink > 1:
        return ""
    refused = []
    if not copy_owner(file, file_status, folder_status):
        refused.append("group")
    mode = stat.S_IMODE(folder_status.st_mode) & 0o666
    if stat.S_IMODE(file_status.st_mode) != mode and not _succeeds(os.chmod, file, mode) and mode & ~file_status.st_mode:
        refused.append("mode")
    if not _copy_acl(file, folder):
        refused.append("ACL")
    return " and ".join(refused) if os.geteuid() in (0, file_status.st_uid) else ""


def copy_owner(file: int, status: os.stat_result, folder_status: os.stat_result) -> bool:
    """Give an open file or folder the group of a folder; as root, also its owner. Return False if the system refuses."""
    owner = folder_status.st_uid if os.geteuid() == 0 else status.st_uid
    if (status.st_uid, status.st_gid) == (owner, folder_status.st_gid):
        return True
    return _succeeds(os.chown, file, owner if owner != status.st_uid else -1, folder_status.st_gid)


def _copy_acl(file: int, folder: int) -> bool:
    """Give an open file the default ACL of an open folder, if it has one. Return False if the system refuses."""
    try:
        acl = os.getxattr(folder, "system.posix_acl_default")
    except OSError:
        return True
    return _succeeds(os.setxattr, file, "system.posix_acl_access", _without_execute(acl))


def _succeeds(change: Callable[..., None], *arguments: object) -> bool:
    """Return whether a change is made, and False if the system refuses it."""
    try:
        change(*arguments)
    except OSError:
        return False
    return True


def _without_execute(acl: bytes) -> bytes:
    """Return a default ACL as it applies to a file: owner, others, and the mask (or else the group) lose the execute bit.

    The layout is that of linux/posix_acl_xattr.h: u32 version, then entries of u16 tag, u16 permissions, u32 id, little-endian.
    """
    entries = list(struct.iter_unpack("<HHI", acl[4:]))
    capped = {_ACL_USER_OBJ, _ACL_OTHER, _ACL_MASK if any(tag == _ACL_MASK for tag, _, _ in entries) else _ACL_GROUP_OBJ}
    return acl[:4] + b"".join(struct.pack("<HHI", tag, perm & 6 if tag in capped else perm, who) for tag, perm, who in entries)


def resource_path(*parts: str) -> Path:
    """Return the path of a file that ships with the program, e.g. ``resource_path("config", "pipeline.toml")``.

    The first part is ``config``, ``samples`` or ``systemd``. In a wheel these folders are inside the package, in a checkout they are the
    ones that people edit.
    """
    package = Path(__file__).resolve().parent
    if (package / "shipped").is_dir():
        return package.joinpath("shipped", *parts)
    checkout = package.parent.parent
    return (checkout / "hotfolders" if parts[:1] == ("samples",) else checkout).joinpath(*parts)


def display_name(name: str) -> str:
    """Return the name as a sentence may show it: on one line, with "�" for every character that cannot be seen or that a terminal obeys.

    A joiner (U+200C, U+200D) stays between two letters of a script that needs it, such as Persian or Hindi, and inside an emoji; anywhere
    else it only hides a difference between two names. The result has as many characters as ``name``.
    """
    if name.isascii() and name.isprintable():
        return name
    return _UNSHOWN.sub(_display_character, name)


def display_text(text: str) -> str:
    """Return the text as a note, a terminal or a log may show it: ``display_name`` of each line. Line breaks (LF) stay."""
    return "\n".join(map(display_name, text.split("\n")))


# A path from the root of the filesystem with at least two parts, but no address and no fraction; and the same behind a quotation mark.
_PATH = r"(?<![\w.:/~{quotes}])/[^\s/\"'“”<>|,;()]+(?:/[^\s/\"'“”<>|,;()]+)+/?"
_SERVER_PATH, _QUOTED_SERVER_PATH = re.compile(_PATH.format(quotes="\"'“")), re.compile(_PATH.format(quotes=""))


def hide_server_paths(text: str, *folders: str, is_echo: bool = True) -> str:
    """Return the text without the places of files on the server: of each absolute path its last part stays, or what follows a folder.

    ``folders``: those that are known, whose paths may have spaces. ``is_echo``: a path in quotation marks is what a person wrote; it stays.
    """
    for folder in sorted((folder.rstrip("/") for folder in folders), key=len, reverse=True):
        if folder:
            text = text.replace(f"{folder}/", "").replace(folder, folder.rpartition("/")[2])
    return (_SERVER_PATH if is_echo else _QUOTED_SERVER_PATH).sub(lambda path: path[0].rstrip("/").rpartition("/")[2], text)


def _display_character(match: re.Match[str]) -> str:
    character, text, place = match[0], match.string, match.start()
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if character in (_NON_JOINER, _JOINER) and _is_joining_letter(before) and _is_joining_letter(after):
        return character
    if character == _JOINER and (before == _EMOJI_PRESENTATION or _is_emoji(before)) and _is_emoji(after):
        return character
    return "�"


def _is_joining_letter(character: str) -> bool:
    return (
        bool(character)
        and unicodedata.category(character)[0] in "LM"
        and any(first <= ord(character) <= last for first, last in _SCRIPTS_WITH_JOINERS)
    )


def _is_emoji(character: str) -> bool:
    """Return whether the character can be a part of a joined emoji: a pictograph, an arrow or a skin tone."""
    return "\u2190" <= character != "�" and unicodedata.category(character) in ("So", "Sm", "Sk")
