"""export: the file that was asked for, at its size, depth, profile and weight, without bands, and for print in the inks of a press."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from skimage import data

from doubles.press import TITLE, press_file
from doubles.step_context import StepContextDouble
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops.export import Export
from goldsmith.picture import profiles
from goldsmith.picture.codec import decode, decode_with_info
from goldsmith.picture.codec import decode_ink_codes as inks_in
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Picture, freeze, quantise


def _photograph(alpha: bool = False) -> Picture:
    pixels = data.chelsea()[:200, :300].astype(np.float32) / np.float32(255)
    ramp = np.tile(np.linspace(0, 1, 300, dtype=np.float32), (200, 1))
    return Picture(freeze(pixels), alpha=freeze(np.round(ramp * 255) / 255) if alpha else None, ppi=(300, 300))


def _slope(channels: int = 3) -> Picture:
    """A 16-bit slope over a few codes of 8 bits, where bands would show."""
    codes = np.round(np.linspace(0.40, 0.43, 600) * 65535) / 65535
    return Picture(freeze(np.broadcast_to(codes[None, :, None], (200, 600, channels)).astype(np.float32)), depth=16)


def _made(picture: Picture, **asked: object) -> Deliverable:
    (deliverable,) = Export.model_validate(asked).make_files(picture, StepContextDouble())
    return deliverable


def _read(made: Deliverable) -> Picture:
    return decode(made.data, "hero" + made.suffix, 10**8)


@pytest.mark.parametrize(
    ("asked", "suffix"),
    [("jpeg", ".jpg"), ("jpg", ".jpg"), ("PNG", ".png"), ("tif", ".tif"), ("tiff", ".tif"), ("webp", ".webp"), ("avif", ".avif")],
)
def test_each_format_is_written_and_reads_back(asked: str, suffix: str) -> None:
    """A format goes by its usual names; the file reads back as the picture and the facts say what it is."""
    picture = _photograph()
    made = _made(picture, name="web", format=asked)
    assert (made.tail, made.suffix) == ("_web", suffix)
    back = _read(made)
    assert np.abs(back.pixels - picture.pixels).mean() < 0.02
    assert (made.facts["width"], made.facts["height"], made.facts["bytes"]) == (300, 200, len(made.data))


def test_an_untouched_picture_keeps_every_code() -> None:
    """8 bits to 8-bit PNG and 16 to 16-bit PNG lose nothing; 16-bit codes that are 8-bit codes stay those."""
    eight = _photograph()
    assert np.array_equal(_read(_made(eight)).to_codes(), eight.to_codes())
    sixteen = _slope()
    assert np.array_equal(_read(_made(sixteen, depth=16)).to_codes(), sixteen.to_codes())
    assert np.array_equal(_read(_made(Picture(eight.pixels, depth=16), depth=8)).to_codes(), eight.to_codes())


def test_fewer_bits_do_not_band() -> None:
    """A slope of 16 bits written at 8 keeps its mean everywhere, and grey stays grey."""
    picture = _slope()
    back = _read(_made(picture, depth=8))
    window = 40
    there, here = (
        pixels[:, :, 0].mean(axis=0)[: 600 // window * window].reshape(-1, window).mean(axis=1) for pixels in (picture.pixels, back.pixels)
    )
    assert np.abs(there - here).max() < 0.1 / 255
    assert (back.pixels[..., :1] == back.pixels).all()
    hard = quantise(picture.pixels, 8)[:, :, 0].mean(axis=0) / 255
    assert np.abs(hard - picture.pixels[0, :, 0]).max() > 0.4 / 255


def test_a_flat_ground_stays_clean_through_a_resize() -> None:
    """Grey that is a code before and after resizing gets no grain."""
    flat = Picture(freeze(np.full((90, 90, 3), 128 / 255, np.float32)))
    assert (_read(_made(flat, size=[40, 40])).to_codes() == 128).all()


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two runs are equal to the byte; another seed gives another grain."""
    picture = _slope()
    first, again, other = (Export(depth=8).make_files(picture, StepContextDouble(seed=seed))[0].data for seed in (5, 5, 6))
    assert first == again
    assert first != other


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1), seed=st.integers(0, 99))
def test_dither_keeps_the_mean_and_stays_within_two_codes(value: float, seed: int) -> None:
    """Wherever a flat value lies between two codes, its mean survives."""
    flat = np.full((64, 64, 3), value, np.float32)
    made = dither(flat, 8, seed)
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
    context = StepContextDouble()
    free = _made(_photograph(), format=word)
    limit = max(2, len(free.data) // 2000)
    (made,) = Export.model_validate({"format": word, "max_kb": limit}).make_files(_photograph(), context)
    assert len(made.data) <= limit * 1000
    quality = made.facts["quality"]
    assert isinstance(quality, int)
    assert len(_made(_photograph(), format=word, quality=quality + 1).data) > limit * 1000
    assert _read(made).width == 300
    assert any("fitting" in note for _, note in context.progress.reports)


def test_a_limit_that_no_quality_meets_is_a_problem() -> None:
    """Nothing is delivered over the limit: the problem says what it takes."""
    large = Picture(freeze(np.random.default_rng(1).random((400, 400, 3))))
    with pytest.raises(InputError) as caught:
        Export(name="web", format="jpeg", quality=80, max_kb=1).make_files(large, StepContextDouble())
    assert "“web” allows 1 kB" in caught.value.sentence
    assert caught.value.remedy


def test_transparency_is_kept_or_laid_on_a_colour() -> None:
    """PNG keeps alpha; JPEG gets white, or the colour that was asked for, in any format."""
    picture = _photograph(alpha=True)
    kept = _read(_made(picture))
    assert kept.alpha is not None
    assert picture.alpha is not None
    assert np.array_equal(kept.alpha, picture.alpha)
    assert _read(_made(picture, format="jpeg")).pixels[:, 0].min() > 0.97
    red = _read(_made(picture, background="#ff0000"))
    assert red.alpha is None
    assert np.allclose(red.pixels[:, 0], (1, 0, 0))


def test_ppi_and_profile_are_what_the_brief_says() -> None:
    """Both are kept unless given; a conversion changes the codes and the profile together."""
    picture = _photograph()
    assert _made(picture).facts["ppi"] == [300, 300]
    asked = _made(picture, ppi=72, profile="display-p3", format="tiff")
    back = _read(asked)
    assert asked.facts["ppi"] == [72, 72]
    assert back.ppi == pytest.approx((72, 72), abs=0.1)
    assert back.icc == profiles.builtin_profile("display-p3")
    assert not np.array_equal(back.to_codes(), picture.to_codes())


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
        ({"format": "gif"}, "is not one of png, tiff"),
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


def _printed(picture: Picture, **asked: object) -> tuple[Deliverable, ...]:
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    return tuple(Export.model_validate({"cmyk": "press", **asked}).make_files(picture, context))


@pytest.mark.parametrize(("word", "suffix", "depth"), [("tiff", ".tif", 16), ("jpeg", ".jpg", 8), ("pdf", ".pdf", 8)])
def test_a_picture_is_written_in_the_inks_of_the_press(word: str, suffix: str, depth: int) -> None:
    """The file says CMYK and which press; a 16-bit picture stays one where the printers read it."""
    deep = Picture(_photograph().pixels, depth=16)
    (made,) = _printed(deep, name="print", format=word, trim=[60, 40])
    assert (made.tail, made.suffix) == ("_print", suffix)
    assert (made.facts["mode"], made.facts["profile"], made.facts["depth"]) == ("CMYK", TITLE, depth)
    assert (made.facts["intent"], made.facts["black_point"]) == ("relative", True)
    if word != "pdf":
        _, facts = decode_with_info(made.data, "hero" + suffix, 10**8)
        assert (facts.channels, facts.depth, facts.icc) == (4, depth, TITLE)


def test_the_press_is_looked_for_in_the_library() -> None:
    """It is known before anything runs which profile must be there; without ``cmyk`` none is."""
    assert Export(format="tiff", cmyk="press").needs().library_files == (("profiles", "press", (".icc", ".icm")),)
    assert not Export().needs().library_files
    with pytest.raises(InputError, match="no 'other' in library/profiles"):
        _printed(_photograph(), cmyk="other", format="tiff")


def test_a_profile_of_a_screen_is_no_press(tmp_path: Path) -> None:
    """The sentence names the file and what it is for."""
    (tmp_path / "mine.icc").write_bytes(profiles.builtin_profile("adobe-rgb"))
    context = StepContextDouble(references={("profiles", "mine"): tmp_path / "mine.icc"})
    with pytest.raises(InputError, match=r"library/profiles/mine\.icc is a profile for RGB"):
        Export.model_validate({"cmyk": "mine", "format": "tiff"}).make_files(_photograph(), context)


def test_coverage_is_measured_before_and_after() -> None:
    """The record says how much ink there was, how much of the picture was over the limit, and how much there is now."""
    (free,) = _printed(_photograph(), format="tiff", black_point=False)
    (held,) = _printed(_photograph(), format="tiff", black_point=False, coverage=240)
    before, after = held.facts["coverage_before"], held.facts["coverage"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before == free.facts["coverage_before"] > 260
    assert 230 < after <= 240
    assert held.facts["coverage_limit"] == 240
    assert 0 < float(str(held.facts["coverage_over"])) < 1
    assert free.facts["coverage_limit"] is None


@pytest.mark.parametrize(("word", "quality"), [("jpeg", 30), ("pdf", 30), ("jpeg", None)])
def test_coverage_holds_in_a_jpeg_that_is_read_back(word: str, quality: int | None) -> None:
    """Also where a size is kept at the same time: what check will find is within the limit."""
    more = {"trim": [60, 40]} if word == "pdf" else {"max_kb": 195}
    (made,) = _printed(_photograph(), format=word, black_point=False, coverage=240, quality=quality, **more)
    assert float(str(made.facts["coverage_before"])) > 260
    assert 225 < float(str(made.facts["coverage"])) <= 240
    if word == "jpeg":
        assert len(made.data) <= 195_000
        with Image.open(BytesIO(made.data)) as opened:
            assert np.asarray(opened).astype(int).sum(axis=2).max() / 255 * 100 <= 240


def test_inks_that_no_quality_holds_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing above the printer's limit is delivered in silence."""
    monkeypatch.setattr("goldsmith.picture.print.printing.limit_coverage_after_encoding", lambda codes, *_: codes)
    with pytest.raises(InputError, match=r"quality 20 the inks come to 2\d\d\.\d %; export “ad” allows 240 %") as caught:
        _printed(_photograph(), name="ad", format="jpeg", black_point=False, coverage=240, quality=20)
    assert "higher quality" in str(caught.value.remedy)


def test_grey_is_printed_in_four_inks_or_in_black_alone() -> None:
    """By itself as the profile has it; with grey = "black" a grey picture has no cyan, magenta or yellow, and the record says how much."""
    grey = Picture(freeze(_photograph().pixels[..., 1:2]))
    inks, black = (decode_inks(_printed(grey, format="tiff", grey=how)[0].data) for how in ("inks", "black"))
    assert inks[..., :3].max() > 100
    assert black[..., :3].max() == 0
    assert black[..., 3].max() > 200
    assert _printed(grey, format="tiff", grey="black")[0].facts["black_alone"] == 1
    assert _printed(grey, format="tiff")[0].facts["black_alone"] == 0
    (made,) = _printed(_photograph(), format="tiff", grey="black")
    assert float(str(made.facts["black_alone"])) < 0.2
    assert decode_inks(made.data)[..., :3].max() > 100


def test_black_type_on_a_photograph_is_solid_black_ink() -> None:
    """What a grey of a letter is in the middle of a picture; the picture round it keeps its four inks."""
    pixels = _photograph().pixels.copy()
    pixels[50:90, 100:130] = 0
    inks = decode_inks(_printed(Picture(freeze(pixels)), format="tiff", grey="black")[0].data)
    assert (inks[52:88, 102:128] == (0, 0, 0, 255)).all()
    assert inks[100:, :, :3].mean() > 10


def decode_inks(data: bytes) -> np.ndarray:
    return inks_in(data, "hero.tif", 10**8)


@pytest.mark.parametrize(("intent", "black_point"), [("perceptual", False), ("relative", True), ("saturation", False), ("absolute", False)])
def test_black_point_compensation_is_on_where_it_belongs(intent: str, black_point: bool) -> None:
    """By itself with the relative intent; where it is asked for, wherever it can be."""
    (made,) = _printed(_photograph(), format="tiff", intent=intent)
    assert (made.facts["intent"], made.facts["black_point"]) == (intent, black_point)
    (off,) = _printed(_photograph(), format="tiff", black_point=False)
    assert off.facts["black_point"] is False


def test_the_sheet_gives_size_and_resolution() -> None:
    """A large picture is brought to the ppi, a small one keeps its pixels; both say what they have in print."""
    picture = _photograph()
    (small,) = _printed(picture, format="tiff", trim=[24, 14], bleed="3mm", ppi=300)
    assert (small.facts["trim_mm"], small.facts["bleed_mm"], small.facts["bleed_px"]) == ([24.0, 14.0], 3.0, 30)
    assert (small.facts["width"], small.facts["height"], small.facts["ppi_at_trim"]) == (300, 200, 254.0)
    (brought,) = _printed(picture, format="tiff", trim=[24, 14], bleed="3mm", ppi=127)
    assert (brought.facts["width"], brought.facts["height"], brought.facts["ppi_at_trim"]) == (150, 100, 127.0)
    assert _read(brought).ppi == pytest.approx((127, 127), abs=0.01)


def test_a_sheet_serves_a_screen_file_too() -> None:
    """Trim and bleed need no inks: a PNG of the sheet keeps its colours and its transparency."""
    back = _read(_made(_photograph(alpha=True), trim=[20, 20]))
    assert (back.width, back.height) == (200, 200)
    assert back.alpha is not None


def test_the_proof_shows_the_trimmed_print() -> None:
    """A second file in sRGB, of what is left after the cut; on paper it is darker than beside it."""
    picture = _photograph()
    _, screen = _printed(picture, name="ad", format="tiff", trim=[24, 14], bleed="3mm", soft_proof=True)
    _, paper = _printed(picture, name="ad", format="tiff", trim=[24, 14], bleed="3mm", soft_proof="paper")
    assert (screen.tail, screen.suffix) == ("_ad_proof", ".jpg")
    assert (screen.facts["width"], screen.facts["height"], screen.facts["proof_of"]) == (240, 140, TITLE)
    assert (_read(screen).width, _read(screen).height, _read(screen).icc) == (240, 140, None)
    assert np.abs(_read(screen).pixels - picture.pixels[30:170, 30:270]).mean() < 0.03
    assert _read(paper).pixels.max() < _read(screen).pixels.max()
    tails = Export.model_validate({"name": "ad", "format": "tiff", "cmyk": "press", "soft_proof": True}).tails()
    assert tails == ("_ad.tif", "_ad_proof.jpg")


def test_a_pdf_says_what_it_is() -> None:
    """In inks PDF/X-4, in colours a plain PDF; its page is the sheet and its title the file's name."""
    (inks,) = _printed(_photograph(), name="poster", format="pdf", trim=[60, 40], bleed="3mm", marks=True)
    colours = _made(_photograph(alpha=True), name="poster", format="pdf", trim=[60, 40], quality=80)
    assert (inks.facts["standard"], inks.facts["marks"], inks.facts["quality"]) == ("PDF/X-4", True, None)
    assert (colours.facts["standard"], colours.facts["quality"], colours.facts["alpha"]) == ("PDF 1.6", 80, False)
    with pikepdf.open(BytesIO(inks.data)) as pdf:
        assert [round(float(value) * 25.4 / 72) for value in pdf.pages[0].MediaBox] == [0, 0, 86, 66]
        assert str(pdf.docinfo.Title) == "hero_poster"


def test_a_jpeg_of_inks_keeps_max_kb() -> None:
    """The quality is lowered just as far as it takes, profile included; a limit below the profile's own size is a problem."""
    (made,) = _printed(_photograph(), format="jpeg", max_kb=190)
    quality = made.facts["quality"]
    assert isinstance(quality, int)
    assert len(made.data) <= 190_000
    (more,) = _printed(_photograph(), format="jpeg", quality=quality + 1)
    assert len(more.data) > 190_000
    with pytest.raises(InputError, match="at the lowest quality"):
        _printed(_photograph(), format="jpeg", max_kb=100)


def test_transparent_parts_are_laid_on_white_before_they_are_inked() -> None:
    """No ink where nothing is."""
    (made,) = _printed(_photograph(alpha=True), format="tiff")
    assert made.facts["alpha"] is False
    assert _read(made).pixels[:, 0].min() > 0.98


def test_a_sheet_of_too_many_pixels_is_a_problem() -> None:
    """Bleed that is made can make a large picture too large; it is said before anything of that size is made."""
    picture = Picture(freeze(np.broadcast_to(np.float32(0.5), (12_000, 12_000, 1))))
    with pytest.raises(InputError, match="more than 200 megapixels"):
        _made(picture, trim=[20, 20], bleed=10, bleed_from="mirror")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "png", "cmyk": "press"}, "png holds no CMYK; use tiff, jpeg or pdf"),
        ({"format": "webp", "cmyk": "press", "bleed": "3mm"}, "webp holds no CMYK; use tiff, jpeg or pdf; bleed needs a trim"),
        ({"format": "tiff", "cmyk": "press", "profile": "srgb"}, "a file has one profile"),
        ({"format": "tiff", "cmyk": "a/press"}, "as it is called in library/profiles, without its folder"),
        ({"format": "tiff", "cmyk": "../press"}, "is a path"),
        ({"intent": "perceptual"}, "intent is for inks: name the press in cmyk"),
        ({"coverage": 300}, "coverage is for inks"),
        ({"soft_proof": True}, "soft_proof is for inks"),
        ({"black_point": False}, "black_point is for inks"),
        ({"format": "tiff", "cmyk": "press", "intent": "absolute", "black_point": True}, "black_point has no place in it"),
        ({"format": "tiff", "cmyk": "press", "intent": "absolute", "grey": "black"}, "grey = “black” has no place in it"),
        ({"grey": "black"}, "grey is for inks"),
        ({"format": "tiff", "cmyk": "press", "coverage": 100}, "150"),
        ({"bleed": "3mm"}, "bleed needs a trim, the size of the cut sheet in mm, as in trim = [210, 297]"),
        ({"anchor": "left"}, "anchor needs a trim"),
        ({"format": "pdf"}, "a pdf needs a trim, the size of its page in mm"),
        ({"trim": [210, 297], "size": [100, 100]}, "size and trim are both given"),
        ({"trim": [210, 297], "bleed": "3px"}, "“3px” is no length"),
        ({"trim": [210, 297], "bleed": True}, "is no length"),
        ({"trim": [10, 297], "bleed": 6}, "more than half of the shorter side"),
        ({"trim": [210, 297], "bleed_from": "mirror"}, "needs a bleed"),
        ({"trim": [1, 297]}, "5"),
        ({"trim": [1000, 1000], "ppi": 1200}, "more than 30000 px long"),
        ({"trim": [210, 297], "marks": True}, "png has no place outside the picture for marks; use pdf"),
        ({"format": "pdf", "trim": [210, 297], "max_kb": 100}, "pdf has no max_kb; give it a quality"),
        ({"format": "pdf", "trim": [210, 297], "quality": 90, "depth": 16}, "leave out quality or depth"),
    ],
)
def test_what_cannot_be_printed_is_refused_before_anything_runs(wrong: dict[str, object], said: str) -> None:
    """Each sentence says what is in the way, and what would do."""
    with pytest.raises(ValidationError) as caught:
        Export.model_validate(wrong)
    assert said in str(caught.value)


@pytest.mark.parametrize(("written", "mm"), [("3mm", 3), ("0.3 cm", 3), ("0.125in", 3.175), (3, 3), ("3 MM", 3)])
def test_lengths_are_read_however_printers_write_them(written: object, mm: float) -> None:
    """Millimetres, centimetres and inches; a resolved brief says millimetres and means the same."""
    made = Export.model_validate({"trim": [210, "29.7cm"], "bleed": written})
    assert made.bleed == pytest.approx(mm)
    assert made.trim == pytest.approx((210, 297))
    assert Export.model_validate(made.model_dump(mode="json")) == made
