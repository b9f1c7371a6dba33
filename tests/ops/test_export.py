"""export writes the requested file: size, depth, profile, limit in kB, without bands, and for print in the inks of a press."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pikepdf
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from pydantic import ValidationError
from skimage import data

from doubles.press import TITLE, press_file
from doubles.step_context import StepContextDouble
from goldsmith.engines.kinds import FACE_DETECTOR, MATTE_ESTIMATOR
from goldsmith.engines.vision import Face
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops.export import Export
from goldsmith.ops.resize import Resize
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
    """Return a 16-bit gradient over a few codes of 8 bits, where bands would be visible."""
    codes = np.round(np.linspace(0.40, 0.43, 600) * 65535) / 65535
    return Picture(freeze(np.broadcast_to(codes[None, :, None], (200, 600, channels)).astype(np.float32)), depth=16)


def _export(picture: Picture, **options: object) -> Deliverable:
    (deliverable,) = Export.model_validate(options).make_files(picture, StepContextDouble())
    return deliverable


def _read(result: Deliverable) -> Picture:
    return decode(result.data, "hero" + result.suffix, 10**8)


@pytest.mark.parametrize("form", ["jpeg", "png", "tiff", "webp", "avif", "pdf"])
@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("icc", [None, bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())], ids=["plain", "tagged"])
def test_the_profile_that_a_brief_names_is_in_the_file(form: str, channels: int, icc: bytes | None) -> None:
    """sRGB is embedded too, in every format, in grey and in RGB; the record says so. Without the word, an untagged picture has none."""
    picture = replace(_photograph(), pixels=freeze(_photograph().pixels[:, :, :channels]), icc=icc if channels == 3 else None)
    settings = {"format": form} | ({"trim": [60, 40]} if form == "pdf" else {})
    result = _export(picture, profile="srgb", **settings)
    assert result.facts["profile_embedded"] is True
    if form != "pdf":
        image = Image.open(BytesIO(result.data)) if form != "tiff" else None
        embedded = tifffile.TiffFile(BytesIO(result.data)).pages[0].tags.valueof(34675) if image is None else image.info["icc_profile"]
        assert "sRGB" in profiles.profile_name(embedded)
        assert embedded[16:20] == (b"RGB " if channels == 3 or form == "webp" else b"GRAY")
        assert np.abs(_read(result).pixels[:, :, :1] - picture.pixels[:, :, :1]).mean() < 0.02
    untagged = _export(replace(picture, icc=None), **settings)
    assert untagged.facts["profile_embedded"] is (form == "pdf")
    if form != "pdf":
        assert b"acsp" not in untagged.data


@pytest.mark.parametrize(
    ("options", "suffix"),
    [("jpeg", ".jpg"), ("jpg", ".jpg"), ("PNG", ".png"), ("tif", ".tif"), ("tiff", ".tif"), ("webp", ".webp"), ("avif", ".avif")],
)
def test_each_format_is_written_and_read_back(options: str, suffix: str) -> None:
    """Usual names of a format are accepted; the file contains the picture, and the facts describe it."""
    picture = _photograph()
    result = _export(picture, name="web", format=options)
    assert (result.tail, result.suffix) == ("_web", suffix)
    back = _read(result)
    assert np.abs(back.pixels - picture.pixels).mean() < 0.02
    assert (result.facts["width"], result.facts["height"], result.facts["bytes"]) == (300, 200, len(result.data))


def test_an_untouched_picture_keeps_every_code() -> None:
    """8 bits in 8-bit PNG and 16 in 16-bit PNG lose nothing; 16-bit codes that are 8-bit codes stay so."""
    eight = _photograph()
    assert np.array_equal(_read(_export(eight)).to_codes(), eight.to_codes())
    sixteen = _slope()
    assert np.array_equal(_read(_export(sixteen, depth=16)).to_codes(), sixteen.to_codes())
    assert np.array_equal(_read(_export(Picture(eight.pixels, depth=16), depth=8)).to_codes(), eight.to_codes())


def test_fewer_bits_make_no_bands() -> None:
    """Gradients of 16 bits written at 8 keep their mean everywhere, and grey stays grey."""
    picture = _slope()
    back = _read(_export(picture, depth=8))
    window = 40
    source_means, file_means = (
        pixels[:, :, 0].mean(axis=0)[: 600 // window * window].reshape(-1, window).mean(axis=1) for pixels in (picture.pixels, back.pixels)
    )
    assert np.abs(source_means - file_means).max() < 0.1 / 255
    assert (back.pixels[..., :1] == back.pixels).all()
    undithered = quantise(picture.pixels, 8)[:, :, 0].mean(axis=0) / 255
    assert np.abs(undithered - picture.pixels[0, :, 0]).max() > 0.4 / 255


def test_a_flat_background_gets_no_grain_by_a_resize() -> None:
    """Grey that is a code before and after resizing is not dithered."""
    flat = Picture(freeze(np.full((90, 90, 3), 128 / 255, np.float32)))
    assert (_read(_export(flat, size=[40, 40])).to_codes() == 128).all()


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Another seed gives another grain."""
    picture = _slope()
    first, again, other = (Export(depth=8).make_files(picture, StepContextDouble(seed=seed))[0].data for seed in (5, 5, 6))
    assert first == again
    assert first != other


