"""Convert between files and pictures: verify a file's bytes, decode them into a picture, and encode a picture into a file's bytes.

The contract of ``Picture`` is enforced here; the code inside does not check it again. Each format has its own reader and writer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from goldsmith.files import display_name
from goldsmith.picture import colour, profiles
from goldsmith.picture.decoding_time import limited_decoding
from goldsmith.picture.format_detection import describe_wrong_suffix, detect_format
from goldsmith.picture.formats.decoding_limits import check_frames_size
from goldsmith.picture.formats.image_info import (
    MAX_METADATA_BYTES,
    ImageHeader,
    ImageInfo,
    Samples,
    check_metadata_size,
    check_size,
    damaged_error,
    translate_decoder_errors,
)
from goldsmith.picture.formats.metadata import apply_orientation, reset_orientation
from goldsmith.picture.formats.table import FORMATS, FileFormat, WriterOptions
from goldsmith.picture.incoming_colour import find_colours, keeps_values, scale_floats, to_profile_of_picture
from goldsmith.picture.layered.layered_document import FilePart, LayeredDocument, LayeredDocumentReader
from goldsmith.picture.layered.layered_file import LayeredFile
from goldsmith.picture.layered.picture_layers import KeptFile, PictureLayers, is_part, with_depth
from goldsmith.picture.lazy_pixels import LazyPixels
from goldsmith.picture.memory_budget import MemoryBudget
from goldsmith.picture.metadata.credits import with_rights_in_xmp
from goldsmith.picture.metadata.extended_xmp import join_extension
from goldsmith.picture.metadata.staleness import WrittenFile, update_metadata
from goldsmith.picture.metadata.xmp_packet import UnreadableXmp, read_xmp
from goldsmith.picture.picture import (
    BitDepth,
    Mask,
    Metadata,
    Picture,
    Pixels,
    freeze,
    quantise,
)
from goldsmith.picture.row_slabs import for_each_slab

# From this quality on, lossy formats keep full colour resolution by default.
FULL_CHROMA_MIN_QUALITY = 85
_INKS = 4
_NO_PIXELS: Pixels = freeze(np.zeros((0, 0, 3), np.float32))
# Notes about one file, and letters of a note, that go on record.
_MAX_NOTES = 32
_MAX_NOTE_LENGTH = 300


class FormatReader(Protocol):
    """What the reader module of each format offers."""

    def read_header(self, data: bytes, name: str, max_pixels: int) -> ImageHeader: ...

    def read_samples(self, data: bytes, header: ImageHeader, name: str) -> Samples: ...

    def check_frames(self, data: bytes, header: ImageHeader, name: str) -> None: ...


class LayeredFormatReader(Protocol):
    """What the reader module of a format with layers offers."""

    def open_document(self, data: bytes, name: str, max_pixels: int) -> LayeredDocument: ...


class FormatWriter(Protocol):
    """What the writer module of each format offers."""

    def write(self, samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
        """Return ``samples`` (h, w, 1-4; integer codes of ``options.depth`` bits, alpha last) as a file.

        ``picture`` gives profile, resolution and metadata.
        """
        ...


class LayeredFormatWriter(FormatWriter, Protocol):
    """What the writer module of a format with layers offers in addition."""

    def can_keep(self, kept: KeptFile, file: LayeredFile) -> bool:
        """Return whether a file of the format can stay as it is below the layers of ``file``."""
        ...

    def write_layers(self, file: LayeredFile, kept: KeptFile | None) -> bytes:
        """Return the file, with the layers of ``kept`` below its own ones."""
        ...


@dataclass(frozen=True, slots=True)
class EncodingOptions:
    """How to write a picture.

    format:      a name in the table of formats.
    depth:       bits per channel; None = the picture's own, as far as the format allows (JPEG and WebP 8, AVIF 10 for a 16-bit picture).
    quality:     1..100, for lossy formats.
    lossless:    WebP and AVIF without loss.
    subsampling: of chroma; None = 4:4:4 from quality 85 on, 4:2:0 below.
    effort:      0 (fast) to 10 (small); None = the format's default: fast for PNG and TIFF, medium for WebP and AVIF.
    """

    format: str = "png"
    depth: int | None = None
    quality: int = 90
    lossless: bool = False
    subsampling: Literal["4:4:4", "4:2:0"] | None = None
    effort: int | None = None


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How to read files whose values can be understood in more than one way.

    hdr:            "refuse" HDR values (PQ, HLG), or "tonemap" them to an ordinary screen.
    float_range:    the floating-point value that means 1.0.
    ignores_colour: read the values as they are, whatever profile or colour codes the file has, as for a mask.
    is_mask:        the file may also have a format that is read for masks only.
    """

    hdr: Literal["refuse", "tonemap"] = "refuse"
    float_range: float = 1.0
    ignores_colour: bool = False
    is_mask: bool = False


