"""What a person changed is measured to the pixel where the file allows it, and told in words where it does not."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from goldsmith.picture import colour
from goldsmith.picture.codec import decode
from goldsmith.picture.picture import Picture, freeze
from goldsmith.picture.resample import resize
from goldsmith.worker.hand_changes import compare_versions


@pytest.fixture(scope="module")
def photograph() -> Picture:
    """Return a photograph of 360 x 240 px."""
    return _picture(photographs.coffee()[60:300, 100:460] / 255.0)


def _picture(pixels: Any, **facts: Any) -> Picture:
    return Picture(freeze(np.asarray(pixels, np.float32)), **facts)


def paint_box(picture: Picture) -> Picture:
    """Return the picture with a green box of 40 x 30 px at (200, 90)."""
    pixels = picture.pixels.copy()
    pixels[90:120, 200:240] = (0.1, 0.9, 0.2)
    return picture.with_pixels(pixels)


def test_a_stroke_is_counted_to_the_pixel(photograph: Picture) -> None:
    """The mask has exactly the changed pixels."""
    after = paint_box(photograph)
    facts, mask = compare_versions(photograph, after, is_lossy=False)
    assert (facts["changed_pixels"], facts["box"], facts["tolerance"]) == (1200, [200, 90, 40, 30], 0.0)
    assert mask is not None
    assert np.array_equal(mask > 0, (after.pixels != photograph.pixels).any(axis=2))
    assert not {"cropped", "resized", "profiles"} & facts.keys()


def test_a_picture_that_was_only_saved_again_has_no_mask(photograph: Picture) -> None:
    """Nothing has changed but the file."""
    assert compare_versions(photograph, photograph, is_lossy=False) == (
        {"size_before": [360, 240], "size": [360, 240], "changed_pixels": 0, "changed_share": 0.0, "tolerance": 0.0},
        None,
    )


def test_the_noise_of_jpeg_is_no_work_by_hand(photograph: Picture) -> None:
    """At quality 80 every pixel has another value; only the stroke counts."""
    buffer = io.BytesIO()
    Image.fromarray(paint_box(photograph).to_codes()).save(buffer, "jpeg", quality=80)
    facts, mask = compare_versions(photograph, decode(buffer.getvalue(), "x.jpg", 10**6), is_lossy=True)
    assert mask is not None
    assert mask[92:118, 202:238].mean() > 0.99
    assert float(mask.sum()) < 1.3 * 1200
    assert facts["tolerance"] == 12.0


@pytest.mark.parametrize(("left", "top", "width", "height"), [(31, 17, 288, 192), (0, 48, 360, 192), (72, 0, 288, 240)])
def test_a_crop_is_told_with_its_place(photograph: Picture, left: int, top: int, width: int, height: int) -> None:
    """What was painted in it is counted as well."""
    after = _picture(paint_box(photograph).pixels[top : top + height, left : left + width])
    facts, _ = compare_versions(photograph, after, is_lossy=False)
    assert facts["cropped"] == [left, top, width, height]
    assert (facts["changed_pixels"], facts["box"]) == (1200, [200 - left, 90 - top, 40, 30])
    assert "resized" not in facts


def test_a_picture_of_half_the_size_is_told_as_resized(photograph: Picture) -> None:
    """Another program's filter is within the tolerance."""
    small = np.asarray(Image.fromarray(photograph.to_codes()).resize((180, 120), Image.Resampling.LANCZOS)) / 255.0
    facts, _ = compare_versions(photograph, _picture(small), is_lossy=False)
    assert facts["resized"] == 0.5
    assert "cropped" not in facts
    assert float(str(facts["changed_share"])) < 0.02


def test_a_crop_that_was_resized_is_told_as_both(photograph: Picture) -> None:
    """The place is right within the steps in which it is searched."""
    crop = photograph.pixels[20:212, 40:328]
    facts, _ = compare_versions(photograph, _picture(np.clip(resize(crop, 96, 144), 0, 1)), is_lossy=False)
    assert np.allclose(facts["cropped"], [40, 20, 288, 192], atol=4)
    assert facts["resized"] == pytest.approx(0.5, abs=0.02)


def test_another_profile_is_told_and_is_no_change_of_pixels(photograph: Picture) -> None:
    """Values are compared in the profile of the new file."""
    facts, _ = compare_versions(photograph, colour.convert_profile(photograph, "adobe-rgb"), is_lossy=False)
    assert facts["profiles"] == ["none (sRGB)", colour.profile_name(colour.convert_profile(photograph, "adobe-rgb").icc)]
    assert facts["changed_pixels"] == 0


def test_another_picture_cannot_be_laid_over(photograph: Picture) -> None:
    """The record says so instead of a number."""
    facts, mask = compare_versions(photograph, _picture(photographs.rocket()[50:170, 200:330] / 255.0), is_lossy=False)
    assert (facts["incomparable"], mask) == ("the two show no common part in any size", None)
