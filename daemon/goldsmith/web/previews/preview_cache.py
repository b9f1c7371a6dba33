"""Previews on the disk, outside the share, up to a number of bytes. What was used longest ago goes first."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from goldsmith.errors import UsageError
from goldsmith.jobs.preview import PreviewFacts

# When the limit is exceeded, so much is left.
_SHARE_LEFT = 0.9
_ENDING = ".preview"


def default_cache_folder() -> Path:
    """Return the cache folder that systemd made for the service, or else ``goldsmith`` in the user's cache folder (XDG)."""
    if systemd_folder := os.environ.get("CACHE_DIRECTORY", "").split(":")[0]:
        return Path(systemd_folder, "previews")
    if (home := os.environ.get("XDG_CACHE_HOME", "")) and os.path.isabs(home):
        return Path(home, "goldsmith", "previews")
    try:
        return Path.home() / ".cache" / "goldsmith" / "previews"
    except RuntimeError:
        raise UsageError("This user has no home folder for previews.", "Set XDG_CACHE_HOME to a folder on a local disk.") from None


class PreviewCache:
    """Keeps finished previews in ``folder``, each with its facts. Raises OSError if the disk fails."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._max_bytes = max_bytes
        self._used_bytes = sum(size for _, size, _ in self._files())
        for left_over in folder.glob("*.new"):
            left_over.unlink(missing_ok=True)

    def find(self, key: str) -> tuple[PreviewFacts, bytes] | None:
        """Return a preview and its facts, or None."""
        file = self._file_of(key)
        try:
            data = file.read_bytes()
            os.utime(file)
            first, _, rest = data.partition(b"\n")
            return PreviewFacts.model_validate_json(first), rest
        except (OSError, ValueError):
            return None

    def put(self, key: str, facts: PreviewFacts, data: bytes) -> None:
        """Keep a preview, and remove old ones if there are too many bytes."""
        content = facts.model_dump_json().encode() + b"\n" + data
        descriptor, temporary = tempfile.mkstemp(suffix=".new", dir=self._folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(temporary, self._file_of(key))
        except BaseException:
            os.unlink(temporary)
            raise
        self._used_bytes += len(content)
        if self._used_bytes > self._max_bytes:
            self._remove_oldest()

    @contextlib.contextmanager
    def result_file(self) -> Iterator[int]:
        """Yield the descriptor of an empty file without a name, for a result."""
        with tempfile.TemporaryFile(dir=self._folder) as file:
            yield file.fileno()

    def _remove_oldest(self) -> None:
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= self._max_bytes * _SHARE_LEFT:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
            used -= size
        self._used_bytes = used

    def _files(self) -> list[tuple[float, int, str]]:
        """Return when each preview was used last, its size and its path."""
        files = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(_ENDING):
                    with contextlib.suppress(OSError):
                        files.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
        return files

    def _file_of(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:48]}{_ENDING}"