@dataclass(frozen=True, slots=True)
class PicturePart:
    """A mask or a layer for ``composite`` that a file with layers holds beside its picture.

    kind:    "mask" or "layer".
    label:   the folded name by which steps call it; ``mask`` for an unnamed mask.
    title:   its name in a sentence, as "the layer “mask sky” of hero.psd".
    decode:  returns its pixels on the whole canvas, with the values as they are. It raises like ``verify``.
    """

    kind: Literal["mask", "layer"]
    label: str
    title: str
    decode: Callable[[], Picture]


class LayerOutline(NamedTuple):
    """What a file with layers holds: how many layers, the names of its outermost groups, and the profile of its codes."""

    layer_count: int
    group_names: frozenset[str]
    icc: bytes | None


ORDINARY_READING = ReadingOptions()
MASK_READING = ReadingOptions(ignores_colour=True, is_mask=True)


def verify(data: bytes, name: str, max_pixels: int, reading: ReadingOptions = ORDINARY_READING) -> ImageInfo:
    """Decode the whole file, every frame, and return its properties without making a picture.

    Raises IncompleteFileError if the file is truncated, InputError if it is not a picture, is damaged, too large or not supported, or if
    its colours are unknown.
    """
    with limited_decoding(name) as decoding, translate_decoder_errors(name, data):
        reader, header = _open(data, name, max_pixels, reading)
        decoding.allow_pixels(_pixel_count(header))
        samples = reader.read_samples(data, header, name)
        _check_samples(samples, header, name)
        scale_floats(samples, header, name, reading.float_range)
        if header.frame_count > 1:
            reader.check_frames(data, header, name)
        return _image_info(header)


def read_metadata(data: bytes, name: str, max_pixels: int) -> Metadata:
    """Return the metadata of a file whose pixels are not needed. Raises like ``verify``."""
    with limited_decoding(name), translate_decoder_errors(name, data):
        return _read_metadata(_open(data, name, max_pixels, ReadingOptions(ignores_colour=True))[1])


def decode(
    data: bytes, name: str, max_pixels: int, memory_budget: MemoryBudget | None = None, reading: ReadingOptions = ORDINARY_READING
) -> Picture:
    """Return the file's (first) picture: upright, straight alpha, CMYK as sRGB. Raises like ``verify``; other frames are not read.

    If the picture is too large for ``memory_budget``, InputError is raised before a pixel is read.
    """
    return decode_with_info(data, name, max_pixels, memory_budget, reading)[0]


def decode_with_info(
    data: bytes, name: str, max_pixels: int, memory_budget: MemoryBudget | None = None, reading: ReadingOptions = ORDINARY_READING
) -> tuple[Picture, ImageInfo]:
    """Return the picture, as ``decode``, and the file's properties, with one reading."""
    with limited_decoding(name) as decoding, translate_decoder_errors(name, data):
        reader, header = _open(data, name, max_pixels, reading)
        decoding.allow_pixels(_pixel_count(header))
        if memory_budget is not None:
            memory_budget.check_size(name, header.width, header.height, header.has_alpha)
            memory_budget.check_layers(name, header.reading_bytes)
        samples = reader.read_samples(data, header, name)
        _check_samples(samples, header, name)
        samples = scale_floats(samples, header, name, reading.float_range)
        header.reader_state = None
        return _to_picture(samples, header), _image_info(header)


def open_parts(data: bytes, name: str, max_pixels: int) -> list[PicturePart]:
    """Return the masks and layers that a file with layers holds beside its picture; none for other formats. Raises like ``verify``."""
    if not detect_format(data, name).has_layers:
        return []
    with limited_decoding(name), translate_decoder_errors(name, data):
        reader, header = _open(data, name, max_pixels, ORDINARY_READING)
        parts = cast("LayeredDocumentReader", reader).read_parts(header)
    return [
        PicturePart(part.role.kind, part.role.label, f"{part.title} of {name}", partial(_decode_part, part, header, data, name))
        for part in parts
    ]