@settings(max_examples=20, deadline=None)
@given(value=st.floats(0, 1), seed=st.integers(0, 99))
def test_dither_keeps_the_mean_and_stays_within_two_codes(value: float, seed: int) -> None:
    """Flat values between two codes keep their mean."""
    flat = np.full((64, 64, 3), value, np.float32)
    result = dither(flat, 8, seed)
    assert np.abs(result - flat).max() <= 1.51 / 255
    if 1.5 / 255 < value < 1 - 1.5 / 255:
        assert abs(float(result.mean() - flat.mean())) < 0.07 / 255
    codes = result * 255
    assert np.abs(codes - np.round(codes)).max() < 1e-4


def test_a_picture_is_fitted_into_the_size_and_never_enlarged() -> None:
    """A picture keeps its shape inside the box. A larger box changes nothing."""
    assert (_export(_photograph(), size=[150, 150]).facts["width"], _export(_photograph(), size=[150, 150]).facts["height"]) == (150, 100)
    assert _export(_photograph(), size=[3000, 3000]).facts["width"] == 300


@pytest.mark.parametrize("word", ["jpeg", "webp", "avif"])
def test_max_kb_selects_the_best_quality_that_fits(word: str) -> None:
    """Files are under the limit, and those of the next quality are not."""
    context = StepContextDouble()
    free = _export(_photograph(), format=word)
    limit = max(2, len(free.data) // 2000)
    (result,) = Export.model_validate({"format": word, "max_kb": limit}).make_files(_photograph(), context)
    assert len(result.data) <= limit * 1000
    quality = result.facts["quality"]
    assert isinstance(quality, int)
    assert len(_export(_photograph(), format=word, quality=quality + 1).data) > limit * 1000
    assert _read(result).width == 300
    assert any("fitting" in note for _, note in context.progress.reports)


def test_max_kb_leaves_room_for_content_credentials() -> None:
    """They are written behind the export; a file without metadata gets none. If there is no room, the sentence says why."""
    context = StepContextDouble()
    context.results.credential_bytes = 9_000
    export = {"format": "jpeg", "max_kb": 20}
    (signed,) = Export.model_validate(export).make_files(_photograph(), context)
    (bare,) = Export.model_validate({**export, "metadata": "none"}).make_files(_photograph(), context)
    assert len(signed.data) <= 11_000 < len(bare.data) <= 20_000
    context.results.credential_bytes = 19_900
    with pytest.raises(InputError, match="allows 20 kB; 20 kB of them are for its content credentials"):
        Export.model_validate(export).make_files(_photograph(), context)


def test_a_limit_that_no_quality_meets_is_refused() -> None:
    """Files over the limit are not delivered: the message gives the limit."""
    large = Picture(freeze(np.random.default_rng(1).random((400, 400, 3))))
    with pytest.raises(InputError) as caught:
        Export(name="web", format="jpeg", quality=80, max_kb=1).make_files(large, StepContextDouble())
    assert "“web” allows 1 kB" in caught.value.sentence
    assert caught.value.remedy


def test_transparency_is_kept_or_flattened() -> None:
    """PNG keeps alpha; JPEG gets white; a background is used in any format."""
    picture = _photograph(alpha=True)
    kept = _read(_export(picture))
    assert kept.alpha is not None
    assert picture.alpha is not None
    assert np.array_equal(kept.alpha, picture.alpha)
    assert _read(_export(picture, format="jpeg")).pixels[:, 0].min() > 0.97
    red = _read(_export(picture, background="#ff0000"))
    assert red.alpha is None
    assert np.allclose(red.pixels[:, 0], (1, 0, 0))


def test_ppi_and_profile_follow_the_brief() -> None:
    """Defaults keep both; a conversion changes codes and profile together."""
    picture = _photograph()
    assert _export(picture).facts["ppi"] == [300, 300]
    options = _export(picture, ppi=72, profile="display-p3", format="tiff")
    back = _read(options)
    assert options.facts["ppi"] == [72, 72]
    assert back.ppi == pytest.approx((72, 72), abs=0.1)
    assert back.icc == profiles.builtin_profile("display-p3")
    assert not np.array_equal(back.to_codes(), picture.to_codes())


@pytest.mark.parametrize(("word", "depth"), [("png", 16), ("tiff", 16), ("avif", 10), ("jpeg", 8), ("webp", 8)])
def test_a_16_bit_picture_keeps_as_many_bits_as_the_format_holds(word: str, depth: int) -> None:
    """Without a depth the file is as deep as picture and format allow."""
    assert _export(_slope(), format=word).facts["depth"] == depth


def test_a_grey_picture_stays_grey() -> None:
    """Formats with grey keep one channel."""
    assert _read(_export(_slope(1), depth=16)).channels == 1


def test_without_a_name_the_file_has_the_name_of_the_picture() -> None:
    """Nothing is added before the suffix."""
    assert _export(_photograph()).tail == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "jpge"}, "nearest is “jpeg”"),
        ({"format": "gif"}, "is not one of png, tiff"),
        ({"format": "jpeg", "depth": 16}, "jpeg holds 8 bits per channel, not 16"),
        ({"format": "png", "max_kb": 100}, "png is lossless and has no max_kb"),
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
def test_impossible_settings_are_refused_with_a_clear_message(options: dict[str, object], message: str) -> None:
    """Reading the brief raises an error that gives the allowed values."""
    with pytest.raises(ValidationError) as caught:
        Export.model_validate(options)
    assert message in str(caught.value)


