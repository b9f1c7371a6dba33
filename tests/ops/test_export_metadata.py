"""Deliverables say whose the picture is, and not where and how it was made; what was left out is on record."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from doubles.metadata_blocks import RIGHTS_XMP, THUMBNAIL, camera_exif, listed, read_with_exiftool, unpack_flat_picture, xmp_bytes
from doubles.pdf_x4 import faults
from doubles.press import press_file
from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops.export import Export
from goldsmith.picture.codec import decode
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.metadata.credits import NO_CREDITS, Credits
from goldsmith.picture.picture import Metadata, Picture, freeze

LIMIT = 10**7
WRITTEN = [row.name for row in FORMATS.values() if row.writer]
SECRETS = ("123456", "L-98765", "52 deg", "client prompt", "nodes", "Phone", "a note of the maker", "Camera app", "Generator")
SOURCE = Metadata(
    camera_exif(),
    xmp_bytes(RIGHTS_XMP + "<xmp:CreatorTool>Generator</xmp:CreatorTool>"),
    b"\x1c\x02\x50\x00\x04Anna",
    (("parameters", "client prompt"), ("workflow", '{"nodes": []}')),
)


def _picture(metadata: Metadata = SOURCE) -> Picture:
    ramp = np.linspace(0, 1, 60 * 40 * 3, dtype=np.float32).reshape(40, 60, 3)
    return Picture(freeze(ramp), metadata=metadata)


def _export(picture: Picture, brief: Credits = NO_CREDITS, **settings: object) -> Deliverable:
    (deliverable,) = Export.model_validate(settings).make_files(picture, StepContextDouble(credits=brief))
    return deliverable


def _printed(facts: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_deliverable_carries_rights_and_no_secrets(kind: str) -> None:
    """The default. ExifTool finds the creator and the source type, and none of the secrets; nor does a search of the bytes."""
    result = _export(_picture(), format=kind)
    facts = read_with_exiftool(result.data, result.suffix)
    assert facts["XMP-dc:Creator"] == ["Anna Müller", "Bea"]
    assert facts["XMP-iptcExt:DigitalSourceType"].lower().endswith(("trainedalgorithmicmedia", "trained algorithm"))
    assert facts["IFD0:Copyright"] == "(c) Anna Müller"
    assert not [secret for secret in SECRETS if secret in _printed(facts) or secret.encode() in result.data]
    assert THUMBNAIL not in result.data
    assert result.facts["metadata"] == "rights"
    left_out = result.facts["metadata_left_out"]
    assert isinstance(left_out, Sequence)
    assert {"Exif GPS position", "Exif BodySerialNumber", "Exif MakerNote", "PNG text “parameters”", "XMP xmp:CreatorTool"} <= set(left_out)


@pytest.mark.parametrize("kind", WRITTEN)
def test_all_carries_everything_that_is_true(kind: str) -> None:
    """Place and serial number go out if the brief asks for it; the thumbnail still does not."""
    result = _export(_picture(), format=kind, metadata="all")
    facts = read_with_exiftool(result.data, result.suffix)
    assert facts["GPS:GPSLatitude"].startswith("52 deg")
    assert facts["IFD0:Model"] == "Phone 12"
    assert (facts["ExifIFD:ExifImageWidth"], facts["XMP-xmp:CreatorTool"]) == (60, "Generator")
    assert THUMBNAIL not in result.data


@pytest.mark.parametrize("kind", WRITTEN)
def test_none_carries_nothing(kind: str) -> None:
    """Not even the credits of the brief; the resolution, which is no metadata of the picture, stays."""
    result = _export(_picture(), Credits(creator="Bea"), format=kind, metadata="none", ppi=300)
    facts = read_with_exiftool(result.data, result.suffix)
    assert not [name for name in facts if name.startswith(("XMP", "IPTC", "GPS", "ExifIFD", "IFD0:Artist", "IFD0:Copyright"))]
    assert result.facts["metadata_bytes"] == 0
    ppi = decode(result.data, "a" + result.suffix, LIMIT).ppi
    assert ppi is not None
    assert round(ppi[0]) == 300


def test_the_credits_of_the_brief_are_in_the_file() -> None:
    """They replace the picture's own."""
    facts = read_with_exiftool(_export(_picture(), Credits(creator="Bea", rights="© Bea"), format="jpeg").data, ".jpg")
    assert (facts["XMP-dc:Creator"], facts["IFD0:Artist"], facts["IPTC:By-line"]) == (["Bea"], "Bea", "Bea")
    assert (facts["XMP-dc:Rights"], facts["IFD0:Copyright"]) == ("© Bea", "© Bea")


