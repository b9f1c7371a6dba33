"""The move of one file from its source to its destination, and its rollback, from any state that a crash can leave.

Within one filesystem a move is one rename. Between two filesystems the file is parked under a dot-name in its own folder, copied under
a dot-name to the other filesystem, fsynced and renamed there. The parked file is deleted once the whole plan is durable.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import PurePosixPath

from goldsmith.files import FileSignature, Filesystem, PathAt, has_writer
from goldsmith.jobs.work_folder import ScratchError, is_scratch_error
from goldsmith.mounts import kind_of_device, synced_status
from goldsmith.pipeline.commit.naming import is_in_archive
from goldsmith.pipeline.commit.open_folders import OpenFolders

# Dot-name of an input that waits for the end of its plan, in the input's own folder.
PARKED_PREFIX = ".goldsmith-taken-"
# Dot-name of an unfinished copy, in the destination's folder.
COPY_PREFIX = ".goldsmith-copy-"
# The coarsest time stamps of any filesystem: FAT counts in steps of 2 s.
COARSEST_TIMESTAMP_NS = 2_000_000_000
_NOT_A_FILE_ERRNOS = frozenset({errno.ELOOP, errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EINVAL})


class NameTaken(Exception):
    """Another file has the destination's name."""

    def __init__(self, move: FileMove) -> None:
        super().__init__(move.destination)
        self.move = move


class SourceChanged(Exception):
    """The source is gone, was changed, or is being written."""

    def __init__(self, move: FileMove, sentence: str) -> None:
        super().__init__(sentence)
        self.move = move
        self.sentence = sentence
        # The path that the intake must check again.
        self.path = move.source


class SourceMissing(SourceChanged):
    """The file is neither at its source nor at its destination."""


class ResultLost(SourceMissing):
    """A result is no longer in its scratch folder."""


class ResultReplaced(SourceChanged):
    """A result is not the file that the daemon has hashed."""


class SidecarArrived(SourceChanged):
    """A sidecar of the file has arrived, and the work was done without it."""

    def __init__(self, move: FileMove, path: str) -> None:
        super().__init__(move, f"{PurePosixPath(path).name} arrived while {move.name} was being worked on without it.")
        self.path = path


@dataclass(frozen=True, slots=True)
class PreparedCopy:
    """A copy that lies under a dot-name in the destination's folder already, or the error that prevented it."""

    # Hash of the bytes that were copied.
    sha256: str = ""
    # Signature of the copy; None if there is none.
    sig: FileSignature | None = None
    error: Exception | None = None


