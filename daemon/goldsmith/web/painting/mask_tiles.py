"""A mask as it travels between page and browser: 8-bit grey in tiles. It is turned into a PNG tile by tile, without a decoder.

"GSMT", width and height (32 bits, big-endian), then each tile from the top left, row by row: 0 and the value of all its pixels, or 1 and
its pixels. A tile has 512 x 512 px; those at the right and at the bottom end with the picture.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from goldsmith.errors import InputError

TILE = 512
_MAGIC = b"GSMT"
_HEADER = struct.Struct(">4sII")
_CONSTANT, _RAW = 0, 1
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Fast: a mask is mostly flat, so that a higher level gains little.
_DEFLATE_LEVEL = 3


def max_bytes_of_pixels(pixel_count: int) -> int:
    """Return how many bytes a mask of so many pixels has at most: its tiles may be one pixel wide."""
    return _HEADER.size + 2 * pixel_count


def read_size(tiles: bytes) -> tuple[int, int]:
    """Return width and height, in px, of a mask in tiles. Raises InputError if the bytes are none."""
    if len(tiles) < _HEADER.size:
        raise _not_of_this_picture()
    magic, width, height = _HEADER.unpack_from(tiles)
    at = _HEADER.size
    for rows, columns in tile_boxes(width, height) if magic == _MAGIC and width * height <= len(tiles) * TILE**2 else ():
        is_raw = tiles[at : at + 1] == bytes([_RAW])
        at += 1 + (rows.stop - rows.start) * (columns.stop - columns.start) if is_raw else 2
    if at != len(tiles) or at == _HEADER.size:
        raise _not_of_this_picture()
    return width, height


def encode_header(width: int, height: int) -> bytes:
    """Return the bytes before the first tile of a mask of this size, in px."""
    return _HEADER.pack(_MAGIC, width, height)


def encode_tile(pixels: bytes) -> bytes:
    """Return one tile; ``pixels`` has a byte for each of its pixels, row by row."""
    is_flat = pixels.count(pixels[:1]) == len(pixels)
    return bytes([_CONSTANT, pixels[0]]) if is_flat else bytes([_RAW]) + pixels


class MaskReader:
    """Turns the bytes of a mask into a PNG while they arrive; it holds one row of tiles at a time."""

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._pending = bytearray()
        self._is_header_read = False
        # The tiles of the row of tiles that is being read, left to right, and the number of rows that are done.
        self._tiles: list[bytes] = []
        self._rows_done = 0
        self._deflate = zlib.compressobj(_DEFLATE_LEVEL)
        self._png = bytearray(_PNG_SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)))
        # Whether all pixels are black.
        self.is_empty = True

    def feed(self, data: bytes) -> None:
        """Read some bytes of the mask. Raises InputError if they are none of a mask of this size."""
        self._pending += data
        if not self._is_header_read:
            if len(self._pending) < _HEADER.size:
                return
            if self._pending[: _HEADER.size] != encode_header(self._width, self._height):
                raise _not_of_this_picture()
            del self._pending[: _HEADER.size]
            self._is_header_read = True
        while self._read_tile():
            pass

    def finish(self) -> bytes:
        """Return the complete PNG. Raises InputError if the mask was cut off."""
        if self._rows_done < self._height or self._pending:
            raise InputError("The mask has not arrived completely, so nothing was written.", "Save it again.")
        self._write_chunk(self._deflate.flush())
        return bytes(self._png) + _chunk(b"IEND", b"")

    def _read_tile(self) -> bool:
        """Take one tile off the pending bytes; return whether there was a complete one."""
        if len(self._pending) < 2 or self._rows_done >= self._height:
            if self._pending and self._rows_done >= self._height:
                raise _not_of_this_picture()
            return False
        size = self._next_width() * self._tile_rows()
        kind = self._pending[0]
        if kind == _CONSTANT:
            pixels, used = bytes([self._pending[1]]) * size, 2
        elif kind == _RAW:
            if len(self._pending) < size + 1:
                return False
            pixels, used = bytes(self._pending[1 : size + 1]), size + 1
        else:
            raise _not_of_this_picture()
        del self._pending[:used]
        self.is_empty = self.is_empty and not any(pixels)
        self._tiles.append(pixels)
        if len(self._tiles) * TILE >= self._width:
            self._write_rows()
        return True

    def _next_width(self) -> int:
        return min(TILE, self._width - len(self._tiles) * TILE)

    def _tile_rows(self) -> int:
        return min(TILE, self._height - self._rows_done)

    def _write_rows(self) -> None:
        """Write the rows of a complete row of tiles, each after the byte that says it has no filter."""
        rows = self._tile_rows()
        sides = [len(pixels) // rows for pixels in self._tiles]
        for row in range(rows):
            line = b"".join(pixels[row * side : (row + 1) * side] for pixels, side in zip(self._tiles, sides, strict=True))
            self._write_chunk(self._deflate.compress(b"\0" + line))
        self._rows_done += rows
        self._tiles = []

    def _write_chunk(self, data: bytes) -> None:
        if data:
            self._png += _chunk(b"IDAT", data)


def tile_boxes(width: int, height: int) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of each tile of a picture of this size, in px, in the order of the tiles."""
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            yield slice(top, min(height, top + TILE)), slice(left, min(width, left + TILE))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _not_of_this_picture() -> InputError:
    return InputError("This is no mask of this picture: it has another size, or other bytes.", "Load the page again, then paint it again.")
