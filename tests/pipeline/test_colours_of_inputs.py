"""Colours through the folders: what is held and why, what a brief says about reading, and a look that is the instruction."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PyOpenColorIO
import pytest
import tifffile
from PIL import Image

from doubles.icc_profiles import rgb_table_profile
from doubles.studio import Studio, studio_at
from goldsmith.picture import colour, profiles
from goldsmith.picture.codec import decode

LIMIT = 10**7
EXPORT = '[[deliver]]\nop = "export"\nname = "web"\nformat = "png"\nprofile = "srgb"\n'
SIZE = (24, 32, 3)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        yield studio


def codes() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a picture of soft colours."""
    down, across = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return np.stack([40 + 5 * across, 60 + 6 * down, 200 - 4 * across], axis=2).astype(np.uint8)


def png(icc: bytes | None = None, cicp: bytes = b"") -> bytes:
    """Return the picture as a PNG with a profile or colour codes."""
    out = io.BytesIO()
    Image.fromarray(codes()).save(out, "PNG", icc_profile=icc)
    data = out.getvalue()
    chunk = struct.pack(">I", 4) + b"cICP" + cicp + struct.pack(">I", zlib.crc32(b"cICP" + cicp)) if cicp else b""
    return data[:33] + chunk + data[33:]


def cube(size: int = 3, gain: float = 0.5) -> str:
    """Return a look that darkens red to a share."""
    levels = np.linspace(0, 1, size)
    rows = [f"{red * gain:.6f} {green:.6f} {blue:.6f}" for blue in levels for green in levels for red in levels]
    return "\n".join([f"LUT_3D_SIZE {size}", *rows, ""])


# ---------------------------------------------------------------------- a look alone


def test_a_look_alone_in_masked_is_an_instruction(studio: Studio, tmp_path: Path) -> None:
    """The picture is graded with it and moves on one stage; the look is used up. OpenColorIO gives the same pixels."""
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.cube", cube())
    studio.until_idle()
    assert studio.folders() == {"graded": ["hero.png"]}
    assert studio.archived() == ["masked/hero.cube", "masked/hero.png"]
    path = tmp_path / "look.cube"
    path.write_text(cube())
    processor = PyOpenColorIO.Config.CreateRaw().getProcessor(
        PyOpenColorIO.FileTransform(str(path), interpolation=PyOpenColorIO.INTERP_TETRAHEDRAL)
    )
    expected = np.ascontiguousarray(codes().astype(np.float32) / np.float32(255))
    processor.getDefaultCPUProcessor().applyRGB(expected)
    result = decode(studio.read("graded/hero.png"), "hero.png", LIMIT).pixels
    assert np.abs(result - expected).max() <= 0.51 / 255
    (step,) = studio.history()[-1].record["steps"]
    assert (step["op"], step["settings"]["look"]) == ("grade", "hero")


def test_a_correction_alone_and_a_look_beside_a_brief_without_stages_count_too(studio: Studio) -> None:
    """A .cdl is a look; a title alone asks for nothing else."""
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.cdl", "<ColorCorrection><SOPNode><Slope>0.5 1 1</Slope></SOPNode></ColorCorrection>")
    studio.put("masked/other.png", png())
    studio.put("masked/other.cube", cube())
    studio.put("masked/other.toml", 'title = "Spring"\n')
    studio.until_idle()
    assert [path for path in studio.folders()["graded"] if path.endswith(".png")] == ["hero.png", "other.png"]
    for name in ("hero", "other"):
        result = decode(studio.read(f"graded/{name}.png"), "hero.png", LIMIT).pixels
        assert np.abs(result[..., 0] * 255 - codes()[..., 0] / 2).max() <= 0.51


def test_a_look_with_a_fault_is_named_as_the_person_sent_it(studio: Studio) -> None:
    """The note has the file's own name and the line."""
    lines = cube().splitlines()
    lines[6] = "0.5 nonsense 0.5"
    studio.put("masked/Hero Shot.png", png())
    studio.put("masked/Hero Shot.cube", "\n".join(lines))
    studio.until(lambda: studio.note("masked/Hero Shot.png"), "the note")
    assert "grade.1 (grade): Hero Shot.cube, line 7: “0.5 nonsense 0.5” is not 3 plain numbers." in studio.note("masked/Hero Shot.png")


@pytest.mark.parametrize("stem", [b"\xe9" * 200, b"a\\b"])
def test_a_look_whose_name_no_step_can_hold_gets_a_note(studio: Studio, stem: bytes) -> None:
    """A name in another encoding cannot stand in a brief or a record."""
    studio.put(b"masked/" + stem + b".png", png())
    studio.put(b"masked/" + stem + b".cube", cube())
    studio.until_idle()
    (note,) = [path for path in studio.at("masked").iterdir() if path.name.endswith(".problem.txt")]
    assert "has a name that no step can hold.\nRename it and its picture" in note.read_text()


def test_a_fault_in_a_look_with_an_odd_name_is_told(studio: Studio) -> None:
    """Letters outside ASCII stay as they are."""
    studio.put("masked/Über ärger.png", png())
    studio.put("masked/Über ärger.cube", "LUT_3D_SIZE 1\n")
    studio.until_idle()
    assert "Über ärger.cube, line 1: LUT_3D_SIZE is 1; it can be 2 to 129." in studio.note("masked/Über ärger.png")


