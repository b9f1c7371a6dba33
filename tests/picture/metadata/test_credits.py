"""Title, creator, rights and credit of a brief or a sidecar are written wherever a file says them, so that no two places disagree."""

from __future__ import annotations

import pytest

from doubles.metadata_blocks import RIGHTS_XMP, alternative, camera_exif, exif_bytes, read_with_exiftool, text_tag, xmp_bytes
from goldsmith.picture.codec import EncodingOptions, encode
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.metadata.credits import NO_CREDITS, Credits, merge_sidecar, with_credits, with_rights_in_xmp
from goldsmith.picture.metadata.exif_block import read_exif
from goldsmith.picture.metadata.iptc_records import BY_LINE, CREDIT, KEYWORDS, OBJECT_NAME, iptc_texts, read_iptc
from goldsmith.picture.metadata.xmp_packet import CAMERA_RAW, DC, PHOTOSHOP, UnreadableXmp, XmpName, read_xmp
from goldsmith.picture.picture import Metadata

CREDITS = Credits(title="Frühling", creator="Bea Jönsson", rights="© Bea, all rights", credit="Agentur Süd")
OLD_IPTC = b"\x1c\x02\x50\x00\x04Anna" + b"\x1c\x02\x19\x00\x04desk"
CREATOR, TITLE = XmpName(DC, "creator"), XmpName(DC, "title")


def test_a_brief_without_credits_changes_nothing() -> None:
    """The same metadata come back."""
    source = Metadata(camera_exif())
    assert with_credits(source, NO_CREDITS) is source


@pytest.mark.parametrize("kind", [row.name for row in FORMATS.values() if row.writer])
@pytest.mark.parametrize("source", [Metadata(), Metadata(camera_exif(), xmp_bytes(RIGHTS_XMP), OLD_IPTC, (("Author", "Anna"),))])
def test_exiftool_finds_the_credits_of_a_brief_everywhere(kind: str, source: Metadata, photo: object, make_picture: object) -> None:
    """XMP and Exif get them in any case, IPTC and the texts of a PNG if they were there; nobody named Anna is left."""
    picture = make_picture(photo).with_metadata(with_credits(source, CREDITS))  # type: ignore[operator]
    facts = read_with_exiftool(encode(picture, EncodingOptions(kind)), FORMATS[kind].suffix)
    assert (facts["XMP-dc:Title"], facts["XMP-dc:Creator"], facts["XMP-dc:Rights"]) == (CREDITS.title, [CREDITS.creator], CREDITS.rights)
    assert facts["XMP-photoshop:Credit"] == CREDITS.credit
    assert (facts["IFD0:Artist"], facts["IFD0:Copyright"]) == (CREDITS.creator, CREDITS.rights)
    if source.iptc and "iptc" in FORMATS[kind].metadata:
        assert (facts["IPTC:By-line"], facts["IPTC:ObjectName"], facts["IPTC:Credit"]) == (CREDITS.creator, CREDITS.title, CREDITS.credit)
        assert facts["IPTC:Keywords"] == "desk"
    assert not [name for name, value in facts.items() if "Anna" in str(value)]


def test_windows_own_tags_do_not_contradict() -> None:
    """Windows shows its own author before Artist, so it goes."""
    author = 0x9C9D
    source = Metadata(exif_bytes("<", {author: (1, "Anna".encode("utf-16-le") + b"\0\0"), 0x010F: text_tag("Phone")}))
    block = read_exif(with_credits(source, Credits(creator="Bea")).exif or b"")
    assert block is not None
    assert (block.image_text(0x013B), author in block.image, block.image_text(0x010F)) == ("Bea", False, "Phone")


def test_a_sidecar_wins_over_the_picture() -> None:
    """Its title and creator replace the picture's, in IPTC and Exif too; what only the picture has stays."""
    source = Metadata(camera_exif(), xmp_bytes(RIGHTS_XMP), OLD_IPTC)
    sidecar = xmp_bytes(
        alternative("dc:title", "Autumn")
        + "<dc:creator><rdf:Seq><rdf:li>Cem</rdf:li></rdf:Seq></dc:creator><tiff:Orientation>6</tiff:Orientation>",
        'crs:Exposure2012="+1" darktable:history_end="3" photoshop:Credit="Zwei"',
    )
    merged = merge_sidecar(source, sidecar)
    packet = read_xmp(merged.xmp or b"")
    assert (packet.text(TITLE), packet.text(CREATOR), packet.text(XmpName(PHOTOSHOP, "Credit"))) == ("Autumn", "Cem", "Zwei")
    assert packet.text(XmpName(DC, "rights")) == "(c) Anna Müller"
    assert not [
        name for name in packet.properties if name.namespace == CAMERA_RAW or "darktable" in name.namespace or name.local == "Orientation"
    ]
    data_sets = read_iptc(merged.iptc or b"")
    assert [iptc_texts(data_sets, key) for key in (BY_LINE, OBJECT_NAME, CREDIT, KEYWORDS)] == [["Cem"], ["Autumn"], ["Zwei"], ["desk"]]
    block = read_exif(merged.exif or b"")
    assert block is not None
    assert block.image_text(0x013B) == "Cem"


def test_a_sidecar_without_anything_to_say_changes_no_exif() -> None:
    """A sidecar with nothing but a raw developer's history."""
    source = Metadata(camera_exif(), xmp_bytes(RIGHTS_XMP))
    merged = merge_sidecar(source, xmp_bytes("", 'darktable:history_end="3"'))
    assert merged.exif == source.exif
    assert set(read_xmp(merged.xmp or b"").properties) == set(read_xmp(xmp_bytes(RIGHTS_XMP)).properties)


def test_a_sidecar_that_is_no_xml_is_refused() -> None:
    """The caller names the file."""
    with pytest.raises(UnreadableXmp):
        merge_sidecar(Metadata(), b"<!DOCTYPE x><x/>")


def test_rights_that_only_iptc_or_a_text_has_are_put_into_xmp() -> None:
    """A format without IPTC or texts would lose them; fields that XMP or Exif has stay as they are."""
    source = Metadata(None, xmp_bytes(alternative("dc:title", "Spring")), OLD_IPTC, (("Copyright", "(c) Anna"), ("Title", "other")))
    packet = read_xmp(with_rights_in_xmp(source).xmp or b"")
    assert (packet.text(TITLE), packet.text(CREATOR), packet.text(XmpName(DC, "rights"))) == ("Spring", "Anna", "(c) Anna")
    assert packet.values(XmpName(DC, "subject")) == ["desk"]
    known = Metadata(camera_exif(), text_chunks=(("Author", "other"),))
    assert with_rights_in_xmp(known) is known
