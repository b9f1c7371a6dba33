"""A file that is written anew tells the truth about itself, and shows nothing of the picture that it was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doubles.metadata_blocks import RIGHTS_XMP, THUMBNAIL, alternative, camera_exif, listed, read_with_exiftool, xmp_bytes
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.metadata.exif_block import MAKER_NOTE, read_exif
from goldsmith.picture.metadata.staleness import WrittenFile, update_metadata
from goldsmith.picture.metadata.xmp_packet import read_xmp
from goldsmith.picture.picture import Metadata, Picture, freeze

WRITTEN = [row.name for row in FORMATS.values() if row.writer]
ADOBE_RGB = profiles.builtin_profile("adobe-rgb")
STALE_XMP = (
    "<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType='Resource'><xmpGImg:image>erased</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
    + "<xmp:PageInfo><rdf:Seq><rdf:li rdf:parseType='Resource'><xmpGImg:image>erased</xmpGImg:image></rdf:li></rdf:Seq></xmp:PageInfo>"
    + "<xmpMM:Pantry><rdf:Bag><rdf:li rdf:parseType='Resource'><xmpGImg:image>erased</xmpGImg:image></rdf:li></rdf:Bag></xmpMM:Pantry>"
    + listed("photoshop:DocumentAncestors", ["xmp.did:1", "xmp.did:2"])
    + "<photoshop:History>erased</photoshop:History>"
    + "<tiff:Orientation>6</tiff:Orientation><tiff:ImageWidth>240</tiff:ImageWidth><exif:PixelXDimension>240</exif:PixelXDimension>"
    + "<exif:ColorSpace>1</exif:ColorSpace><dc:format>image/jpeg</dc:format>"
    + "<hdrgm:Version>1.0</hdrgm:Version><GCamera:MotionPhoto>1</GCamera:MotionPhoto>"
    + "<Container:Directory><rdf:Seq><rdf:li>GainMap</rdf:li></rdf:Seq></Container:Directory>"
    + "<dcterms:provenance>self#jumbf=c2pa</dcterms:provenance><xmpNote:HasExtendedXMP>0123</xmpNote:HasExtendedXMP>"
)
GEOMETRY_XMP = (
    "<mwg-rs:Regions rdf:parseType='Resource'><mwg-rs:RegionList/></mwg-rs:Regions>"
    "<GPano:FullPanoWidthPixels>240</GPano:FullPanoWidthPixels>"
)


def _picture(metadata: Metadata, icc: bytes | None = None, size: tuple[int, int] = (60, 40)) -> Picture:
    width, height = size
    ramp = np.linspace(0, 1, width * height * 3, dtype=np.float32).reshape(height, width, 3)
    return Picture(freeze(ramp), icc=icc, metadata=metadata, ppi=(300, 300))


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("order", ["<", ">"])
def test_no_file_shows_the_thumbnail_of_its_source(kind: str, order: str) -> None:
    """Neither its bytes nor its directory are in the file; ExifTool finds none, and no warning."""
    data = encode(_picture(Metadata(camera_exif(order), xmp_bytes(STALE_XMP + RIGHTS_XMP))), EncodingOptions(kind))
    assert THUMBNAIL not in data
    assert b"erased" not in data
    facts = read_with_exiftool(data, FORMATS[kind].suffix)
    assert not [name for name in facts if name.startswith("IFD1:") or "Thumbnail" in name or name.endswith("Warning")]


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize(("icc", "colour_space"), [(None, "sRGB"), (ADOBE_RGB, "Uncalibrated")])
def test_exif_says_the_size_the_colour_space_and_the_orientation_of_the_file(kind: str, icc: bytes | None, colour_space: str) -> None:
    """The source said 240 x 160, sRGB and a quarter turn."""
    data = encode(_picture(Metadata(camera_exif(orientation=6)), icc), EncodingOptions(kind))
    facts = read_with_exiftool(data, FORMATS[kind].suffix)
    assert (facts["ExifIFD:ExifImageWidth"], facts["ExifIFD:ExifImageHeight"]) == (60, 40)
    assert facts["ExifIFD:ColorSpace"] == colour_space
    assert facts["IFD0:Orientation"] == "Horizontal (normal)"
    assert (facts["IFD0:Artist"], facts["IFD0:Copyright"]) == ("Anna Müller", "(c) Anna Müller")
    assert facts["ExifIFD:SerialNumber"] in (123456, "123456")
    assert facts["GPS:GPSLatitude"].startswith("52 deg 30'")


def test_a_tiff_without_exif_has_an_orientation() -> None:
    """Tag 274 is there for readers that look for it."""
    assert read_with_exiftool(encode(_picture(Metadata()), EncodingOptions("tiff")), ".tif")["IFD0:Orientation"] == "Horizontal (normal)"


def test_stale_properties_are_removed_and_the_others_stay() -> None:
    """Thumbnails, ancestors, gain maps, motion photos and facts about the old file are gone."""
    updated = update_metadata(Metadata(xmp=xmp_bytes(STALE_XMP + RIGHTS_XMP)), WrittenFile(60, 40))
    assert updated.xmp is not None
    expected = read_xmp(xmp_bytes(RIGHTS_XMP))
    assert list(read_xmp(updated.xmp).properties) == list(expected.properties)


def test_blocks_that_are_true_stay_byte_for_byte() -> None:
    """A packet without stale properties keeps its padding; a second file of the same picture has the same bytes."""
    source = Metadata(camera_exif("<"), xmp_bytes(RIGHTS_XMP), b"\x1c\x02\x05\x00\x03abc", (("prompt", "an oak desk"),))
    first = update_metadata(source, WrittenFile(60, 40))
    assert (first.xmp, first.iptc, first.text_chunks) == (source.xmp, source.iptc, source.text_chunks)
    assert update_metadata(first, WrittenFile(60, 40)) == first


@pytest.mark.parametrize(("size", "is_kept"), [((240, 160), True), ((120, 80), False), ((160, 240), False)])
def test_regions_in_the_picture_are_kept_while_its_geometry_is(size: tuple[int, int], is_kept: bool) -> None:
    """Face regions, panoramas and the area of the subject are wrong after a crop, an enlargement or a turn."""
    source = Metadata(camera_exif(), xmp_bytes(GEOMETRY_XMP + RIGHTS_XMP), described_size=(240, 160))
    updated = update_metadata(source, WrittenFile(*size))
    assert updated.xmp is not None
    assert updated.exif is not None
    names = {name.local for name in read_xmp(updated.xmp).properties}
    assert ({"Regions", "FullPanoWidthPixels"} <= names) == is_kept
    block = read_exif(updated.exif)
    assert block is not None
    assert (0x9214 in block.photo) == is_kept


@pytest.mark.parametrize(("orientation", "size"), [(1, (60, 40)), (3, (0, 0)), (6, (0, 0))])
def test_a_picture_that_was_turned_loses_its_regions(orientation: int, size: tuple[int, int]) -> None:
    """The regions describe the picture as it is stored; after half a turn the size is the same and the regions are wrong."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (60, 40)).save(out, "JPEG", exif=b"Exif\0\0" + camera_exif(orientation=orientation))
    assert decode(out.getvalue(), "a.jpg", 10_000).metadata.described_size == size


