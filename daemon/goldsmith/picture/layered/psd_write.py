"""Write PSD and PSB: layers with names, masks and groups, and a merge of our own. The layers of a given file are kept as they are.

New records are those of psd-tools; the parts of a kept file stay as they are in its bytes. Nothing here lets psd-tools composite: for 24
megapixels that takes forty seconds, and the merge would not be the picture. Layout as in Adobe's "Photoshop File Formats Specification".
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture.blend_modes import BlendMode
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.metadata import with_resolution
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.layered.named_layers import role_of
from goldsmith.picture.layered.picture_layers import KeptFile
from goldsmith.picture.layered.psd_planes import PsdFile, read_merged_channel
from goldsmith.picture.layered.psd_sections import (
    CHANNEL_NAMES,
    DEEP_LAYERS,
    LONG_BLOCKS,
    UNICODE_CHANNEL_NAMES,
    DocumentParts,
    LayerPart,
    hide,
    is_hidden,
    make_resource,
    saved_channel_names,
    split_document,
    without_metadata,
)
from goldsmith.picture.layered.white_matte import mix_with_white
from goldsmith.picture.picture import Picture

if TYPE_CHECKING:
    from psd_tools.psd.layer_and_mask import LayerRecord, MaskData

# The name of the only layer of a picture that brings no layers.
PICTURE_LAYER = "Picture"
# Of a PSD; a PSB has room for 300,000 px and for as many bytes as there are.
_MAX_PSD_SIDE, _MAX_PSD_BYTES = 30_000, 1_900_000_000
_PSD, _PSB = 1, 2
_GREY, _RGB = 1, 3
_RAW, _RUN_LENGTHS, _ZIP = 0, 1, 2
_FASTEST_LEVEL = 1
_NAME_ENCODING, _MAX_SHORT_NAME_BYTES = "macroman", 255
_WRITER = "Goldsmith"
_FIXED_POINT = 1 << 16
_PIXELS_PER_INCH, _INCHES = 1, 1
_PASS_THROUGH = b"pass"
# Blocks that say that the merge is transparent; the second is that of 16 bits.
_TRANSPARENCY_BLOCKS = (b"Mtrn", b"Mt16", b"Mt32")
_DEEP_TRANSPARENCY = b"Mt16"
# Keys of blend modes in a layer's record.
_BLEND_KEYS: Mapping[BlendMode, bytes] = MappingProxyType(
    {
        "normal": b"norm",
        "multiply": b"mul ",
        "screen": b"scrn",
        "overlay": b"over",
        "soft-light": b"sLit",
        "hard-light": b"hLit",
        "add": b"lddg",
        "darken": b"dark",
        "lighten": b"lite",
        "difference": b"diff",
        "colour": b"colr",
        "luminosity": b"lum ",
    }
)
# Image resources that describe the layers or the pixels as they were: numbers for each layer (1024, 1026, 1069, 1072), thumbnails (1033,
# 1036), a second Exif block (1059), a digest of the IPTC block (1061).
# Names, colours and numbers of the saved selections.
_CHANNEL_RESOURCES = (1006, 1007, 1045, 1053, 1067, 1077)
_STALE_RESOURCES = (1024, 1026, 1033, 1036, 1059, 1061, 1069, 1072)


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8 or uint16 codes, alpha last) as a file of one layer with the picture's profile and metadata."""
    height, width = samples.shape[:2]
    colours = samples.shape[2] - (picture.alpha is not None)
    alpha = samples[:, :, -1] if picture.alpha is not None else None
    layer = FileLayer(PICTURE_LAYER, LayerBox(0, 0, width, height), samples[:, :, :colours], alpha)
    metadata = picture.metadata
    file = LayeredFile(
        *(width, height, options.depth, colours),
        layers=(layer,),
        merge=samples,
        icc=picture.icc,
        ppi=picture.ppi,
        xmp=metadata.xmp,
        exif=metadata.exif,
        iptc=metadata.iptc,
    )
    return write_layers(file)


