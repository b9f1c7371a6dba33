"""Writes what a job made into its scratch folder, durably, before anybody is told of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from goldsmith.errors import MachineFault, Problem
from goldsmith.files import FOLDER_FLAGS, At, Filesystem
from goldsmith.jobs.job import Output, OutputRole


class Scratch:
    """One job's own folder. Made anew: what an attempt that died left in it is gone."""

    def __init__(self, folder: Path, fs: Filesystem) -> None:
        self.folder = folder
        self._fs = fs
        self._outputs: list[Output] = []
        self._sealed = True
        self.shown = ""
        """Absolute path of the picture that shows why the job brings no result; "" = there is none."""
        try:
            _emptied(folder)
        except OSError as error:
            raise self._broken("made", error) from error

    @property
    def outputs(self) -> tuple[Output, ...]:
        return tuple(self._outputs)

    def put(self, name: str, data: bytes) -> Path:
        """A new file in the folder, fsynced. Raises MachineFault where the disk will not take it."""
        path = self.folder / name
        try:
            fd = self._fs.create(At.path(path))
            try:
                self._fs.write_all(fd, data)
                self._fs.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._broken("written to", error) from error
        self._sealed = False
        return path

    def show(self, data: bytes) -> None:
        """A JPEG that shows why the job is about to bring no result."""
        if self.shown:
            Path(self.shown).unlink(missing_ok=True)
            self.shown = ""
        self.shown = str(self.put("shown.jpg", data))

    def output(self, role: OutputRole, tail: str, data: bytes, facts: Mapping[str, JsonValue]) -> None:
        """A file that is to be put down as stem + ``tail``. Raises Problem where two would get one name."""
        if "/" in tail or "\0" in tail:
            raise Problem(f"A result cannot be called {tail!r}: a name has no slash in it.")
        if any(made.tail.casefold() == tail.casefold() for made in self._outputs):
            raise Problem(f"Two results would have one name, ending in {tail}.", "Give every export of the brief a name of its own.")
        path = self.put(f"{len(self._outputs):03d}.{tail.rpartition('.')[2][:16]}", data)
        self._outputs.append(
            Output(role=role, tail=tail, path=str(path), sha256=hashlib.sha256(data).hexdigest(), size=len(data), facts=dict(facts))
        )

    def seal(self) -> None:
        """Fsync the folder itself, so that the names in it are as durable as the files."""
        if self._sealed:
            return
        try:
            fd = os.open(self.folder, FOLDER_FLAGS)
            try:
                self._fs.fsync_dir(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise self._broken("written to", error) from error
        self._sealed = True

    def _broken(self, what: str, error: OSError) -> MachineFault:
        return MachineFault(f"The work folder cannot be {what}: {error.strerror}.", "See to the disk that the hot folders lie on.")


def _emptied(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        shutil.rmtree(folder)
        folder.mkdir()
