"""Read GIF, for masks: the blocks are counted and measured, and giflib gets the first frame alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goldsmith.picture.formats.image_info import ImageHeader, Samples, check_size, damaged_error, describe_arrival, truncated_error

_SCREEN_BYTES = 13
_TABLE_FLAG, _TABLE_SIZE = 0x80, 0x07
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_DESCRIPTOR_BYTES = 10
# A frame of an animation has a handful of blocks.
_MAX_BLOCKS = 20_000


@dataclass(slots=True)
class _Blocks:
    """The file's frames: the number, the pixels of all together, and where the first one ends."""

    count: int = 0
    pixels: int = 0
    first_end: int = 0


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels. The blocks are read to the end of the file."""
    if len(data) < _SCREEN_BYTES:
        raise truncated_error(name, describe_arrival(len(data)))
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (6, 8))
    check_size(name, width, height, 1, max_pixels)
    blocks = _read_blocks(data, name, max_pixels)
    if not blocks.count:
        raise damaged_error(name, "it has no picture in it")
    header = ImageHeader("gif", width, height, 8, 3, has_alpha=True, frame_count=blocks.count, reader_state=blocks)
    header.total_pixels = max(width * height, blocks.pixels)
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the first frame on its canvas as codes (h, w, 3 or 4); what it leaves free is black, or transparent."""
    import imagecodecs

    blocks: _Blocks = header.reader_state
    result: Samples = imagecodecs.gif_decode(data[: blocks.first_end] + bytes((_TRAILER,)), index=0)
    if result.shape[:2] != (header.height, header.width):
        raise damaged_error(name, "its picture is of another size than its header says")
    header.has_alpha = result.shape[2] == 4 and bool((result[:, :, 3] < 255).any())
    return result if header.has_alpha else np.ascontiguousarray(result[:, :, :3])


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Do nothing: a mask is the first frame, and the blocks of the others have been read."""


def _read_blocks(data: bytes, name: str, max_pixels: int) -> _Blocks:
    blocks, at = _Blocks(), _SCREEN_BYTES + _table_bytes(data[10])
    for _ in range(_MAX_BLOCKS):
        kind = _byte(data, at, name)
        if kind == _TRAILER:
            return blocks
        if kind == _EXTENSION:
            at = _skip_sub_blocks(data, at + 2, name)
        elif kind == _IMAGE:
            flags = _byte(data, at + _DESCRIPTOR_BYTES - 1, name)
            width, height = (int.from_bytes(data[start : start + 2], "little") for start in (at + 5, at + 7))
            check_size(name, width, height, blocks.count + 1, max_pixels)
            at = _skip_sub_blocks(data, at + _DESCRIPTOR_BYTES + _table_bytes(flags) + 1, name)
            blocks.count, blocks.pixels, blocks.first_end = blocks.count + 1, blocks.pixels + width * height, blocks.first_end or at
        else:
            raise damaged_error(name, f"a part of it is missing or was changed (at byte {at:,})")
    raise damaged_error(name, f"it has more than {_MAX_BLOCKS:,} parts")


def _table_bytes(flags: int) -> int:
    """Return the bytes of the colour table that the flags announce (GIF89a, 18 and 20)."""
    return 3 << (flags & _TABLE_SIZE) + 1 if flags & _TABLE_FLAG else 0


def _skip_sub_blocks(data: bytes, at: int, name: str) -> int:
    """Return where the sub-blocks that begin at ``at`` end (GIF89a, 15)."""
    while (size := _byte(data, at, name)) > 0:
        at += 1 + size
    return at + 1


def _byte(data: bytes, at: int, name: str) -> int:
    if at >= len(data):
        raise truncated_error(name, describe_arrival(len(data)))
    return data[at]
