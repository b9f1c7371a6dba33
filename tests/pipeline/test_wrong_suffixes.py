"""Pictures whose names stand for another format: they pass through the folders byte for byte and get the right name in the next one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from doubles.commission import EXPORT, NULLS, PIPELINE, SELECT
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at


def as_kind(kind: str, data: bytes) -> bytes:
    """Return a small picture in a format of Pillow."""
    out = io.BytesIO()
    Image.open(io.BytesIO(data)).convert("RGB").save(out, kind)
    return out.getvalue()


def notes_of(studio: Studio, path: str) -> list[str]:
    """Return the notes on the picture that was at ``path``, from the history."""
    row = next(row for row in studio.history() if row.path == path)
    facts = row.record["facts"]
    assert isinstance(facts, dict)
    notes = facts["notes"]
    assert isinstance(notes, list)
    return [str(note) for note in notes]


@pytest.mark.parametrize(
    ("name", "kind", "suffix"), [("hero.jpg", "PNG", ".png"), ("hero.PNG", "JPEG", ".jpg"), ("hero.jpeg", "TIFF", ".tif")]
)
def test_a_file_that_passes_untouched_keeps_its_bytes_and_gets_the_right_name(tmp_path: Path, name: str, kind: str, suffix: str) -> None:
    """The original is archived as it was called; a mask that travels along is named rightly too."""
    data, sky = as_kind(kind, png()), as_kind("JPEG", mask())
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put(f"inbox/acme/{name}", data)
        studio.put("inbox/acme/hero.mask.sky.png", sky)
        studio.put("inbox/acme/hero.toml", SELECT)
        studio.until_idle()
        expected = sorted(["acme/hero.mask.sky.jpg", f"acme/hero{suffix}", "acme/hero.toml"])
        assert studio.folders() == {"selected": expected}
        assert studio.read(f"selected/acme/hero{suffix}") == data
        assert studio.read("selected/acme/hero.mask.sky.jpg") == sky
        assert f"inbox/acme/{name}" in studio.archived()
        assert notes_of(studio, f"inbox/acme/{name}") == [
            f"it is a {kind} picture, although its name ends in {Path(name).suffix}",
            "“hero.mask.sky.png” is a JPEG picture, although its name ends in .png",
        ]


def test_a_picture_with_a_wrong_suffix_is_delivered_and_replayed(tmp_path: Path) -> None:
    """It is named rightly at the first stage; the manifest says what it was called."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("inbox/hero.jpg", png(1))
        studio.put("inbox/hero.toml", NULLS)
        studio.until_idle()
        assert studio.folders() == {"delivered": ["hero.manifest.json", "hero.png"]}
        assert studio.read("delivered/hero.png") == png(1)
        manifest = studio.manifest("delivered/hero.manifest.json")
        assert (manifest["source"]["path"], manifest["deliverables"][0]["file"]) == ("inbox/hero.jpg", "hero.png")
        assert [stage["results"][0] for stage in manifest["stages"]] == [
            "selected/hero.png",
            "masked/hero.png",
            "graded/hero.png",
            "delivered/hero.png",
        ]
        assert [output["tail"] for output in manifest["stages"][0]["outputs"]] == [".png"]


@pytest.mark.parametrize("order", [("hero.jpg", "hero.png"), ("hero.png", "hero.jpg")])
def test_a_wrong_suffix_makes_no_version_of_another_picture(tmp_path: Path, order: tuple[str, ...]) -> None:
    """``hero.jpg`` that is a PNG beside ``hero.png`` are two pictures, together or one after the other."""
    data = {"hero.png": png(1), "hero.jpg": png(2)}
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("inbox/brief.toml", SELECT)
        for name in data:
            studio.put(f"inbox/{name}", data[name])
        studio.until_idle()
        assert {name: studio.read(f"selected/{name}") for name in studio.folder("selected") if name.endswith("g")} == {
            "hero.png": png(1),
            "hero_jpg.png": png(2),
        }
        for number, name in enumerate(order, 1):
            studio.put("inbox/acme/brief.toml", SELECT)
            studio.put(f"inbox/acme/{name}", data[name])
            studio.until(lambda count=number: len(studio.folder("selected/acme")) == 2 * count, name)  # type: ignore[misc]
        second = "hero_jpg.png" if order[1] == "hero.jpg" else "hero_png.png"
        assert {name: studio.read(f"selected/acme/{name}") for name in studio.folder("selected/acme") if name.endswith(".png")} == {
            "hero.png": data[order[0]],
            second: data[order[1]],
        }


def test_a_restart_during_the_work_leaves_one_picture(tmp_path: Path) -> None:
    """The second daemon finds the picture under the one name or the other."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("inbox/hero.jpg", png(1))
        studio.put("inbox/hero.toml", SELECT)
        studio.until_event("started")
        works = studio.runtime
        assert works is not None
        studio.until(lambda: works.scheduler.is_idle or studio.folder("selected"), "the commit")
        studio.restart()
        studio.until_idle()
        assert studio.folders() == {"selected": ["hero.png", "hero.toml"]}


def test_a_jpeg_without_its_end_is_taken_after_a_while(tmp_path: Path) -> None:
    """The rest may still arrive: then the picture is that of the whole file. If nothing comes, a note on record says so."""
    whole = as_kind("JPEG", png(1))
    with studio_at(tmp_path, broken_after=1.5) as studio:
        studio.write_pipeline(PIPELINE)
        studio.react("progress", lambda: studio.put("graded/late.jpg", whole), picture="graded/late.jpg")
        studio.put("graded/late.jpg", whole[:-2])
        studio.put("graded/late.toml", EXPORT)
        studio.until_event("progress", picture="graded/late.jpg")
        studio.put("graded/hero.jpg", whole[:-2])
        studio.put("graded/hero.toml", EXPORT)
        studio.until_idle()
        assert [name for name in studio.folder("delivered") if name.endswith(".png")] == ["hero_print.png", "late_print.png"]
        assert notes_of(studio, "graded/hero.jpg") == ["its end is missing; its picture is whole"]
        assert notes_of(studio, "graded/late.jpg") == []
        rows = {row.path: row for row in studio.history()}
        assert rows["graded/hero.jpg"].taken_at - rows["graded/hero.jpg"].started_at > 1.4
