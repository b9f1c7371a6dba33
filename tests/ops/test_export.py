"""export: the file that was asked for, at its size, depth, profile and weight, and without bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage import data

from doubles.bench import BenchDouble
from goldsmith.errors import Problem
from goldsmith.operation import Deliverable
from goldsmith.ops.export import Export
from goldsmith.plate import profiles
from goldsmith.plate.codec import decode
from goldsmith.plate.craft.dither import dithered
from goldsmith.plate.plate import Plate, frozen, quantised


def _photograph(alpha: bool = False) -> Plate:
    pixels = data.chelsea()[:200, :300].astype(np.float32) / np.float32(255)
    ramp = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1))
    return Plate(frozen(pixels), alpha=frozen(np.round(ramp * 255) / 255) if alpha else None, ppi=(300, 300))


def _slope(channels: int = 3) -> Plate:
    """A 16-bit slope over a few codes of 8 bits, where bands would show."""
    codes = np.round(np.linspace(0.40, 0.43, 600) * 65535) / 65535
    return Plate(frozen(np.broadcast_to(codes[None, :, None], (200, 600, channels)).astype(np.float32)), depth=16)


def _made(plate: Plate, **asked: object) -> Deliverable:
    (deliverable,) = Export.model_validate(asked).make(plate, BenchDouble())
    return deliverable


def _read(made: Deliverable) -> Plate:
    return decode(made.data, "hero" + made.suffix, 10**8)


@pytest.mark.parametrize(
    ("asked", "suffix"),
    [("jpeg", ".jpg"), ("jpg", ".jpg"), ("PNG", ".png"), ("tif", ".tif"), ("tiff", ".tif"), ("webp", ".webp"), ("avif", ".avif")],
)
def test_each_format_is_written_and_reads_back(asked: str, suffix: str) -> None:
    """A format goes by its usual names; the file reads back as the picture and the facts say what it is."""
    plate = _photograph()
    made = _made(plate, name="web", format=asked)
    assert (made.tail, made.suffix) == ("_web", suffix)
    back = _read(made)
    assert np.abs(back.pixels - plate.pixels).mean() < 0.02
    assert (made.facts["width"], made.facts["height"], made.facts["bytes"]) == (300, 200, len(made.data))


def test_an_untouched_picture_keeps_every_code() -> None:
    """8 bits to 8-bit PNG and 16 to 16-bit PNG lose nothing; 16-bit codes that are 8-bit codes stay those."""
    eight = _photograph()
    assert np.array_equal(_read(_made(eight)).codes(), eight.codes())
    sixteen = _slope()
    assert np.array_equal(_read(_made(sixteen, depth=16)).codes(), sixteen.codes())
    assert np.array_equal(_read(_made(Plate(eight.pixels, depth=16), depth=8)).codes(), eight.codes())


def test_fewer_bits_do_not_band() -> None:
    """A slope of 16 bits written at 8 keeps its mean everywhere, and grey stays grey."""
    plate = _slope()
    back = _read(_made(plate, depth=8))
    window = 40
    there, here = (
        pixels[:, :, 0].mean(axis=0)[: 600 // window * window].reshape(-1, window).mean(axis=1) for pixels in (plate.pixels, back.pixels)
    )
    assert np.abs(there - here).max() < 0.1 / 255
    assert (back.pixels[..., :1] == back.pixels).all()
    hard = quantised(plate.pixels, 8)[:, :, 0].mean(axis=0) / 255
    assert np.abs(hard - plate.pixels[0, :, 0]).max() > 0.4 / 255


def test_a_flat_ground_stays_clean_through_a_resize() -> None:
    """Grey that is a code before and after resizing gets no grain."""
    flat = Plate(frozen(np.full((90, 90, 3), 128 / 255, np.float32)))
    assert (_read(_made(flat, size=[40, 40])).codes() == 128).all()


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two runs are equal to the byte; another seed gives another grain."""
    plate = _slope()
    first, again, other = (Export(depth=8).make(plate, BenchDouble(seed=seed))[0].data for seed in (5, 5, 6))
    assert first == again
    assert first != other


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1), seed=st.integers(0, 99))
def test_dither_keeps_the_mean_and_stays_within_two_codes(value: float, seed: int) -> None:
    """Wherever a flat value lies between two codes, its mean survives."""
    flat = np.full((64, 64, 3), value, np.float32)
    made = dithered(flat, 8, seed)
    assert np.abs(made - flat).max() <= 1.51 / 255
    if 1.5 / 255 < value < 1 - 1.5 / 255:
        assert abs(float(made.mean() - flat.mean())) < 0.07 / 255
    codes = made * 255
    assert np.abs(codes - np.round(codes)).max() < 1e-4