def read_outline(data: bytes, name: str, max_pixels: int) -> LayerOutline:
    """Return what a file of a format with layers holds, without decoding a layer. Raises like ``verify``."""
    with limited_decoding(name), translate_decoder_errors(name, data):
        header = _open(data, name, max_pixels, ORDINARY_READING)[1]
        document: LayeredDocument = header.reader_state
        groups = {source.groups[0].name for source in document.layers if source.groups}
        return LayerOutline(len(document.layers), frozenset(groups), header.icc)


def decode_layers(data: bytes, name: str, max_pixels: int, max_bytes: int) -> LayeredFile:
    """Return a file of a format with layers, with every layer decoded. Raises like ``verify``, and if the layers take more memory."""
    with limited_decoding(name) as decoding, translate_decoder_errors(name, data):
        reader, header = _open(data, name, max_pixels, ORDINARY_READING)
        decoding.allow_pixels(_pixel_count(header))
        return cast("LayeredDocumentReader", reader).read_layers(header, name, max_bytes)


def decode_ink_codes(data: bytes, name: str, max_pixels: int) -> Samples:
    """Return the codes of a CMYK file's inks, (h, w, 4 or more), 0 = no ink. Raises like ``verify``."""
    with limited_decoding(name) as decoding, translate_decoder_errors(name, data):
        reader, header = _open(data, name, max_pixels, ReadingOptions(ignores_colour=True))
        decoding.allow_pixels(_pixel_count(header))
        return reader.read_samples(data, header, name)


def decode_mask(data: bytes, name: str, max_pixels: int, memory_budget: MemoryBudget | None = None) -> Mask:
    """Return the file as a mask (h, w), 0..1, as ``mask_from_picture`` does."""
    return mask_from_picture(decode_mask_file(data, name, max_pixels, memory_budget))


def decode_mask_file(
    data: bytes, name: str, max_pixels: int, memory_budget: MemoryBudget | None = None, float_range: float = 1.0
) -> Picture:
    """Return the picture in a mask's file, as ``decode``, with its values as they are; it may have a format that is read for masks only."""
    return decode(data, name, max_pixels, memory_budget, replace(MASK_READING, float_range=float_range))


def mask_from_picture(picture: Picture) -> Mask:
    """Return a picture as a mask (h, w), 0..1: its luma, or its alpha if the luma is constant and the alpha is not."""
    shade = picture.pixels[:, :, 0] if picture.channels == 1 else colour.luma(picture.pixels)
    if picture.alpha is None:
        return freeze(shade)
    visible = picture.alpha > 0
    if np.ptp(picture.alpha) > 0 and (not visible.any() or np.ptp(shade[visible]) < 1 / 255):
        return freeze(picture.alpha)
    return freeze(shade * picture.alpha)


def encode(picture: Picture, options: EncodingOptions) -> bytes:
    """Return the picture as a file of that format, with profile, resolution and metadata as far as the format can hold them.

    The same picture and options give the same bytes. Raises ValueError for alpha in a format without it (``flatten`` first).
    """
    row = FORMATS[options.format]
    if picture.alpha is not None and not row.holds_alpha:
        raise ValueError(f"{options.format} holds no alpha")
    depth = row.written_depth(options.depth, picture.depth)
    settings = WriterOptions(
        depth=depth,
        quality=options.quality,
        lossless=options.lossless,
        subsampling=options.subsampling or ("4:4:4" if options.quality >= FULL_CHROMA_MIN_QUALITY else "4:2:0"),
        effort=row.default_effort if options.effort is None else options.effort,
    )
    writer = cast("FormatWriter", importlib.import_module(row.writer))
    picture = picture if row.holds_grey else _to_rgb(picture)
    codes = to_codes(picture, depth)
    return writer.write(codes, picture.with_metadata(written_metadata(picture, row)), settings)


