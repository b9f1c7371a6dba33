"""Write PSD and PSB: layers with names, masks and groups, and a merge of our own. The layers of a given file are kept as they are.

The file is put together from psd-tools' records of a document. Nothing here lets psd-tools composite: for 24 megapixels that takes forty
seconds, and the merge would not be the picture. Layout as in Adobe's "Photoshop File Formats Specification".
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from goldsmith.picture.blend_modes import BlendMode
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.metadata import with_resolution
from goldsmith.picture.formats.table import WriterOptions
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayeredFile, LayerGroup, LayerMask
from goldsmith.picture.picture import Picture, PixelCodes

if TYPE_CHECKING:
    from psd_tools.psd.document import PSD
    from psd_tools.psd.layer_and_mask import ChannelData, ChannelDataList, LayerInfo, LayerRecord, MaskData

# The name of the only layer of a picture that brings no layers.
PICTURE_LAYER = "Picture"
# Of a PSD; a PSB has room for 300,000 px and for as many bytes as there are.
_MAX_PSD_SIDE, _MAX_PSD_BYTES = 30_000, 1_900_000_000
_PSD, _PSB = 1, 2
_FASTEST_LEVEL = 1
_NAME_ENCODING, _MAX_SHORT_NAME_BYTES = "macroman", 255
_WRITER = "Goldsmith"
_FIXED_POINT = 1 << 16
_PIXELS_PER_INCH, _INCHES = 1, 1
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
_STALE_RESOURCES = (1024, 1026, 1033, 1036, 1059, 1061, 1069, 1072)


def write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    """Return ``samples`` (h, w, 1-4; uint8 or uint16 codes, alpha last) as a file with one layer, and the picture's profile and metadata."""
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


def write_layers(file: LayeredFile, base: bytes = b"") -> bytes:
    """Return the file with its layers, and with its merge as the flat picture.

    base: a PSD or PSB whose layers, of whatever kind, stay byte for byte below those of ``file``; what it says of itself is replaced.
    Raises ValueError if ``can_keep`` is False for it.
    """
    if file.merge is None:
        raise ValueError("a file with layers is written with its merge")
    document = _new_document(file) if not base else _open_base(base, file)
    if document is None:
        raise ValueError("the layers of another file can be kept only under a picture of its size, depth and kind of colour")
    _add_layers(document, file)
    _set_resources(document, file)
    out = io.BytesIO()
    document.write(out)
    return out.getvalue()


def can_keep(base: bytes, file: LayeredFile) -> bool:
    """Return whether the layers of a PSD or PSB can stay as they are below those of ``file``: size, depth and kind of colour are the same."""
    return _open_base(base, file) is not None


def _masks(file: LayeredFile) -> Iterator[LayerMask]:
    groups = {id(group): group for layer in file.layers for group in layer.groups}
    yield from (mask for mask in (*(layer.mask for layer in file.layers), *(group.mask for group in groups.values())) if mask is not None)


def _new_document(file: LayeredFile) -> PSD:
    from psd_tools.constants import ColorMode
    from psd_tools.psd.document import PSD
    from psd_tools.psd.header import FileHeader

    mode = ColorMode.RGB if file.channels == 3 else ColorMode.GRAYSCALE
    version = _PSB if needs_big_file(file) else _PSD
    return PSD(FileHeader(version=version, channels=1, height=file.height, width=file.width, depth=file.depth, color_mode=mode))


def _open_base(base: bytes, file: LayeredFile) -> PSD | None:
    """Return the document of ``base`` if the layers of ``file`` can be laid over its own ones, else None."""
    from psd_tools.constants import ColorMode
    from psd_tools.psd.document import PSD

    document = PSD.read(io.BytesIO(base))
    header, mode = document.header, ColorMode.RGB if file.channels == 3 else ColorMode.GRAYSCALE
    is_alike = (header.width, header.height, header.depth, header.color_mode) == (file.width, file.height, file.depth, mode)
    is_large = len(base) + sum(layer.pixels.nbytes for layer in file.layers) > _MAX_PSD_BYTES or needs_big_file(file)
    return document if is_alike and (header.version == _PSB or not is_large) else None


def _add_layers(document: PSD, file: LayeredFile) -> None:
    """Lay the layers of the file over those of the document, and replace its merge."""
    info = _layer_info(document, file.depth)
    saved_planes = _saved_planes(document, info, file.channels)
    with ThreadPoolExecutor(2) as pool:
        packer = _Packer(document.header.version, file.depth, pool)
        for record, channels in _records(file.layers, packer, file.channels):
            info.layer_records.append(record)
            info.channel_image_data.append(channels)
        _set_merge(document, file, saved_planes, pool)
    has_alpha = file.merge is not None and file.merge.shape[2] > file.channels
    # A negative number says that the merge's first plane behind the colours is its transparency.
    info.layer_count = len(info.layer_records) * (-1 if has_alpha else 1)


