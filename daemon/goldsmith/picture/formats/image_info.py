"""The properties of a picture file before any pixel is decoded, and the sentences for files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from goldsmith.errors import IncompleteFileError, InputError

if TYPE_CHECKING:  # the table of formats is read by programs that touch no pixels
    from numpy.typing import NDArray

# Decoded channels as stored in the file: (h, w, n) uint8, uint16 or float32; alpha, if any, is last.
Samples: TypeAlias = "NDArray[Any]"

# The size of a smaller file is given to the byte.
_SMALL_FILE_BYTES = 10_000
# Larger profiles and metadata blocks are not unpacked: a real one has a thousandth of this.
MAX_METADATA_BYTES = 32 << 20
# Of a file with a C2PA manifest, which is only valid for the bytes that it signs.
PROVENANCE_NOTE = "it carries Content Credentials (C2PA); a file that is written anew has none"


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """The properties of a picture file that was decoded to its end.

    format:        "png", "jpeg", "tiff", "webp", "avif" or "heic".
    width, height: as displayed, that is after the file's orientation was applied.
    depth:         bits per channel in the file.
    channels:      of colour: 1 grey (or a palette of greys), 3 RGB, 4 CMYK; alpha is not counted.
    alpha:         True if the file has alpha.
    icc:           the name of the profile that says what the colours are, None if there is none.
    frames:        1, or the number of frames or pages; the first is the picture.
    ppi:           horizontal and vertical pixels per inch, None if the file does not say.
    states_colour: True if the file says what its colours are, by a profile or in another way; else they are taken for sRGB.
    notes:         plain sentences about everything that was not read as written.
    may_be_incomplete: True if the picture is whole and the file may still lack bytes behind it: a program may be copying them.
    """

    format: str
    width: int
    height: int
    depth: int
    channels: int
    alpha: bool
    icc: str | None = None
    frames: int = 1
    ppi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    states_colour: bool = False
    may_be_incomplete: bool = False


@dataclass(slots=True)
class ImageHeader:
    """A reader's findings: ``width`` and ``height`` are as stored, ``max_code`` is the code that means 1.0.

    A reader whose library returns upright pixels leaves ``orientation`` at 1. ``read_samples`` may still correct the alpha.

    black_code:      the code of the colours that means 0.0, in narrow range.
    colour_fault:    why the colours are unknown; completes "NAME has …".
    states_colour:   the file itself says what its colours are, so that its Exif is not asked.
    hdr:             "PQ" or "HLG": values that ``tone_mapping`` turns into values of ``icc``; "" = none.
    must_convert:    the pixels are converted from ``icc`` to a profile that pictures can be in.
    reading_bytes:   memory that ``read_samples`` takes beside the picture, if that is much.
    """

    format: str
    width: int
    height: int
    depth: int
    channels: int
    has_alpha: bool = False
    is_premultiplied: bool = False
    frame_count: int = 1
    # Of all frames together; 0 = each has as many as the first.
    total_pixels: int = 0
    max_code: float = 255.0
    black_code: float = 0.0
    icc: bytes | None = None
    colour_fault: str = ""
    states_colour: bool = False
    hdr: Literal["PQ", "HLG", ""] = ""
    must_convert: bool = False
    ppi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    # Of a JPEG whose XMP is too large for one segment: the bytes of the further segments behind their signature.
    xmp_extension: list[bytes] = field(default_factory=list)
    iptc: bytes | None = None
    text_chunks: list[tuple[str, str]] = field(default_factory=list)
    orientation: int = 1
    notes: list[str] = field(default_factory=list)
    may_be_incomplete: bool = False
    reading_bytes: int = 0
    # The reader's own state, for its ``read_samples`` and ``check_frames``.
    reader_state: Any = None


class DamagedFile(InputError):
    """The bytes of a file are wrong, or have not arrived yet."""


def damaged_error(name: str, detail: str) -> DamagedFile:
    """Return the error for a damaged file; ``detail`` completes "NAME is damaged: …"."""
    return DamagedFile(f"{name} is damaged: {detail}.", "Save or copy it again from where it came from.")


def truncated_error(name: str, detail: str) -> IncompleteFileError:
    """Return the error for a file that ends before its picture does; ``detail`` completes "NAME ends too soon: …"."""
    return IncompleteFileError(f"{name} ends too soon: {detail}.", "If nothing is copying it any more, save or copy it again.")


def describe_arrival(present: int, expected: int | None = None) -> str:
    """Return how much of a file is there, for ``truncated_error``: "12 kB of 48 kB are there". ``expected`` may be a lower bound."""
    if expected is None:
        return f"only its first {_format_bytes(present)} are there"
    expected = max(expected, present + 1)
    if expected < _SMALL_FILE_BYTES:
        return f"{present:,} of {expected:,} bytes are there"
    return f"{_format_bytes(present)} of {_format_bytes(expected)} are there"


def _format_bytes(count: int) -> str:
    if count < _SMALL_FILE_BYTES:
        return f"{count:,} bytes"
    return f"{count / 1000:,.0f} kB" if count < 10_000_000 else f"{count / 1e6:,.1f} MB"


def check_metadata_size(name: str, label: str, size: int) -> None:
    """Refuse a picture by the size in bytes of its profile or of a metadata block; ``label`` says which, as "colour profile"."""
    if size > MAX_METADATA_BYTES:
        raise InputError(
            f"The {label} in {name} has {size / 2**20:,.0f} MiB; the limit is {MAX_METADATA_BYTES >> 20} MiB.", "Save it without that."
        )


def check_size(name: str, width: int, height: int, frame_count: int, max_pixels: int) -> None:
    """Refuse a picture by the size in its header, before memory of that size is allocated."""
    if width <= 0 or height <= 0:
        raise damaged_error(name, f"its header gives a size of {width} x {height} pixels")
    if width * height > max_pixels:
        announced = f"{width} x {height} pixels ({width * height / 1e6:,.0f} MP)"
        raise InputError(
            f"{name} has {announced} according to its header; the limit is {max_pixels / 1e6:,.0f} MP.",
            "Make it smaller, or raise max_pixels in config/goldsmith.toml.",
        )
    if frame_count > MAX_FRAMES:
        raise InputError(
            f"{name} has {frame_count} frames according to its header; the limit is {MAX_FRAMES}.", "Save the one you want as a still."
        )


MAX_FRAMES = 2000

# Exceptions of decoders for invalid bytes; they have no common base. MemoryError is the machine's and passes.
DECODER_ERRORS = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError)


@contextmanager
def translate_decoder_errors(name: str, data: bytes) -> Iterator[None]:
    """Turn a decoder's exceptions into InputError, or into IncompleteFileError if the file's end was never written."""
    import struct
    import zlib

    try:
        yield
    except DamagedFile as problem:
        if ends_in_zeros(data):
            raise truncated_error(name, "its end is still empty") from problem
        raise
    except InputError:
        raise
    except (*DECODER_ERRORS, struct.error, zlib.error) as fault:
        if ends_in_zeros(data):
            raise truncated_error(name, "its end is still empty") from fault
        # The decoder's own words are for programmers: they stay in the log, as the cause.
        raise damaged_error(name, "the data of its picture makes no sense") from fault


def ends_in_zeros(data: bytes) -> bool:
    """Return whether the last bytes are all zero: space that a copying program reserved and has not filled yet."""
    return len(data) > 64 and not any(data[-64:])
