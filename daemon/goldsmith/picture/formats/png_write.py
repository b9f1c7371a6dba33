"""Write PNG at 8 and 16 bits: rows are filtered in numpy and deflated by libdeflate, several times faster than libpng."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.metadata import photoshop_from_iptc, with_resolution
from goldsmith.picture.formats.png import METRES_PER_INCH, PNG_SIGNATURE, make_chunk
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.picture import Picture

_MAX_CHUNK_BYTES = 1 << 30
_BAND_ROWS = 64
# libdeflate's levels are 1 (fastest) to 12.
_FASTEST_LEVEL = 1
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_SUB, _UP, _AVERAGE = 1, 2, 3


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8 or uint16 codes, alpha last) as a PNG with the picture's profile and metadata.

    The same samples and effort give the same bytes.
    """
    import imagecodecs

    height, width, channels = samples.shape
    depth = 8 * samples.dtype.itemsize
    ihdr = struct.pack(">IIBBBBB", width, height, depth, _COLOUR_TYPES[channels], 0, 0, 0)
    rows: Any = filter_rows(samples)  # any buffer is accepted, though the stubs say bytes
    compressed = bytes(imagecodecs.deflate_encode(rows, level=_FASTEST_LEVEL + options.effort))
    parts = [PNG_SIGNATURE, make_chunk(b"IHDR", ihdr), *_metadata_chunks(picture)]
    parts += [make_chunk(b"IDAT", compressed[at : at + _MAX_CHUNK_BYTES]) for at in range(0, len(compressed), _MAX_CHUNK_BYTES)]
    return b"".join([*parts, make_chunk(b"IEND", b"")])


def _metadata_chunks(picture: Picture) -> list[bytes]:
    result = []
    if picture.icc is not None:
        result.append(make_chunk(b"iCCP", b"icc\0\0" + zlib.compress(picture.icc)))
    if picture.ppi is not None:
        across, down = (min(round(value / METRES_PER_INCH), 2**31 - 1) for value in picture.ppi)
        result.append(make_chunk(b"pHYs", struct.pack(">IIB", across, down, 1)))
    exif = with_resolution(picture.metadata.exif, picture.ppi, creates_exif=False)
    if exif:
        result.append(make_chunk(b"eXIf", exif))
    if picture.metadata.xmp:
        result.append(make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + picture.metadata.xmp))
    result += [
        make_chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode()) for keyword, text in picture.metadata.text_chunks
    ]
    if picture.metadata.iptc:
        block = photoshop_from_iptc(picture.metadata.iptc)
        text = f"\niptc\n{len(block):8d}\n{block.hex()}\n".encode("ascii")
        result.append(make_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)))
    return result


def filter_rows(samples: Samples) -> NDArray[np.uint8]:
    """Return the rows of codes (h, w, n), each after its filter byte; a row uses the filter with the smallest sum of residuals (the PNG
    book's heuristic).

    Paeth is not used: in numpy it takes ten times as long as the others and gains nothing on photographs.
    """
    height, width, channels = samples.shape
    stride = channels * samples.dtype.itemsize
    result = np.empty((height, width * stride + 1), np.uint8)
    above = np.zeros((1, width * stride), np.uint8)
    for top in range(0, height, _BAND_ROWS):
        band = samples[top : top + _BAND_ROWS]
        unfiltered = np.ascontiguousarray(band.astype(">u2") if band.dtype.itemsize == 2 else band).view(np.uint8).reshape(len(band), -1)
        _filter_band(unfiltered, np.concatenate([above, unfiltered[:-1]]), stride, result[top : top + len(band)])
        above = unfiltered[-1:]
    return result


def _filter_band(rows: NDArray[np.uint8], rows_above: NDArray[np.uint8], pixel_bytes: int, out: NDArray[np.uint8]) -> None:
    left = np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    average = (left & rows_above) + ((left ^ rows_above) >> 1)
    min_cost = None
    for kind, prediction in ((_SUB, left), (_UP, rows_above), (_AVERAGE, average)):
        residual = rows - prediction
        cost = np.abs(residual.view(np.int8)).view(np.uint8).sum(axis=1, dtype=np.int64)
        is_better = slice(None) if min_cost is None else cost < min_cost
        out[is_better, 0] = kind
        out[is_better, 1:] = residual[is_better]
        min_cost = cost if min_cost is None else np.minimum(min_cost, cost)