def test_the_size_is_a_box_and_nothing_is_enlarged() -> None:
    """The picture fits into the box with its shape kept; a box that is larger changes nothing."""
    assert (_made(_photograph(), size=[150, 150]).facts["width"], _made(_photograph(), size=[150, 150]).facts["height"]) == (150, 100)
    assert _made(_photograph(), size=[3000, 3000]).facts["width"] == 300


@pytest.mark.parametrize("word", ["jpeg", "webp", "avif"])
def test_max_kb_is_kept_at_the_best_quality_that_fits(word: str) -> None:
    """The file is under the limit, and the next quality up would not be."""
    bench = BenchDouble()
    free = _made(_photograph(), format=word)
    limit = max(2, len(free.data) // 2000)
    (made,) = Export.model_validate({"format": word, "max_kb": limit}).make(_photograph(), bench)
    assert len(made.data) <= limit * 1000
    quality = made.facts["quality"]
    assert isinstance(quality, int)
    assert len(_made(_photograph(), format=word, quality=quality + 1).data) > limit * 1000
    assert _read(made).width == 300
    assert any("fitting" in note for _, note in bench.progressed)


def test_a_limit_that_no_quality_meets_is_a_problem() -> None:
    """Nothing is delivered over the limit: the problem says what it takes."""
    large = Plate(frozen(np.random.default_rng(1).random((400, 400, 3))))
    with pytest.raises(Problem) as caught:
        Export(name="web", format="jpeg", quality=80, max_kb=1).make(large, BenchDouble())
    assert "“web” allows 1 kB" in caught.value.sentence
    assert caught.value.remedy


def test_transparency_is_kept_or_laid_on_a_colour() -> None:
    """PNG keeps alpha; JPEG gets white, or the colour that was asked for, in any format."""
    plate = _photograph(alpha=True)
    kept = _read(_made(plate))
    assert kept.alpha is not None
    assert plate.alpha is not None
    assert np.array_equal(kept.alpha, plate.alpha)
    assert _read(_made(plate, format="jpeg")).pixels[:, 0].min() > 0.97
    red = _read(_made(plate, background="#ff0000"))
    assert red.alpha is None
    assert np.allclose(red.pixels[:, 0], (1, 0, 0))


def test_ppi_and_profile_are_what_the_brief_says() -> None:
    """Both are kept unless given; a conversion changes the codes and the profile together."""
    plate = _photograph()
    assert _made(plate).facts["ppi"] == [300, 300]
    asked = _made(plate, ppi=72, profile="display-p3", format="tiff")
    back = _read(asked)
    assert asked.facts["ppi"] == [72, 72]
    assert back.ppi == pytest.approx((72, 72), abs=0.1)
    assert back.icc == profiles.named("display-p3")
    assert not np.array_equal(back.codes(), plate.codes())


@pytest.mark.parametrize(("word", "depth"), [("png", 16), ("tiff", 16), ("avif", 10), ("jpeg", 8), ("webp", 8)])
def test_a_16_bit_picture_keeps_what_the_format_can_hold(word: str, depth: int) -> None:
    """Without a depth the file is as deep as picture and format allow."""
    assert _made(_slope(), format=word).facts["depth"] == depth


def test_a_grey_picture_stays_grey() -> None:
    """One channel in, one channel out, where the format knows grey."""
    assert _read(_made(_slope(1), depth=16)).channels == 1


def test_without_a_name_the_file_is_called_as_the_picture() -> None:
    """No tail but the suffix."""
    assert _made(_photograph()).tail == ""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "jpge"}, "nearest is “jpeg”"),
        ({"format": "gif"}, "is not one of png, jpeg"),
        ({"format": "jpeg", "depth": 16}, "jpeg holds 8 bits per channel, not 16"),
        ({"format": "png", "max_kb": 100}, "png is written without loss and has no max_kb"),
        ({"format": "tiff", "quality": 80}, "has no quality"),
        ({"name": "../web"}, "cannot be part of a file's name"),
        ({"name": "a/b"}, "cannot be part"),
        ({"name": ".web"}, "cannot be part"),
        ({"name": "web\n"}, "cannot be part"),
        ({"name": "größe"}, "cannot be part"),
        ({"name": "x" * 65}, "64"),
        ({"background": "red"}, "write it as #rrggbb"),
        ({"profile": "cmyk"}, "srgb"),
        ({"size": [40000, 10]}, "30000"),
        ({"ppi": 0}, "1"),
        ({"quality": 0}, "1"),
        ({"ppi": float("nan")}, "finite"),
        ({"depth": 9}, "8, 10, 12 or 16"),
    ],
)
def test_impossible_settings_are_refused_in_plain_words(wrong: dict[str, object], said: str) -> None:
    """What cannot be is refused when the brief is read, and the sentence says what can."""
    with pytest.raises(ValidationError) as caught:
        Export.model_validate(wrong)
    assert said in str(caught.value)
