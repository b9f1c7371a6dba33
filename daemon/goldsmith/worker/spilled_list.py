"""Many plates of one size or another, kept on disk while a set is open: a hundred candidates need no more memory than one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import overload

import numpy as np

from goldsmith.errors import MachineFault
from goldsmith.picture.picture import Pixels, Plate, frozen, quantised
from goldsmith.worker.results import Scratch

_EMPTY: Pixels = frozen(np.zeros((0, 0, 3), np.float32))


@dataclass(frozen=True, slots=True)
class _Kept:
    """One plate without its pixels; those lie in ``path``, as codes where they are codes, else as the floats they are."""

    plate: Plate
    path: Path
    shape: tuple[int, ...]
    kind: str


class Shelf(Sequence[Plate]):
    """Plates in scratch, read again each time one is asked for: the very same values."""

    def __init__(self, kept: Sequence[_Kept]) -> None:
        self._kept = tuple(kept)

    def __len__(self) -> int:
        return len(self._kept)

    @overload
    def __getitem__(self, index: int) -> Plate: ...
    @overload
    def __getitem__(self, index: slice) -> Shelf: ...
    def __getitem__(self, index: int | slice) -> Plate | Shelf:
        if isinstance(index, slice):
            return Shelf(self._kept[index])
        kept = self._kept[index]
        try:
            values = np.fromfile(kept.path, dtype=kept.kind).reshape(kept.shape)
        except OSError as error:
            sentence = f"The work folder cannot be read: {error.strerror}."
            raise MachineFault(sentence, "See to the disk that the hot folders lie on.") from error
        return replace(kept.plate, pixels=frozen(_decoded(values)))

    def clear(self) -> None:
        """Nobody asks for these any more."""
        for kept in self._kept:
            with suppress(OSError):
                kept.path.unlink()


def shelved(plates: Iterable[Plate], paper: Scratch, name: str) -> Sequence[Plate]:
    """A single plate as it is; of several, each goes to a file called after ``name`` as it comes, before the next one is made."""
    coming: Iterator[Plate] = iter(plates)
    first = list(islice(coming, 2))
    if len(first) < 2:
        return first
    return Shelf([_put(plate, paper, f"{name}-{number:03d}") for number, plate in enumerate(chain(_emptying(first), coming))])


def _emptying(plates: list[Plate]) -> Iterator[Plate]:
    while plates:
        yield plates.pop(0)


def _put(plate: Plate, paper: Scratch, name: str) -> _Kept:
    codes = quantised(plate.pixels, plate.depth)
    values = codes if np.array_equal(_decoded(codes), plate.pixels) else plate.pixels
    path = paper.put(name, np.ascontiguousarray(values).tobytes())
    return _Kept(replace(plate, pixels=_EMPTY), path, values.shape, values.dtype.str)


def _decoded(values: np.ndarray) -> Pixels:
    """Codes as the floats they stand for; floats as they are."""
    if values.dtype == np.float32:
        return values
    return np.asarray(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max))