def encode_layers(picture: Picture, options: EncodingOptions, layers: PictureLayers) -> bytes:
    """Return the picture as a file of a format with layers: its own pixels are the flat picture, and ``layers`` lie beside it.

    A kept file of the same format stays as it is below them. Of another one, its layers of pixels stay, without those that are masks or for
    ``composite``. Raises like ``decode_layers``.
    """
    row = FORMATS[options.format]
    depth = row.written_depth(options.depth, picture.depth)
    writer = cast("LayeredFormatWriter", importlib.import_module(row.writer))
    metadata, kept = written_metadata(picture, row), layers.kept
    file = LayeredFile(
        *(picture.width, picture.height, depth, picture.channels),
        layers=with_depth(layers.layers, depth),
        merge=to_codes(picture, depth),
        icc=picture.icc,
        ppi=picture.ppi,
        xmp=metadata.xmp,
        exif=metadata.exif,
        iptc=metadata.iptc,
    )
    if kept is not None and not (kept.format == row.name and writer.can_keep(kept, file)):
        below = decode_layers(kept.data, kept.name, kept.max_pixels, kept.max_bytes).layers
        file = replace(file, layers=(*with_depth([layer for layer in below if not is_part(layer.name)], depth), *file.layers))
        kept = None
    return writer.write_layers(file, kept)


def keeps_file(picture: Picture, format_name: str, kept: KeptFile) -> bool:
    """Return whether ``encode_layers`` writes the picture over that file as it is, with the masks that are layers in it."""
    row = FORMATS[format_name]
    writer = cast("LayeredFormatWriter", importlib.import_module(row.writer))
    file = LayeredFile(picture.width, picture.height, row.written_depth(picture.depth, picture.depth), picture.channels)
    return kept.format == row.name and writer.can_keep(kept, file)


def written_metadata(picture: Picture, row: FileFormat, ink_profile: bytes | None = None) -> Metadata:
    """Return the picture's metadata as a file of that format gets them: what is true of it. ``ink_profile``: of a file in CMYK."""
    source, kinds = picture.metadata, row.metadata
    if (source.iptc and "iptc" not in kinds) or (source.text_chunks and "text" not in kinds):
        source = with_rights_in_xmp(source)
    icc, channels = (picture.icc, picture.channels) if ink_profile is None else (ink_profile, 4)
    metadata = Metadata(
        exif=source.exif if "exif" in kinds else None,
        xmp=source.xmp if "xmp" in kinds else None,
        iptc=source.iptc if "iptc" in kinds else None,
        text_chunks=source.text_chunks if "text" in kinds else (),
        described_size=source.described_size,
    )
    space, name = colour.known_space(icc), profiles.profile_name(icc)
    return update_metadata(metadata, WrittenFile(picture.width, picture.height, channels, space, name))


def encode_to_size_limit(
    picture: Picture, options: EncodingOptions, max_bytes: int, on_progress: Callable[[float], None]
) -> tuple[bytes, int]:
    """Return the file at the highest quality up to ``options.quality`` with at most ``max_bytes`` bytes, and that quality.

    If no quality is small enough, the smallest file is returned: the caller compares. ``on_progress`` receives 0..1 of the search before
    each further attempt and may raise to cancel. Lossless formats have one size.
    """
    if options.lossless or not FORMATS[options.format].is_lossy:
        return encode(picture, options), options.quality
    return search_quality(lambda quality: encode(picture, replace(options, quality=quality)), options.quality, max_bytes, on_progress)


def search_quality(
    encode_at_quality: Callable[[int], bytes], max_quality: int, max_bytes: int, on_progress: Callable[[float], None]
) -> tuple[bytes, int]:
    """Return the result of ``encode_at_quality`` at the highest quality with at most ``max_bytes`` bytes, and that quality."""
    best = encode_at_quality(max_quality)
    if len(best) <= max_bytes:
        return best, max_quality
    low, high = 0, max_quality
    while high - low > 1:
        on_progress(1 - (high - low) / max_quality)
        middle = (low + high) // 2
        result = encode_at_quality(middle)
        fits = len(result) <= max_bytes
        low, high = (middle, high) if fits else (low, middle)
        best = result if fits or not low else best
    return best, max(low, 1)