class FileMove:
    """One move of a plan, of an input or of a result. ``is_recovery``: an earlier run may have done part of it."""

    def __init__(self, fs: Filesystem, folders: OpenFolders, move_id: str, source: str, destination: str, sha256: str) -> None:
        self.fs, self.folders, self.move_id = fs, folders, move_id
        self.source, self.destination, self.sha256 = source, destination, sha256
        self.sig: FileSignature | None = None
        self.is_consume = False
        self.is_recovery = False
        self.has_started = False
        # True once the rename is done: the file at the destination came from the source, even if it is not the file that was read.
        self.was_renamed = False
        self.is_cross_device = False
        # The copy that was made before the commit, if the destination is in another filesystem.
        self.prepared: PreparedCopy | None = None
        # Signature of the file at the destination, once it is there.
        self.destination_sig: FileSignature | None = None
        # Signature of the file after a rollback: the two renames change its ctime.
        self.restored_sig: FileSignature | None = None

    @property
    def name(self) -> str:
        return PurePosixPath(self.source).name

    # ------------------------------------------------------------------ forward

    def apply(self) -> None:
        """Move the file to its destination. Raises NameTaken, SourceChanged or OSError; the move may then be half done."""
        destination = self.folders.locate(self.destination, create=True)
        try:
            source = self.folders.locate(self.source)
        except FileNotFoundError:
            self._handle_missing_source(destination)
            return
        if self.is_consume:
            self._consume(source, destination)
        else:
            self._publish(source, destination)

    def apply_unchecked(self) -> None:
        """Move a file, whatever is in it by now. Raises as ``apply`` does."""
        self._rename(self.folders.locate(self.source), self.folders.locate(self.destination, create=True))

    def _consume(self, source: PathAt, destination: PathAt) -> None:
        if self.is_recovery and self._sig_at(self._parked_at(source)):
            self._copy_across(source, destination)
        elif not self._check_source(source, destination):
            return
        elif self._has_other_names(source, destination):
            self._copy_across(source, destination)
        elif self._rename(source, destination):
            self._verify(destination, None if is_in_archive(self.destination) else destination.dir_fd)
            self.destination_sig = FileSignature.from_stat(self.fs.lstat(destination))

    def _publish(self, source: PathAt, destination: PathAt) -> None:
        """Move a result. It is checked through one descriptor before and after the rename: a worker may swap it in between."""
        try:
            fd = self.fs.open(source)
        except FileNotFoundError:
            self._handle_missing_source(destination)
            return
        except OSError as error:
            is_denied = error.errno in (errno.EACCES, errno.EPERM)
            if error.errno in _NOT_A_FILE_ERRNOS or (is_denied and self._is_closed_to_service(source)):
                raise ResultReplaced(self, f"{self.name} is not the file that was hashed.") from error
            raise
        try:
            checked_sig = self._check_result(fd, source, destination)
            self.fs.inherit_permissions(fd, destination.dir_fd)
            if self._rename(source, destination):
                self._check_arrived_result(fd, checked_sig, destination)
        finally:
            os.close(fd)

    def _rename(self, source: PathAt, destination: PathAt) -> bool:
        """Rename the file. Return False if it was copied instead, or if an earlier run has moved it."""
        self.has_started = True
        self._mark_changed(source, destination)
        try:
            self.fs.rename_noreplace(source, destination)
        except FileExistsError:
            if self._was_copied(source, destination):
                self._copy_across(source, destination)
                return False
            self._finish_split_rename(source, destination)
        except FileNotFoundError:
            self._handle_missing_source(destination)
            return False
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy_across(source, destination)
            return False
        self.was_renamed = True
        return True

    def _check_result(self, fd: int, source: PathAt, destination: PathAt) -> FileSignature:
        """Return the signature of the result. Raises ResultReplaced unless the daemon has hashed this file, and no program writes to it.

        An earlier try or run may have changed its permissions, and some mounts change inodes: then its hash decides.
        """
        status = os.fstat(fd)
        current_sig = FileSignature.from_stat(status)
        has_one_name = status.st_nlink == 1 or (status.st_nlink == 2 and self.is_recovery and self._is_same_inode(source, destination))
        if not stat.S_ISREG(status.st_mode) or not has_one_name or has_writer(fd, is_own=True):
            raise ResultReplaced(self, f"{self.name} is not the file that was hashed.")
        if current_sig == self.sig:
            return current_sig
        is_same_file = self.sig is not None and current_sig.is_same_file(self.sig)
        if not (is_same_file or status.st_uid == os.geteuid()) or not self._has_expected_bytes(fd, current_sig):
            raise ResultReplaced(self, f"{self.name} is not the file that was hashed.")
        return current_sig

    def _is_closed_to_service(self, at: PathAt) -> bool:
        """Return whether the file itself denies its reading: it has another owner, or its mode was changed after it was hashed."""
        status = self.fs.lstat(at)
        return status.st_uid != os.geteuid() or not status.st_mode & stat.S_IRUSR

    def _has_expected_bytes(self, fd: int, current_sig: FileSignature) -> bool:
        """Return whether the file has the size and the hash of the one that was read."""
        if self.sig is None or current_sig.size != self.sig.size:
            return False
        with os.fdopen(os.dup(fd), "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256

    def _check_arrived_result(self, fd: int, checked_sig: FileSignature, destination: PathAt) -> None:
        """Raise ResultReplaced unless the file at the destination is the one that was checked, and no program writes to it.

        From now on no worker can open the file for writing: it is not in a scratch folder any more. If a rename changes inode or mtime, as
        on some mounts, the hash decides.
        """
        self.destination_sig = FileSignature.from_stat(self.fs.lstat(destination))
        is_checked_file = self.destination_sig.same_content(checked_sig)
        if has_writer(fd, is_own=True) or not (is_checked_file or self._hash_matches(destination)):
            raise ResultReplaced(self, f"{self.name} was replaced while it was being published.")

    def confirm_consumed(self) -> None:
        """Record the state of an input that an earlier run has moved completely."""
        source, destination = self.folders.locate(self.source, create=True), self.folders.locate(self.destination, create=True)
        self.is_cross_device = self._sig_at(self._parked_at(source)) is not None
        self.destination_sig = self._sig_at(destination) if self._is_expected_file(destination) else None
        self._mark_changed(source, destination)

    def clean_up(self) -> None:
        """Delete the source of a copy between filesystems, and a prepared copy without use. Call this when the whole plan is durable."""
        if self.prepared is not None:
            destination = self.folders.locate(self.destination)
            self._unlink(PathAt(destination.dir_fd, COPY_PREFIX + self.move_id))
            self._mark_changed(destination)
        if self.is_cross_device and self.is_consume:
            source = self.folders.locate(self.source)
            self._unlink(self._parked_at(source))
            self._mark_changed(source)
        elif self.is_cross_device:
            with contextlib.suppress(ScratchError):  # the scratch folder is removed with everything in it
                self._unlink(self.folders.locate(self.source))

    def _check_source(self, source: PathAt, destination: PathAt) -> bool:
        """Return False if the move is already done. Raises SourceChanged if the file at the source is not the one that was read."""
        current_sig = self._synced_sig_at(source)
        if current_sig is None:
            self._handle_missing_source(destination)
            return False
        if self._matches(source, current_sig) if self.is_recovery else current_sig in (self.sig, self.restored_sig):
            return True
        if self.is_recovery and self._is_expected_file(destination):
            self._handle_missing_source(destination)
            return False
        raise SourceChanged(self, f"{self.name} was changed while it was being worked on.")

    def _handle_missing_source(self, destination: PathAt) -> None:
        """Accept a move that an earlier run has done. Raises SourceMissing if the file is not at its destination either."""
        if not (self.is_recovery and self._is_expected_file(destination)):
            raise (SourceMissing if self.is_consume else ResultLost)(self, f"{self.name} is no longer there.")
        self.has_started = True
        self._mark_changed(destination)
        if self.is_consume:
            self._verify(destination, None if is_in_archive(self.destination) else destination.dir_fd)
        self.destination_sig = FileSignature.from_stat(self.fs.lstat(destination))

    def _finish_split_rename(self, source: PathAt, destination: PathAt) -> None:
        """Finish a rename that was made of link and unlink and was interrupted. Raises NameTaken if the destination is another file."""
        if not self._is_same_inode(source, destination):
            raise NameTaken(self)
        self.fs.unlink(source)

    def _was_copied(self, source: PathAt, destination: PathAt) -> bool:
        """Return whether an earlier run has copied a result to its destination, on another filesystem.

        Between two subvolumes of btrfs, or two project quotas, a rename to a taken name fails with EEXIST, before EXDEV.
        """
        is_result_in_recovery = self.is_recovery and not self.is_consume
        return is_result_in_recovery and not self._is_same_inode(source, destination) and self._is_expected_file(destination)

    def _has_other_names(self, source: PathAt, destination: PathAt) -> bool:
        """Return whether an input that goes to a stage has names outside its folder (hard links).

        The result of a copy belongs to the share. After a rename, the folder's group and mode would apply to the other names as well. The
        two names of a rename that was made of link and unlink, and was interrupted, do not count.
        """
        if is_in_archive(self.destination) or (self.is_recovery and self._is_same_inode(source, destination)):
            return False
        try:
            return self.fs.lstat(source).st_nlink > 1
        except FileNotFoundError:  # the rename finds this out as well
            return False

    def _copy_across(self, source: PathAt, destination: PathAt) -> None:
        self.is_cross_device = self.has_started = True
        self._mark_changed(source, destination)
        start = self._park(source) if self.is_consume else source
        arrived = self._sig_at(destination)
        if arrived is not None and not (self.is_recovery and self._is_expected_file(destination)):
            raise NameTaken(self)
        partial = PathAt(destination.dir_fd, COPY_PREFIX + self.move_id)
        if arrived is None:
            if self._copy_to(partial, start) != self.sha256 and self.sha256:
                kind = SourceChanged if self.is_consume else ResultReplaced
                raise kind(self, f"{self.name} was changed while it was being worked on.")
            self.fs.rename_noreplace(partial, destination)
        else:
            self._unlink(partial)  # the second name that a rename made of link and unlink leaves if it is interrupted
        self.destination_sig = self._sig_at(destination)

    def _copy_to(self, partial: PathAt, start: PathAt) -> str:
        """Return the hash of the copy at ``partial``, and make the copy now unless it is prepared. Raises the error of the preparation."""
        prepared, self.prepared = self.prepared, None
        if prepared is not None and prepared.error is not None:
            raise prepared.error
        current_sig = None if prepared is None else self._sig_at(partial)
        if prepared is not None and prepared.sig is not None and current_sig is not None and current_sig.same_content(prepared.sig):
            return prepared.sha256
        self._unlink(partial)
        return self.fs.copy(start, partial, partial.dir_fd)

    def _park(self, source: PathAt) -> PathAt:
        """Rename the source to a dot-name in its own folder, check it once more, and return the new name."""
        parked = self._parked_at(source)
        try:
            self.fs.rename_noreplace(source, parked)
        except FileExistsError:
            if self._is_same_inode(source, parked):
                self.fs.unlink(source)
        except FileNotFoundError:
            if self._sig_at(parked) is None:
                raise SourceMissing(self, f"{self.name} is no longer there.") from None
        self._verify(parked, None)
        return parked

    def _verify(self, at: PathAt, permissions_from: int | None) -> None:
        """Raise SourceChanged unless this is the file that was read and no program writes to it.

        If ``permissions_from`` is given, the file then gets the permissions of that open folder; no other file gets them. The check for
        writers comes before the check of the signature: a program that wrote until just now has changed the times that the signature holds.
        """
        try:
            fd = self.fs.open(at)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM):
                raise _replaced_error(self, error) from error
            if not self._is_expected_file(at):
                raise self._saved_over() from error
            return
        try:
            if has_writer(fd):
                raise SourceChanged(self, f"{self.name} is still being written by another program.")
            status = synced_status(fd)
            if not stat.S_ISREG(status.st_mode) or not self._matches(fd, FileSignature.from_stat(status)):
                raise self._saved_over()
            if permissions_from is not None:
                self.fs.inherit_permissions(fd, permissions_from)
        finally:
            os.close(fd)

    def _saved_over(self) -> SourceChanged:
        return SourceChanged(self, f"{self.name} was saved over while it was being worked on.")

    # ------------------------------------------------------------------ back

    def roll_back(self) -> bool:
        """Undo every part of the move that was done. Return False if a new file at the source prevents it."""
        if not (self.has_started or self.is_recovery or self.prepared is not None):
            return True
        destination = self.folders.locate(self.destination, create=True)
        try:
            source = self.folders.locate(self.source, create=True)
        except ScratchError:
            return self._discard(destination)
        self._mark_changed(source, destination)
        self._unlink(PathAt(destination.dir_fd, COPY_PREFIX + self.move_id))
        start = self._parked_at(source) if self.is_consume else source
        arrived_sig, self.destination_sig = self.destination_sig, None
        if self._sig_at(start) is not None:
            is_published = self.was_renamed and not self.is_consume and arrived_sig == self._sig_at(destination)
            if is_published or self._is_expected_file(destination):
                self.fs.unlink(destination)
            return not self.is_consume or self._restore(start, source)
        return self._restore(destination, source) if self._is_moved_file(destination, source) else True

    def _restore(self, at: PathAt, source: PathAt) -> bool:
        if not self._rename_back(at, source):
            return False
        if self._is_expected_file(source):
            self.restored_sig = self._sig_at(source)
        return True

    def _rename_back(self, at: PathAt, source: PathAt) -> bool:
        try:
            self.fs.rename_noreplace(at, source)
        except FileExistsError:
            if not self._is_same_inode(at, source):
                return False
            self.fs.unlink(at)
        except OSError as error:
            if error.errno == errno.EXDEV:
                return self._copy_back(at, source)
            if not self.is_consume and is_scratch_error(error):
                return self._discard(at)
            raise
        return True

    def _discard(self, destination: PathAt) -> bool:
        """Remove a result that cannot return to its scratch folder. The job makes it again, or gets a note."""
        self._mark_changed(destination)
        self._unlink(PathAt(destination.dir_fd, COPY_PREFIX + self.move_id))
        if self.was_renamed or self._is_expected_file(destination):
            self._unlink(destination)
        return True

    def _copy_back(self, at: PathAt, source: PathAt) -> bool:
        backward = FileMove(self.fs, self.folders, self.move_id, self.destination, self.source, "")
        try:
            backward._copy_across(at, source)
        except NameTaken:
            return False
        self.folders.sync_changed()
        backward.clean_up()
        return True

    def stranded_path(self) -> str:
        """Return the path of a file that could not return to its source."""
        source = self.folders.locate(self.source)
        parked = self._sig_at(self._parked_at(source)) is not None
        return os.path.join(os.path.dirname(self.source), PARKED_PREFIX + self.move_id) if parked else self.destination

    # ------------------------------------------------------------------ checks

    def is_at_source(self) -> bool:
        """Return whether the file that was read is at its source."""
        try:
            source = self.folders.locate(self.source)
        except FileNotFoundError:
            return False
        current_sig = self._sig_at(source)
        return current_sig is not None and (not self.is_consume or self._matches(source, current_sig))

    def is_at_destination(self) -> bool:
        """Return whether the file is at its destination."""
        return self._is_expected_file(self.folders.locate(self.destination, create=True))

    def _sig_at(self, at: PathAt) -> FileSignature | None:
        try:
            return FileSignature.from_stat(self.fs.lstat(at))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _synced_sig_at(self, at: PathAt) -> FileSignature | None:
        """Return the signature; on a shared mount as the other side has it, because this kernel may remember an older one."""
        remembered = self._sig_at(at)
        if remembered is None or not kind_of_device(remembered.dev).is_shared:
            return remembered
        try:
            fd = self.fs.open(at)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in _NOT_A_FILE_ERRNOS or error.errno in (errno.EACCES, errno.EPERM):
                return remembered
            raise
        try:
            return FileSignature.from_stat(synced_status(fd))
        finally:
            os.close(fd)

    def _is_same_inode(self, first: PathAt, second: PathAt) -> bool:
        """Return whether two names are one file. On a mount that does not keep inodes, equal contents decide."""
        sig_1, sig_2 = self._sig_at(first), self._sig_at(second)
        if sig_1 is None or sig_2 is None or sig_1.dev != sig_2.dev:
            return False
        return sig_1.is_same_file(sig_2) or (
            sig_1.ino == 0 and sig_1.same_content(sig_2) and self.fs.sha256(first) == self.fs.sha256(second)
        )

    def _matches(self, file: PathAt | int, current_sig: FileSignature) -> bool:
        """Return whether a file, given by its name or its descriptor, is the one that was read: same inode, size and time.

        If only the inode differs (after a copy), or the mount does not keep inodes, the hash of the contents decides.
        """
        if self.sig is None:
            return False
        if current_sig.same_content(self.sig):
            return True
        same_but_inode = (
            current_sig.size == self.sig.size
            and abs(current_sig.mtime_ns - self.sig.mtime_ns) <= COARSEST_TIMESTAMP_NS
            and not current_sig.is_same_file(self.sig)
        )
        if not same_but_inode:
            return False
        return self._has_expected_bytes(file, current_sig) if isinstance(file, int) else self._hash_matches(file)

    def _hash_matches(self, at: PathAt) -> bool:
        try:
            return self.fs.sha256(at) == self.sha256
        except OSError as error:
            if error.errno in _NOT_A_FILE_ERRNOS:
                return False
            raise

    def _is_expected_file(self, at: PathAt) -> bool:
        current_sig = self._sig_at(at)
        return current_sig is not None and self._matches(at, current_sig)

    def _is_moved_file(self, destination: PathAt, source: PathAt) -> bool:
        """Return whether the file at the destination was moved by this plan, even if it was written to since, or replaced just before.

        After a crash the rename itself is not on record. But if the source is empty, only this plan can have placed a file in the archive.
        """
        current_sig = self._sig_at(destination)
        if current_sig is None or self.was_renamed:
            return current_sig is not None
        if (self.sig is not None and current_sig.is_same_file(self.sig)) or self._matches(destination, current_sig):
            return True
        return self.is_recovery and self.is_consume and is_in_archive(self.destination) and self._sig_at(source) is None

    def _parked_at(self, source: PathAt) -> PathAt:
        return PathAt(source.dir_fd, PARKED_PREFIX + self.move_id)

    def _mark_changed(self, *paths: PathAt) -> None:
        for at in paths:
            self.folders.mark_changed(at)

    def _unlink(self, at: PathAt) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.unlink(at)


def _replaced_error(move: FileMove, error: OSError) -> Exception:
    """Return the error for a file that was just renamed and cannot be opened: it was replaced, or the disk fails."""
    if error.errno in _NOT_A_FILE_ERRNOS:
        return SourceChanged(move, f"{move.name} was replaced while it was being worked on.")
    return error
