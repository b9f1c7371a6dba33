"""A series in the pipeline: ten frames of one subject with ten colour casts, and one outlier, matched to the hero in the library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PyOpenColorIO
import pytest
from skimage import data

from doubles.step_context import StepContextDouble
from doubles.studio import Studio, studio_at
from goldsmith.ops.grade.operation import Grade
from goldsmith.picture.codec import EncodingOptions, decode, encode
from goldsmith.picture.picture import Picture, freeze

_PAGE = Path(__file__).parents[2] / "docs" / "operations" / "grade.md"
_FOLDER = "masked/acme/spring"
_DRIFTS: list[dict[str, object]] = [
    {},
    {"white_balance": {"temperature": 60}},
    {"white_balance": {"temperature": -50}},
    {"white_balance": {"tint": 50}},
    {"white_balance": {"tint": -40}},
    {"exposure": 0.4},
    {"exposure": -1.2},
    {"contrast": {"amount": 40}},
    {"contrast": {"amount": -50}},
    {"exposure": -0.6, "white_balance": {"temperature": -40, "tint": 20}, "saturation": 0.8},
]


def _series_brief() -> str:
    """Return the manual's example brief that names a hero."""
    blocks = re.findall(r"^```toml\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (brief,) = [block for block in blocks if "look_from" in block]
    return str(brief)


def _picture(pixels: np.ndarray, settings: dict[str, object]) -> bytes:
    picture = Picture(freeze(pixels.astype(np.float32) / np.float32(255)))
    drift = {**settings, "shoulder": 0, "gamut": 0}  # a camera's drift has no soft limits
    return encode(Grade.model_validate(drift).apply(picture, StepContextDouble()), EncodingOptions(format="png", depth=8))


def _frame(number: int) -> bytes:
    top, left = 5 * (number % 4), 6 * (number % 5)
    return _picture(data.coffee()[top : top + 360, left : left + 560][::2, ::2], _DRIFTS[number])


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        yield studio


def test_a_series_is_matched_to_its_hero_and_the_outlier_is_held(studio: Studio) -> None:
    """The record has the drift of every frame before and after; each match is archived; the note of the outlier gives its drift."""
    studio.put("library/heroes/spring.png", _picture(data.coffee()[::2, ::2], {}))
    studio.put(f"{_FOLDER}/brief.toml", _series_brief())
    for number in range(10):
        studio.put(f"{_FOLDER}/frame{number}.png", _frame(number))
    studio.put(f"{_FOLDER}/stray.png", _picture(data.rocket()[::2, ::2], {}))
    studio.until_idle()
    graded = studio.folder("graded/acme/spring")
    assert [name for name in graded if name.endswith(".png")] == [f"frame{number}.png" for number in range(10)]
    note = studio.note(f"{_FOLDER}/stray.png")
    assert "does not match the hero spring: its drift is" in note
    assert re.search(r"after the match \d+\.\d", note)
    findings = {Path(row.path).stem: row.record["steps"][0]["findings"] for row in studio.history() if row.outcome == "passed"}  # type: ignore[index]
    for number in range(1, 10):
        drift = findings[f"frame{number}"]
        assert drift["drift_after"]["mean"] < min(2.5, 0.5 * drift["drift_before"]["mean"])
        assert "heroes/spring.png" in drift["references"]
    assert {f"{_FOLDER}/frame{number}_match.cube" for number in range(1, 10)} <= set(studio.archived())


def test_the_exported_cube_reproduces_the_match(studio: Studio) -> None:
    """The cube, used as a look, gives the same picture within one code. With cube = true it also lies beside the result."""
    studio.put("library/heroes/spring.png", _picture(data.coffee()[::2, ::2], {}))
    brief = '[[grade]]\nop = "grade"\nlook_from = "spring"\nmatch = { cube = true }\n'
    studio.put(f"{_FOLDER}/frame.png", _frame(9))
    studio.put(f"{_FOLDER}/frame.toml", brief)
    studio.until_idle()
    assert studio.folder("graded/acme/spring") == ["frame.cube", "frame.png", "frame.toml"]
    cube = studio.read("graded/acme/spring/frame.cube")
    kept = next(path for path in studio.folder("archive") if path.endswith("frame_match.cube"))
    assert studio.read(f"archive/{kept}") == cube
    studio.put("library/looks/again.cube", cube)
    studio.put("masked/again.png", _frame(9))
    studio.put("masked/again.toml", '[[grade]]\nop = "grade"\nlook = "again"\n')
    studio.until_idle()
    matched, with_look = (
        decode(studio.read(path), path, 1 << 24).to_codes().astype(int) for path in ("graded/acme/spring/frame.png", "graded/again.png")
    )
    assert np.abs(matched - with_look).max() <= 1


def test_opencolorio_reproduces_the_match_with_the_cube(studio: Studio) -> None:
    """With tetrahedral interpolation OpenColorIO makes the same picture within one code of 8 bits."""
    studio.put("library/heroes/spring.png", _picture(data.coffee()[::2, ::2], {}))
    brief = '[[grade]]\nop = "grade"\nlook_from = "spring"\nmatch = { cube = true }\n'
    for number in (1, 6, 9):
        studio.put(f"{_FOLDER}/frame{number}.png", _frame(number))
        studio.put(f"{_FOLDER}/frame{number}.toml", brief)
    studio.until_idle()
    for number in (1, 6, 9):
        name = f"graded/acme/spring/frame{number}"
        table = PyOpenColorIO.FileTransform(str(studio.at(f"{name}.cube")), interpolation=PyOpenColorIO.INTERP_TETRAHEDRAL)
        theirs = decode(_frame(number), "frame.png", 1 << 24).pixels.copy()
        PyOpenColorIO.Config.CreateRaw().getProcessor(table).getDefaultCPUProcessor().applyRGB(theirs)
        ours = decode(studio.read(f"{name}.png"), "frame.png", 1 << 24).pixels
        assert np.abs(np.clip(theirs, 0, 1) - ours).max() * 255 < 1


def test_a_missing_hero_is_reported_before_any_work(studio: Studio) -> None:
    """The note gives the nearest existing name."""
    studio.put("library/heroes/spring.png", _picture(data.coffee()[::4, ::4], {}))
    studio.put("masked/frame.png", _frame(2))
    studio.put("masked/frame.toml", '[[grade]]\nop = "grade"\nlook_from = "sprnig"\n')
    studio.until(lambda: studio.note("masked/frame.png"), "a note")
    note = studio.note("masked/frame.png")
    assert "library/heroes/ has no such .png, " in note
    assert "spring" in note


def test_a_hero_that_arrives_late_or_is_replaced_applies_from_then_on(studio: Studio) -> None:
    """A held frame moves on once its hero arrives. With a darker hero, the next frame is darker and the first stays unchanged."""
    hero, frame = data.coffee()[::4, ::4], _frame(2)
    studio.put("masked/brief.toml", 'title = "Late"\n[[grade]]\nop = "grade"\nlook_from = "spring"\n')
    studio.put("masked/one.png", frame)
    studio.until(lambda: studio.note("masked/one.png"), "a note")
    assert "there is none yet" in studio.note("masked/one.png")
    studio.put("library/heroes/spring.png", _picture(hero, {}))
    studio.until_idle()
    assert "one.png" in studio.folder("graded")
    before = studio.read("graded/one.png")
    studio.put("library/heroes/spring.png", _picture(hero, {"exposure": -1}))
    studio.put("masked/two.png", frame)
    studio.until_idle()
    assert studio.read("graded/one.png") == before
    first, second = (decode(studio.read(f"graded/{name}.png"), name, 1 << 24).pixels.mean() for name in ("one", "two"))
    assert second < 0.85 * first


def test_an_existing_cube_is_not_overwritten(studio: Studio) -> None:
    """With cube = true, a frame that has its own frame.cube is held."""
    studio.put("library/heroes/spring.png", _picture(data.coffee()[::2, ::2], {}))
    studio.put("masked/frame.cube", "LUT_3D_SIZE 2\n")
    studio.put("masked/frame.png", _frame(2))
    studio.put("masked/frame.toml", '[[grade]]\nop = "grade"\nlook_from = "spring"\nmatch = { cube = true }\n')
    studio.until(lambda: studio.note("masked/frame.png"), "a note")
    assert "frame.cube lies beside it already" in studio.note("masked/frame.png")