def test_two_looks_are_not_guessed_between(studio: Studio) -> None:
    """The note names both."""
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.cube", cube())
    studio.put("masked/hero.cdl", "<ColorCorrection/>")
    studio.until(lambda: studio.note("masked/hero.png"), "the note")
    assert "“hero.cdl” and “hero.cube” are both the look of hero.\nKeep one of them." in studio.note("masked/hero.png")


def test_a_look_alone_elsewhere_waits_and_says_where_it_is_one(studio: Studio) -> None:
    """The sentence names the folder in which a look alone does something."""
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.cube", cube())
    sentence = "“hero.cube” alone is one in masked/ only; put a brief (“hero.toml”) beside it."
    status = studio.at("selected/_status.txt")
    studio.until(lambda: status.exists() and sentence in " ".join(status.read_text().split()), "the sentence")
    assert studio.folders() == {"selected": ["hero.cube", "hero.png"]}


# ---------------------------------------------------------------------- unknown colours


def test_a_broken_profile_is_held_in_the_first_folder(studio: Studio) -> None:
    """Not three stages later, and not in the words of a library; without the profile the picture goes all the way."""
    studio.put("inbox/hero.png", png(profiles.builtin_profile("adobe-rgb")[:200]))
    studio.put("inbox/hero.toml", EXPORT)
    studio.until(lambda: studio.note("inbox/hero.png"), "the note")
    assert "hero.png has a colour profile that is cut off: 200 of " in studio.note("inbox/hero.png")
    assert "Assign the right profile in a picture program" in studio.note("inbox/hero.png")
    studio.put("inbox/hero.png", png())
    studio.until(lambda: studio.folders().get("delivered"), "the delivery")
    assert np.array_equal(decode(studio.read("delivered/hero_web.png"), "a.png", LIMIT).to_codes(), codes())


def test_a_broken_profile_is_held_where_nothing_is_done_too(studio: Studio) -> None:
    """A stage that passes the file on reads it first."""
    studio.put("selected/hero.png", png(profiles.builtin_profile("adobe-rgb")[:300]))
    studio.put("selected/hero.toml", EXPORT)
    studio.until(lambda: studio.note("selected/hero.png"), "the note")
    assert "so its true colours are unknown" in studio.note("selected/hero.png")


# ---------------------------------------------------------------------- what a brief says about reading


def test_hdr_goes_through_once_the_brief_asks_for_it(studio: Studio) -> None:
    """The word travels with the brief, and the manifest keeps it; the file itself stays byte for byte until a step changes it."""
    data = png(cicp=bytes((9, 16, 0, 1)))
    studio.put("masked/hero.png", data)
    studio.put("masked/hero.toml", EXPORT)
    studio.until(lambda: studio.note("masked/hero.png"), "the note")
    assert "hero.png is an HDR picture (PQ)" in studio.note("masked/hero.png")
    assert 'write hdr = "tonemap" at the top of its brief' in studio.note("masked/hero.png")
    studio.put("masked/hero.toml", 'hdr = "tonemap"\n' + EXPORT)
    studio.until(lambda: studio.folders().get("delivered"), "the delivery")
    manifest = studio.manifest("delivered/hero.manifest.json")
    assert [stage["hdr"] for stage in manifest["stages"]] == ["tonemap", "tonemap"]
    assert 'hdr = "tonemap"\n' in manifest["brief"]
    result = decode(studio.read("delivered/hero_web.png"), "a.png", LIMIT)
    assert result.icc == profiles.builtin_profile("srgb")
    assert 0.2 < result.pixels.mean() < 0.9


def test_a_float_tiff_of_another_range_is_scaled_when_the_brief_says_so(studio: Studio) -> None:
    """It is held with its range, never white."""
    out = io.BytesIO()
    tifffile.imwrite(out, codes().astype(np.float32), photometric="rgb")
    studio.put("graded/hero.tif", out.getvalue())
    studio.put("graded/hero.toml", EXPORT)
    studio.until(lambda: studio.note("graded/hero.tif"), "the note")
    assert "hero.tif holds floating-point values from " in studio.note("graded/hero.tif")
    assert "float_range = 255" in studio.note("graded/hero.tif")
    studio.put("graded/hero.toml", "float_range = 255\n" + EXPORT)
    studio.until(lambda: studio.folders().get("delivered"), "the delivery")
    result = decode(studio.read("delivered/hero_web.png"), "a.png", LIMIT)
    assert np.abs(result.pixels * 255 - codes()).max() < 0.01


def test_a_wide_table_keeps_its_colours_to_the_end(studio: Studio) -> None:
    """Resizing and a grade stay in the picture's own space; the deliverable has its profile."""
    icc = rgb_table_profile()
    wide = np.full((64, 64, 3), (10, 250, 10), np.uint8)
    out = io.BytesIO()
    Image.fromarray(wide).save(out, "PNG", icc_profile=icc)
    brief = '[[grade]]\nop = "resize"\nfactor = 0.5\n[[deliver]]\nop = "export"\nformat = "png"\nsize = [16, 16]\n'
    studio.put("masked/hero.png", out.getvalue())
    studio.put("masked/hero.toml", brief)
    studio.until(lambda: studio.folders().get("delivered"), "the delivery")
    result = decode(studio.read("delivered/hero.png"), "a.png", LIMIT)
    assert result.icc == icc
    assert np.abs(result.to_codes().astype(int) - (10, 250, 10)).max() <= 1
    assert colour.convert_profile(result, "srgb").pixels[0, 0, 0] == 0