@pytest.mark.parametrize("kind", ["tiff", "jpeg"])
def test_files_in_inks_carry_rights_and_no_secrets(kind: str) -> None:
    """Their colour space is the press's, and their size that of the file."""
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    (result,) = Export.model_validate({"format": kind, "cmyk": "press"}).make_files(_picture(), context)
    facts = read_with_exiftool(result.data, result.suffix)
    assert (facts["ExifIFD:ColorSpace"], facts["ExifIFD:ExifImageWidth"]) == ("Uncalibrated", 60)
    assert facts["IFD0:Copyright"] == "(c) Anna Müller"
    assert not [secret for secret in SECRETS if secret in _printed(facts)]
    assert "Exif GPS position" in str(result.facts["metadata_left_out"])


def test_a_description_of_megabytes_is_named_where_it_breaks_the_limit() -> None:
    """The note tells the kB of the metadata from those of the pixels, and what to do; without them the file fits."""
    picture = _picture(Metadata(xmp=xmp_bytes(listed("dc:subject", [f"word {number}" for number in range(3000)]))))
    with pytest.raises(InputError) as caught:
        _export(picture, name="web", format="jpeg", max_kb=20)
    assert "kB of them metadata and profile; export “web” allows 20 kB." in caught.value.sentence
    assert caught.value.remedy == 'Give the export a smaller size, metadata = "none" or a larger max_kb.'
    with pytest.raises(InputError) as caught:
        _export(picture, name="web", format="jpeg", max_kb=20, metadata="all")
    assert 'metadata = "rights"' in caught.value.remedy
    assert len(_export(picture, format="jpeg", max_kb=20, metadata="none").data) <= 20_000


@pytest.mark.parametrize("kind", WRITTEN)
def test_ancestors_of_photoshop_do_not_fill_a_file(kind: str) -> None:
    """500 kB of ids in a file of a few kB."""
    ancestors = listed("photoshop:DocumentAncestors", [f"xmp.did:{number:032}" for number in range(8000)])
    result = _export(_picture(Metadata(xmp=xmp_bytes(ancestors + RIGHTS_XMP))), format=kind, metadata="all")
    assert len(result.data) < 20_000
    assert result.facts["metadata_left_out"] == ["XMP photoshop:DocumentAncestors"]
    assert read_with_exiftool(result.data, result.suffix)["XMP-dc:Rights"] == "(c) Anna Müller"


def test_nobody_turns_a_delivered_picture_a_second_time() -> None:
    """Stored 60 x 40 with a quarter turn; Pillow shows every deliverable upright, 40 x 60."""
    from PIL import ImageOps

    out = io.BytesIO()
    xmp = xmp_bytes("<tiff:Orientation>6</tiff:Orientation>")
    Image.new("RGB", (60, 40)).save(out, "JPEG", exif=b"Exif\0\0" + camera_exif(orientation=6), xmp=xmp)
    picture = decode(out.getvalue(), "a.jpg", LIMIT)
    for kind in WRITTEN:
        result = _export(picture, format=kind, metadata="all")
        flat, _ = unpack_flat_picture(result.data, result.suffix)
        assert ImageOps.exif_transpose(Image.open(io.BytesIO(flat))).size == (40, 60)
        assert "Rotate" not in _printed(read_with_exiftool(result.data, result.suffix))


@pytest.mark.parametrize("press", ["", "press"])
def test_a_pdf_names_creator_and_rights_and_nothing_else(press: str) -> None:
    """ExifTool finds them in the page; the record says what was left out, and a page in inks is still PDF/X-4."""
    context = StepContextDouble(references={("profiles", "press"): press_file()}, credits=Credits(rights="© A & B"))
    (result,) = Export.model_validate({"format": "pdf", "trim": [60, 40], "cmyk": press}).make_files(_picture(), context)
    facts = read_with_exiftool(result.data, ".pdf")
    assert (facts["PDF:Author"], facts["XMP-dc:Creator"], facts["XMP-dc:Rights"]) == ("Anna Müller; Bea", ["Anna Müller; Bea"], "© A & B")
    assert facts["XMP-photoshop:Credit"] == "Studio Nord"
    assert not [secret for secret in SECRETS if secret.encode() in result.data]
    left_out = str(result.facts["metadata_left_out"])
    assert "Exif GPS position" in left_out
    assert "dc:rights" not in left_out
    if press:
        assert not faults(result.data)


def test_a_pdf_without_credits_has_none() -> None:
    """Metadata of "none" is the page's own title and dates."""
    facts = read_with_exiftool(_export(_picture(), format="pdf", trim=[60, 40], metadata="none").data, ".pdf")
    assert not [name for name in facts if name.endswith((":Author", ":Creator", ":Rights", ":Credit"))]
