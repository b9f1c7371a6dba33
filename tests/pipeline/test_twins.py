"""Pictures with one stem and different formats: two assets through all folders, never versions of each other."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from doubles.commission import EXPORT, GRADE, PIPELINE, SELECT
from doubles.pictures import mask, png
from doubles.studio import studio_at


def jpeg(number: int) -> bytes:
    out = io.BytesIO()
    Image.open(io.BytesIO(png(number))).convert("RGB").save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.mark.parametrize("order", [("hero.png", "hero.jpg"), ("hero.jpg", "hero.png")])
def test_two_pictures_of_one_stem_are_delivered_under_two_names(tmp_path: Path, order: tuple[str, ...]) -> None:
    """In a campaign, with two deliverables each; only one of them has a mask, which says whose it is."""
    data = {"hero.png": png(1), "hero.jpg": jpeg(2)}
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("inbox/acme/brief.toml", SELECT + GRADE + EXPORT)
        studio.put("inbox/acme/hero.jpg.mask.png", mask())
        for name in order:
            studio.put(f"inbox/acme/{name}", data[name])
        studio.until(lambda: len(studio.folder("delivered")) == 6, "six files in delivered")
        studio.until_idle()
        assert studio.folder("delivered") == [
            "acme/hero.manifest.json",
            "acme/hero_jpg.manifest.json",
            "acme/hero_jpg_print.png",
            "acme/hero_jpg_web.jpg",
            "acme/hero_print.png",
            "acme/hero_web.jpg",
        ]
        assert studio.manifest("delivered/acme/hero_jpg.manifest.json")["source"]["path"] == "inbox/acme/hero.jpg"


def test_the_second_picture_may_come_after_the_first_has_left(tmp_path: Path) -> None:
    """The journal remembers whose name it is; the same name in the same format is the next version."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("graded/brief.toml", EXPORT)
        for number, (name, data) in enumerate((("hero.jpg", jpeg(1)), ("hero.png", png(2)), ("hero.jpg", jpeg(3))), 1):
            studio.put(f"graded/{name}", data)
            studio.until(lambda count=3 * number: len(studio.folder("delivered")) == count, name)  # type: ignore[misc]
        assert [name for name in studio.folder("delivered") if name.endswith("_web.jpg")] == [
            "hero_png_web.jpg",
            "hero_v002_web.jpg",
            "hero_web.jpg",
        ]
