"""Read PNG: every chunk's checksum is verified, and libpng gets only the picture's own chunks."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.formats.coded_colour import set_coded_colour
from goldsmith.picture.formats.decoding_limits import TextBudget
from goldsmith.picture.formats.image_info import (
    MAX_METADATA_BYTES,
    PROVENANCE_NOTE,
    ImageHeader,
    Samples,
    check_size,
    damaged_error,
    truncated_error,
)
from goldsmith.picture.formats.metadata import iptc_from_photoshop, plausible_ppi, read_orientation, read_resolution, strip_exif_prefix

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
METRES_PER_INCH = 0.0254
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_TEXT_KINDS = (b"iTXt", b"zTXt", b"tEXt")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW_PROFILE_PREFIX = b"Raw profile type"
_MAX_TEXTS = 32
_MAX_TEXT_BYTES = 1 << 20
# The blocks that GIMP before 3.0, ImageMagick and ExifTool store as texts of hexadecimal digits, by the end of the keyword.
_RAW_PROFILE_KINDS = {b"exif": "Exif block", b"app1": "Exif block", b"xmp": "XMP block", b"iptc": "IPTC block", b"8bim": "IPTC block"}
# Of such a text; a real one has some kB.
_MAX_RAW_PROFILE_BYTES = 4 << 20
_JPEG_XMP_SIGNATURE = b"http://ns.adobe.com/xap/1.0/\0"
# A PNG may have this many chunks, and one more for each so many bytes: writers use chunks of 8 kB and more.
_FREE_CHUNKS, _BYTES_PER_CHUNK = 10_000, 512
_PIECE_BYTES = 1 << 16


@dataclass(slots=True)
class _Frame:
    """One picture in the file: its size and the pieces of its data."""

    width: int
    height: int
    data_parts: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _PngChunks:
    """The file's chunks, sorted by purpose."""

    ihdr: bytes
    by_kind: dict[bytes, bytes] = field(default_factory=dict)
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    image_parts: list[bytes] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    is_image_first_frame: bool = False


def read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    """Return everything but the pixels. Checksums are verified to the end of the file."""
    width, height, depth, colour = _read_ihdr(data, name)
    check_size(name, width, height, 1, max_pixels)
    chunks = _read_chunks(data, name)
    header = ImageHeader("png", width, height, depth, _CHANNELS[colour], reader_state=chunks)
    header.has_alpha = colour in (4, 6) or b"tRNS" in chunks.by_kind
    header.max_code = 65535.0 if depth == 16 else 255.0
    header.frame_count = max(1, len(chunks.frames) + chunks.is_image_first_frame)
    for frame in chunks.frames:
        check_size(name, frame.width, frame.height, header.frame_count, max_pixels)
    header.total_pixels = width * height + sum(frame.width * frame.height for frame in chunks.frames)
    if b"PLTE" in chunks.by_kind and colour == 3:
        header.channels = 1 if _is_grey(chunks.by_kind[b"PLTE"]) else 3
    header.icc = _read_profile(chunks, name, header)
    if colour == 3 and profiles.matches_channels(header.icc, 3):
        header.channels = 3  # a palette of greys is RGB, and so is its profile
    header.exif = strip_exif_prefix(chunks.by_kind.get(b"eXIf"))
    _read_texts(chunks, name, header)
    header.orientation = read_orientation(header.exif)
    header.ppi = _read_ppi(chunks) or read_resolution(header.exif)
    if b"caBX" in chunks.by_kind:
        header.notes.append(PROVENANCE_NOTE)
    return header


def read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    """Return the first picture as codes (h, w, n); a palette is resolved, depths below 8 are scaled to 0..255."""
    chunks: _PngChunks = header.reader_state
    result = _decode(chunks, _Frame(header.width, header.height, chunks.image_parts), name)
    colours = result.shape[2] - header.has_alpha
    if header.channels == 1 and colours == 3:
        return result[:, :, [0, 3]] if header.has_alpha else result[:, :, :1]
    return result


def check_frames(data: bytes, header: ImageHeader, name: str) -> None:
    """Decode every further frame of an animated PNG, one at a time."""
    chunks: _PngChunks = header.reader_state
    for frame in chunks.frames:
        _decode(chunks, frame, name)


