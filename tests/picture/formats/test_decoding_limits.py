"""Small files that would cost a worker much time or memory are refused before they are decoded, with a sentence that names the file."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import decode, decode_with_info, verify
from goldsmith.picture.formats.decoding_limits import MAX_SCANS, MAX_TEXT_BYTES, MAX_TEXTS
from goldsmith.picture.formats.png import PNG_SIGNATURE, make_chunk
from goldsmith.picture.print.cmyk import validate_cmyk_profile

LIMIT = 1_000_000
_SHORT, _LONG, _UNDEFINED = 3, 4, 7


def saved_jpeg(side: int = 32, *, progressive: bool = False) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.full((side, side), 128, np.uint8)).save(out, "JPEG", progressive=progressive)
    return out.getvalue()


def jpeg_with_scans(count: int, side: int = 32) -> bytes:
    """Return a progressive JPEG whose last scan is repeated until there are ``count``."""
    data = saved_jpeg(side, progressive=True)
    end = data.rindex(b"\xff\xd9")
    scan = data[data.rindex(b"\xff\xda") : end]
    return data[:end] + scan * (count - data.count(b"\xff\xda")) + data[end:]


def jpeg_with_segments(segments: bytes) -> bytes:
    data = saved_jpeg()
    return data[:2] + segments + data[2:]


def png(chunks: bytes = b"", side: int = 8, after: bytes = b"") -> bytes:
    rows = zlib.compress((b"\0" + bytes(side)) * side)
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    picture = make_chunk(b"IDAT", rows)
    return PNG_SIGNATURE + make_chunk(b"IHDR", header) + chunks + picture + after + make_chunk(b"IEND", b"")


def texts(count: int, text: bytes = b"v") -> bytes:
    return b"".join(make_chunk(b"tEXt", b"k%d\0" % number + text) for number in range(count))


def packed_texts(count: int, size: int) -> bytes:
    return make_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(size))) * count


def tiff(pages: int = 1, extra: list[tuple[int, int, int, int]] | None = None, shared: bytes = b"", part: bytes = bytes(64)) -> bytes:
    """Return a grey TIFF of 8 x 8 px; ``extra`` are further entries of each page, which may point to ``shared`` at byte 8."""
    start = 8 + len(shared)
    compression = 7 if part.startswith(b"\xff\xd8") else 1
    entries = [(256, _SHORT, 1, 8), (257, _SHORT, 1, 8), (258, _SHORT, 1, 8), (259, _SHORT, 1, compression), (262, _SHORT, 1, 1)]
    entries += [(273, _LONG, 1, start), (277, _SHORT, 1, 1), (278, _SHORT, 1, 8), (279, _LONG, 1, len(part)), *(extra or [])]
    part += b"\0" * (len(part) % 2)
    body = bytearray(b"II*\0" + struct.pack("<I", start + len(part)) + shared + part)
    for page in range(pages):
        directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
        body += directory + struct.pack("<I", 0 if page == pages - 1 else len(body) + len(directory) + 4)
    return bytes(body)


def animated_webp(count: int, side: int, further_parts: bytes = b"", canvas_side: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side)).save(out, "WEBP", lossless=True)
    still = out.getvalue()[12:]

    def part(kind: bytes, payload: bytes) -> bytes:
        return kind + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)

    size = struct.pack("<I", side - 1)[:3] * 2
    frame = part(b"ANMF", bytes(6) + size + bytes(4) + still)
    canvas = struct.pack("<I", (canvas_side or side) - 1)[:3] * 2
    body = b"WEBP" + part(b"VP8X", b"\2\0\0\0" + canvas) + part(b"ANIM", bytes(6)) + frame * count + further_parts
    return b"RIFF" + struct.pack("<I", len(body)) + body


def animated_png(count: int, side: int) -> bytes:
    rows = zlib.compress((b"\0" + bytes(side)) * side)
    frames = b"".join(
        make_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 1, 0, 0)) + make_chunk(b"fdAT", bytes(4) + rows)
        for number in range(count)
    )
    return png(side=side, after=frames)


def multi_picture_jpeg(count: int, side: int) -> bytes:
    """Return a JPEG whose index names its second picture ``count`` times."""
    picture = saved_jpeg(side)
    size = 16 * (count + 1)
    index = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0xB002, _UNDEFINED, size, 26, 0)
    start = 2 + 2 + 2 + 4  # of the index in the file
    segment_size = 2 + 4 + len(index) + size
    rows = bytes(16) + struct.pack("<IIIHH", 0, len(picture), len(picture) + 2 + segment_size - start, 0, 0) * count
    return picture[:2] + b"\xff\xe2" + struct.pack(">H", segment_size) + b"MPF\0" + index + rows + picture[2:] + picture


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "JPEG of many scans": ("a.jpg", lambda: jpeg_with_scans(MAX_SCANS + 1), "more than 100 JPEG scans"),
    "JPEG of many comments": ("a.jpg", lambda: jpeg_with_segments(b"\xff\xfe\0\3x" * (MAX_TEXTS + 1)), "more than 1,000 texts"),
    "JPEG of long comments": ("a.jpg", lambda: jpeg_with_segments((b"\xff\xfe\xff\xff" + bytes(65533)) * 62), "more than 4 MB of texts"),
    "JPEG of many segments": ("a.jpg", lambda: jpeg_with_segments(b"\xff\x01" * 5001), "more than 5,000 parts"),
    "JPEG that is one picture many times": ("a.jpg", lambda: multi_picture_jpeg(200, 256), "201 frames of together 13 MP"),
    "PNG of many texts": ("a.png", lambda: png(texts(MAX_TEXTS + 1)), "more than 1,000 texts"),
    "PNG of many raw profiles": ("a.png", lambda: png(make_chunk(b"tEXt", b"Raw profile type exif\0") * 1001), "more than 1,000 texts"),
    "PNG of long texts": ("a.png", lambda: png(texts(5, bytes(900_000))), "more than 4 MB of texts"),
    "PNG of packed texts": ("a.png", lambda: png(packed_texts(5, 900_000)), "more than 4 MB of texts"),
    "PNG of one packed text": ("a.png", lambda: png(packed_texts(1, MAX_TEXT_BYTES + 1)), "more than 4 MB of texts"),
    "PNG of many chunks": ("a.png", lambda: png(make_chunk(b"abCd", b"") * 11_000), "parts"),
    "PNG with IPTC of many words": ("a.png", lambda: png(make_chunk(b"tEXt", b"Raw profile type iptc\0" + b"a " * 2_100_000)), "IPTC"),
    "PNG of many frames": ("a.png", lambda: animated_png(160, 256), "160 frames of together 11 MP"),
    "WebP of many frames": ("a.webp", lambda: animated_webp(160, 256), "160 frames of together 10 MP"),
    "WebP of frames beyond the picture": ("a.webp", lambda: animated_webp(160, 256, canvas_side=8), "160 frames of together 10 MP"),
    "WebP of much XMP": ("a.webp", lambda: animated_webp(1, 8, b"XMP " + struct.pack("<I", 33 << 20) + bytes(33 << 20)), "XMP block"),
    "WebP of many parts": ("a.webp", lambda: animated_webp(1, 8, b"abcd\0\0\0\0" * 20_001), "more than 20,000 parts"),
    "AVIF of many boxes": ("a.avif", lambda: saved_avif() + b"\0\0\0\x08free" * 10_000, "more than 10,000 parts"),
    "TIFF of many entries": ("a.tif", lambda: tiff(17, [(50_000, _LONG, 1, 0)] * 4087), "more than 65,536 properties"),
    "TIFF of shared values": (
        "a.tif",
        lambda: tiff(1, [(50_000, _UNDEFINED, 1 << 20, 8)] * 20, bytes(1 << 20)),
        "announces more than the file holds",
    ),
    "TIFF of many texts": ("a.tif", lambda: tiff(1, [(50_000, 2, 4, 0)] * (MAX_TEXTS + 1)), "more than 1,000 texts"),
    "TIFF around a JPEG of many scans": ("a.tif", lambda: tiff(part=jpeg_with_scans(MAX_SCANS + 1, 8)), "more than 100 JPEG scans"),
    "TIFF around a JPEG of another size": ("a.tif", lambda: tiff(part=saved_jpeg(512)), "512 x 512 pixels"),
    "TIFF of a very large profile": ("a.tif", lambda: tiff(1, [(34675, _UNDEFINED, 33 << 20, 8)], bytes(33 << 20)), "colour profile"),
}


def saved_avif() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "AVIF")
    return out.getvalue()


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_costs_too_much_is_refused_before_it_is_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of the pixels is not even called."""
    import imagecodecs

    for decoder in ("jpeg8_decode", "png_decode", "webp_decode", "jpeg_decode"):
        monkeypatch.setattr(imagecodecs, decoder, lambda *_, **__: pytest.fail("it was decoded"))
    name, make, message = HOSTILE[kind]
    data = make()
    for function in (verify, decode):
        with pytest.raises(InputError, match=message) as caught:
            function(data, name, LIMIT)
        assert name in caught.value.sentence


