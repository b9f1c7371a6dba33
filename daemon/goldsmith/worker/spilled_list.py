"""Many pictures of one size or another, kept on disk while a set is open: a hundred candidates need no more memory than one."""

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
    """One picture without its pixels; those lie in ``path``, as codes where they are codes, else as the floats they are."""

    picture: Picture
    path: Path
    shape: tuple[int, ...]
    dtype: str


class SpilledList(Sequence[Picture]):
    """Plates in scratch, read again each time one is asked for: the very same values."""

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
        kept = self._entries[index]
        try:
            values = np.fromfile(kept.path, dtype=kept.dtype).reshape(kept.shape)
        except OSError as error:
            sentence = f"The work folder cannot be read: {error.strerror}."
            raise HostError(sentence, "See to the disk that the hot folders lie on.") from error
        return replace(kept.picture, pixels=freeze(_from_codes(values)))

    def delete_files(self) -> None:
        """Nobody asks for these any more."""
        for kept in self._entries:
            with suppress(OSError):
                kept.path.unlink()


def spill_pictures(pictures: Iterable[Picture], scratch: ScratchFolder, name: str) -> Sequence[Picture]:
    """A single picture as it is; of several, each goes to a file called after ``name`` as it comes, before the next one is made."""
    coming: Iterator[Picture] = iter(pictures)
    first = list(islice(coming, 2))
    if len(first) < 2:
        return first
    return SpilledList(
        [_write_picture(plate, scratch, f"{name}-{number:03d}") for number, plate in enumerate(chain(_pop_each(first), coming))]
    )


def _pop_each(pictures: list[Picture]) -> Iterator[Picture]:
    while pictures:
        yield pictures.pop(0)


def _write_picture(picture: Picture, scratch: ScratchFolder, name: str) -> _SpilledPicture:
    codes = quantise(picture.pixels, picture.depth)
    values = codes if np.array_equal(_from_codes(codes), picture.pixels) else picture.pixels
    path = scratch.write_file(name, np.ascontiguousarray(values).tobytes())
    return _SpilledPicture(replace(picture, pixels=_EMPTY), path, values.shape, values.dtype.str)


def _from_codes(values: np.ndarray) -> Pixels:
    """Codes as the floats they stand for; floats as they are."""
    if values.dtype == np.float32:
        return values
    return np.asarray(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max))