def _decode(chunks: _PngChunks, frame: _Frame, name: str) -> Samples:
    import imagecodecs

    if not frame.data_parts:
        raise damaged_error(name, "a frame of its animation is empty")
    parts = [PNG_SIGNATURE, make_chunk(b"IHDR", struct.pack(">II", frame.width, frame.height) + chunks.ihdr[8:])]
    parts += [make_chunk(kind, chunks.by_kind[kind]) for kind in (b"PLTE", b"tRNS") if kind in chunks.by_kind]
    parts += [make_chunk(b"IDAT", b"".join(frame.data_parts)), make_chunk(b"IEND", b"")]
    result: Samples = imagecodecs.png_decode(b"".join(parts))
    if result.shape[:2] != (frame.height, frame.width):
        raise damaged_error(name, "its picture is of another size than its header says")
    return result.reshape(frame.height, frame.width, -1)


def make_chunk(kind: bytes, payload: bytes) -> bytes:
    """Return one chunk with length and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind)))


def _read_ihdr(data: bytes, name: str) -> tuple[int, int, int, int]:
    if len(data) < 33:
        raise truncated_error(name, f"it has {len(data)} bytes, not even a whole header")
    if data[8:16] != b"\0\0\0\rIHDR":
        raise damaged_error(name, "its header is missing")
    width, height, depth, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if depth not in _DEPTHS.get(colour, ()) or method or filtering or interlace > 1:
        raise damaged_error(name, f"its header asks for colours that PNG does not have (type {colour}, {depth} bits)")
    return width, height, depth, colour


def _read_chunks(data: bytes, name: str) -> _PngChunks:
    chunks, texts = _PngChunks(data[16:29]), TextBudget(name)
    view = memoryview(data)
    offset, is_last, chunks_left = 8, False, _FREE_CHUNKS + len(data) // _BYTES_PER_CHUNK
    while not is_last:
        if not chunks_left:
            raise damaged_error(name, f"it has more than {_FREE_CHUNKS + len(data) // _BYTES_PER_CHUNK:,} parts")
        chunks_left -= 1
        length, kind = _read_chunk_head(data, offset, chunks, name)
        payload = view[offset + 8 : offset + 8 + length]
        if zlib.crc32(payload, zlib.crc32(kind)) != int.from_bytes(data[offset + 8 + length : offset + 12 + length], "big"):
            raise damaged_error(name, f"some of its bytes were changed after it was saved (from byte {offset:,} on)")
        is_last = kind == b"IEND"
        if kind in _TEXT_KINDS:
            texts.add(0)
        _store_chunk(chunks, kind, payload)
        offset += 12 + length
    if not chunks.image_parts:
        raise damaged_error(name, "it has no picture in it")
    return chunks


def _read_chunk_head(data: bytes, offset: int, chunks: _PngChunks, name: str) -> tuple[int, bytes]:
    if offset + 12 > len(data):
        raise truncated_error(name, _describe_truncation(chunks, b""))
    length, kind = int.from_bytes(data[offset : offset + 4], "big"), data[offset + 4 : offset + 8]
    if length > 0x7FFFFFFF or not kind.isalpha():
        raise damaged_error(name, f"a part of it is missing or was changed (at byte {offset:,})")
    if offset + 12 + length > len(data):
        raise truncated_error(name, _describe_truncation(chunks, data[offset + 8 :] if kind == b"IDAT" else b""))
    return length, kind


def _store_chunk(chunks: _PngChunks, kind: bytes, payload: memoryview) -> None:
    if kind == b"IDAT":
        chunks.image_parts.append(bytes(payload))
    elif kind == b"fcTL" and len(payload) >= 26:
        if chunks.image_parts:
            chunks.frames.append(_Frame(*struct.unpack(">II", payload[4:12])))
        else:
            chunks.is_image_first_frame = True
    elif kind == b"fdAT" and chunks.frames:
        chunks.frames[-1].data_parts.append(bytes(payload[4:]))
    elif kind in _TEXT_KINDS:
        chunks.texts.append((kind, bytes(payload)))
    else:
        chunks.by_kind.setdefault(kind, bytes(payload))


def _describe_truncation(chunks: _PngChunks, partial_data: bytes) -> str:
    """Return how many rows of a truncated picture have arrived, for people, so approximately (interlaced: about)."""
    width, height, depth, colour = struct.unpack(">IIBB", chunks.ihdr[:10])
    row = 1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] + 7) // 8
    inflate, unpacked = zlib.decompressobj(), 0
    try:
        for part in (*chunks.image_parts, partial_data):
            for start in range(0, len(part), _PIECE_BYTES):  # zlib copies the rest of its input after every call
                piece = part[start : start + _PIECE_BYTES]
                while piece and unpacked < row * height:
                    unpacked += len(inflate.decompress(piece, 1 << 20))
                    piece = inflate.unconsumed_tail
    except zlib.error:
        return "its picture breaks off"
    rows = unpacked // row
    return f"about {rows} of {height} rows are there" if rows < height else "every row is there, but the end of the file is missing"


def _is_grey(palette: bytes) -> bool:
    return all(palette[i] == palette[i + 1] == palette[i + 2] for i in range(0, len(palette) - 2, 3))


def _read_ppi(chunks: _PngChunks) -> tuple[float, float] | None:
    block = chunks.by_kind.get(b"pHYs", b"")
    if len(block) != 9 or block[8] != 1:
        return None
    across, down = struct.unpack(">II", block[:8])
    return plausible_ppi(round(across * METRES_PER_INCH, 2), round(down * METRES_PER_INCH, 2))


def _read_profile(chunks: _PngChunks, name: str, header: ImageHeader) -> bytes | None:
    """Return the profile in PNG's own order: cICP, iCCP, sRGB, then gAMA with cHRM (made into a profile, so that the colours stay).

    An iCCP chunk that cannot be unpacked is an empty profile, which the rule for profiles refuses.
    """
    header.states_colour = not chunks.by_kind.keys().isdisjoint((b"cICP", b"iCCP", b"sRGB", b"gAMA"))
    if b"cICP" in chunks.by_kind and _read_cicp(chunks.by_kind[b"cICP"], header):
        return header.icc
    if b"iCCP" in chunks.by_kind:
        header.colour_fault = ""
        return _inflate(chunks.by_kind[b"iCCP"].partition(b"\0")[2][1:], name, "colour profile", header) or b""
    if b"sRGB" in chunks.by_kind or len(chunks.by_kind.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(chunks.by_kind[b"gAMA"], "big") / 100000
    primaries_block = chunks.by_kind.get(b"cHRM", b"")
    corners = tuple(value / 100000 for value in struct.unpack(">8I", primaries_block)) if len(primaries_block) == 32 else None
    return profiles.profile_from_png_gamma(gamma, corners, is_grey=header.channels == 1)


def _read_cicp(block: bytes, header: ImageHeader) -> bool:
    """Set profile, HDR and range from a cICP chunk (PNG 3rd edition, 11.3.2.6); return False if it has no known meaning."""
    if len(block) != 4 or block[2] != 0:
        header.notes.append("its colour codes (cICP) are not those of RGB pixels and were ignored")
        return False
    if not set_coded_colour(header, block[0], block[1]):
        return False
    if block[3] == 0:  # narrow range (H.273, 8.3): black is 16 and white 235 at 8 bits
        unit = (header.max_code + 1) / 256
        header.black_code, header.max_code = 16 * unit, 235 * unit
    return True


def _read_texts(chunks: _PngChunks, name: str, header: ImageHeader) -> None:
    budget, skipped = TextBudget(name), list[str]()
    xmp, raw_profiles = b"", dict[bytes, tuple[bytes, bytes]]()
    for kind, payload in chunks.texts:
        keyword, _, rest = payload.partition(b"\0")
        if kind == b"iTXt" and keyword == _XMP_KEYWORD and len(rest) > 2:
            xmp = rest
        elif keyword.startswith(_RAW_PROFILE_PREFIX):
            raw_profiles[keyword.removeprefix(_RAW_PROFILE_PREFIX).strip().lower()] = kind, rest
        elif not _keep_text(kind, keyword, rest, header, budget):
            skipped.append(f"“{keyword.decode('latin-1')}”")
    if xmp:
        text = xmp[2:].partition(b"\0")[2].partition(b"\0")[2]
        header.xmp = _inflate(text, name, "XMP block", header) if xmp[0] else text
    for profile_kind, (kind, rest) in raw_profiles.items():
        if profile_kind in _RAW_PROFILE_KINDS:
            _read_raw_profile(profile_kind, _raw_profile_digits(profile_kind, kind, rest, name, header), header)
    if skipped:
        more = f" and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        header.notes.append(f"it has more or longer texts than are kept; left out: {', '.join(skipped[:3])}{more}")


def _keep_text(kind: bytes, keyword: bytes, rest: bytes, header: ImageHeader, budget: TextBudget) -> bool:
    """Keep one text chunk for the output; return whether it was kept or is no text.

    tEXt and zTXt are Latin-1, iTXt is UTF-8 (PNG 3rd edition, 11.3.3).
    """
    compressed = rest[1:] if kind == b"zTXt" else rest
    is_compressed = kind == b"zTXt"
    if kind == b"iTXt":
        is_compressed = rest[:1] == b"\1"
        compressed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    text_bytes = _inflate_text(compressed, header, budget) if is_compressed else compressed
    if text_bytes is None or not 0 < len(keyword) < 80:
        return True
    budget.add(len(text_bytes))
    if len(header.text_chunks) >= _MAX_TEXTS or len(text_bytes) > _MAX_TEXT_BYTES:
        return False
    text = text_bytes.decode("utf-8", "replace") if kind == b"iTXt" else text_bytes.decode("latin-1")
    header.text_chunks.append((keyword.decode("latin-1"), text))
    return True


def _inflate_text(packed: bytes, header: ImageHeader, budget: TextBudget) -> bytes | None:
    """Return the unpacked text, at most one byte more than the file may still carry; None, with a note, if it is invalid."""
    try:
        return zlib.decompressobj().decompress(packed, budget.bytes_left + 1)
    except zlib.error:
        header.notes.append("its text cannot be unpacked and was ignored")
        return None


def _raw_profile_digits(profile_kind: bytes, kind: bytes, rest: bytes, name: str, header: ImageHeader) -> bytes:
    """Return the text of a raw profile: tEXt as it is, zTXt and compressed iTXt unpacked. Raises InputError if it is too large."""
    label, is_compressed = _RAW_PROFILE_KINDS[profile_kind], kind == b"zTXt"
    packed = rest[1:] if is_compressed else rest
    if kind == b"iTXt":
        is_compressed, packed = rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    result = _inflate(packed, name, label, header, _MAX_RAW_PROFILE_BYTES) if is_compressed else packed
    if result and len(result) > _MAX_RAW_PROFILE_BYTES:
        raise _oversized_error(name, label, _MAX_RAW_PROFILE_BYTES)
    return result or b""


def _read_raw_profile(profile_kind: bytes, text: bytes, header: ImageHeader) -> None:
    """Put a block that is stored as name, length and hexadecimal digits into the header, unless the file has it in its own place."""
    try:
        block = bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        header.notes.append(f"its {_RAW_PROFILE_KINDS[profile_kind]} is damaged and was ignored")
        return
    if profile_kind in (b"iptc", b"8bim"):
        header.iptc = header.iptc or (iptc_from_photoshop(block) if block.startswith(b"8BIM") else block or None)
    elif block.startswith(_JPEG_XMP_SIGNATURE):
        header.xmp = header.xmp or block.removeprefix(_JPEG_XMP_SIGNATURE) or None
    elif profile_kind == b"xmp":
        header.xmp = header.xmp or block or None
    else:
        header.exif = header.exif or strip_exif_prefix(block)


def _inflate(packed: bytes, name: str, label: str, header: ImageHeader, max_bytes: int = MAX_METADATA_BYTES) -> bytes | None:
    """Return the content of a zlib stream; None, with a note, if it is invalid. Raises InputError if it is larger than ``max_bytes``."""
    inflate = zlib.decompressobj()
    try:
        result = inflate.decompress(packed, max_bytes + 1)
    except zlib.error:
        header.notes.append(f"its {label} cannot be unpacked and was ignored")
        return None
    if len(result) > max_bytes:
        raise _oversized_error(name, label, max_bytes)
    return result


def _oversized_error(name: str, label: str, max_bytes: int) -> InputError:
    return InputError(f"The {label} in {name} unpacks to more than {max_bytes >> 20} MiB.", "Save it without that.")
