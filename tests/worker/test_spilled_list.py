"""The shelf: plates of a set lie on disk, come back bit for bit, and are never all in memory."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from doubles.ground import plate
from goldsmith.errors import MachineFault
from goldsmith.files import At, Filesystem
from goldsmith.picture.picture import Plate, frozen
from goldsmith.worker.results import Scratch
from goldsmith.worker.spilled_list import Shelf, shelved


@pytest.fixture
def paper(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path / "job", Filesystem())


def test_one_plate_is_that_very_plate(paper: Scratch) -> None:
    """Nothing is written for it."""
    one = plate(8, 8)
    (kept,) = shelved([one], paper, "set")
    assert kept is one
    assert list(shelved([], paper, "set")) == []
    assert os.listdir(paper.folder) == []


def test_several_come_back_bit_for_bit_with_all_that_is_theirs(paper: Scratch) -> None:
    """8 and 16 bit, grey and colour, on codes or between them."""
    between = plate(9, 7).with_pixels(plate(9, 7).pixels * np.float32(0.7))
    given = [plate(5, 6), plate(8, 3, 1, 16, alpha=True), replace(between, facts={"number": 3})]
    kept = shelved(iter(given), paper, "set")
    assert isinstance(kept, Shelf)
    for old, new in zip(given, kept, strict=True):
        assert np.array_equal(old.pixels, new.pixels)
        assert new.pixels.dtype == np.float32
        assert not new.pixels.flags.writeable
        assert (new.alpha is old.alpha, new.depth, new.ppi, new.facts) == (True, old.depth, old.ppi, old.facts)
        assert all(new.masks[name] is mask for name, mask in old.masks.items())
    assert [one.height for one in kept[1:]] == [8, 9]
    assert kept[-1].facts == {"number": 3}


def test_codes_take_a_quarter_of_what_floats_take(paper: Scratch) -> None:
    """An 8-bit plate is a byte a value on disk."""
    shelved([plate(50, 40), plate(50, 40)], paper, "set")
    assert [path.stat().st_size for path in paper.folder.iterdir()] == [50 * 40 * 3] * 2


def test_a_hundred_need_no_more_memory_than_a_few(paper: Scratch) -> None:
    """Each is put away before the next one is made."""

    def making(count: int) -> Iterator[Plate]:
        for number in range(count):
            yield Plate(frozen(np.full((200, 300, 3), number / 255, np.float32)))

    tracemalloc.start()
    kept = shelved(making(100), paper, "set")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 200 * 300 * 3 * 4
    assert [int(one.codes()[0, 0, 0]) for one in kept] == list(range(100))


def test_a_shelf_that_is_cleared_leaves_nothing(paper: Scratch) -> None:
    """And a file that is gone is the machine's fault."""
    kept = shelved([plate(5, 6), plate(5, 6)], paper, "set")
    assert isinstance(kept, Shelf)
    kept.clear()
    assert os.listdir(paper.folder) == []
    with pytest.raises(MachineFault):
        kept[0]


def test_a_full_disk_is_the_machines_fault(tmp_path: Path) -> None:
    """Not the picture's."""

    class Full(Filesystem):
        def create(self, at: At) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(MachineFault, match="No space left"):
        shelved([plate(5, 6), plate(5, 6)], Scratch(tmp_path / "job", Full()), "set")
