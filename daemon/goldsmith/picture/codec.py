"""Files and plates: a file's bytes are checked, decoded into a plate, and a plate is encoded into a file's bytes.

This is the edge where the plate's contract is held; inside nobody checks. Each format has its own reader and writer beside this one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import colour, profiles
from goldsmith.picture.formats.facts import Facts, Header, Samples, check_size, guarded
from goldsmith.picture.formats.metadata import upright, upright_exif
from goldsmith.picture.formats.sniff import format_of
from goldsmith.picture.picture import (
    Mask,
    Metadata,
    Pixels,
    Plate,
    frozen,
    quantised,
)
from goldsmith.picture.room import Room

Format = Literal["png", "jpeg", "tiff", "webp", "avif"]
FORMATS: tuple[Format, ...] = ("png", "jpeg", "tiff", "webp", "avif")
SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif", "webp": ".webp", "avif": ".avif"}
KEEPS_ALPHA: frozenset[Format] = frozenset(("png", "tiff", "webp", "avif"))
LOSSLESS: frozenset[Format] = frozenset(("png", "tiff"))
FULL_CHROMA_FROM = 85
"""From this quality on, lossy formats keep colour at full resolution unless asked otherwise."""


class Reader(Protocol):
    """What each format's module offers."""

    def read_header(self, data: bytes, name: str, max_pixels: int) -> Header: ...

    def read_samples(self, data: bytes, header: Header, name: str) -> Samples: ...

    def check_frames(self, data: bytes, header: Header, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a plate is to be written.

    depth:       bits per channel; None = the plate's own, as far as the format goes (JPEG and WebP 8, AVIF 10 for a 16-bit plate).
    quality:     1..100, of lossy formats.
    lossless:    WebP and AVIF without loss.
    subsampling: of chroma; None = 4:4:4 from quality 85 on, 4:2:0 below.
    effort:      0 (quick) to 10 (small); None = quick for PNG and TIFF, middling for WebP and AVIF.
    """

    format: Format = "png"
    depth: Literal[8, 10, 12, 16] | None = None
    quality: int = 90
    lossless: bool = False
    subsampling: Literal["4:4:4", "4:2:0"] | None = None
    effort: int | None = None


def verify(data: bytes, name: str, max_pixels: int) -> Facts:
    """Decode the file to its end, every frame, and say what it is; no plate is made.

    Raises Incomplete for a file that ends too soon, Problem for one that is no picture, is called what it is not, is damaged, too
    large or not supported.
    """
    with guarded(name, data):
        reader, header = _opened(data, name, max_pixels)
        reader.read_samples(data, header, name)
        if header.frames > 1:
            reader.check_frames(data, header, name)
        return _facts(header)


def decode(data: bytes, name: str, max_pixels: int, room: Room | None = None) -> Plate:
    """The file's (first) picture as a plate: upright, straight alpha, CMYK as sRGB. Raises as ``verify``; further frames are not read.

    room: what memory there is for work on it; a picture that is too large for that is a Problem before a pixel is read.
    """
    return decoded(data, name, max_pixels, room)[0]


def decoded(data: bytes, name: str, max_pixels: int, room: Room | None = None) -> tuple[Plate, Facts]:
    """``decode`` and what is known of the file, for one reading of it."""
    with guarded(name, data):
        reader, header = _opened(data, name, max_pixels)
        if room is not None:
            room.check(name, header.width, header.height, header.alpha)
        samples = reader.read_samples(data, header, name)
        header.walk = None
        return _plate(samples, header), _facts(header)


def inks(data: bytes, name: str, max_pixels: int) -> Samples:
    """The codes of a CMYK file's four inks, (h, w, 4 or more), 0 = no ink. Raises as ``verify``."""
    with guarded(name, data):
        reader, header = _opened(data, name, max_pixels)
        return reader.read_samples(data, header, name)


def decode_mask(data: bytes, name: str, max_pixels: int, room: Room | None = None) -> Mask:
    """The file as a mask (h, w): its brightness; where that is the same everywhere and alpha is not, its alpha."""
    plate = decode(data, name, max_pixels, room)
    shade = plate.pixels[:, :, 0] if plate.channels == 1 else colour.luma(plate.pixels)
    if plate.alpha is None:
        return frozen(shade)
    seen = plate.alpha > 0
    if np.ptp(plate.alpha) > 0 and (not seen.any() or np.ptp(shade[seen]) < 1 / 255):
        return frozen(plate.alpha)
    return frozen(shade * plate.alpha)


def encode(plate: Plate, how: Encoding) -> bytes:
    """The plate as a file of that format, with profile, resolution and metadata as far as the format holds them.

    The same plate and encoding give the same bytes. Raises ValueError for alpha into a format without it (``flattened`` first).
    """
    if plate.alpha is not None and how.format not in KEEPS_ALPHA:
        raise ValueError(f"{how.format} holds no alpha")
    return _encoded(plate, how)


def encode_within(plate: Plate, how: Encoding, limit: int, told: Callable[[float], None]) -> tuple[bytes, int]:
    """``encode`` at the highest quality up to ``how.quality`` with which the file has at most ``limit`` bytes; and that quality.

    Where none fits, the smallest file there is: the caller compares. ``told``: called with 0..1 of the search before each further
    attempt; what it raises ends it. Formats without loss have one size.
    """
    if how.lossless or how.format in LOSSLESS:
        return encode(plate, how), how.quality
    return within(lambda quality: encode(plate, replace(how, quality=quality)), how.quality, limit, told)


def within(write: Callable[[int], bytes], quality: int, limit: int, told: Callable[[float], None]) -> tuple[bytes, int]:
    """What ``write`` makes at the highest quality up to ``quality`` with at most ``limit`` bytes; and that quality."""
    best = write(quality)
    if len(best) <= limit:
        return best, quality
    low, high = 0, quality
    while high - low > 1:
        told(1 - (high - low) / quality)
        middle = (low + high) // 2
        made = write(middle)
        fits = len(made) <= limit
        low, high = (middle, high) if fits else (low, middle)
        best = made if fits or not low else best
    return best, max(low, 1)


def flattened(plate: Plate, colour_codes: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Plate:
    """The plate without alpha, laid on an even colour (display-encoded 0..1 in the plate's own space); itself where it is opaque.

    Blended in display-encoded values, as browsers and page-layout programs do. A grey plate takes the colour's luma.
    """
    if plate.alpha is None:
        return plate
    ground = np.asarray(colour_codes, np.float32)
    if plate.channels == 1:
        ground = colour.luma(ground.reshape(1, 1, 3)).reshape(1)
    cover = plate.alpha[..., None]
    return plate.with_pixels(plate.pixels * cover + ground * (1 - cover), alpha=None)


def _opened(data: bytes, name: str, max_pixels: int) -> tuple[Reader, Header]:
    word = format_of(data, name)
    reader = cast("Reader", importlib.import_module(f"goldsmith.picture.formats.{word}"))
    header = reader.read_header(data, name, max_pixels)
    check_size(name, header.width, header.height, header.frames, max_pixels)
    if header.icc is not None and not profiles.fits(header.icc, header.channels):
        header.notes.append("its colour profile is not one for such pixels and was ignored")
        header.icc = None
    if header.frames > 1:
        header.notes.append(f"it has {header.frames} frames; the first is taken")
    return reader, header


def _facts(header: Header) -> Facts:
    width, height = (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)
    icc = None if header.icc is None else profiles.profile_name(header.icc)
    notes = tuple(header.notes)
    return Facts(header.format, width, height, header.depth, header.channels, header.alpha, icc, header.frames, _ppi(header), notes)


def _ppi(header: Header) -> tuple[float, float] | None:
    return header.ppi[::-1] if header.ppi and header.orientation >= 5 else header.ppi


def _plate(samples: Samples, header: Header) -> Plate:
    samples = upright(samples, header.orientation)
    alpha = _unit(samples[:, :, -1], header.levels) if header.alpha else None
    colours = samples[:, :, :-1] if header.alpha else samples
    icc = header.icc
    if header.channels == 4:
        pixels, icc = colour.from_cmyk(colours, header.levels, icc), None
    else:
        pixels = _unit(colours, header.levels)
    if header.premultiplied and alpha is not None:
        pixels = np.clip(pixels / np.maximum(alpha, np.float32(1e-6))[..., None], 0.0, 1.0)
    metadata = Metadata(upright_exif(header.exif), header.xmp, header.iptc, tuple(header.text))
    depth: Literal[8, 16] = 8 if header.depth <= 8 else 16
    return Plate(frozen(pixels), None if alpha is None else frozen(alpha), depth, icc, _ppi(header), metadata)


def _unit(samples: Samples, levels: float) -> Pixels:
    """Codes as float32 0..1, each exactly float32(code / levels)."""
    if samples.dtype.kind == "f":
        return np.clip(np.nan_to_num(samples.astype(np.float32), posinf=1.0), 0.0, 1.0)
    made = np.ascontiguousarray(samples).astype(np.float32)
    made /= np.float32(levels)
    return made


def _encoded(plate: Plate, how: Encoding) -> bytes:
    from goldsmith.picture.formats import avif_write, jpeg_write, png_write, tiff_write, webp_write

    quality = how.quality
    subsampling = how.subsampling or ("4:4:4" if quality >= FULL_CHROMA_FROM else "4:2:0")
    if how.format in ("png", "tiff"):
        whole_codes = codes(plate, 8 if (how.depth or plate.depth) == 8 else 16)
        write = png_write.write if how.format == "png" else tiff_write.write
        return write(whole_codes, plate, 1 if how.effort is None else 1 + how.effort)
    if how.format == "jpeg":
        return jpeg_write.write(codes(plate, 8), plate, quality, subsampling)
    if how.format == "webp":
        plate = _as_rgb(plate)
        return webp_write.write(codes(plate, 8), plate, quality, how.lossless, 4 if how.effort is None else how.effort)
    effort = 3 if how.effort is None else how.effort
    bits = how.depth or (8 if plate.depth == 8 else 10)
    return avif_write.write(
        codes(plate, min(bits, 12)), plate, min(bits, 12), 100 if how.lossless else min(quality, 99), subsampling, effort
    )


def _as_rgb(plate: Plate) -> Plate:
    """A grey plate as RGB, for formats that know no grey."""
    if plate.channels == 3:
        return plate
    grey = plate.pixels if plate.icc is None else colour.from_linear(colour.to_linear(plate.pixels, plate.icc), None)
    return replace(plate, pixels=frozen(np.repeat(grey, 3, axis=2)), icc=None)


def codes(plate: Plate, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Colour and alpha as integer codes of ``bits`` bits, rounded half up: (h, w, n), uint8 up to 8 bits, else uint16."""
    if plate.alpha is None:
        return plate.coded(lambda values: _quantised(values, bits))
    joined = np.empty((plate.height, plate.width, plate.channels + 1), np.uint8 if bits == 8 else np.uint16)
    joined[:, :, :-1] = plate.coded(lambda values: _quantised(values, bits))
    joined[:, :, -1] = _quantised(plate.alpha, bits)
    return joined


def _quantised(values: Pixels, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    if bits in (8, 16):
        return quantised(values, 8 if bits == 8 else 16)
    return np.asarray(np.clip(values, 0.0, 1.0) * np.float32(2**bits - 1) + np.float32(0.5), dtype=np.uint16)