def _export_print(picture: Picture, **options: object) -> tuple[Deliverable, ...]:
    context = StepContextDouble(references={("profiles", "press"): press_file()})
    return tuple(Export.model_validate({"cmyk": "press", **options}).make_files(picture, context))


@pytest.mark.parametrize(("word", "suffix", "depth"), [("tiff", ".tif", 16), ("jpeg", ".jpg", 8), ("pdf", ".pdf", 8)])
def test_a_picture_is_written_in_the_inks_of_the_press(word: str, suffix: str, depth: int) -> None:
    """Files say CMYK and name the press; 16 bits are kept if the format holds them."""
    deep = Picture(_photograph().pixels, depth=16)
    (result,) = _export_print(deep, name="print", format=word, trim=[60, 40])
    assert (result.tail, result.suffix) == ("_print", suffix)
    assert (result.facts["mode"], result.facts["profile"], result.facts["depth"]) == ("CMYK", TITLE, depth)
    assert (result.facts["intent"], result.facts["black_point"]) == ("relative", True)
    if word != "pdf":
        _, facts = decode_with_info(result.data, "hero" + suffix, 10**8)
        assert (facts.channels, facts.depth, facts.icc) == (4, depth, TITLE)


def test_the_press_profile_comes_from_the_library() -> None:
    """Required profiles are known before anything runs; without ``cmyk`` there are none."""
    assert Export(format="tiff", cmyk="press").needs().library_files == (("profiles", "press", (".icc", ".icm")),)
    assert not Export().needs().library_files
    with pytest.raises(InputError, match="no 'other' in library/profiles"):
        _export_print(_photograph(), cmyk="other", format="tiff")


def test_a_screen_profile_is_refused_as_a_press(tmp_path: Path) -> None:
    """Message and remedy name the file and its kind."""
    (tmp_path / "mine.icc").write_bytes(profiles.builtin_profile("adobe-rgb"))
    context = StepContextDouble(references={("profiles", "mine"): tmp_path / "mine.icc"})
    with pytest.raises(InputError, match=r"library/profiles/mine\.icc is a profile for RGB"):
        Export.model_validate({"cmyk": "mine", "format": "tiff"}).make_files(_photograph(), context)


