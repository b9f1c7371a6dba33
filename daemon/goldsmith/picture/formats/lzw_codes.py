"""Check the codes of an LZW stream in a TIFF: the decoder does not, and a code that means nothing ends its process.

The codes are those of TIFF 6.0, section 13: 9 to 12 bits, the highest bit first. Between two Clear codes the width of each code follows
from its number alone, so that thousands of them are checked at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_CLEAR, _END, _FIRST_ENTRY = 256, 257, 258
# The code after a Clear adds no entry to the table; each further one does. Before the entry 511 the width grows to 10 bits, and so on.
_TABLE_CODES = 4096
_WIDTHS = np.select([np.arange(_TABLE_CODES) < limit for limit in (511 - 258 + 1, 1023 - 258 + 1, 2047 - 258 + 1)], [9, 10, 11], 12)
_OFFSETS = np.concatenate([[0], np.cumsum(_WIDTHS)])[:-1]
# Code number k may name any entry before it, or the one that it adds itself.
_LARGEST = np.arange(_TABLE_CODES) + _END
# Bytes that hold that many codes, wherever in a byte they begin.
_WINDOW_BYTES = _TABLE_CODES * 12 // 8 + 2


def has_valid_codes(data: bytes) -> bool:
    """Return whether every code up to the End code, or to the end of the data, names a letter or an entry that exists."""
    if len(data) < 2 or int.from_bytes(data[:2], "big") >> 7 != _CLEAR:
        return False
    position = 9
    while True:
        codes = _codes_from(data, position)
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        used = int(stops[0]) if len(stops) else len(codes)
        if (codes[:used] > _LARGEST[:used]).any():
            return False
        if used == len(codes) or codes[used] == _END:
            return used < _TABLE_CODES
        position += int(_OFFSETS[used] + _WIDTHS[used])


def _codes_from(data: bytes, position: int) -> NDArray[np.int64]:
    """Return the codes behind a Clear that ends at a position in bits, as far as there is data and there can be entries."""
    start, first_bit = divmod(position, 8)
    window = np.frombuffer(data[start : start + _WINDOW_BYTES] + b"\0\0\0", np.uint8).astype(np.int64)
    offsets = first_bit + _OFFSETS
    offsets = offsets[: int(np.searchsorted(offsets + _WIDTHS, 8 * (len(data) - start), "right"))]
    at, widths = offsets // 8, _WIDTHS[: len(offsets)]
    # The 24 bits from a byte on: a code of 12 bits at any bit of it is within them.
    words = (window[at] << 16) | (window[at + 1] << 8) | window[at + 2]
    codes: NDArray[np.int64] = (words >> (24 - offsets % 8 - widths)) & ((1 << widths) - 1)
    return codes