def _layer_info(document: PSD, depth: int) -> LayerInfo:
    """Return the section with the layers; Photoshop keeps it in a block of its own for 16 bits."""
    from psd_tools.constants import Tag
    from psd_tools.psd.layer_and_mask import GlobalLayerMaskInfo, LayerInfo
    from psd_tools.psd.tagged_blocks import TaggedBlocks

    section = document.layer_and_mask_information
    section.layer_info = section.layer_info or LayerInfo()
    section.global_layer_mask_info = section.global_layer_mask_info or GlobalLayerMaskInfo()
    section.tagged_blocks = section.tagged_blocks if section.tagged_blocks is not None else TaggedBlocks()
    if depth == 16 and not section.layer_info.layer_records and Tag.LAYER_16 not in section.tagged_blocks:
        section.tagged_blocks.set_data(Tag.LAYER_16)
    block = section.tagged_blocks.get_data(Tag.LAYER_16) if depth == 16 else None
    return section.layer_info if block is None else block


def _saved_planes(document: PSD, info: LayerInfo, colours: int) -> list[bytes]:
    """Return the planes of the saved selections, which lie behind those of the merge."""
    known = colours + (info.layer_count < 0)
    if not document.image_data.data or document.header.channels <= known:
        return []
    return list(document.image_data.get_data(document.header))[known:]


def _set_merge(document: PSD, file: LayeredFile, saved_planes: Sequence[bytes], pool: ThreadPoolExecutor) -> None:
    from psd_tools.constants import Compression
    from psd_tools.psd.image_data import ImageData

    assert file.merge is not None  # noqa: S101 - the caller has checked it
    planes = [*pool.map(lambda plane: _big_endian(file.merge[:, :, plane]), range(file.merge.shape[2])), *saved_planes]  # type: ignore[index]
    document.header.channels = len(planes)
    # Zip is not for the merge, and run lengths of 16 bits save nothing.
    document.image_data = ImageData(Compression.RLE if file.depth == 8 else Compression.RAW)
    document.image_data.set_data(planes, document.header)


def _big_endian(plane: PixelCodes) -> bytes:
    return np.ascontiguousarray(plane).astype(f">u{plane.dtype.itemsize}", copy=False).tobytes()


@dataclass(frozen=True, slots=True)
class _Packer:
    """Packs planes: run lengths at 8 bits, as Photoshop does; deflated at 16 bits.

    Photoshop deflates differences at 16 bits. Krita 5.1 reads these as noise, so they are not used.
    """

    version: int
    depth: int
    pool: ThreadPoolExecutor

    def pack(self, planes: Sequence[PixelCodes]) -> ChannelDataList:
        from psd_tools.psd.layer_and_mask import ChannelDataList

        return ChannelDataList(list(self.pool.map(self._pack_plane, planes)))

    def _pack_plane(self, plane: PixelCodes) -> ChannelData:
        import imagecodecs
        from psd_tools.compression import compress
        from psd_tools.constants import Compression
        from psd_tools.psd.layer_and_mask import ChannelData

        height, width = plane.shape
        if not plane.size:
            return ChannelData(Compression.RAW, b"")
        if self.depth == 8:
            return ChannelData(Compression.RLE, compress(_big_endian(plane), Compression.RLE, width, height, self.depth, self.version))
        packed = imagecodecs.zlib_encode(_big_endian(plane), level=_FASTEST_LEVEL)
        return ChannelData(Compression.ZIP, bytes(packed))


def _records(layers: Sequence[FileLayer], packer: _Packer, colours: int) -> Iterator[tuple[LayerRecord, ChannelDataList]]:
    """Yield the records in the order of the file: the lowest layer first, each group between its end and its own record."""
    open_groups: list[LayerGroup] = []
    for layer in layers:
        shared = 0
        while shared < min(len(open_groups), len(layer.groups)) and open_groups[shared] is layer.groups[shared]:
            shared += 1
        while len(open_groups) > shared:
            yield _group_record(open_groups.pop(), packer, colours)
        for group in layer.groups[shared:]:
            open_groups.append(group)
            yield _group_end_record(packer, colours)
        yield _layer_record(layer, packer, colours)
    while open_groups:
        yield _group_record(open_groups.pop(), packer, colours)


