"""LZW streams of a TIFF: valid ones pass, and one with a code that means nothing never reaches the decoder."""

from __future__ import annotations

import io
import random

import imagecodecs
import numpy as np
import pytest
import tifffile

from goldsmith.errors import InputError
from goldsmith.picture.codec import decode, verify
from goldsmith.picture.formats.lzw_codes import has_valid_codes

SOURCES = {
    "nothing to gain": np.random.default_rng(1).integers(0, 256, 60_000),
    "one value": np.zeros(60_000),
    "a gradient": np.arange(60_000) // 7 % 256,
    "one byte": np.ones(1),
    "two values": np.random.default_rng(2).integers(0, 2, 60_000),
}


def packed(name: str) -> bytes:
    return bytes(imagecodecs.lzw_encode(SOURCES[name].astype(np.uint8).tobytes()))


def is_valid(data: bytes) -> bool:
    """Read the codes one by one, as TIFF 6.0, section 13, describes them."""
    width, entries, position, bits = 9, 258, 0, "".join(f"{byte:08b}" for byte in data)
    is_first, has_begun = False, False
    while position + width <= len(bits):
        code = int(bits[position : position + width], 2)
        position += width
        if not has_begun and code != 256:
            return False
        if code == 257:
            return True
        if code == 256:
            width, entries, is_first, has_begun = 9, 258, True, True
            continue
        if code > (257 if is_first else entries):
            return False
        entries += not is_first
        is_first = False
        width = 9 + (entries >= 511) + (entries >= 1023) + (entries >= 2047)
        if entries > 4096 + 257:
            return False
    return has_begun


@pytest.mark.parametrize("name", SOURCES)
def test_valid_codes_pass(name: str) -> None:
    """Whole and broken off."""
    data = packed(name)
    assert has_valid_codes(data)
    assert is_valid(data)
    assert has_valid_codes(data[: max(2, len(data) // 2)])


@pytest.mark.parametrize("name", SOURCES)
def test_damage_is_told_as_a_reading_of_each_code_tells_it(name: str) -> None:
    """A few bytes of a stream are changed, forty times."""
    source, intact = random.Random(name), packed(name)[:4000]
    for _ in range(40):
        data = bytearray(intact)
        for _ in range(source.choice((1, 2, 5))):
            data[source.randrange(len(data))] = source.randrange(256)
        assert has_valid_codes(bytes(data)) == is_valid(bytes(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\0\0\0", b"\x7f\xff"])
def test_a_stream_begins_with_a_clear_code(data: bytes) -> None:
    """Nothing else is LZW."""
    assert not has_valid_codes(data)


def test_a_damaged_file_is_refused() -> None:
    """The codes are changed in a whole file."""
    out = io.BytesIO()
    codes = SOURCES["nothing to gain"].reshape(100, 200, 3).astype(np.uint8)
    tifffile.imwrite(out, codes, photometric="rgb", compression="lzw")
    data = out.getvalue()
    assert np.array_equal(decode(data, "a.tif", 10**6).to_codes(), codes)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start = file.pages[0].dataoffsets[0]
    damaged = data[: start + 2] + b"\xff\xfe\xfd\xfc" + data[start + 6 :]
    with pytest.raises(InputError, match="the data of its picture makes no sense"):
        verify(damaged, "a.tif", 10**6)