def flatten(picture: Picture, background: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Picture:
    """Return the picture without alpha, on a plain background (display-encoded 0..1 in the picture's own space); the same picture if it is
    opaque.

    It is blended in display-encoded values, as browsers and page-layout programs do. A grey picture uses the background's luma.
    """
    if picture.alpha is None:
        return picture
    background_colour = np.asarray(background, np.float32)
    if picture.channels == 1:
        background_colour = colour.luma(background_colour.reshape(1, 1, 3)).reshape(1)
    coverage = picture.alpha[..., None]
    return picture.with_pixels(picture.pixels * coverage + background_colour * (1 - coverage), alpha=None)


def _reader_of(row: FileFormat) -> FormatReader:
    module = importlib.import_module(row.reader)
    return LayeredDocumentReader(cast("LayeredFormatReader", module).open_document) if row.has_layers else cast("FormatReader", module)


def _open(data: bytes, name: str, max_pixels: int, reading: ReadingOptions) -> tuple[FormatReader, ImageHeader]:
    row = detect_format(data, name, is_mask=reading.is_mask)
    reader = _reader_of(row)
    header = reader.read_header(data, name, max_pixels)
    wrong_suffix = describe_wrong_suffix(row, name)
    if wrong_suffix:
        header.notes.insert(0, wrong_suffix)
    check_size(name, header.width, header.height, header.frame_count, max_pixels)
    check_frames_size(name, header.frame_count, _pixel_count(header), max_pixels)
    for label, block in (
        ("colour profile", header.icc),
        ("Exif block", header.exif),
        ("XMP block", header.xmp),
        ("IPTC block", header.iptc),
    ):
        check_metadata_size(name, label, len(block or b""))
    if reading.ignores_colour:
        header.icc, header.hdr = None, ""
    else:
        find_colours(header, name, tone_maps=reading.hdr == "tonemap")
    if header.frame_count > 1:
        header.notes.append(f"it has {header.frame_count} frames; the first is taken")
    return reader, header


def _check_samples(samples: Samples, header: ImageHeader, name: str) -> None:
    """Refuse codes that are not of the header's size, channels and depth: damage can bring a decoder to return them."""
    # In narrow range, codes beyond white are ordinary.
    may_exceed = samples.dtype.kind == "u" and not header.black_code and header.max_code < np.iinfo(samples.dtype).max
    if may_exceed and samples.max(initial=0) > header.max_code:
        raise damaged_error(name, "its picture has values beyond those of its depth")
    if samples.shape != (header.height, header.width, header.channels + header.has_alpha):
        raise damaged_error(name, "its picture is of another size than its header says")


def _pixel_count(header: ImageHeader) -> int:
    """Return the pixels of all frames together."""
    return header.total_pixels or header.width * header.height * header.frame_count


def _image_info(header: ImageHeader) -> ImageInfo:
    width, height = (header.height, header.width) if header.orientation >= 5 else (header.width, header.height)
    icc = None if header.icc is None else profiles.profile_name(header.icc)
    notes = tuple(display_name(note)[:_MAX_NOTE_LENGTH] for note in header.notes[:_MAX_NOTES])
    return ImageInfo(
        format=header.format,
        width=width,
        height=height,
        depth=header.depth,
        channels=header.channels,
        alpha=header.has_alpha,
        icc=icc,
        frames=header.frame_count,
        ppi=_upright_ppi(header),
        notes=notes,
        states_colour=header.states_colour or header.icc is not None,
        may_be_incomplete=header.may_be_incomplete,
    )


def _upright_ppi(header: ImageHeader) -> tuple[float, float] | None:
    return header.ppi[::-1] if header.ppi and header.orientation >= 5 else header.ppi


def _to_picture(samples: Samples, header: ImageHeader) -> Picture:
    samples = apply_orientation(samples, header.orientation)
    alpha = _normalise(samples[:, :, -1], _alpha_max_code(samples, header)) if header.has_alpha else None
    values = samples[:, :, :-1] if header.has_alpha else samples
    if values.dtype.kind == "u" and not header.is_premultiplied and keeps_values(header):
        return _to_lazy_picture(values, alpha, header)
    is_divided = header.is_premultiplied and alpha is not None
    if header.channels != _INKS or is_divided or values.dtype.kind == "f":  # inks stay codes, which saves memory
        values = _normalise(values, header.max_code, header.black_code)
    if is_divided and alpha is not None:
        values = np.clip(values / np.maximum(alpha, np.float32(1e-6))[..., None], 0.0, 1.0)
    pixels, icc, depth = to_profile_of_picture(values, header)
    metadata = _read_metadata(header)
    return Picture(freeze(pixels), None if alpha is None else freeze(alpha), depth, icc, _upright_ppi(header), metadata)


def _to_lazy_picture(codes: Samples, alpha: Mask | None, header: ImageHeader) -> Picture:
    """Return a picture that stays integer codes (h, w, 1 or 3) until its floats are read."""
    codes = np.ascontiguousarray(codes) if header.orientation != 1 else codes

    def compute_rows(rows: slice) -> Pixels:
        result = np.empty((rows.stop - rows.start, *codes.shape[1:]), np.float32)
        _normalise_into(result, codes[rows], header.max_code, header.black_code)
        return result

    depth: BitDepth = 8 if header.depth <= 8 else 16
    metadata = _read_metadata(header)
    picture = Picture(_NO_PIXELS, None if alpha is None else freeze(alpha), depth, header.icc, _upright_ppi(header), metadata)
    return picture.with_lazy_pixels(LazyPixels(codes.shape, compute_rows))


def _decode_part(part: FilePart, header: ImageHeader, data: bytes, name: str) -> Picture:
    """Return a mask or a layer of a file; a layer has the profile of the file."""
    with limited_decoding(name) as decoding, translate_decoder_errors(name, data):
        decoding.allow_pixels(header.width * header.height)
        codes = part.load()
    has_alpha = codes.shape[2] in (2, 4)
    part_header = ImageHeader("", header.width, header.height, header.depth, codes.shape[2] - has_alpha, has_alpha)
    part_header.max_code = float(np.iinfo(codes.dtype).max)
    if part.role.kind == "layer" and profiles.matches_channels(header.icc, part_header.channels):
        part_header.icc = header.icc
    return _to_picture(codes, part_header)


def _read_metadata(header: ImageHeader) -> Metadata:
    """Return the file's metadata, with a note for XMP that cannot be read."""
    xmp = header.xmp
    try:
        if xmp is not None and header.xmp_extension:
            xmp = join_extension(xmp, header.xmp_extension, MAX_METADATA_BYTES)
            if xmp is None:
                header.notes.append("the extended part of its XMP is damaged or incomplete and was left out")
                xmp = header.xmp
        if xmp is not None:
            read_xmp(xmp)
    except UnreadableXmp as error:
        header.notes.append(f"its XMP was left out: {error}")
        xmp = None
    size = (header.width, header.height) if header.orientation == 1 else (0, 0)
    return Metadata(reset_orientation(header.exif), xmp, header.iptc, tuple(header.text_chunks), size)


def _alpha_max_code(samples: Samples, header: ImageHeader) -> float:
    """Return the code of full alpha, which is never in narrow range (PNG 3rd edition, 11.3.2.6)."""
    return float(np.iinfo(samples.dtype).max) if header.black_code else header.max_code


def _normalise(samples: Samples, max_code: float, black_code: float = 0.0) -> Pixels:
    """Return codes as float32 0..1, each exactly float32(code / max_code)."""
    if samples.dtype.kind == "f":
        return np.clip(np.nan_to_num(samples.astype(np.float32), posinf=1.0), 0.0, 1.0)
    result = np.empty(samples.shape, np.float32)

    def convert(rows: slice) -> None:
        _normalise_into(result[rows], samples[rows], max_code, black_code)

    for_each_slab(samples.shape[:2], convert)
    return result


def _normalise_into(result: Pixels, codes: Samples, max_code: float, black_code: float) -> None:
    """Write integer codes, of the shape of ``result``, as float32 0..1, each exactly float32(code / max_code)."""
    result[...] = codes
    if black_code:
        result -= np.float32(black_code)
    result /= np.float32(max_code - black_code)
    if black_code:
        np.clip(result, 0.0, 1.0, out=result)


def _to_rgb(picture: Picture) -> Picture:
    """Return a grey picture as RGB, for formats without grey: in sRGB, with the profile embedded if the grey had one."""
    if picture.channels == 3:
        return picture
    grey = picture.pixels if picture.icc is None else colour.from_linear(colour.to_linear(picture.pixels, picture.icc), None)
    icc = None if picture.icc is None else profiles.builtin_profile("srgb")
    return replace(picture, pixels=freeze(np.repeat(grey, 3, axis=2)), icc=icc)


def to_codes(picture: Picture, bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return colour and alpha as integer codes of ``bits`` bits, rounded half up: (h, w, n), uint8 up to 8 bits, otherwise uint16."""
    if picture.alpha is None:
        return picture.quantise_with(lambda values: quantise(values, bits))
    joined = np.empty((picture.height, picture.width, picture.channels + 1), np.uint8 if bits <= 8 else np.uint16)
    joined[:, :, :-1] = picture.quantise_with(lambda values: quantise(values, bits))
    joined[:, :, -1] = quantise(picture.alpha, bits)
    return joined
