"""Keep only what is true of a newly written file: its size, its profile and its orientation, and no thumbnail of an earlier picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

from goldsmith.picture.metadata.exif_block import MAKER_NOTE, ORIENTATION, ExifBlock, read_exif
from goldsmith.picture.metadata.iptc_records import read_iptc, write_iptc
from goldsmith.picture.metadata.xmp_packet import (
    CAMERA_RAW,
    DC,
    EXIF,
    EXIF_EX,
    IPTC_EXT,
    PHOTOSHOP,
    TIFF,
    XMP,
    XMP_MM,
    XMP_NOTE,
    UnreadableXmp,
    XmpName,
    XmpPacket,
    read_xmp,
)
from goldsmith.picture.picture import Metadata

_COLOUR_SPACE, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA001, 0xA002, 0xA003
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
# Values of ColorSpace (Exif 3.0, 4.6.6.2): anything but sRGB is told by the profile.
_SRGB, _UNCALIBRATED = 1, 0xFFFF
# The index of the basic file and of the option file of DCF 2.0.
_INTEROPERABILITY_INDEX, _INDEX_OF_SPACE = 1, {"srgb": b"R98", "adobe-rgb": b"R03"}
# Tags of the first directory that describe how a file stores its pixels, or that hold other blocks: previews (SubIFDs), XMP, IPTC,
# Photoshop's resources, a profile, printing data, Photoshop's layers, provenance, the private tags of DNG.
_STORAGE_TAGS = frozenset(
    [
        *(*range(0xFE, 0x10E), 0x111, *range(0x115, 0x11A), 0x11C, *range(0x120, 0x126), 0x12D, *range(0x13D, 0x152), 0x153, 0x154, 0x15B),
        *(
            *range(0x200, 0x20A),
            *range(0x211, 0x215),
            0x2BC,
            0x83BB,
            0x8649,
            0x8773,
            0x935C,
            0xC4A5,
            0xCD41,
            0xEA1C,
            *range(0xC612, 0xC800),
        ),
    ]
) - {0x10D, 0x13B, 0x13C}
# In the Exif directory: the order of components and the compression of the old file, its gamma, padding.
_STORAGE_TAGS_OF_PHOTO = frozenset([0x9101, 0x9102, 0xA500, 0xEA1C])
_JPEG_START = b"\xff\xd8\xff"

_HDR_GAIN_MAP, _APPLE_GAIN_MAP = "http://ns.adobe.com/hdr-gain-map/1.0/", "http://ns.apple.com/HDRGainMap/1.0/"
# Depth maps, gain maps, motion photos, sounds, and the list of files behind the first picture.
_GOOGLE_PHOTOS, _XIAOMI, _APPLE_PIXELS = (
    "http://ns.google.com/photos/",
    "http://ns.xiaomi.com/photos/",
    "http://ns.apple.com/pixeldatainfo/",
)
_PANORAMA = "http://ns.google.com/photos/1.0/panorama/"
_REGIONS, _MICROSOFT_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/", "http://ns.microsoft.com/photo/1.2/"
_TERMS = "http://purl.org/dc/terms/"
_STALE_NAMESPACES = (_HDR_GAIN_MAP, _APPLE_GAIN_MAP, _APPLE_PIXELS, _GOOGLE_PHOTOS, _XIAOMI)
# Bound to the picture's size and turn: panoramas, and regions in it, such as faces.
_GEOMETRY_NAMES = frozenset(
    [
        *(XmpName(_REGIONS, "Regions"), XmpName(_MICROSOFT_REGIONS, "RegionInfo"), XmpName(IPTC_EXT, "ImageRegion")),
        *(XmpName(EXIF, "SubjectArea"), XmpName(EXIF, "SubjectLocation")),
    ]
)
_STORAGE_WORDS = {
    TIFF: "Orientation ImageWidth ImageLength ImageHeight BitsPerSample Compression PhotometricInterpretation SamplesPerPixel "
    "PlanarConfiguration YCbCrSubSampling YCbCrPositioning XResolution YResolution ResolutionUnit TransferFunction WhitePoint "
    "PrimaryChromaticities YCbCrCoefficients ReferenceBlackWhite NativeDigest",
    EXIF: "ColorSpace PixelXDimension PixelYDimension ComponentsConfiguration CompressedBitsPerPixel NativeDigest InteroperabilityIndex",
    EXIF_EX: "InteroperabilityIndex Gamma",
    DC: "format",
    XMP_NOTE: "HasExtendedXMP",
}
# Facts about the old file. They are replaced by those of the new one, so nobody misses them.
_STORAGE_NAMES = frozenset(XmpName(namespace, word) for namespace, words in _STORAGE_WORDS.items() for word in words.split())
_STALE_WORDS = {
    XMP: "Thumbnails PageInfo",
    XMP_MM: "Pantry",
    PHOTOSHOP: "DocumentAncestors History",
    # Where the provenance of the old file lies.
    _TERMS: "provenance",
}
_STALE_NAMES = frozenset(XmpName(namespace, word) for namespace, words in _STALE_WORDS.items() for word in words.split())
_PROFILE_NAME, _COLOUR_MODE = XmpName(PHOTOSHOP, "ICCProfile"), XmpName(PHOTOSHOP, "ColorMode")
# Photoshop's numbers of colour modes (XMP specification, part 2, section 3.2).
_COLOUR_MODES = {1: "1", 3: "3", 4: "4"}
_ALREADY_APPLIED = XmpName(CAMERA_RAW, "AlreadyApplied")
# The preview of IPTC-IIM, and its objects.
_PREVIEW_DATA_SETS, _OBJECT_RECORDS = ((2, 200), (2, 201), (2, 202)), (7, 8, 9)
# Texts of a PNG in which ImageMagick repeats Exif, and those of file managers' thumbnails.
_STALE_TEXTS = ("exif:thumbnail", "thumb::", "icc:", "png:", "jpeg:", "tiff:", "photoshop:iccprofile")
_STALE_EXIF_TEXTS = ("colorspace", "pixelxdimension", "pixelydimension", "orientation", "exifoffset", "interoperability", "componentsconf")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What the metadata of a file must agree with.

    width, height: in px.
    channels:      1 grey, 3 RGB, 4 inks.
    colour_space:  its name in a brief, "srgb" or "adobe-rgb" for example; None = another one.
    profile_name:  the profile's own description.
    """

    width: int
    height: int
    channels: int = 3
    colour_space: str | None = "srgb"
    profile_name: str = "sRGB"


