"""Read Photoshop documents, PSD and PSB (Adobe Photoshop File Formats Specification): the structure first, pixels when they are asked for.

The picture is the merged picture at the end of the file. Every length in the file is checked against the bytes that are there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from goldsmith.errors import InputError
from goldsmith.picture.blend_modes import BlendMode, blend_function
from goldsmith.picture.formats.image_info import (
    ImageHeader,
    Samples,
    check_metadata_size,
    check_size,
    damaged_error,
    truncated_error,
)
from goldsmith.picture.formats.metadata import plausible_ppi, strip_exif_prefix
from goldsmith.picture.layered.composing import Blending, GroupJoin, LayerSource
from goldsmith.picture.layered.layered_document import (
    ChannelSource,
    LayeredDocument,
    check_layers_size,
    shorten,
    stack_planes,
)
from goldsmith.picture.layered.layered_file import MAX_GROUP_DEPTH, MAX_LAYERS, FileLayer, LayerBox, LayerGroup, LayerMask
from goldsmith.picture.layered.psd_planes import PsdFile, check_merge, decode_plane, read_merged_channel
from goldsmith.picture.layered.white_matte import restore_colours
from goldsmith.picture.picture import PixelCodes

_GREY, _INDEXED, _RGB, _CMYK, _DUOTONE = 1, 2, 3, 4, 8
_COLOUR_CHANNELS = {_GREY: 1, _INDEXED: 3, _RGB: 3, _CMYK: 4, _DUOTONE: 1}
# Colour modes that are not read, as they complete "a Photoshop document …".
_OTHER_MODES = {0: "in bitmap mode", 7: "in multichannel mode", 9: "in Lab colours"}
_MODE_REMEDY = "Convert it to RGB or grey, 8 or 16 bits a channel, and save it again."
_MAX_CHANNELS = 56
_MAX_RESOURCES = 10_000
_RESOLUTION, _NAMES, _IPTC, _ICC, _UNICODE_NAMES, _VERSION, _EXIF, _XMP = 1005, 1006, 1028, 1039, 1045, 1057, 1058, 1060
_USED_RESOURCES = (_RESOLUTION, _NAMES, _IPTC, _ICC, _UNICODE_NAMES, _VERSION, _EXIF, _XMP)
_TRANSPARENCY, _USER_MASK = -1, -2
# Blocks with a length of 8 bytes in PSB files.
_LONG_BLOCKS = frozenset(b"LMsk Lr16 Lr32 Layr Mt16 Mt32 Mtrn Alph FMsk lnk2 lnk3 lnkE FEid FXid PxSD pths extd extn cinf artd".split())
_BLEND_MODES: dict[bytes, BlendMode] = {
    b"norm": "normal",
    b"mul ": "multiply",
    b"scrn": "screen",
    b"over": "overlay",
    b"sLit": "soft-light",
    b"hLit": "hard-light",
    b"lddg": "add",
    b"dark": "darken",
    b"lite": "lighten",
    b"diff": "difference",
    b"colr": "colour",
    b"lum ": "luminosity",
}
_PASS_THROUGH = b"pass"
_MODE_NAMES = {
    b"diss": "dissolve",
    b"idiv": "colour burn",
    b"lbrn": "linear burn",
    b"dkCl": "darker colour",
    b"div ": "colour dodge",
    b"lgCl": "lighter colour",
    b"vLit": "vivid light",
    b"lLit": "linear light",
    b"pLit": "pin light",
    b"hMix": "hard mix",
    b"smud": "exclusion",
    b"fsub": "subtract",
    b"fdiv": "divide",
    b"hue ": "hue",
    b"sat ": "saturation",
}
_ADJUSTMENTS = frozenset((*b"levl curv brit CgEd blnc hue2 selc mixr grdm phfl thrs post nvrt expA vibA blwh clrL".split(), b"hue "))
_FILLS = frozenset((b"SoCo", b"GdFl", b"PtFl"))
_EFFECTS = frozenset((b"lfx2", b"lfxs", b"lmfx"))
_VECTOR_MASKS = frozenset((b"vmsk", b"vsms"))


@dataclass(slots=True)
class _Channel:
    id: int
    length: int
    offset: int = 0


@dataclass(slots=True)
class _MaskRecord:
    """The mask of a layer record; ``is_disabled`` if the person has switched it off."""

    box: LayerBox
    outside_code: int
    is_disabled: bool


@dataclass(slots=True)
class _Record:
    """One layer record; a group has one at its lower end and one, with its name, at its upper end."""

    box: LayerBox
    channels: list[_Channel]
    mode: bytes
    opacity: int
    is_clipped: bool
    is_visible: bool
    name: str
    mask: _MaskRecord | None = None
    # 0 = a layer, 1 and 2 = the upper end of a group, 3 = its lower end.
    divider: int = 0
    group_mode: bytes = b""
    fill_opacity: int = 255
    block_keys: set[bytes] = field(default_factory=set)


class _Sections(NamedTuple):
    """Where the sections of the file begin and end, in bytes."""

    resources: tuple[int, int]
    layers: tuple[int, int]
    merge: int
    palette: bytes


def _colours(file: PsdFile) -> int:
    """Return the planes of colour that the document has; a palette's numbers are one."""
    return _COLOUR_CHANNELS[file.mode] if file.mode != _INDEXED else 1


