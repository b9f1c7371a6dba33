"""What is delivered: all that is true, rights and description, or nothing."""

from __future__ import annotations

import pytest

from doubles.metadata_blocks import RIGHTS_XMP, alternative, camera_exif, exif_bytes, listed, text_tag, xmp_bytes
from goldsmith.picture.metadata.exif_block import IMAGE_DESCRIPTION, MAKER_NOTE, read_exif
from goldsmith.picture.metadata.iptc_records import CAPTION, iptc_texts, read_iptc
from goldsmith.picture.metadata.selection import byte_count, names_left_out, select_metadata, shorten_exif, shorten_iptc
from goldsmith.picture.metadata.xmp_packet import DC, XmpName, read_xmp
from goldsmith.picture.picture import Metadata

PRIVATE_XMP = (
    "<xmp:CreatorTool>Generator</xmp:CreatorTool><exif:GPSLatitude>52,30N</exif:GPSLatitude>"
    "<photoshop:City>Berlin</photoshop:City><xmpMM:DocumentID>xmp.did:1</xmpMM:DocumentID>"
)
IPTC = b"\x1c\x02\x05\x00\x06Spring" + b"\x1c\x02\x5a\x00\x06Berlin" + b"\x1c\x02\x74\x00\x06(c) An"
EVERYTHING = Metadata(
    camera_exif(),
    xmp_bytes(RIGHTS_XMP + PRIVATE_XMP),
    IPTC,
    (("Author", "Anna"), ("parameters", "oak, steps: 20"), ("workflow", "{}"), ("Description", "A desk in spring")),
    (240, 160),
)

# Descriptions as generators write them, and as people do.
PROMPTS = [
    "a woman in linen, clean oak desk --ar 16:9 --v 6.1 Job ID: 2f1c8d1e-0000-4000-8000-000000000000",
    "a desk\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, CFG scale: 7",
    'Workflow:{"nodes": []}',
    '{"prompt": "oak"}',
    "Prompt: an oak desk",
    "an oak desk --stylize 250",
]
DESCRIPTIONS = [
    "Anna Müller at her desk in Berlin, spring 2026.",
    "Step by step: how a ring is made",
    "The prompt arrival of spring",
    "Left-to-right: Anna - v. Bea",
    "Workers at 20 steps of the town hall",
    "Portrait -vintage, in an -architectural setting",
]


def test_rights_keep_rights_and_description_only() -> None:
    """Place, camera, serial numbers, maker note, prompt, workflow and the program are not delivered."""
    kept = select_metadata(EVERYTHING, "rights")
    block = read_exif(kept.exif or b"")
    assert block is not None
    assert set(block.image) == {0x0112, 0x0132, 0x013B, 0x8298}
    assert set(block.photo) == {0x9000, 0x9003, 0xA001, 0xA002, 0xA003}
    assert block.gps == {}
    assert set(read_xmp(kept.xmp or b"").properties) == set(read_xmp(xmp_bytes(RIGHTS_XMP)).properties)
    assert [key for key, _ in read_iptc(kept.iptc or b"")] == [(2, 5), (2, 116)]
    assert [keyword for keyword, _ in kept.text_chunks] == ["Author", "Description"]


def test_what_is_left_out_is_named() -> None:
    """The names are those of ExifTool and of XMP, so that a person can look for them."""
    assert names_left_out(EVERYTHING, select_metadata(EVERYTHING, "rights")) == [
        "Exif BodySerialNumber",
        "Exif GPS position",
        "Exif LensSerialNumber",
        "Exif Make",
        "Exif MakerNote",
        "Exif Model",
        "Exif Software",
        "Exif SubjectArea",
        "Exif thumbnail",
        "IPTC 2:90",
        "PNG text “parameters”",
        "PNG text “workflow”",
        "XMP exif:GPSLatitude",
        "XMP photoshop:City",
        "XMP xmp:CreatorTool",
        "XMP xmpMM:DocumentID",
    ]