def update_metadata(metadata: Metadata, file: WrittenFile) -> Metadata:
    """Return the metadata as they are true of a new file. Blocks that need no change stay as they are, byte for byte."""
    is_same_geometry = metadata.described_size in (None, (file.width, file.height))
    exif, xmp, iptc = metadata.exif, metadata.xmp, metadata.iptc
    texts = tuple(text for text in metadata.text_chunks if not is_stale_text(text[0], has_exif=exif is not None))
    return replace(
        metadata,
        exif=None if exif is None else _update_exif(exif, file, is_same_geometry),
        xmp=None if xmp is None else _update_xmp(xmp, file, is_same_geometry),
        iptc=None if iptc is None else _without_previews(iptc),
        text_chunks=texts if len(texts) < len(metadata.text_chunks) else metadata.text_chunks,
    )


def _update_exif(data: bytes, file: WrittenFile, is_same_geometry: bool) -> bytes | None:
    block = read_exif(data)
    if block is None:
        return None
    block.image = {tag: entry for tag, entry in block.image.items() if tag not in _STORAGE_TAGS}
    block.photo = {tag: entry for tag, entry in block.photo.items() if tag not in _STORAGE_TAGS_OF_PHOTO}
    if ORIENTATION in block.image:
        block.image[ORIENTATION] = block.short_entry(1)
    _describe_file(block, file)
    if not is_same_geometry:
        for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
            block.photo.pop(tag, None)
    note = block.photo.get(MAKER_NOTE)
    if note is not None and _JPEG_START in note.value:  # a preview of the picture as the camera took it
        del block.photo[MAKER_NOTE]
    return block.to_bytes()