def test_a_maker_note_with_a_preview_is_left_out() -> None:
    """Some makers keep a picture in it; a note without one stays."""
    for note, is_kept in ((b"note " + THUMBNAIL, False), (b"note", True)):
        updated = update_metadata(Metadata(camera_exif(maker_note=note + b" " * 10)), WrittenFile(60, 40))
        block = read_exif(updated.exif or b"")
        assert block is not None
        assert (MAKER_NOTE in block.photo) == is_kept


def test_the_preview_of_iptc_is_left_out() -> None:
    """Data set 2:202 is a picture."""
    title = b"\x1c\x02\x05\x00\x03abc"
    preview = b"\x1c\x02\xc8\x00\x02\0\1" + b"\x1c\x02\xca\x00\x04jpeg"
    assert update_metadata(Metadata(iptc=title + preview), WrittenFile(6, 4)).iptc == title


def test_photoshop_s_name_of_the_profile_is_that_of_the_file() -> None:
    """So is its colour mode; neither is added where it was not."""
    source = Metadata(xmp=xmp_bytes("<photoshop:ICCProfile>Display P3</photoshop:ICCProfile><photoshop:ColorMode>4</photoshop:ColorMode>"))
    facts = read_with_exiftool(encode(_picture(source, ADOBE_RGB), EncodingOptions("jpeg")), ".jpg")
    assert (facts["XMP-photoshop:ICCProfileName"], facts["XMP-photoshop:ColorMode"]) == ("Adobe RGB (1998) compatible", "RGB")
    plain = Metadata(xmp=xmp_bytes(RIGHTS_XMP))
    assert update_metadata(plain, WrittenFile(6, 4, 3, "adobe-rgb", "Adobe RGB")).xmp == plain.xmp


@pytest.mark.parametrize(("applied", "is_kept"), [("True", True), ("False", False), ("", False)])
def test_settings_of_camera_raw_stay_only_if_they_are_in_the_pixels(applied: str, is_kept: bool) -> None:
    """Otherwise another program would develop the finished picture once more."""
    attributes = 'crs:Exposure2012="+1.00"' + (f' crs:AlreadyApplied="{applied}"' if applied else "")
    updated = update_metadata(Metadata(xmp=xmp_bytes(alternative("dc:title", "T"), attributes)), WrittenFile(6, 4))
    names = {name.local for name in read_xmp(updated.xmp or b"").properties}
    assert ("Exposure2012" in names) == is_kept
    assert "title" in names


def test_copies_of_exif_in_the_texts_of_a_png_are_left_out() -> None:
    """ImageMagick writes them beside the Exif block. Without a block, only those that are wrong now go."""
    texts = (("exif:ColorSpace", "1"), ("exif:Artist", "Anna"), ("exif:thumbnail:x", "1"), ("Thumb::Image::Width", "9"), ("prompt", "oak"))
    without_exif = update_metadata(Metadata(text_chunks=texts), WrittenFile(6, 4))
    assert [keyword for keyword, _ in without_exif.text_chunks] == ["exif:Artist", "prompt"]
    with_exif = update_metadata(Metadata(camera_exif(), text_chunks=texts), WrittenFile(6, 4))
    assert [keyword for keyword, _ in with_exif.text_chunks] == ["prompt"]


def test_unreadable_blocks_are_left_out_and_reported(make_picture: Any, photo: Any) -> None:
    """XMP that is no XML cannot be checked for thumbnails; the remark says so."""
    from goldsmith.picture.codec import decode_with_info
    from goldsmith.picture.formats.png import make_chunk

    bare = encode(make_picture(photo), EncodingOptions("png"))
    chunk = make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta>")
    picture, facts = decode_with_info(bare[:33] + chunk + bare[33:], "a.png", 10_000)
    assert picture.metadata.xmp is None
    assert facts.notes == ("its XMP was left out: it is not well-formed XML",)
    assert update_metadata(Metadata(exif=b"no Exif", xmp=b"no XMP"), WrittenFile(6, 4)) == Metadata()
