"""A list of pictures that is kept on disk while a set is open: a hundred candidates need no more memory than one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import overload

import numpy as np

from goldsmith.errors import HostError
from goldsmith.picture.picture import Picture, Pixels, freeze, quantise
from goldsmith.worker.scratch_folder import ScratchFolder

_EMPTY: Pixels = freeze(np.zeros((0, 0, 3), np.float32))


@dataclass(frozen=True, slots=True)
class _SpilledPicture:
    """One picture without its pixels. They are in ``path``: as codes if that is exact, else as floats."""

    picture: Picture
    path: Path
    shape: tuple[int, ...]
    dtype: str


class SpilledList(Sequence[Picture]):
    """Pictures in the scratch folder. Each is read again whenever it is accessed, with exactly the same values."""

    def __init__(self, entries: Sequence[_SpilledPicture]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> SpilledList: ...
    def __getitem__(self, index: int | slice) -> Picture | SpilledList:
        if isinstance(index, slice):
            return SpilledList(self._entries[index])
        entry = self._entries[index]
        try:
            values = np.fromfile(entry.path, dtype=entry.dtype).reshape(entry.shape)
        except OSError as error:
            sentence = f"The work folder cannot be read: {error.strerror}."
            raise HostError(sentence, "Check the disk that holds the hot folders.") from error
        return replace(entry.picture, pixels=freeze(from_values(values)))

    def delete_files(self) -> None:
        """Delete the files; the pictures are not needed any more."""
        for entry in self._entries:
            with suppress(OSError):
                entry.path.unlink()


def spill_pictures(pictures: Iterable[Picture], scratch: ScratchFolder, name: str) -> Sequence[Picture]:
    """Return a single picture as it is. Of several, write each to a file named after ``name`` before the next one is computed."""
    remaining: Iterator[Picture] = iter(pictures)
    first = list(islice(remaining, 2))
    if len(first) < 2:
        return first
    return SpilledList(
        [_write_picture(picture, scratch, f"{name}-{number:03d}") for number, picture in enumerate(chain(_pop_each(first), remaining))]
    )


def _pop_each(pictures: list[Picture]) -> Iterator[Picture]:
    while pictures:
        yield pictures.pop(0)


def _write_picture(picture: Picture, scratch: ScratchFolder, name: str) -> _SpilledPicture:
    values = exact_values(picture)
    path = scratch.write_file(name, values.tobytes())
    return _SpilledPicture(replace(picture, pixels=_EMPTY), path, values.shape, values.dtype.str)


def exact_values(picture: Picture) -> np.ndarray:
    """Return the pixels as codes of the picture's depth if that is exact, else as floats, (h, w, c), contiguous."""
    codes = quantise(picture.pixels, picture.depth)
    return np.ascontiguousarray(codes if np.array_equal(from_values(codes), picture.pixels) else picture.pixels)


def from_values(values: np.ndarray) -> Pixels:
    """Return codes, (h, w, c), as floats 0..1; floats stay as they are."""
    if values.dtype == np.float32:
        return values
    return np.asarray(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max))