def test_coverage_is_measured_before_and_after() -> None:
    """Facts give the largest sum of inks before and after, and the share of the picture over the limit."""
    (free,) = _export_print(_photograph(), format="tiff", black_point=False)
    (held,) = _export_print(_photograph(), format="tiff", black_point=False, coverage=240)
    before, after = held.facts["coverage_before"], held.facts["coverage"]
    assert isinstance(before, float)
    assert isinstance(after, float)
    assert before == free.facts["coverage_before"] > 260
    assert 230 < after <= 240
    assert held.facts["coverage_limit"] == 240
    assert 0 < float(str(held.facts["coverage_over"])) < 1
    assert free.facts["coverage_limit"] is None


@pytest.mark.parametrize(("word", "quality"), [("jpeg", 30), ("pdf", 30), ("jpeg", None)])
def test_coverage_of_a_decoded_jpeg_is_within_the_limit(word: str, quality: int | None) -> None:
    """Holds together with max_kb too, so that ``check`` finds the same."""
    extra_settings = {"trim": [60, 40]} if word == "pdf" else {"max_kb": 195}
    (result,) = _export_print(_photograph(), format=word, black_point=False, coverage=240, quality=quality, **extra_settings)
    assert float(str(result.facts["coverage_before"])) > 260
    assert 225 < float(str(result.facts["coverage"])) <= 240
    if word == "jpeg":
        assert len(result.data) <= 195_000
        with Image.open(BytesIO(result.data)) as opened:
            assert np.asarray(opened).astype(int).sum(axis=2).max() / 255 * 100 <= 240


def test_a_decoded_jpeg_over_the_coverage_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files above the printer's limit are not delivered."""
    monkeypatch.setattr("goldsmith.picture.print.printing.limit_coverage_after_encoding", lambda codes, *_: codes)
    with pytest.raises(InputError, match=r"quality 20, the inks add up to 2\d\d\.\d %; export “ad” allows 240 %") as caught:
        _export_print(_photograph(), name="ad", format="jpeg", black_point=False, coverage=240, quality=20)
    assert "higher quality" in str(caught.value.remedy)


def test_grey_is_printed_in_four_inks_or_in_black_alone() -> None:
    """Profiles decide by default; with grey = "black" a grey picture has only black ink, and the facts give its share."""
    grey = Picture(freeze(_photograph().pixels[..., 1:2]))
    inks, black = (decode_inks(_export_print(grey, format="tiff", grey=grey_setting)[0].data) for grey_setting in ("inks", "black"))
    assert inks[..., :3].max() > 100
    assert black[..., :3].max() == 0
    assert black[..., 3].max() > 200
    assert _export_print(grey, format="tiff", grey="black")[0].facts["black_alone"] == 1
    assert _export_print(grey, format="tiff")[0].facts["black_alone"] == 0
    (result,) = _export_print(_photograph(), format="tiff", grey="black")
    assert float(str(result.facts["black_alone"])) < 0.2
    assert decode_inks(result.data)[..., :3].max() > 100


def test_black_type_on_a_photograph_is_solid_black_ink() -> None:
    """Letters in a picture become black ink; the picture around them keeps its four inks."""
    pixels = _photograph().pixels.copy()
    pixels[50:90, 100:130] = 0
    inks = decode_inks(_export_print(Picture(freeze(pixels)), format="tiff", grey="black")[0].data)
    assert (inks[52:88, 102:128] == (0, 0, 0, 255)).all()
    assert inks[100:, :, :3].mean() > 10


def decode_inks(data: bytes) -> np.ndarray:
    """Return the ink codes (h, w, 4) of a file."""
    return inks_in(data, "hero.tif", 10**8)


@pytest.mark.parametrize(("intent", "black_point"), [("perceptual", False), ("relative", True), ("saturation", False), ("absolute", False)])
def test_black_point_compensation_depends_on_the_intent(intent: str, black_point: bool) -> None:
    """Relative has it by default; the setting overrides that."""
    (result,) = _export_print(_photograph(), format="tiff", intent=intent)
    assert (result.facts["intent"], result.facts["black_point"]) == (intent, black_point)
    (off,) = _export_print(_photograph(), format="tiff", black_point=False)
    assert off.facts["black_point"] is False