def _layer_record(layer: FileLayer, packer: _Packer, colours: int) -> tuple[LayerRecord, ChannelDataList]:
    from psd_tools.constants import Clipping

    pixels = layer.pixels if layer.pixels.shape[2] == colours else np.repeat(layer.pixels, colours, axis=2)
    opaque = np.broadcast_to(pixels.dtype.type(np.iinfo(pixels.dtype).max), pixels.shape[:2])
    planes: list[PixelCodes] = [opaque if layer.alpha is None else layer.alpha, *(pixels[:, :, plane] for plane in range(colours))]
    record, channels = _record(layer.name, layer.box, planes, layer.mask, packer)
    record.opacity = round(layer.opacity * 255)
    record.blend_mode = _blend_mode(_BLEND_KEYS[layer.blend_mode])
    record.flags.visible = layer.is_visible
    record.clipping = Clipping.NON_BASE if layer.is_clipped else Clipping.BASE
    return record, channels


def _group_record(group: LayerGroup, packer: _Packer, colours: int) -> tuple[LayerRecord, ChannelDataList]:
    from psd_tools.constants import SectionDivider, Tag

    record, channels = _record(group.name, LayerBox(0, 0, 0, 0), _no_planes(packer, colours), group.mask, packer)
    mode = b"pass" if group.blend_mode is None else _BLEND_KEYS[group.blend_mode]
    record.opacity = round(group.opacity * 255)
    record.blend_mode = _blend_mode(b"norm" if group.blend_mode is None else mode)
    record.flags.visible = group.is_visible
    record.tagged_blocks.set_data(Tag.SECTION_DIVIDER_SETTING, SectionDivider.OPEN_FOLDER, b"8BIM", _blend_mode(mode))
    return record, channels


def _group_end_record(packer: _Packer, colours: int) -> tuple[LayerRecord, ChannelDataList]:
    from psd_tools.constants import SectionDivider, Tag

    record, channels = _record("</Layer group>", LayerBox(0, 0, 0, 0), _no_planes(packer, colours), None, packer)
    record.tagged_blocks.set_data(Tag.SECTION_DIVIDER_SETTING, SectionDivider.BOUNDING_SECTION_DIVIDER)
    return record, channels


def _no_planes(packer: _Packer, colours: int) -> list[PixelCodes]:
    """Return the planes of a record without pixels; it has them all, empty."""
    return [np.zeros((0, 0), np.uint8 if packer.depth == 8 else np.uint16)] * (colours + 1)


def _record(
    name: str, box: LayerBox, planes: Sequence[PixelCodes], mask: LayerMask | None, packer: _Packer
) -> tuple[LayerRecord, ChannelDataList]:
    """Return a record and its planes: transparency, the colours, and the mask if there is one."""
    from psd_tools.constants import ChannelID, Tag
    from psd_tools.psd.layer_and_mask import ChannelInfo, LayerRecord

    ids = [ChannelID.TRANSPARENCY_MASK, *(ChannelID(number) for number in range(len(planes) - 1))]
    if mask is not None:
        ids, planes = [*ids, ChannelID.USER_LAYER_MASK], [*planes, mask.codes]
    record = LayerRecord(
        top=box.top,
        left=box.left,
        bottom=box.bottom,
        right=box.right,
        channel_info=[ChannelInfo(id=each) for each in ids],
        mask_data=None if mask is None else _mask_data(mask),
        name=_short_name(name),
    )
    record.tagged_blocks.set_data(Tag.UNICODE_LAYER_NAME, name)
    return record, packer.pack(planes)


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
    return name.encode(_NAME_ENCODING, "replace")[:_MAX_SHORT_NAME_BYTES].decode(_NAME_ENCODING)


def _set_resources(document: PSD, file: LayeredFile) -> None:
    """Replace what the document says of itself: profile, resolution, metadata, and that it has a merge."""
    from psd_tools.constants import Resource
    from psd_tools.psd.image_resources import ImageResource, ResoulutionInfo, VersionInfo

    resources = document.image_resources
    for key in [key for key in resources if int(getattr(key, "value", key)) in _STALE_RESOURCES]:
        del resources[key]
    resolution = None
    if file.ppi is not None:
        across, down = (min(round(value * _FIXED_POINT), 2**32 - 1) for value in file.ppi)
        resolution = ResoulutionInfo(across, _PIXELS_PER_INCH, _INCHES, down, _PIXELS_PER_INCH, _INCHES)
    blocks: dict[Resource, Any] = {
        Resource.RESOLUTION_INFO: resolution,
        Resource.IPTC_NAA: file.iptc,
        Resource.ICC_PROFILE: file.icc,
        Resource.VERSION_INFO: VersionInfo(1, True, _WRITER, _WRITER, 1),
        Resource.EXIF_DATA_1: with_resolution(file.exif, file.ppi, creates_exif=False),
        Resource.XMP_METADATA: file.xmp,
    }
    for resource, data in blocks.items():
        if data is None:
            resources.pop(resource, None)
        else:
            resources[resource] = ImageResource(key=resource.value, data=data)