def test_names_of_strangers_are_short_and_plain() -> None:
    """A keyword with control characters, and more names than anybody reads."""
    texts = tuple((f"a\u202e{number}", "x") for number in range(90))
    names = names_left_out(Metadata(text_chunks=texts), Metadata())
    assert len(names) == 81
    assert names[-1] == "and 10 more"
    assert not any("\u202e" in name for name in names)


def test_all_keeps_everything_and_none_keeps_nothing() -> None:
    """The size that the blocks describe is no metadata of the file."""
    assert select_metadata(EVERYTHING, "all") is EVERYTHING
    assert select_metadata(EVERYTHING, "none") == Metadata(described_size=(240, 160))
    assert byte_count(Metadata(described_size=(1, 1))) == 0
    assert byte_count(EVERYTHING) > len(EVERYTHING.xmp or b"")


@pytest.mark.parametrize(("text", "is_kept"), [(text, False) for text in PROMPTS] + [(text, True) for text in DESCRIPTIONS])
def test_a_prompt_in_place_of_a_description_is_not_delivered(text: str, is_kept: bool) -> None:
    """Generators write their prompts where people describe pictures."""
    escaped = text.replace("&", "&amp;")
    data = text.encode()
    source = Metadata(
        exif_bytes("<", {IMAGE_DESCRIPTION: text_tag(text)}),
        xmp_bytes(alternative("dc:description", escaped)),
        b"\x1c\x02\x78" + len(data).to_bytes(2, "big") + data,
        (("Description", text),),
    )
    kept = select_metadata(source, "rights")
    assert (kept.exif is not None) == is_kept
    assert (kept.xmp is not None and XmpName(DC, "description") in read_xmp(kept.xmp).properties) == is_kept
    assert bool(iptc_texts(read_iptc(kept.iptc or b""), CAPTION)) == is_kept
    assert bool(kept.text_chunks) == is_kept


def test_unreadable_blocks_are_not_kept() -> None:
    """What cannot be read cannot be chosen from."""
    assert select_metadata(Metadata(b"no Exif", b"no XMP", b"no IPTC"), "rights") == Metadata()
    assert names_left_out(Metadata(b"no Exif", b"no XMP"), Metadata()) == ["XMP (unreadable)"]


def test_exif_that_is_too_large_loses_the_maker_note_first() -> None:
    """Then everything but rights; then everything."""
    data = camera_exif(maker_note=b"n" * 5000)
    assert shorten_exif(data, len(data)) is data
    shorter = read_exif(shorten_exif(data, 2000) or b"")
    assert shorter is not None
    assert MAKER_NOTE not in shorter.photo
    assert shorter.gps
    shortest = read_exif(shorten_exif(data, 330) or b"")
    assert shortest is not None
    assert (shortest.image_text(0x013B), shortest.gps) == ("Anna Müller", {})
    assert shorten_exif(data, 20) is None
    assert shorten_exif(b"x" * 100, 20) is None


def test_iptc_that_is_too_large_keeps_its_rights() -> None:
    """Only rights and description are left; a block that is too large with them is left out."""
    data = IPTC + b"\x1c\x02\x28\x01\x00" + b"i" * 256
    assert shorten_iptc(data, 1000) is data
    assert [key for key, _ in read_iptc(shorten_iptc(data, 100) or b"")] == [(2, 5), (2, 116)]
    assert shorten_iptc(data, 10) is None


def test_keywords_and_dates_are_rights() -> None:
    """Every property that the manual lists under "rights" is kept."""
    content = listed("dc:subject", ["desk"]) + "<xmp:CreateDate>2026-05-06</xmp:CreateDate><xmpRights:UsageTerms>x</xmpRights:UsageTerms>"
    assert len(read_xmp(select_metadata(Metadata(xmp=xmp_bytes(content)), "rights").xmp or b"").properties) == 3
