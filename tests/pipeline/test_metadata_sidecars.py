"""A metadata sidecar travels with its picture, is merged when the picture is written anew, and is no instruction."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from doubles.commission import PIPELINE
from doubles.metadata_blocks import alternative, camera_exif, xmp_bytes
from doubles.studio import studio_at
from goldsmith.picture.codec import decode
from goldsmith.picture.metadata.exif_block import read_exif
from goldsmith.picture.metadata.xmp_packet import DC, PHOTOSHOP, XmpName, read_xmp

RESIZE = '[[grade]]\nop = "resize"\nsize = [30, 20]\n'
EXPORT = '[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n'
BRIEF = 'title = "Spring"\ncreator = "Bea"\nrights = "(c) Bea"\ncredit = "Nord"\n'


def _jpeg() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((60, 40), 40).convert("RGB").save(out, "JPEG", exif=b"Exif\0\0" + camera_exif(orientation=6))
    return out.getvalue()


def test_sidecars_travel_and_are_merged_when_the_picture_is_written_anew(tmp_path: Path) -> None:
    """``edit`` passes the picture on byte for byte, with both sidecars; ``grade`` writes it anew, with what they say."""
    data, general = _jpeg(), xmp_bytes(alternative("dc:title", "from hero.xmp") + alternative("dc:description", "A desk"))
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("selected/hero.xmp", general)
        studio.put("selected/hero.jpg.xmp", xmp_bytes(alternative("dc:title", "from hero.jpg.xmp")))
        studio.put("selected/hero.jpg", data)
        studio.until_idle()
        assert studio.folder("selected") == ["hero.jpg", "hero.jpg.xmp", "hero.xmp"]
        studio.put("selected/hero.toml", "edit = []\ngrade = []\n")
        studio.until(lambda: "hero.jpg" in studio.folder("graded"), "hero.jpg in graded")
        studio.until_idle()
        assert studio.folder("graded") == ["hero.jpg", "hero.jpg.xmp", "hero.toml", "hero.xmp"]
        assert studio.read("graded/hero.jpg") == data
        assert studio.read("graded/hero.xmp") == general
        studio.put("graded/hero.toml", EXPORT)
        studio.until(lambda: "hero.manifest.json" in studio.folder("delivered"), "the delivery")
        studio.until_idle()
        assert studio.folder("graded") == []
        metadata = decode(studio.read("delivered/hero_web.jpg"), "hero_web.jpg", 10_000).metadata
        packet = read_xmp(metadata.xmp or b"")
        assert packet.text(XmpName(DC, "title")) == "from hero.jpg.xmp"
        assert packet.text(XmpName(DC, "description")) == "A desk"
        assert {path.rpartition("/")[2] for path in studio.archived()} >= {"hero.jpg", "hero.xmp", "hero.jpg.xmp"}


def test_a_working_file_keeps_everything_and_gets_the_credits_of_its_brief(tmp_path: Path) -> None:
    """The sidecar is used up; place and maker note go on to the next stage, the thumbnail does not, and the client gets neither."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("masked/hero.xmp", xmp_bytes("<photoshop:City>Berlin</photoshop:City>"))
        studio.put("masked/hero.toml", BRIEF + RESIZE)
        studio.put("masked/hero.jpg", _jpeg())
        studio.until(lambda: "hero.png" in studio.folder("graded"), "hero.png in graded")
        studio.until_idle()
        assert studio.folder("graded") == ["hero.png", "hero.toml"]
        metadata = decode(studio.read("graded/hero.png"), "hero.png", 10_000).metadata
        block, packet = read_exif(metadata.exif or b""), read_xmp(metadata.xmp or b"")
        assert block is not None
        assert (block.image_text(0x013B), bool(block.gps), block.dropped) == ("Bea", True, [])
        assert packet.text(XmpName(PHOTOSHOP, "City")) == "Berlin"
        assert packet.text(XmpName(DC, "title")) == "Spring"
        studio.put("graded/hero.toml", studio.read("graded/hero.toml").decode() + EXPORT)
        studio.until(lambda: "hero.manifest.json" in studio.folder("delivered"), "the delivery")
        manifest = studio.manifest("delivered/hero.manifest.json")
        (deliverable,) = manifest["deliverables"]
        assert deliverable["metadata"] == "rights"
        assert {"Exif GPS position", "Exif BodySerialNumber", "XMP photoshop:City"} <= set(deliverable["metadata_left_out"])
        (graded,) = [stage for stage in manifest["stages"] if stage["stage"] == "grade"]
        assert graded["facts"]["metadata_left_out"] == ["Exif SubjectArea", "Exif thumbnail"]
        delivered = decode(studio.read("delivered/hero_web.jpg"), "hero_web.jpg", 10_000).metadata
        assert read_xmp(delivered.xmp or b"").text(XmpName(PHOTOSHOP, "Credit")) == "Nord"


def test_a_sidecar_that_is_no_xml_holds_its_picture(tmp_path: Path) -> None:
    """The note names the sidecar and what to do."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("masked/hero.xmp", b"<x:xmpmeta")
        studio.put("masked/hero.toml", RESIZE)
        studio.put("masked/hero.jpg", _jpeg())
        studio.until(lambda: studio.note("masked/hero.jpg"), "a note")
        assert "hero.xmp cannot be read: it is not well-formed XML." in studio.note("masked/hero.jpg")
        assert "Save it again, or take it away." in studio.note("masked/hero.jpg")


def test_a_sidecar_of_two_pictures_asks_whose_it_is(tmp_path: Path) -> None:
    """A picture and its copy in another format: the name must say which."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        for name in ("hero.jpg", "hero.png"):
            studio.put(f"masked/{name}", _jpeg() if name == "hero.jpg" else b"")
        studio.put("masked/hero.xmp", xmp_bytes(""))
        studio.until(lambda: studio.note("masked/hero.jpg"), "a note")
        assert "call it “hero.jpg.xmp” or “hero.png.xmp”" in studio.note("masked/hero.jpg")