def test_the_sheet_determines_size_and_resolution() -> None:
    """Large pictures are reduced to the ppi, small ones keep their pixels; the facts give the result in print."""
    picture = _photograph()
    (small,) = _export_print(picture, format="tiff", trim=[24, 14], bleed="3mm", ppi=300)
    assert (small.facts["trim_mm"], small.facts["bleed_mm"], small.facts["bleed_px"]) == ([24.0, 14.0], 3.0, 30)
    assert (small.facts["width"], small.facts["height"], small.facts["ppi_at_trim"]) == (300, 200, 254.0)
    (reduced,) = _export_print(picture, format="tiff", trim=[24, 14], bleed="3mm", ppi=127)
    assert (reduced.facts["width"], reduced.facts["height"], reduced.facts["ppi_at_trim"]) == (150, 100, 127.0)
    assert _read(reduced).ppi == pytest.approx((127, 127), abs=0.01)


def test_trim_works_without_inks() -> None:
    """PNG files of a sheet keep colours and transparency."""
    back = _read(_export(_photograph(alpha=True), trim=[20, 20]))
    assert (back.width, back.height) == (200, 200)
    assert back.alpha is not None


def test_the_proof_shows_the_trimmed_print() -> None:
    """Proofs are sRGB and have the size of the trim; with simulated paper they are darker."""
    picture = _photograph()
    _, screen = _export_print(picture, name="ad", format="tiff", trim=[24, 14], bleed="3mm", soft_proof=True)
    _, paper = _export_print(picture, name="ad", format="tiff", trim=[24, 14], bleed="3mm", soft_proof="paper")
    assert (screen.tail, screen.suffix) == ("_ad_proof", ".jpg")
    assert (screen.facts["width"], screen.facts["height"], screen.facts["proof_of"]) == (240, 140, TITLE)
    assert (_read(screen).width, _read(screen).height, _read(screen).icc) == (240, 140, None)
    assert np.abs(_read(screen).pixels - picture.pixels[30:170, 30:270]).mean() < 0.03
    assert _read(paper).pixels.max() < _read(screen).pixels.max()
    tails = Export.model_validate({"name": "ad", "format": "tiff", "cmyk": "press", "soft_proof": True}).tails()
    assert tails == ("_ad.tif", "_ad_proof.jpg")


def test_a_pdf_names_its_standard() -> None:
    """Inks make PDF/X-4, colours a plain PDF; the page is the sheet, and the title is the file's name."""
    (inks,) = _export_print(_photograph(), name="poster", format="pdf", trim=[60, 40], bleed="3mm", marks=True)
    colours = _export(_photograph(alpha=True), name="poster", format="pdf", trim=[60, 40], quality=80)
    assert (inks.facts["standard"], inks.facts["marks"], inks.facts["quality"]) == ("PDF/X-4", True, None)
    assert (colours.facts["standard"], colours.facts["quality"], colours.facts["alpha"]) == ("PDF 1.6", 80, False)
    with pikepdf.open(BytesIO(inks.data)) as pdf:
        assert [round(float(value) * 25.4 / 72) for value in pdf.pages[0].MediaBox] == [0, 0, 86, 66]
        assert str(pdf.docinfo.Title) == "hero_poster"


def test_a_jpeg_of_inks_is_within_max_kb() -> None:
    """Quality is lowered as far as necessary, with the profile counted; a limit below the profile's size is refused."""
    (result,) = _export_print(_photograph(), format="jpeg", max_kb=190)
    quality = result.facts["quality"]
    assert isinstance(quality, int)
    assert len(result.data) <= 190_000
    (more,) = _export_print(_photograph(), format="jpeg", quality=quality + 1)
    assert len(more.data) > 190_000
    with pytest.raises(InputError, match="at the lowest quality"):
        _export_print(_photograph(), format="jpeg", max_kb=100)


def test_transparent_parts_become_white_paper() -> None:
    """Transparent pixels get no ink."""
    (result,) = _export_print(_photograph(alpha=True), format="tiff")
    assert result.facts["alpha"] is False
    assert _read(result).pixels[:, 0].min() > 0.98


