"""Reading PNG: every chunk's checksum is verified, and libpng is given the picture's own chunks and nothing else."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from goldsmith.errors import Problem
from goldsmith.picture import profiles
from goldsmith.picture.formats.facts import (
    MAX_EXTRA_BYTES,
    Header,
    Samples,
    check_size,
    cut_short,
    damaged,
)
from goldsmith.picture.formats.metadata import bare_exif, iptc_of_photoshop, orientation, resolution, sensible_ppi

SIGNATURE = b"\x89PNG\r\n\x1a\n"
INCH = 0.0254
_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_XMP = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type"
_MOST_TEXTS = 32
_LONGEST_TEXT = 1 << 20
_IPTC = b"Raw profile type iptc"


@dataclass(slots=True)
class _Frame:
    """One picture in the file: its size and the pieces of its data."""

    width: int
    height: int
    pieces: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Walk:
    """The file's chunks, sorted by what they are for."""

    ihdr: bytes
    seen: dict[bytes, bytes] = field(default_factory=dict)
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    still: list[bytes] = field(default_factory=list)
    frames: list[_Frame] = field(default_factory=list)
    still_is_frame: bool = False


def read_header(data: bytes, name: str, max_pixels: int) -> Header:
    """Everything but the pixels. Checksums are verified to the end of the file."""
    width, height, depth, colour = _ihdr(data, name)
    check_size(name, width, height, 1, max_pixels)
    walk = _walk(data, name)
    header = Header("png", width, height, depth, _CHANNELS[colour], walk=walk)
    header.alpha = colour in (4, 6) or b"tRNS" in walk.seen
    header.levels = 65535.0 if depth == 16 else 255.0
    header.frames = max(1, len(walk.frames) + walk.still_is_frame)
    for frame in walk.frames:
        check_size(name, frame.width, frame.height, header.frames, max_pixels)
    if b"PLTE" in walk.seen and colour == 3:
        header.channels = 1 if _is_grey(walk.seen[b"PLTE"]) else 3
    header.icc = _profile(walk, name, header)
    header.exif = bare_exif(walk.seen.get(b"eXIf"))
    header.orientation = orientation(header.exif)
    header.ppi = _ppi(walk) or resolution(header.exif)
    _read_texts(walk, name, header)
    return header


def read_samples(data: bytes, header: Header, name: str) -> Samples:
    """The first picture's samples; a palette is resolved, depths below 8 are spread to 0..255."""
    walk: _Walk = header.walk
    made = _decode(walk, _Frame(header.width, header.height, walk.still), name)
    colours = made.shape[2] - header.alpha
    if header.channels == 1 and colours == 3:
        return made[:, :, [0, 3]] if header.alpha else made[:, :, :1]
    return made


def check_frames(data: bytes, header: Header, name: str) -> None:
    """Decode every further frame of an animated PNG, one at a time."""
    walk: _Walk = header.walk
    for frame in walk.frames:
        _decode(walk, frame, name)


def _decode(walk: _Walk, frame: _Frame, name: str) -> Samples:
    import imagecodecs

    if not frame.pieces:
        raise damaged(name, "a frame has no picture data")
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">II", frame.width, frame.height) + walk.ihdr[8:])]
    parts += [chunk(kind, walk.seen[kind]) for kind in (b"PLTE", b"tRNS") if kind in walk.seen]
    parts += [chunk(b"IDAT", b"".join(frame.pieces)), chunk(b"IEND", b"")]
    made: Samples = imagecodecs.png_decode(b"".join(parts))
    if made.shape[:2] != (frame.height, frame.width):
        raise damaged(name, "its picture data is of another size than its header says")
    return made.reshape(frame.height, frame.width, -1)