def profile_with_steps(elements: int, segments: int) -> bytes:
    """Return an sRGB profile with a floating-point table of that many elements, all of them the same curve of that many segments."""
    plain = profiles.builtin_profile("srgb")
    count = int.from_bytes(plain[128:132], "big")
    start = 132 + 12 * count
    table = b"mpet" + struct.pack(">IHHI", 0, 3, 3, elements) + struct.pack(">II", 16 + 8 * elements, 12) * elements
    table += b"curf" + struct.pack(">IHH", 0, segments, 0)
    rows = b"".join(
        struct.pack(">4sII", signature, offset + 12, size) for signature, offset, size in struct.iter_unpack(">4sII", plain[132:start])
    )
    rows += struct.pack(">4sII", b"D2B0", len(plain) + 12, len(table))
    return plain[:128] + struct.pack(">I", count + 1) + rows + plain[start:] + table


@pytest.mark.parametrize(("elements", "segments", "steps"), [(2000, 2, "2,000"), (3, 65_000, "65,000")])
def test_a_profile_that_costs_too_much_for_each_pixel_is_refused(elements: int, segments: int, steps: str, photo: Any, saved: Any) -> None:
    """One of 17 kB with 2,000 elements took 14 s a megapixel. The limit holds for pictures and for the profiles of presses."""
    icc = profile_with_steps(elements, segments)
    data = saved(photo, "PNG", icc_profile=icc)
    with pytest.raises(InputError, match=rf"The colour profile in a\.png has {steps} steps for each colour; the limit is 64"):
        decode(data, "a.png", LIMIT)
    with pytest.raises(InputError, match=rf"press\.icc has {steps} steps"):
        validate_cmyk_profile(icc, "press.icc")
    with pytest.raises(InputError, match="damaged"):  # few steps, but none that lcms can use
        decode(saved(photo, "PNG", icc_profile=profile_with_steps(5, 3)), "a.png", LIMIT)