def test_a_sheet_of_too_many_pixels_is_refused() -> None:
    """Synthetic bleed can make a picture too large; the error is raised before memory is allocated."""
    picture = Picture(freeze(np.broadcast_to(np.float32(0.5), (12_000, 12_000, 1))))
    with pytest.raises(InputError, match="more than 200 megapixels"):
        _export(picture, trim=[20, 20], bleed=10, bleed_from="mirror")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "png", "cmyk": "press"}, "png holds no CMYK; use tiff, jpeg or pdf"),
        ({"format": "webp", "cmyk": "press", "bleed": "3mm"}, "webp holds no CMYK; use tiff, jpeg or pdf; bleed needs a trim"),
        ({"format": "tiff", "cmyk": "press", "profile": "srgb"}, "a file has one profile"),
        ({"format": "tiff", "cmyk": "a/press"}, "in library/profiles, without the folder"),
        ({"format": "tiff", "cmyk": "../press"}, "is a path"),
        ({"intent": "perceptual"}, "intent is for inks: set cmyk to the name of a profile"),
        ({"coverage": 300}, "coverage is for inks"),
        ({"soft_proof": True}, "soft_proof is for inks"),
        ({"black_point": False}, "black_point is for inks"),
        ({"format": "tiff", "cmyk": "press", "intent": "absolute", "black_point": True}, "cannot be combined with black_point"),
        ({"format": "tiff", "cmyk": "press", "intent": "absolute", "grey": "black"}, "cannot be combined with grey = “black”"),
        ({"grey": "black"}, "grey is for inks"),
        ({"format": "tiff", "cmyk": "press", "coverage": 100}, "150"),
        ({"bleed": "3mm"}, "bleed needs a trim, the size of the cut sheet in mm, as in trim = [210, 297]"),
        ({"anchor": "left"}, "is for a crop: set mode = “fill” with a size, or a trim"),
        ({"mode": "fill"}, "mode = “fill” needs a size"),
        ({"mode": "fill", "trim": [210, 297]}, "a trim is always filled"),
        ({"format": "pdf"}, "a pdf needs a trim, the size of its page in mm"),
        ({"trim": [210, 297], "size": [100, 100]}, "size and trim are both given"),
        ({"trim": [210, 297], "bleed": "3px"}, "“3px” is not a length"),
        ({"trim": [210, 297], "bleed": True}, "is not a length"),
        ({"trim": [10, 297], "bleed": 6}, "more than half of the shorter side"),
        ({"trim": [210, 297], "bleed_from": "mirror"}, "needs a bleed"),
        ({"trim": [1, 297]}, "5"),
        ({"trim": [1000, 1000], "ppi": 1200}, "more than 30000 px long"),
        ({"trim": [210, 297], "marks": True}, "png cannot hold marks, which are outside the picture; use pdf"),
        ({"format": "pdf", "trim": [210, 297], "max_kb": 100}, "pdf has no max_kb; give it a quality"),
        ({"format": "pdf", "trim": [210, 297], "quality": 90, "depth": 16}, "leave out quality or depth"),
    ],
)
def test_impossible_print_settings_are_refused_when_the_brief_is_read(options: dict[str, object], message: str) -> None:
    """Messages give the reason and an alternative."""
    with pytest.raises(ValidationError) as caught:
        Export.model_validate(options)
    assert message in str(caught.value)


@pytest.mark.parametrize(("written", "mm"), [("3mm", 3), ("0.3 cm", 3), ("0.125in", 3.175), (3, 3), ("3 MM", 3)])
def test_lengths_are_read_in_all_usual_units(written: object, mm: float) -> None:
    """Millimetres, centimetres and inches are accepted; a resolved brief has millimetres and means the same."""
    result = Export.model_validate({"trim": [210, "29.7cm"], "bleed": written})
    assert result.bleed == pytest.approx(mm)
    assert result.trim == pytest.approx((210, 297))
    assert Export.model_validate(result.model_dump(mode="json")) == result


def test_each_export_of_a_picture_has_its_own_crop() -> None:
    """The face is whole in a tall and in a flat file; the parts are on record and among the facts of the files."""
    source = Picture(freeze(np.random.default_rng(5).random((300, 400, 3), dtype=np.float32)))
    face = Face((300, 60, 40, 50), np.zeros((5, 2), np.float32), 0.9)
    for size, expected_size in (((90, 160), (90, 160)), ((160, 40), (160, 40))):
        context = StepContextDouble(faces={face: None})
        (file,) = Export(name="cut", size=size, mode="fill", anchor="face").make_files(source, context)
        assert (file.facts["width"], file.facts["height"]) == expected_size
        left, top, width, height = file.facts["crop"]  # type: ignore[misc]
        assert left <= 300 <= 340 <= left + width  # type: ignore[operator]
        assert top <= 60 <= 110 <= top + height  # type: ignore[operator]
        assert context.results.findings["faces_cut"] == file.facts["faces_cut"] == 0
        assert "remark" not in context.results.findings


