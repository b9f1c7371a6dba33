"""PNG files of every kind in the specification, and damaged ones."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from goldsmith.errors import IncompleteFileError, InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode, decode_with_info, encode, verify
from goldsmith.picture.curves import profile_curves
from goldsmith.picture.formats.png import PNG_SIGNATURE, make_chunk

LIMIT = 1_000_000


def with_chunks(data: bytes, *chunks: bytes) -> bytes:
    """Return the file with chunks inserted after its IHDR."""
    return data[:33] + b"".join(chunks) + data[33:]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_low_depths_are_scaled_to_the_full_range(bits: int) -> None:
    """Codes of 1, 2 and 4 bits reach from black to white; ``ImageInfo`` gives the depth in the file."""
    levels = 2**bits - 1
    row = np.arange(8, dtype=np.uint8) % (levels + 1)
    packed = np.packbits(((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).astype(np.uint8).ravel()).tobytes()
    body = make_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)) + make_chunk(b"IDAT", zlib.compress(b"\0" + packed))
    picture, facts = decode_with_info(PNG_SIGNATURE + body + make_chunk(b"IEND", b""), "a.png", LIMIT)
    assert facts.depth == bits
    assert picture.depth == 8
    assert np.allclose(picture.pixels[0, :, 0], row / levels)


def test_a_palette_with_transparency_is_resolved(photo: Any) -> None:
    """Palette entries become RGB, tRNS becomes alpha."""
    from PIL import Image

    image, out = Image.fromarray(photo).quantize(16), io.BytesIO()
    image.save(out, "PNG", transparency=3)
    picture = decode(out.getvalue(), "a.png", LIMIT)
    expected = np.asarray(Image.open(out).convert("RGBA"))
    assert np.array_equal(picture.to_codes(), expected[:, :, :3])
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha * 255, expected[:, :, 3])


def test_a_grey_palette_gives_a_grey_picture() -> None:
    """Palettes of greys give a picture with one channel."""
    from PIL import Image

    shades = np.arange(64, dtype=np.uint8).reshape(8, 8)
    image, out = Image.fromarray(shades).convert("P"), io.BytesIO()
    image.save(out, "PNG")
    picture = decode(out.getvalue(), "a.png", LIMIT)
    assert picture.channels == 1
    assert np.array_equal(picture.to_codes()[:, :, 0], shades)


@pytest.mark.parametrize(
    ("key", "shades"), [(7, np.arange(64, dtype=np.uint8).reshape(8, 8)), ((1, 2, 3), np.full((8, 8, 3), (1, 2, 3), np.uint8))]
)
def test_a_transparent_colour_becomes_alpha(key: Any, shades: NDArray[Any], saved: Any) -> None:
    """Shades of grey or RGB, (h, w, 1 or 3) codes, are transparent if they equal the colour in tRNS."""
    picture = decode(saved(shades, "PNG", transparency=key), "a.png", LIMIT)
    expected = np.any(shades.reshape(8, 8, -1) != np.array(key), axis=2)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, expected.astype(np.float32))


def test_interlaced_files_are_read() -> None:
    """Adam7 is read, at 16 bits."""

    codes = np.random.default_rng(0).integers(0, 65536, (11, 13), dtype=np.uint16)
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b""
    for left, top, across, down in passes:
        part = codes[top::down, left::across].astype(">u2")
        rows += b"".join(b"\0" + row.tobytes() for row in part if part.shape[1])
    ihdr = struct.pack(">IIBBBBB", 13, 11, 16, 0, 0, 0, 1)
    data = PNG_SIGNATURE + make_chunk(b"IHDR", ihdr) + make_chunk(b"IDAT", zlib.compress(rows)) + make_chunk(b"IEND", b"")
    assert np.array_equal(decode(data, "a.png", LIMIT).to_codes()[:, :, 0], codes)


def test_a_wrong_checksum_is_reported_as_damage(photo: Any, saved: Any) -> None:
    """Flipping a bit anywhere in a chunk is noticed, and the message names the chunk."""
    data = bytearray(saved(photo, "PNG"))
    data[data.index(b"IDAT") + 40] ^= 1
    with pytest.raises(InputError, match="some of its bytes were changed after it was saved") as caught:
        verify(bytes(data), "a.png", LIMIT)
    assert not isinstance(caught.value, IncompleteFileError)


def test_the_message_for_a_truncated_file_gives_the_number_of_rows(photo: Any, saved: Any) -> None:
    """Half of the data is about half of the rows."""
    data = saved(photo, "PNG")
    with pytest.raises(IncompleteFileError, match=r"about \d+ of 48 rows are there"):
        verify(data[: len(data) // 2], "a.png", LIMIT)
    with pytest.raises(IncompleteFileError):
        verify(data[:-12], "a.png", LIMIT)


def test_reserved_space_that_is_not_filled_is_incomplete(photo: Any, saved: Any) -> None:
    """Files of full length whose second half is zeros count as incomplete, not as damaged."""
    data = saved(photo, "PNG")
    with pytest.raises(IncompleteFileError):
        verify(data[: len(data) // 2] + b"\0" * (len(data) - len(data) // 2), "a.png", LIMIT)


def test_missing_rows_in_complete_chunks_are_damage() -> None:
    """Correct checksums do not make up for missing rows."""
    rows = zlib.compress(b"\0\1\2\3" * 4)
    data = (
        PNG_SIGNATURE
        + make_chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 8, 8, 0, 0, 0, 0))
        + make_chunk(b"IDAT", rows)
        + make_chunk(b"IEND", b"")
    )
    with pytest.raises(InputError):
        verify(data, "a.png", LIMIT)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    """Goldsmith checks the size in the header before it decompresses anything."""
    data = (
        PNG_SIGNATURE
        + make_chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + make_chunk(b"IDAT", b"")
        + make_chunk(b"IEND", b"")
    )
    with pytest.raises(InputError, match=r"60000 x 60000 pixels \(3,600 MP\)"):
        verify(data, "a.png", LIMIT)


@pytest.mark.parametrize("kind", ["iCCP", "iTXt", "zTXt"])
def test_a_metadata_chunk_that_unpacks_to_too_much_is_refused(kind: str, photo: Any, saved: Any) -> None:
    """Decompression stops at the limit, before all 40 MiB of zeros are in memory."""
    compressor = zlib.compressobj(9)
    packed = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(40)) + compressor.flush()
    head = {"iCCP": b"icc\0\0", "iTXt": b"XML:com.adobe.xmp\0\1\0\0\0", "zTXt": b"Raw profile type iptc\0\0"}[kind]
    with pytest.raises(InputError, match=r"unpacks to more than (4|32) MiB"):
        verify(with_chunks(saved(photo, "PNG"), make_chunk(kind.encode(), head + packed)), "a.png", LIMIT)


def test_a_profile_that_cannot_be_unpacked_is_a_damaged_profile(photo: Any, saved: Any) -> None:
    """The picture is held like any other whose profile cannot be used."""
    with pytest.raises(InputError, match=r"a\.png has a colour profile that is damaged, so its true colours are unknown"):
        verify(with_chunks(saved(photo, "PNG"), make_chunk(b"iCCP", b"icc\0\0rubbish")), "a.png", LIMIT)


def test_gamma_and_primaries_become_a_profile(photo: Any, saved: Any) -> None:
    """gAMA and cHRM of sRGB mean sRGB; other values become an ICC profile, with the gamma as it is; the sRGB chunk overrides both."""
    srgb = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    adobe = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)
    plain = saved(photo, "PNG")

    def icc(*chunks: bytes) -> bytes | None:
        return decode(with_chunks(plain, *chunks), "a.png", LIMIT).icc

    assert icc(make_chunk(b"gAMA", struct.pack(">I", 45455)), make_chunk(b"cHRM", srgb)) is None
    assert icc(make_chunk(b"gAMA", struct.pack(">I", 100000)), make_chunk(b"sRGB", b"\0")) is None
    wide = icc(make_chunk(b"gAMA", struct.pack(">I", 45455)), make_chunk(b"cHRM", adobe))
    assert wide == profiles.builtin_profile("adobe-rgb")
    p3 = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    curves = profile_curves(icc(make_chunk(b"gAMA", struct.pack(">I", 45455)), make_chunk(b"cHRM", p3)), 3)
    assert curves is not None
    assert curves[0].to_linear(np.array([0.5], np.float32))[0] == pytest.approx(0.5**2.2, abs=1e-4)
    linear = icc(make_chunk(b"gAMA", struct.pack(">I", 100000)))
    assert profiles.profile_name(linear) == "PNG gamma 1.00"


def test_colour_codes_override_all_other_colour_chunks(photo: Any, saved: Any) -> None:
    """cICP 12/13 is Display P3; codes without a meaning hold the picture, unless a profile is there too."""
    plain = saved(photo, "PNG")
    assert decode(with_chunks(plain, make_chunk(b"cICP", bytes((12, 13, 0, 1)))), "a.png", LIMIT).icc == profiles.builtin_profile(
        "display-p3"
    )
    unknown = make_chunk(b"cICP", bytes((99, 13, 0, 1)))
    with pytest.raises(InputError, match=r"a\.png has colour codes without a known meaning \(primaries 99, transfer function 13\)"):
        verify(with_chunks(plain, unknown), "a.png", LIMIT)
    wide = profiles.builtin_profile("prophoto")
    assert decode(with_chunks(saved(photo, "PNG", icc_profile=wide), unknown), "a.png", LIMIT).icc == wide


@pytest.mark.parametrize("deep", [False, True])
def test_narrow_range_is_widened_and_alpha_is_not(deep: bool, make_picture: Any) -> None:
    """At 8 bits, code 16 is black and 235 white, at 16 bits 4096 and 60160 (H.273, 8.3)."""
    unit = 256 if deep else 1
    codes = (np.array([[0, 16, 126, 235, 255]]) * unit).astype(np.uint16 if deep else np.uint8)
    rgb = np.repeat(codes[:, :, None], 3, axis=2)
    plain = encode(make_picture(rgb, codes), EncodingOptions("png"))
    picture = decode(with_chunks(plain, make_chunk(b"cICP", bytes((1, 13, 0, 0)))), "a.png", LIMIT)
    assert picture.icc is None
    assert np.allclose(picture.pixels[0, :, 0], [0, 0, 110 / 219, 1, 1], atol=1e-6)
    assert picture.alpha is not None
    assert np.allclose(picture.alpha[0], codes[0] / (65535 if deep else 255), atol=1e-6)


def test_libpng_reads_every_written_file(photo: Any, make_picture: Any) -> None:
    """Large, wide and tiny pictures test the borders of bands and filters."""
    from PIL import Image

    for codes in (np.tile(photo, (5, 2, 1)), photo[:1, :1], photo[:1], photo[:, :1], photo[:65, :, :1]):
        data = encode(make_picture(codes), EncodingOptions("png"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))).reshape(codes.shape), codes)


def test_prompt_and_seed_in_text_chunks_survive() -> None:
    """Generators keep prompt and workflow in text chunks of a PNG; they come back word for word from every kind of chunk."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text_chunks = PngInfo()
    text_chunks.add_text("parameters", "a relaxed left hand\nSteps: 30, Seed: 7")
    text_chunks.add_text("workflow", '{"nodes": [1, 2]}' * 50, zip=True)
    text_chunks.add_itxt("Title", "Frühling 봄", lang="de", tkey="Titel")
    out = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 8, 7)).save(out, "PNG", pnginfo=text_chunks)
    picture = decode(out.getvalue(), "hero.png", 10**6)
    assert dict(picture.metadata.text_chunks)["Title"] == "Frühling 봄"
    reopened_image = Image.open(io.BytesIO(encode(picture, EncodingOptions("png"))))
    reopened_image.load()
    assert reopened_image.text == {
        "parameters": "a relaxed left hand\nSteps: 30, Seed: 7",
        "workflow": '{"nodes": [1, 2]}' * 50,
        "Title": "Frühling 봄",
    }


def test_the_size_and_number_of_text_chunks_are_limited() -> None:
    """Text chunks come from unknown programs, so Goldsmith keeps a limited amount."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text_chunks = PngInfo()
    text_chunks.add_text("novel", "y" * (1 << 21), zip=True)
    for number in range(100):
        text_chunks.add_text(f"key{number}", "x")
    out = io.BytesIO()
    Image.new("L", (2, 2)).save(out, "PNG", pnginfo=text_chunks)
    picture, facts = decode_with_info(out.getvalue(), "hero.png", 10**6)
    assert len(picture.metadata.text_chunks) == 32
    assert any("“novel”" in note for note in facts.notes)