def _describe_file(block: ExifBlock, file: WrittenFile) -> None:
    """Set size and colour space, where the block has them."""
    if _COLOUR_SPACE in block.photo:
        block.photo[_COLOUR_SPACE] = block.short_entry(_SRGB if file.colour_space == "srgb" else _UNCALIBRATED)
    index = block.interoperability.get(_INTEROPERABILITY_INDEX)
    if index is None or index.value[:3] != _INDEX_OF_SPACE.get(file.colour_space or ""):
        block.interoperability = {}
    for tag, side in ((_PIXEL_WIDTH, file.width), (_PIXEL_HEIGHT, file.height)):
        if tag in block.photo:
            block.photo[tag] = block.long_entry(side)


def _update_xmp(data: bytes, file: WrittenFile, is_same_geometry: bool) -> bytes | None:
    removed: list[XmpName] = []

    def is_kept(name: XmpName) -> bool:
        is_stale = is_stale_name(name) or (not is_same_geometry and (name in _GEOMETRY_NAMES or name.namespace == _PANORAMA))
        if is_stale:
            removed.append(name)
        return not is_stale

    try:
        packet = read_xmp(data, is_kept)
    except UnreadableXmp:
        return None
    is_changed = bool(removed) | _drop_pending_development(packet) | _describe_profile(packet, file)
    return packet.to_bytes() if is_changed else data


def is_stale_name(name: XmpName) -> bool:
    """Return whether a property of XMP is never true of a new file."""
    is_stale = name in _STALE_NAMES or name in _STORAGE_NAMES or name.namespace.startswith(_STALE_NAMESPACES)
    return is_stale and name.namespace != _PANORAMA


def is_storage_name(name: XmpName) -> bool:
    """Return whether a property of XMP only describes how a file stores its pixels."""
    return name in _STORAGE_NAMES


def _drop_pending_development(packet: XmpPacket) -> bool:
    """Remove Camera Raw's settings if they are not in the pixels yet: another program would apply them to the finished picture."""
    names = [name for name in packet.properties if name.namespace == CAMERA_RAW]
    if not names or packet.text(_ALREADY_APPLIED).lower() == "true":
        return False
    for name in names:
        del packet.properties[name]
    return True


def _describe_profile(packet: XmpPacket, file: WrittenFile) -> bool:
    """Set Photoshop's name of the profile and its colour mode, where the packet has them; return whether that changes anything."""
    values = {_PROFILE_NAME: file.profile_name, _COLOUR_MODE: _COLOUR_MODES.get(file.channels, "3")}
    changed = {name: value for name, value in values.items() if name in packet.properties and packet.text(name) != value}
    for name, value in changed.items():
        packet.set_text(name, value)
    return bool(changed)


def _without_previews(data: bytes) -> bytes | None:
    data_sets = read_iptc(data)
    kept = [each for each in data_sets if each.key not in _PREVIEW_DATA_SETS and each.key[0] not in _OBJECT_RECORDS]
    return write_iptc(kept) if len(kept) < len(data_sets) else data


def is_stale_text(keyword: str, *, has_exif: bool) -> bool:
    """Return whether a text of a PNG describes an earlier file. With an Exif block, every copy of it in a text is superfluous."""
    word = keyword.casefold()
    if word.startswith(_STALE_TEXTS):
        return True
    return word.startswith("exif:") and (has_exif or word.removeprefix("exif:").startswith(_STALE_EXIF_TEXTS))