def open_document(data: bytes, name: str, max_pixels: int) -> LayeredDocument:
    """Return the document with its layers, not decoded."""
    file = _read_file_header(data, name, max_pixels)
    sections = _find_sections(file)
    header = ImageHeader("psd", file.width, file.height, file.depth, _COLOUR_CHANNELS[file.mode])
    header.max_code = 255.0 if file.depth == 8 else 65535.0
    resources = _read_resources(file, sections.resources)
    _set_metadata(file, resources, header)
    layer_count, records = _read_layers(file, sections.layers)
    check_layers_size(name, [record.box.area + _mask_area(record) // 4 for record in records], max_pixels)
    extra = file.channel_count - _colours(file)
    has_transparency = layer_count < 0 and extra > 0
    document = LayeredDocument(header)
    document.layers = _to_sources(file, records)
    header.has_alpha = has_transparency
    if _has_real_merge(resources):
        check_merge(file, sections.merge)
    elif document.layers:
        document.merge_fault = "it was saved without its merged picture"
    document.merge = partial(_read_merge, file, sections, document.layers, has_transparency)
    names = _channel_names(resources)[-(extra - has_transparency) :] if extra > has_transparency else []
    first = file.channel_count - len(names)
    document.saved_channels = [
        ChannelSource(channel, partial(read_merged_channel, file, sections.merge, number)) for number, channel in enumerate(names, first)
    ]
    if file.mode == _DUOTONE:
        header.notes.append("it is a duotone: it is read as grey, without its inks")
    return document


def _read_file_header(data: bytes, name: str, max_pixels: int) -> PsdFile:
    if len(data) < 30:
        raise truncated_error(name, f"it has {len(data)} bytes, not even a whole header")
    version, channels, height, width, depth, mode = struct.unpack(">H6xHIIHH", data[4:26])
    if version not in (1, 2) or not 1 <= channels <= _MAX_CHANNELS:
        raise damaged_error(name, f"its header names version {version} and {channels} channels")
    check_size(name, width, height, 1, max_pixels)
    if mode not in _COLOUR_CHANNELS or depth not in (8, 16) or (mode == _INDEXED and depth != 8):
        what = f"of {depth} bits a channel" if mode in _COLOUR_CHANNELS else _OTHER_MODES.get(mode, f"in colour mode {mode}")
        raise InputError(f"{name} is a Photoshop document {what}, which Goldsmith does not read.", _MODE_REMEDY)
    file = PsdFile(data, name, version == 2, channels, width, height, depth, mode)
    if channels < _colours(file):
        raise damaged_error(name, f"it has {channels} channels where {_colours(file)} belong")
    return file


def _find_sections(file: PsdFile) -> _Sections:
    """Return where the sections are; the file must reach into the last one."""
    offset = 26
    (length,) = file.unpack("I", offset)
    palette = file.data[offset + 4 : offset + 4 + min(length, 768)]
    offset += 4 + length
    (length,) = file.unpack("I", offset)
    resources = (offset + 4, offset + 4 + length)
    (length,) = file.unpack("Q" if file.is_big else "I", resources[1])
    start = resources[1] + (8 if file.is_big else 4)
    file.require(start + length + 2)
    return _Sections(resources, (start, start + length), start + length, palette)


def _read_resources(file: PsdFile, span: tuple[int, int]) -> dict[int, bytes]:
    """Return the image resources that are used, by number."""
    resources: dict[int, bytes] = {}
    offset, end = span
    count = 0
    while offset + 12 <= end:
        (number,) = file.unpack("H", offset + 4)
        name_length = file.data[offset + 6] + 1
        offset += 6 + name_length + name_length % 2
        (length,) = file.unpack("I", offset)
        count += 1
        if offset + 4 + length > end or count > _MAX_RESOURCES:
            raise damaged_error(file.name, "the list of its resources makes no sense")
        if number in _USED_RESOURCES and number not in resources:
            label = {_ICC: "colour profile", _XMP: "XMP block", _EXIF: "Exif block"}.get(number, "IPTC block")
            check_metadata_size(file.name, label, length)
            resources[number] = file.data[offset + 4 : offset + 4 + length]
        offset += 4 + length + length % 2
    return resources


def _set_metadata(file: PsdFile, resources: dict[int, bytes], header: ImageHeader) -> None:
    header.icc = resources.get(_ICC) or None
    header.xmp = resources.get(_XMP, b"").rstrip(b"\0") or None
    header.iptc = resources.get(_IPTC) or None
    header.exif = strip_exif_prefix(resources.get(_EXIF))
    resolution = resources.get(_RESOLUTION, b"")
    if len(resolution) >= 16:
        across, down = struct.unpack_from(">I", resolution)[0] / 65536, struct.unpack_from(">I", resolution, 8)[0] / 65536
        header.ppi = plausible_ppi(round(across, 4), round(down, 4))


def _has_real_merge(resources: dict[int, bytes]) -> bool:
    """Return False if the file says that its merged picture is only a placeholder."""
    version = resources.get(_VERSION, b"")
    return len(version) < 5 or version[4] != 0


def _channel_names(resources: dict[int, bytes]) -> list[str]:
    """Return the names of the saved channels."""
    names: list[str] = []
    offset, block = 0, resources.get(_UNICODE_NAMES, b"")
    while offset + 4 <= len(block) and len(names) < _MAX_CHANNELS:
        (length,) = struct.unpack_from(">I", block, offset)
        names.append(block[offset + 4 : offset + 4 + 2 * length].decode("utf-16-be", "replace").rstrip("\0"))
        offset += 4 + 2 * length
    if names:
        return names
    offset, block = 0, resources.get(_NAMES, b"")
    while offset < len(block) and len(names) < _MAX_CHANNELS:
        length = block[offset]
        names.append(block[offset + 1 : offset + 1 + length].decode("mac-roman", "replace"))
        offset += 1 + length
    return names


# Layers


def _read_layers(file: PsdFile, span: tuple[int, int]) -> tuple[int, list[_Record]]:
    """Return the number of layers, negative if the merged picture has transparency, and the layer records, the lowest first."""
    start, end = span
    if end - start < (8 if file.is_big else 4):
        return 0, []
    (length,) = file.unpack("Q" if file.is_big else "I", start)
    start += 8 if file.is_big else 4
    if start + length > end:
        raise damaged_error(file.name, "its list of layers is longer than the section that holds it")
    if length:
        return _read_records(file, start, start + length)
    # Photoshop puts the layers of files with 16 bits into a block behind the empty list, and behind the global mask.
    offset = start
    if offset + 4 <= end and file.data[offset : offset + 4] not in (b"8BIM", b"8B64"):
        offset += 4 + file.unpack("I", offset)[0]
    for key, block_start, block_end in _blocks(file, offset, end, padding=4):
        if key in (b"Lr16", b"Layr"):
            return _read_records(file, block_start, block_end)
    return 0, []


def _blocks(file: PsdFile, offset: int, end: int, padding: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield key, start and end of each tagged block."""
    count = 0
    while offset + 12 <= end:
        if file.data[offset : offset + 4] not in (b"8BIM", b"8B64"):
            # Some programs pad a block, and some do not.
            offset += 1
            count += 1
            if count > _MAX_RESOURCES:
                return
            continue
        key = file.data[offset + 4 : offset + 8]
        is_long = file.is_big and key in _LONG_BLOCKS
        (length,) = file.unpack("Q" if is_long else "I", offset + 8)
        start = offset + (16 if is_long else 12)
        if start + length > end:
            return
        yield key, start, start + length
        offset = start + length + (-length % padding)


def _read_records(file: PsdFile, start: int, end: int) -> tuple[int, list[_Record]]:
    (count,) = file.unpack("h", start)
    offset = start + 2
    records = []
    if abs(count) > 2 * MAX_LAYERS:
        raise InputError(f"{file.name} has {abs(count):,} layers; the limit is {MAX_LAYERS:,}.", "Merge some of them.")
    for _ in range(abs(count)):
        record, offset = _read_record(file, offset, end)
        records.append(record)
    for record in records:
        for channel in record.channels:
            channel.offset = offset
            offset += channel.length
            if offset > end:
                raise damaged_error(file.name, f"the pixels of its layer “{shorten(record.name)}” are not all there")
    return count, records


def _read_record(file: PsdFile, offset: int, end: int) -> tuple[_Record, int]:
    """Return a layer record, and where the next one begins."""
    top, left, bottom, right, channel_count = file.unpack("4iH", offset)
    offset += 18
    if channel_count > _MAX_CHANNELS + 3:
        raise damaged_error(file.name, f"one of its layers has {channel_count} channels")
    channels = []
    for _ in range(channel_count):
        number, length = file.unpack("hQ" if file.is_big else "hI", offset)
        channels.append(_Channel(number, length))
        offset += 10 if file.is_big else 6
    mode = file.data[offset + 4 : offset + 8]
    opacity, clipping, flags = file.unpack("BBB", offset + 8)
    (extra,) = file.unpack("I", offset + 12)
    extra_start, extra_end = offset + 16, offset + 16 + extra
    if extra_end > end:
        raise damaged_error(file.name, "its list of layers makes no sense")
    record = _Record(LayerBox(left, top, right, bottom), channels, mode, opacity, clipping == 1, not flags & 2, "")
    _read_extra(file, record, extra_start, extra_end)
    return record, extra_end


def _read_extra(file: PsdFile, record: _Record, offset: int, end: int) -> None:
    """Complete a record with its mask, its name and its blocks."""
    (mask_length,) = file.unpack("I", offset)
    if offset + 8 + mask_length > end:
        raise damaged_error(file.name, "its list of layers makes no sense")
    if mask_length >= 18:
        top, left, bottom, right, outside, flags = file.unpack("4iBB", offset + 4)
        record.mask = _MaskRecord(LayerBox(left, top, right, bottom), outside, bool(flags & 2))
    offset += 4 + mask_length
    offset += 4 + file.unpack("I", offset)[0]
    if offset >= end:
        raise damaged_error(file.name, "its list of layers makes no sense")
    name_length = file.data[offset]
    record.name = file.data[offset + 1 : offset + 1 + name_length].decode("mac-roman", "replace").rstrip("\0")
    offset += (1 + name_length + 3) // 4 * 4
    for key, start, block_end in _blocks(file, offset, end, padding=1):
        record.block_keys.add(key)
        size = block_end - start
        if key == b"luni" and size >= 4:
            (length,) = file.unpack("I", start)
            record.name = file.data[start + 4 : min(start + 4 + 2 * length, block_end)].decode("utf-16-be", "replace").rstrip("\0")
        elif key in (b"lsct", b"lsdk") and size >= 4:
            (record.divider,) = file.unpack("I", start)
            record.group_mode = file.data[start + 8 : start + 12] if size >= 12 else b""
        elif key == b"iOpa" and size >= 1:
            record.fill_opacity = file.data[start]


def _mask_area(record: _Record) -> int:
    return 0 if record.mask is None else record.mask.box.area


def _to_sources(file: PsdFile, records: list[_Record]) -> list[LayerSource]:
    """Return the layers with their groups. A group's record lies above its layers, so they are passed from the top down."""
    open_groups: list[tuple[LayerGroup, GroupJoin]] = []
    sources: list[LayerSource] = []
    for number in range(len(records) - 1, -1, -1):
        record = records[number]
        if record.divider == 3:
            if open_groups:
                open_groups.pop()
        elif record.divider in (1, 2):
            if len(open_groups) >= MAX_GROUP_DEPTH:
                raise InputError(f"{file.name} has more than {MAX_GROUP_DEPTH} groups inside each other.", "Merge some of its groups.")
            open_groups.append(_read_group(file, record))
        else:
            groups = tuple(group for group, _ in open_groups)
            is_on_group = record.is_clipped and number > 0 and records[number - 1].divider in (1, 2)
            sources.append(_to_source(file, record, groups, tuple(join for _, join in open_groups), is_on_group))
    return sources[::-1]


def _read_group(file: PsdFile, record: _Record) -> tuple[LayerGroup, GroupJoin]:
    mode = record.group_mode or record.mode
    blend_mode = None if mode == _PASS_THROUGH else _BLEND_MODES.get(mode, "normal")
    group = LayerGroup(record.name, record.opacity / 255, blend_mode, record.is_visible)
    load_mask = partial(_load_mask, file, record) if record.mask is not None else None
    return group, GroupJoin(None if blend_mode is None else Blending(blend_function(blend_mode)), load_mask)


def _to_source(
    file: PsdFile, record: _Record, groups: tuple[LayerGroup, ...], joins: tuple[GroupJoin, ...], is_on_group: bool
) -> LayerSource:
    mode = _BLEND_MODES.get(record.mode, "normal")
    return LayerSource(
        name=record.name,
        box=record.box,
        load=partial(_load_layer, file, record, groups, mode),
        is_visible=record.is_visible,
        groups=groups,
        is_clipped=record.is_clipped,
        blending=Blending(blend_function(mode)),
        group_joins=joins,
        fault=_describe_fault(file, record, is_on_group),
    )


def _describe_fault(file: PsdFile, record: _Record, is_on_group: bool) -> str:
    """Return what only Photoshop can show of a layer; "" if nothing."""
    title = f"“{shorten(record.name)}”"
    keys = record.block_keys
    if not keys.isdisjoint(_ADJUSTMENTS):
        return f"the adjustment layer {title}"
    if not keys.isdisjoint(_EFFECTS):
        return f"the effects of the layer {title}"
    if not keys.isdisjoint(_FILLS) and not record.box.area:
        return f"the fill layer {title}"
    if not keys.isdisjoint(_VECTOR_MASKS) and record.mask is None and keys.isdisjoint(_FILLS):
        return f"the vector mask of the layer {title}"
    if record.mode not in _BLEND_MODES:
        return f"the blend mode “{_MODE_NAMES.get(record.mode) or shorten(record.mode.decode('latin-1'))}” of the layer {title}"
    if is_on_group:
        return f"the layer {title}, which is clipped to a group"
    return f"the CMYK colours of the layer {title}" if file.mode == _CMYK else ""


def _load_layer(file: PsdFile, record: _Record, groups: tuple[LayerGroup, ...], mode: BlendMode) -> FileLayer:
    """Decode a layer; one without colours of its own is empty."""
    planes = {channel.id: channel for channel in record.channels}
    box = record.box if record.box.area else LayerBox(0, 0, 0, 0)
    colours = [_read_plane(file, planes[number], box) for number in range(_colours(file)) if number in planes]
    if len(colours) < _colours(file):
        box = LayerBox(0, 0, 0, 0)
        colours = [file.empty_plane()] * _colours(file)
    pixels = stack_planes(colours)
    if file.mode == _CMYK:
        pixels = _rgb_from_inks(pixels)
    alpha = _read_plane(file, planes[_TRANSPARENCY], box) if _TRANSPARENCY in planes and box.area else None
    mask = None if record.mask is None else _load_mask(file, record)
    opacity = record.opacity / 255 * record.fill_opacity / 255
    return FileLayer(record.name, box, pixels, alpha, opacity, mode, record.is_visible, groups, mask, record.is_clipped)


def _rgb_from_inks(codes: PixelCodes) -> PixelCodes:
    """Return CMYK codes (h, w, 4), 0 = full ink, as RGB by the plain formula: enough for a layer that is a mask."""
    max_code = np.iinfo(codes.dtype).max
    result = codes[:, :, :3].astype(np.uint32) * codes[:, :, 3:].astype(np.uint32) // max_code
    return result.astype(np.uint8) if codes.dtype == np.uint8 else result.astype(np.uint16)


def _load_mask(file: PsdFile, record: _Record) -> LayerMask | None:
    planes = {channel.id: channel for channel in record.channels}
    channel = planes.get(_USER_MASK)
    if record.mask is None or channel is None:
        return None
    _check_plane_size(file, record.mask.box)
    codes = _read_plane(file, channel, record.mask.box) if record.mask.box.area else file.empty_plane()
    outside = record.mask.outside_code * (1 if file.depth == 8 else 257)
    return LayerMask(record.mask.box, codes, outside, not record.mask.is_disabled)


def _read_plane(file: PsdFile, channel: _Channel, box: LayerBox) -> PixelCodes:
    """Return one channel of a layer, (h, w)."""
    if channel.length < 2:
        raise damaged_error(file.name, "the pixels of a layer are missing")
    (compression,) = file.unpack("H", channel.offset)
    body = memoryview(file.data)[channel.offset + 2 : channel.offset + channel.length]
    return decode_plane(file, body, compression, box.width, box.height)


def _check_plane_size(file: PsdFile, box: LayerBox) -> None:
    """Refuse a mask that is far larger than the canvas, before memory of that size is allocated."""
    if box.area > 4 * file.width * file.height + (1 << 24):
        raise damaged_error(file.name, f"one of its masks has {box.width} x {box.height} pixels")


def _read_merge(file: PsdFile, sections: _Sections, layers: Sequence[LayerSource], has_transparency: bool) -> Samples:
    """Return the merged picture as codes (h, w, n). Photoshop stores it on white; where it is transparent, the white is taken out."""
    planes = [read_merged_channel(file, sections.merge, number) for number in range(_colours(file) + has_transparency)]
    if file.mode == _INDEXED:
        palette = np.frombuffer(sections.palette.ljust(768, b"\0"), np.uint8).reshape(3, 256)
        return np.asarray(np.dstack([palette[channel][planes[0]] for channel in range(3)]))
    if file.mode == _CMYK:
        return np.dstack([*(np.iinfo(plane.dtype).max - plane for plane in planes[:4]), *planes[4:]])
    result = stack_planes(planes)
    return restore_colours(_without_white(result), result, reversed(layers)) if has_transparency else result


def _without_white(codes: PixelCodes) -> PixelCodes:
    """Return colours and alpha (h, w, n) without the white that colours of transparent pixels are mixed with."""
    max_code = np.float32(np.iinfo(codes.dtype).max)
    alpha = codes[:, :, -1:]
    is_partial = (alpha > 0) & (alpha < max_code)
    if not is_partial.any():
        return codes
    share = np.maximum(alpha.astype(np.float32) / max_code, np.float32(1e-6))
    unmixed = (codes[:, :, :-1].astype(np.float32) - max_code * (1 - share)) / share
    result = codes.copy()
    np.copyto(result[:, :, :-1], np.clip(unmixed + np.float32(0.5), 0, max_code), where=is_partial, casting="unsafe")
    return result