def test_a_tiff_of_too_many_strips_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each strip costs as much time as a small file."""
    monkeypatch.setattr("goldsmith.picture.formats.tiff._MAX_PARTS", 0)
    with pytest.raises(InputError, match="more than 0 parts"):
        verify(tiff(), "a.tif", LIMIT)


def test_files_at_the_limits_are_decoded() -> None:
    """The limits themselves are allowed."""
    assert np.array_equal(decode(jpeg_with_scans(MAX_SCANS), "a.jpg", LIMIT).pixels, decode(saved_jpeg(), "a.jpg", LIMIT).pixels)
    assert decode(png(texts(MAX_TEXTS)), "a.png", LIMIT).width == 8
    assert verify(animated_webp(20, 8), "a.webp", LIMIT).frames == 20
    assert verify(tiff(3), "a.tif", LIMIT).frames == 3


def test_fill_bytes_between_segments_cost_nothing(photo: Any, saved: Any) -> None:
    """A segment may be preceded by any number of them."""
    data = saved(photo, "JPEG")
    filled = data[:2] + b"\xff" * 1_000_000 + data[2:]
    assert np.array_equal(decode(filled, "a.jpg", LIMIT).pixels, decode(data, "a.jpg", LIMIT).pixels)


def test_what_a_file_says_about_itself_is_short_on_record() -> None:
    """Texts that are not kept make one note together, and control characters of the file are not in it."""
    facts = decode_with_info(png(texts(900) + make_chunk(b"cICP", b"\x0c\x0d\1\1")), "a.png", LIMIT)[1]
    assert "it has more or longer texts than are kept; left out: “k32”, “k33”, “k34” and 865 more" in facts.notes
    facts = decode_with_info(png(make_chunk(b"zTXt", b"k\0\0not zlib") * 900), "a.png", LIMIT)[1]
    assert sum(map(len, facts.notes)) < 10_000


def test_the_last_xmp_of_a_png_is_the_one_that_counts() -> None:
    """Only that one is unpacked, however many there are."""

    def xmp(text: bytes) -> bytes:
        return make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(text))

    assert decode(png(xmp(b"<first/>") + xmp(b"<last/>")), "a.png", LIMIT).metadata.xmp == b"<last/>"
