"""The spilled list: the pictures of a set are on disk, are read back bit for bit, and are never all in memory."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from doubles.operation_samples import picture
from goldsmith.errors import HostError
from goldsmith.files import Filesystem, PathAt
from goldsmith.picture.picture import Picture, freeze
from goldsmith.worker.scratch_folder import ScratchFolder
from goldsmith.worker.spilled_list import SpilledList, spill_pictures


@pytest.fixture
def scratch(tmp_path: Path) -> ScratchFolder:
    return ScratchFolder(tmp_path / "job", Filesystem())


def test_a_single_picture_is_not_written_to_disk(scratch: ScratchFolder) -> None:
    """The list has the picture itself."""
    single = picture(8, 8)
    (kept,) = spill_pictures([single], scratch, "set")
    assert kept is single
    assert list(spill_pictures([], scratch, "set")) == []
    assert os.listdir(scratch.folder) == []


def test_several_pictures_are_read_back_bit_for_bit_with_their_metadata(scratch: ScratchFolder) -> None:
    """The pictures have 8 or 16 bits, grey or colour, and values on codes or between codes."""
    between = picture(9, 7).with_pixels(picture(9, 7).pixels * np.float32(0.7))
    pictures = [picture(5, 6), picture(8, 3, 1, 16, alpha=True), replace(between, record_values={"number": 3})]
    kept = spill_pictures(iter(pictures), scratch, "set")
    assert isinstance(kept, SpilledList)
    for old, new in zip(pictures, kept, strict=True):
        assert np.array_equal(old.pixels, new.pixels)
        assert new.pixels.dtype == np.float32
        assert not new.pixels.flags.writeable
        assert (new.alpha is old.alpha, new.depth, new.ppi, new.record_values) == (True, old.depth, old.ppi, old.record_values)
        assert all(new.masks[name] is mask for name, mask in old.masks.items())
    assert [loaded.height for loaded in kept[1:]] == [8, 9]
    assert kept[-1].record_values == {"number": 3}


def test_pictures_on_codes_take_a_quarter_of_the_space_of_floats(scratch: ScratchFolder) -> None:
    """An 8-bit picture takes one byte a value on disk."""
    spill_pictures([picture(50, 40), picture(50, 40)], scratch, "set")
    assert [path.stat().st_size for path in scratch.folder.iterdir()] == [50 * 40 * 3] * 2


def test_a_hundred_pictures_need_no_more_memory_than_a_few(scratch: ScratchFolder) -> None:
    """Each picture is written before the next is made."""

    def make_pictures(count: int) -> Iterator[Picture]:
        for number in range(count):
            yield Picture(freeze(np.full((200, 300, 3), number / 255, np.float32)))

    tracemalloc.start()
    kept = spill_pictures(make_pictures(100), scratch, "set")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 200 * 300 * 3 * 4
    assert [int(loaded.to_codes()[0, 0, 0]) for loaded in kept] == list(range(100))


def test_the_scratch_folder_is_empty_after_the_files_are_deleted(scratch: ScratchFolder) -> None:
    """Reading a picture afterwards is a HostError."""
    kept = spill_pictures([picture(5, 6), picture(5, 6)], scratch, "set")
    assert isinstance(kept, SpilledList)
    kept.delete_files()
    assert os.listdir(scratch.folder) == []
    with pytest.raises(HostError):
        kept[0]


def test_a_full_disk_is_a_host_error(tmp_path: Path) -> None:
    """The picture is not at fault."""

    class FullDisk(Filesystem):
        def create(self, at: PathAt) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(HostError, match="No space left"):
        spill_pictures([picture(5, 6), picture(5, 6)], ScratchFolder(tmp_path / "job", FullDisk()), "set")