def test_a_crop_that_finds_nothing_or_cuts_a_face_is_remarked() -> None:
    """Without a subject the middle stays; of a face larger than the part, a piece is cut off."""
    source = Picture(freeze(np.full((300, 400, 3), 0.5, np.float32)))
    context = StepContextDouble()
    (file,) = Export(size=(100, 300), mode="fill", anchor="subject").make_files(source, context)
    assert file.facts["crop"] == [150, 0, 100, 300]
    assert context.results.findings["remark"] == "there is no subject in the picture, so its middle was kept"
    context = StepContextDouble(faces={Face((50, 20, 240, 260), np.zeros((5, 2), np.float32), 0.9): None})
    Export(size=(100, 300), mode="fill", anchor="face").make_files(source, context)
    assert context.results.findings["remark"] == "the crop cuts 1 face"


def test_a_crop_that_loses_a_part_of_a_subject_without_a_face_is_remarked() -> None:
    """An animal wider than the part may lose its head, which no model finds. A portrait may lose its feet."""
    source = Picture(freeze(np.full((300, 400, 3), 0.5, np.float32)))
    animal = np.zeros((300, 400), np.float32)
    animal[100:200, 40:360] = 1
    loss = "the crop keeps 31% of the subject, and no face shows which part of it matters"
    for op, anchor in ((Export, "subject"), (Export, "face"), (Resize, "subject")):
        context = StepContextDouble(spots={"subject": animal})
        step = op.model_validate({"size": (100, 300), "mode": "fill", "anchor": anchor})
        step.make_files(source, context) if isinstance(step, Export) else step.apply(source, context)
        assert context.results.findings["remark"] == loss
    context = StepContextDouble(spots={"subject": animal}, faces={Face((60, 120, 30, 40), np.zeros((5, 2), np.float32), 0.9): None})
    Export(size=(100, 300), mode="fill", anchor="subject").make_files(source, context)
    assert "remark" not in context.results.findings
    context = StepContextDouble(spots={"subject": animal})
    Export(size=(350, 300), mode="fill", anchor="subject").make_files(source, context)
    assert "remark" not in context.results.findings


def test_a_page_is_cropped_round_the_face_and_measured_at_the_trim() -> None:
    """Bleed is cut off, so the part on record is the one within the trim."""
    source = Picture(freeze(np.full((300, 400, 3), 0.5, np.float32)))
    face = Face((320, 60, 40, 50), np.zeros((5, 2), np.float32), 0.9)
    (file,) = Export(trim=(50, 100), bleed=5, anchor="face").make_files(source, StepContextDouble(faces={face: None}))
    assert file.facts["crop"] == [250, 14, 136, 272]
    assert file.facts["faces_cut"] == 0


@pytest.mark.parametrize(("side", "ppi", "is_remarked"), [(140, None, True), (140, 300, True), (160, None, False), (140, 100, False)])
def test_a_print_with_too_few_pixels_is_remarked(side: int, ppi: int | None, is_remarked: bool) -> None:
    """On a sheet of one inch, below 150 pixels per inch unless fewer are asked for; with another remark, both are on record."""
    source = Picture(freeze(np.full((side, side + 20, 3), 0.5, np.float32)))
    context = StepContextDouble()
    Export(trim=(25.4, 25.4), ppi=ppi, anchor="subject").make_files(source, context)
    nothing = "there is no subject in the picture, so its middle was kept"
    soft = "printed at this size it has 140 pixels per inch, so it looks soft in the hand"
    assert context.results.findings["remark"] == (f"{nothing}; {soft}" if is_remarked else nothing)


def test_only_a_found_anchor_needs_engines() -> None:
    """Fixed anchors find nothing."""
    assert Export(size=(9, 9), mode="fill", anchor="top").needs().engines == ()
    engines = Export(size=(9, 9), mode="fill", anchor="subject").needs().engines
    assert {need.kind for need in engines} == {FACE_DETECTOR, MATTE_ESTIMATOR}