def chunk(kind: bytes, payload: bytes) -> bytes:
    """One chunk with length and checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(payload, zlib.crc32(kind)))


def _ihdr(data: bytes, name: str) -> tuple[int, int, int, int]:
    if len(data) < 33:
        raise cut_short(name, f"it has {len(data)} bytes, not even a whole header")
    if data[8:16] != b"\0\0\0\rIHDR":
        raise damaged(name, "it does not begin with an IHDR chunk")
    width, height, depth, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if depth not in _DEPTHS.get(colour, ()) or method or filtering or interlace > 1:
        raise damaged(name, f"its header asks for colour type {colour} at {depth} bits, which PNG does not have")
    return width, height, depth, colour


def _walk(data: bytes, name: str) -> _Walk:
    walk = _Walk(data[16:29])
    view = memoryview(data)
    at, ended = 8, False
    while not ended:
        length, kind = _chunk_head(data, at, walk, name)
        payload = view[at + 8 : at + 8 + length]
        if zlib.crc32(payload, zlib.crc32(kind)) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            raise damaged(name, f"the checksum of its {kind.decode('latin-1')} chunk at byte {at} is wrong")
        ended = kind == b"IEND"
        _sort(walk, kind, payload)
        at += 12 + length
    if not walk.still:
        raise damaged(name, "it has no picture data")
    return walk


def _chunk_head(data: bytes, at: int, walk: _Walk, name: str) -> tuple[int, bytes]:
    if at + 12 > len(data):
        raise cut_short(name, _how_far(walk, b""))
    length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
    if length > 0x7FFFFFFF or not kind.isalpha():
        raise damaged(name, f"at byte {at} there is no chunk where one has to be")
    if at + 12 + length > len(data):
        raise cut_short(name, _how_far(walk, data[at + 8 :] if kind == b"IDAT" else b""))
    return length, kind


def _sort(walk: _Walk, kind: bytes, payload: memoryview) -> None:
    if kind == b"IDAT":
        walk.still.append(bytes(payload))
    elif kind == b"fcTL" and len(payload) >= 26:
        if walk.still:
            walk.frames.append(_Frame(*struct.unpack(">II", payload[4:12])))
        else:
            walk.still_is_frame = True
    elif kind == b"fdAT" and walk.frames:
        walk.frames[-1].pieces.append(bytes(payload[4:]))
    elif kind in (b"iTXt", b"zTXt", b"tEXt"):
        walk.texts.append((kind, bytes(payload)))
    else:
        walk.seen.setdefault(kind, bytes(payload))


def _how_far(walk: _Walk, rest: bytes) -> str:
    """How many rows of a truncated picture have arrived; told to a person, so it need not be exact (interlaced: about)."""
    width, height, depth, colour = struct.unpack(">IIBB", walk.ihdr[:10])
    row = 1 + (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] + 7) // 8
    inflate, unpacked = zlib.decompressobj(), 0
    try:
        for piece in (*walk.still, rest):
            while piece and unpacked < row * height:
                unpacked += len(inflate.decompress(piece, 1 << 20))
                piece = inflate.unconsumed_tail
    except zlib.error:
        return "its picture data breaks off"
    return f"about {min(height, unpacked // row)} of {height} rows are there"


def _is_grey(palette: bytes) -> bool:
    return all(palette[i] == palette[i + 1] == palette[i + 2] for i in range(0, len(palette) - 2, 3))


def _ppi(walk: _Walk) -> tuple[float, float] | None:
    block = walk.seen.get(b"pHYs", b"")
    if len(block) != 9 or block[8] != 1:
        return None
    across, down = struct.unpack(">II", block[:8])
    return sensible_ppi(round(across * INCH, 2), round(down * INCH, 2))


def _profile(walk: _Walk, name: str, header: Header) -> bytes | None:
    """By PNG's own order: cICP, iCCP, sRGB, then gAMA with cHRM (made into a profile, so that the colours stay as meant)."""
    if len(walk.seen.get(b"cICP", b"")) == 4:
        primaries, transfer = walk.seen[b"cICP"][:2]
        known, made = profiles.of_cicp(primaries, transfer)
        if known:
            return made
        header.notes.append(f"its colour code (cICP {primaries}/{transfer}) is none that Goldsmith knows and was ignored")
    if b"iCCP" in walk.seen:
        return _unpacked(walk.seen[b"iCCP"].partition(b"\0")[2][1:], name, "colour profile", header)
    if b"sRGB" in walk.seen or len(walk.seen.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(walk.seen[b"gAMA"], "big") / 100000
    primaries_block = walk.seen.get(b"cHRM", b"")
    corners = tuple(value / 100000 for value in struct.unpack(">8I", primaries_block)) if len(primaries_block) == 32 else None
    return profiles.of_png_gamma(gamma, corners, grey=header.channels == 1)


def _read_texts(walk: _Walk, name: str, header: Header) -> None:
    for kind, payload in walk.texts:
        keyword, _, rest = payload.partition(b"\0")
        if kind == b"iTXt" and keyword == _XMP and len(rest) > 2:
            text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
            header.xmp = _unpacked(text, name, "XMP block", header) if rest[0] else text
        elif keyword == _IPTC:
            digits = _unpacked(rest[1:], name, "IPTC block", header) if kind == b"zTXt" else rest
            header.iptc = _raw_profile(digits) if digits else None
        elif not keyword.startswith(_RAW):
            _keep_text(kind, keyword, rest, name, header)


def _keep_text(kind: bytes, keyword: bytes, rest: bytes, name: str, header: Header) -> None:
    """One text chunk for the way back: tEXt and zTXt are Latin-1, iTXt is UTF-8 (PNG 3rd edition, 11.3.3)."""
    packed = rest[1:] if kind == b"zTXt" else rest
    squeezed = kind == b"zTXt"
    if kind == b"iTXt":
        squeezed = rest[:1] == b"\1"
        packed = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    plain = _unpacked(packed, name, "text", header) if squeezed else packed
    if plain is None or not 0 < len(keyword) < 80:
        return
    if len(header.text) >= _MOST_TEXTS or len(plain) > _LONGEST_TEXT:
        header.notes.append(f"its text “{keyword.decode('latin-1')}” is more than is kept")
        return
    words = plain.decode("utf-8", "replace") if kind == b"iTXt" else plain.decode("latin-1")
    header.text.append((keyword.decode("latin-1"), words))


def _raw_profile(text: bytes) -> bytes | None:
    """ImageMagick's way to keep a block in a PNG text: name, length, then hexadecimal digits."""
    words = text.split()
    try:
        block = bytes.fromhex(b"".join(words[2:]).decode("ascii"))
    except ValueError:
        return None
    return iptc_of_photoshop(block) if block.startswith(b"8BIM") else block or None


def _unpacked(packed: bytes, name: str, what: str, header: Header) -> bytes | None:
    """A zlib stream's content, never more than MAX_EXTRA_BYTES of it; None, and a note, where it is none."""
    inflate = zlib.decompressobj()
    try:
        made = inflate.decompress(packed, MAX_EXTRA_BYTES + 1)
    except zlib.error:
        header.notes.append(f"its {what} cannot be unpacked and was ignored")
        return None
    if len(made) > MAX_EXTRA_BYTES:
        raise Problem(f"{name} carries a {what} that unpacks to more than {MAX_EXTRA_BYTES >> 20} MiB.", "Save it without that.")
    return made
