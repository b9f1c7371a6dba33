"""Writes the results of a job into its scratch folder, durably, before the outcome is sent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from goldsmith.errors import HostError, InputError
from goldsmith.files import OPEN_FOLDER_FLAGS, Filesystem, PathAt
from goldsmith.jobs.job import OutputFile, OutputRole


class ScratchFolder:
    """One job's own folder. It is created empty: files of an attempt that crashed are deleted."""

    def __init__(self, folder: Path, fs: Filesystem) -> None:
        self.folder = folder
        self._fs = fs
        self._outputs: list[OutputFile] = []
        self._is_synced = True
        # Absolute path of the picture that shows why the job has no result; "" = none.
        self.problem_image = ""
        try:
            _recreate_folder(folder)
        except OSError as error:
            raise self._host_fault("created", error) from error

    @property
    def outputs(self) -> tuple[OutputFile, ...]:
        return tuple(self._outputs)

    def write_file(self, name: str, data: bytes) -> Path:
        """Write a new file in the folder, fsynced, and return its path. Raises HostError if the disk fails or is full."""
        path = self.folder / name
        try:
            fd = self._fs.create(PathAt.from_path(path))
            try:
                self._fs.write_all(fd, data)
                self._fs.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._host_fault("written to", error) from error
        self._is_synced = False
        return path

    def keep_copy(self, sha256: str, name: str, data: bytes) -> Path:
        """Keep a copy of a file of the share, where nobody changes it while steps read it, and return its path; its name stays the same."""
        folder = f"copy-{sha256[:16]}"
        path = self.folder / folder / name
        if path.exists():
            return path
        try:
            (self.folder / folder).mkdir(exist_ok=True)
        except OSError as error:
            raise self._host_fault("written to", error) from error
        return self.write_file(f"{folder}/{name}", data)

    def write_problem_image(self, data: bytes) -> None:
        """Write the JPEG that shows why the job is about to fail; it replaces an earlier one."""
        if self.problem_image:
            Path(self.problem_image).unlink(missing_ok=True)
            self.problem_image = ""
        self.problem_image = str(self.write_file("shown.jpg", data))

    def add_output(
        self, role: OutputRole, tail: str, data: bytes, facts: Mapping[str, JsonValue], document_id: str = "", look: str = ""
    ) -> None:
        """Write a file that will be published as stem + ``tail``. Raises InputError if two files would get the same name.

        ``document_id``: the UUID in its metadata; ``look``: what it looks like, in hex.
        """
        if "/" in tail or "\0" in tail:
            raise InputError(f"A result cannot be named {tail!r}: a name must not contain a slash.")
        if any(output.tail.casefold() == tail.casefold() for output in self._outputs):
            raise InputError(
                f"Two results would have the same name, ending in {tail}.", "Give every export of the brief a name of its own."
            )
        path = self.write_file(f"{len(self._outputs):03d}.{tail.rpartition('.')[2][:16]}", data)
        sha256 = hashlib.sha256(data).hexdigest()
        output = OutputFile(role=role, tail=tail, path=str(path), sha256=sha256, size=len(data), facts=dict(facts))
        self._outputs.append(output.model_copy(update={"document_id": document_id, "look": look}))

    def sync_folder(self) -> None:
        """Fsync the folder, so that the names in it are as durable as the files."""
        if self._is_synced:
            return
        try:
            fd = os.open(self.folder, OPEN_FOLDER_FLAGS)
            try:
                self._fs.fsync_dir(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._host_fault("written to", error) from error
        self._is_synced = True

    def _host_fault(self, action: str, error: OSError) -> HostError:
        return HostError(f"The work folder cannot be {action}: {error.strerror}.", "Check the disk that holds the hot folders.")


def _recreate_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        shutil.rmtree(folder)
        folder.mkdir()