def needs_big_file(file: LayeredFile) -> bool:
    """Return whether the file must be a PSB: a side is longer than 30,000 px, or it may have more than 1.9 GB."""
    planes = [mask.codes.nbytes for mask in _masks(file)] + [0 if file.merge is None else file.merge.nbytes]
    planes += [layer.pixels.nbytes + layer.box.width * layer.box.height * file.depth // 8 for layer in file.layers]
    return max(file.width, file.height) > _MAX_PSD_SIDE or sum(planes) > _MAX_PSD_BYTES


def write_layers(file: LayeredFile, kept: KeptFile | None = None) -> bytes:
    """Return the file with its layers, and with its merge as the flat picture: over white where it is transparent, as Photoshop stores it.

    kept: a PSD or PSB whose layers, of whatever kind, stay byte for byte below those of ``file``; what it says of itself is replaced.
    Raises ValueError if ``can_keep`` is False for it.
    """
    if file.merge is None:
        raise ValueError("a file with layers is written with its merge")
    parts = _new_parts(file) if kept is None else _open_kept(kept, file)
    if parts is None:
        raise ValueError("the layers of another file can be kept only under a picture of its size, depth and kind of colour")
    has_alpha = file.merge.shape[2] > file.channels
    with ThreadPoolExecutor(2) as pool:
        packer = _Packer(_PSB if parts.is_big else _PSD, file.depth, pool)
        parts.layers += _layer_parts(file.layers, packer, file.channels)
        flat = mix_with_white(file.merge) if has_alpha else file.merge
        planes = [flat[:, :, plane] for plane in range(flat.shape[2])]
        planes += _saved_planes(parts, kept, file.channels)
        merge = packer.pack_merge(planes)
    parts.has_alpha = has_alpha
    head = struct.pack(">4sH6xHIIHHI", b"8BPS", packer.version, len(planes), file.height, file.width, file.depth, parts.mode, 0)
    resources = _resources(parts, file)
    return b"".join([head, struct.pack(">I", len(resources)), resources, *_layer_section(parts), *merge])


def can_keep(kept: KeptFile, file: LayeredFile) -> bool:
    """Return whether the layers of ``kept`` can stay as they are below those of ``file``: both have one size, depth and colour model."""
    return _open_kept(kept, file) is not None


def _masks(file: LayeredFile) -> Iterator[LayerMask]:
    groups = {id(group): group for layer in file.layers for group in layer.groups}
    yield from (mask for mask in (*(layer.mask for layer in file.layers), *(group.mask for group in groups.values())) if mask is not None)


def _mode_of(file: LayeredFile) -> int:
    return _RGB if file.channels == 3 else _GREY


def _new_parts(file: LayeredFile) -> DocumentParts:
    return DocumentParts(needs_big_file(file), 0, file.width, file.height, file.depth, _mode_of(file))


def _open_kept(kept: KeptFile, file: LayeredFile) -> DocumentParts | None:
    """Return the parts of ``kept`` that stay if the layers of ``file`` can be laid over its own ones, else None."""
    try:
        parts = split_document(kept.data)
    except ValueError:
        return None  # its reader makes out layers where this module does not
    is_alike = (parts.width, parts.height, parts.depth, parts.mode) == (file.width, file.height, file.depth, _mode_of(file))
    is_large = len(kept.data) + sum(layer.pixels.nbytes for layer in file.layers) > _MAX_PSD_BYTES or needs_big_file(file)
    if not is_alike or (is_large and not parts.is_big):
        return None
    parts.layers = [layer for kept_layer in parts.layers if (layer := _keep_layer(kept_layer, kept, parts.is_big)) is not None]
    parts.resources = [(number, data) for number, data in parts.resources if number not in _STALE_RESOURCES]
    if not kept.keeps_remarks:
        parts.resources, parts.layers = [], [without_metadata(layer, parts.is_big) for layer in parts.layers]
    return parts


def _keep_layer(layer: LayerPart, kept: KeptFile, is_big: bool) -> LayerPart | None:
    """Return a kept layer, or None. A mask that stays is hidden, since it is not in the picture."""
    role = role_of(layer.name)
    if role is None or (role.kind == "layer" and is_hidden(layer, is_big)):
        return layer
    return None if role in kept.left_out else hide(layer, is_big)


def _saved_planes(parts: DocumentParts, kept: KeptFile | None, colours: int) -> list[NDArray[Any]]:
    """Return the planes of the saved selections, which lie behind those of the merge, without the masks that do not go on."""
    known = colours + parts.has_alpha
    if kept is None or parts.channels <= known or len(parts.merge) < 2:
        return []
    file = PsdFile(kept.data, kept.name, parts.is_big, parts.channels, parts.width, parts.height, parts.depth, parts.mode)
    start = len(kept.data) - len(parts.merge)
    planes = [read_merged_channel(file, start, number) for number in range(known, parts.channels)]
    names = saved_channel_names(parts, len(planes))
    stay = [number for number, name in enumerate(names) if role_of(name) not in kept.left_out]
    if len(stay) < len(planes):
        names = [names[number] for number in stay]
        old_names = b"".join(bytes([len(short)]) + short for short in (_short_bytes(name) for name in names))
        new_names = b"".join(struct.pack(">I", len(name.encode("utf-16-be")) // 2) + name.encode("utf-16-be") for name in names)
        parts.resources = [(number, data) for number, data in parts.resources if number not in _CHANNEL_RESOURCES]
        parts.resources += [(CHANNEL_NAMES, make_resource(CHANNEL_NAMES, old_names))]
        parts.resources += [(UNICODE_CHANNEL_NAMES, make_resource(UNICODE_CHANNEL_NAMES, new_names))]
    return [planes[number] for number in stay]


def _layer_section(parts: DocumentParts) -> list[bytes | memoryview]:
    """Return the section with the layers; at 16 bits they are in a block of their own, as Photoshop writes them."""
    size, is_deep = ">Q" if parts.is_big else ">I", parts.depth == 16
    count = struct.pack(">h", -len(parts.layers) if parts.has_alpha else len(parts.layers))
    layers: list[bytes | memoryview] = [count, *(layer.record for layer in parts.layers), *(layer.planes for layer in parts.layers)]
    layers.append(b"\0" * (-_length(layers) % 4))
    blocks = [data for key, data in parts.blocks if key not in _TRANSPARENCY_BLOCKS]
    body: list[bytes | memoryview]
    if is_deep:
        transparency = _block_head(_DEEP_TRANSPARENCY, 0, parts.is_big) if parts.has_alpha else b""
        head = _block_head(DEEP_LAYERS, _length(layers), parts.is_big)
        body = [struct.pack(size, 0), parts.mask_info, transparency, head, *layers, *blocks]
    else:
        body = [struct.pack(size, _length(layers)), *layers, parts.mask_info, *blocks]
    return [struct.pack(size, _length(body)), *body]


def _block_head(key: bytes, length: int, is_big: bool) -> bytes:
    return b"8BIM" + key + struct.pack(">Q" if is_big and key in LONG_BLOCKS else ">I", length)


def _length(chunks: Sequence[bytes | memoryview]) -> int:
    return sum(len(chunk) for chunk in chunks)


@dataclass(frozen=True, slots=True)
class _Packer:
    """Packs planes: run lengths at 8 bits, as Photoshop does; deflated at 16 bits.

    Photoshop deflates differences at 16 bits. Krita 5.1 reads these as noise, so they are not used.
    """

    version: int
    depth: int
    pool: ThreadPoolExecutor

    def pack(self, planes: Sequence[NDArray[Any]]) -> list[bytes]:
        """Return the packed planes of a layer, each with the number of its packing."""
        return list(self.pool.map(self._pack_plane, planes))

    def pack_merge(self, planes: Sequence[NDArray[Any]]) -> list[bytes]:
        """Return the packed planes of the flat picture, the number of their packing first. Zip is not for it."""
        if self.depth == 16:
            return [struct.pack(">H", _RAW), *self.pool.map(_big_endian, planes)]
        packed = list(self.pool.map(self._run_lengths, planes))
        counts_bytes = planes[0].shape[0] * (4 if self.version == _PSB else 2)
        return [struct.pack(">H", _RUN_LENGTHS), *(plane[:counts_bytes] for plane in packed), *(plane[counts_bytes:] for plane in packed)]

    def _pack_plane(self, plane: NDArray[Any]) -> bytes:
        import imagecodecs

        if not plane.size:
            return struct.pack(">H", _RAW)
        if self.depth == 8:
            return struct.pack(">H", _RUN_LENGTHS) + self._run_lengths(plane)
        return struct.pack(">H", _ZIP) + bytes(imagecodecs.deflate_encode(_big_endian(plane), level=_FASTEST_LEVEL))

    def _run_lengths(self, plane: NDArray[Any]) -> bytes:
        """Return the bytes of each row's run lengths, and then the run lengths."""
        from psd_tools.compression import compress
        from psd_tools.constants import Compression

        height, width = plane.shape
        return compress(_big_endian(plane), Compression.RLE, width, height, self.depth, self.version)


def _big_endian(plane: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(plane).astype(f">u{plane.dtype.itemsize}", copy=False).tobytes()


def _layer_parts(layers: Sequence[FileLayer], packer: _Packer, colours: int) -> Iterator[LayerPart]:
    """Yield the layers in the order of the file: the lowest first, each group between its end and its own record."""
    open_groups: list[LayerGroup] = []
    for layer in layers:
        shared = 0
        while shared < min(len(open_groups), len(layer.groups)) and open_groups[shared] is layer.groups[shared]:
            shared += 1
        while len(open_groups) > shared:
            yield _group_part(open_groups.pop(), packer, colours)
        for group in layer.groups[shared:]:
            open_groups.append(group)
            yield _group_end(packer, colours)
        yield _layer_part(layer, packer, colours)
    while open_groups:
        yield _group_part(open_groups.pop(), packer, colours)


def _layer_part(layer: FileLayer, packer: _Packer, colours: int) -> LayerPart:
    from psd_tools.constants import Clipping

    pixels: NDArray[Any] = layer.pixels if layer.pixels.shape[2] == colours else np.repeat(layer.pixels, colours, axis=2)
    opaque = np.broadcast_to(pixels.dtype.type(2**packer.depth - 1), pixels.shape[:2])
    planes = [opaque if layer.alpha is None else layer.alpha, *(pixels[:, :, plane] for plane in range(colours))]
    record = _new_record(layer.name, layer.box, colours, layer.mask)
    record.opacity = round(layer.opacity * 255)
    record.blend_mode = _blend_mode(_BLEND_KEYS[layer.blend_mode])
    record.flags.visible = layer.is_visible
    record.clipping = Clipping.NON_BASE if layer.is_clipped else Clipping.BASE
    return _to_part(record, planes, layer.mask, packer)


def _group_part(group: LayerGroup, packer: _Packer, colours: int) -> LayerPart:
    from psd_tools.constants import SectionDivider, Tag

    record = _new_record(group.name, LayerBox(0, 0, 0, 0), colours, group.mask)
    mode = _PASS_THROUGH if group.blend_mode is None else _BLEND_KEYS[group.blend_mode]
    record.opacity = round(group.opacity * 255)
    record.blend_mode = _blend_mode(_BLEND_KEYS[group.blend_mode or "normal"])
    record.flags.visible = group.is_visible
    record.tagged_blocks.set_data(Tag.SECTION_DIVIDER_SETTING, SectionDivider.OPEN_FOLDER, b"8BIM", _blend_mode(mode))
    return _to_part(record, _no_planes(packer, colours), group.mask, packer)


def _group_end(packer: _Packer, colours: int) -> LayerPart:
    from psd_tools.constants import SectionDivider, Tag

    record = _new_record("</Layer group>", LayerBox(0, 0, 0, 0), colours, None)
    record.tagged_blocks.set_data(Tag.SECTION_DIVIDER_SETTING, SectionDivider.BOUNDING_SECTION_DIVIDER)
    return _to_part(record, _no_planes(packer, colours), None, packer)


def _no_planes(packer: _Packer, colours: int) -> list[NDArray[Any]]:
    """Return the planes of a record without pixels; it has them all, empty."""
    return [np.zeros((0, 0), np.uint8 if packer.depth == 8 else np.uint16)] * (colours + 1)


def _new_record(name: str, box: LayerBox, colours: int, mask: LayerMask | None) -> LayerRecord:
    """Return a record with planes for transparency, the colours, and the mask if there is one."""
    from psd_tools.constants import ChannelID, Tag
    from psd_tools.psd.layer_and_mask import ChannelInfo, LayerRecord

    ids = [ChannelID.TRANSPARENCY_MASK, *(ChannelID(number) for number in range(colours))]
    record = LayerRecord(
        top=box.top,
        left=box.left,
        bottom=box.bottom,
        right=box.right,
        channel_info=[ChannelInfo(id=each) for each in (*ids, *([] if mask is None else [ChannelID.USER_LAYER_MASK]))],
        mask_data=None if mask is None else _mask_data(mask),
        name=_short_name(name),
    )
    record.tagged_blocks.set_data(Tag.UNICODE_LAYER_NAME, name)
    return record


def _to_part(record: LayerRecord, planes: Sequence[NDArray[Any]], mask: LayerMask | None, packer: _Packer) -> LayerPart:
    packed = packer.pack([*planes, *([] if mask is None else [mask.codes])])
    for info, data in zip(record.channel_info, packed, strict=True):
        info.length = len(data)
    out = io.BytesIO()
    record.write(out, _NAME_ENCODING, packer.version)
    return LayerPart(record.name, out.getvalue(), memoryview(b"".join(packed)))


def _mask_data(mask: LayerMask) -> MaskData:
    from psd_tools.psd.layer_and_mask import MaskData, MaskFlags

    return MaskData(
        top=mask.box.top,
        left=mask.box.left,
        bottom=mask.box.bottom,
        right=mask.box.right,
        background_color=255 if mask.outside_code else 0,
        flags=MaskFlags(mask_disabled=not mask.is_enabled),
    )


def _blend_mode(key: bytes) -> Any:
    from psd_tools.constants import BlendMode as BlendKey

    return BlendKey(key)


def _short_name(name: str) -> str:
    """Return the name for programs that do not read Unicode names: letters that Mac OS Roman lacks are question marks."""
    return _short_bytes(name).decode(_NAME_ENCODING)


def _short_bytes(name: str) -> bytes:
    return name.encode(_NAME_ENCODING, "replace")[:_MAX_SHORT_NAME_BYTES]


def _resources(parts: DocumentParts, file: LayeredFile) -> bytes:
    """Return what the document says of itself: the kept resources, and profile, resolution and metadata of the picture."""
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo, VersionInfo

    resolution = None
    if file.ppi is not None:
        across, down = (min(round(value * _FIXED_POINT), 2**32 - 1) for value in file.ppi)
        resolution = ResoulutionInfo(across, _PIXELS_PER_INCH, _INCHES, down, _PIXELS_PER_INCH, _INCHES)
    own: dict[Resource, Any] = {
        Resource.RESOLUTION_INFO: resolution,
        Resource.IPTC_NAA: file.iptc,
        Resource.ICC_PROFILE: file.icc,
        Resource.VERSION_INFO: VersionInfo(1, True, _WRITER, _WRITER, 1),
        Resource.EXIF_DATA_1: with_resolution(file.exif, file.ppi, creates_exif=False),
        Resource.XMP_METADATA: file.xmp,
    }
    numbers = {resource.value for resource in own}
    out = io.BytesIO()
    for number, data in parts.resources:
        if number not in numbers:
            out.write(data)
    for resource, content in own.items():
        if content is not None:
            ImageResource(key=resource.value, data=content).write(out)
    return out.getvalue()
