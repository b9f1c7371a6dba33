"""``goldsmith check``: everything that is wrong at once, or what would be run; nothing is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.files import resource_path

GOOD = """
title = "Spring"
[[generate]]
op = "select"
[[edit]]
op = "inpaint"
where = "sky"
[[deliver]]
op = "export"
name = "web"
format = "jpeg"
"""
BAD = """
titel = "Spring"
[[edit]]
op = "inpant"
[[edit]]
op = "upscale"
factor = 9
[[grade]]
op = "grade"
look = "warm"
"""


def _put(root: Path, path: str, text: str = "x") -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return root / path


def test_a_right_brief_is_shown_stage_by_stage(goldsmith: Goldsmith, root: Path) -> None:
    """Its own steps, the stages between that pass as they are, where it ends, and what it would wait for."""
    _put(root, "inbox/hero.png")
    told = goldsmith("check", _put(root, "inbox/hero.toml", GOOD))
    assert told.code == 0
    assert told.out.startswith("hero.toml: nothing is wrong. It was read as a brief.")
    assert [row[:3] for row in told.rows[2:6]] == [
        ["generate", "1. select", ""],
        ["edit", "1. inpaint", 'where = "sky"'],
        ["grade", "-", "passes as it is"],
        ["deliver", "1. export", 'name = "web", format = "jpeg"'],
    ]
    assert "Then it lies in delivered/, finished." in told.out
    assert "It waits for a mask: “hero.mask.sky.png” beside the picture." in told.out


def test_a_brief_with_the_ending_that_windows_hides_is_a_brief(goldsmith: Goldsmith, root: Path) -> None:
    """It is read as one, as the folders do."""
    told = goldsmith("check", _put(root, "inbox/hero.toml.txt", GOOD))
    assert told.out.startswith("hero.toml.txt: nothing is wrong. It was read as a brief.")


def test_a_layer_that_is_nowhere_is_told_before_anything_waits_for_it(goldsmith: Goldsmith, root: Path) -> None:
    """Beside the picture or in the library it is there, whatever its case; then nothing is said."""
    brief = '[[grade]]\nop = "composite"\nlayers = [{ from = "logo" }]\n'
    told = "It waits for a layer: “hero.layer.logo.png” beside the picture, or “logo” in library/plates/ or library/logos/."
    _put(root, "masked/hero.png")
    _put(root, "masked/hero.toml", brief)
    assert told in goldsmith("check", root / "masked/hero.toml").out
    beside = _put(root, "masked/hero.layer.LOGO.png")
    assert "waits for a layer" not in goldsmith("check", root / "masked/hero.toml").out
    beside.unlink()
    _put(root, "library/logos/logo.png")
    assert "waits for a layer" not in goldsmith("check", root / "masked/hero.toml").out


def test_everything_that_is_wrong_is_said_at_once(goldsmith: Goldsmith, root: Path) -> None:
    """Key, operation, range and library, each with its place; exit code 3; nothing on stdout."""
    told = goldsmith("check", _put(root, "inbox/hero.toml", BAD))
    assert (told.code, told.out) == (3, "")
    for place in ("titel", "edit.1.op", "edit.2.factor", "grade.1.look"):
        assert f"- {place} " in told.err or f"- {place}:" in told.err


def test_the_campaigns_brief_and_the_recipe_are_checked_with_it(goldsmith: Goldsmith, root: Path) -> None:
    """Faults of all files that speak for a picture, each with its file's name."""
    _put(root, "inbox/acme/hero.png")
    _put(root, "inbox/acme/brief.toml", '[[edit]]\nop = "upscale"\nfactor = 7\n')
    _put(root, "library/recipes/spring.toml", '[[grade]]\nop = "grade"\nsaturation = 9\n')
    told = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n[[generate]]\nop = "select"\nkeep = 0\n'))
    assert told.code == 3
    assert "hero.toml: generate.1.keep" in told.err
    assert "brief.toml: edit.1.factor" in told.err
    told = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n[[generate]]\nop = "select"\n'))
    assert "library/recipes/spring.toml: grade.1.saturation" in told.err
    assert "brief.toml: edit.1.factor" in told.err


def test_steps_say_which_file_they_come_from(goldsmith: Goldsmith, root: Path) -> None:
    """Own brief, recipe, campaign's brief, the line's defaults."""
    _put(root, "inbox/acme/brief.toml", '[[deliver]]\nop = "export"\n')
    _put(root, "library/recipes/spring.toml", '[[grade]]\nop = "grade"\nsaturation = 0.5\n')
    _put(root, "inbox/acme/hero.png")
    told = goldsmith("check", _put(root, "inbox/acme/hero.toml", 'recipe = "spring"\n'))
    sources = {row[0]: row[3] for row in told.rows[2:6]}
    assert sources == {"generate": "config/pipeline.toml", "edit": "", "grade": "library/recipes/spring.toml", "deliver": "brief.toml"}


def test_a_missing_recipe_is_a_fault(goldsmith: Goldsmith, root: Path) -> None:
    """With the shelf where it was looked for."""
    told = goldsmith("check", _put(root, "inbox/hero.toml", 'recipe = "sprng"\n'))
    assert told.code == 3
    assert "There is no “sprng” in library/recipes/" in told.err


def test_a_look_beside_the_picture_counts(goldsmith: Goldsmith, root: Path) -> None:
    """As it will when it is run."""
    _put(root, "masked/hero.png")
    brief = _put(root, "masked/hero.toml", '[[grade]]\nop = "grade"\nlook = "hero"\n')
    assert goldsmith("check", brief).code == 3
    _put(root, "masked/hero.cube")
    assert goldsmith("check", brief).code == 0
    assert goldsmith("check", root / "masked/hero.cube").code == 0


def test_a_picture_is_checked_with_all_that_lies_beside_it(goldsmith: Goldsmith, root: Path) -> None:
    """Alone it asks for nothing; with a mask the stage's own steps are shown; with two claimants the sentence says so."""
    picture = _put(root, "selected/hero.png")
    assert "nothing is asked for" in goldsmith("check", picture).out
    _put(root, "selected/hero.mask.png")
    assert ["edit", "1. inpaint", 'where = "mask"', "config/pipeline.toml"] in goldsmith("check", picture).rows
    _put(root, "selected/hero.jpg")
    told = goldsmith("check", picture)
    assert told.code == 3
    assert "could belong to" in told.err


@pytest.mark.parametrize("place", ["library/recipes/spring.toml", "elsewhere/recipes/spring.toml"])
def test_a_recipe_is_known_by_its_place(goldsmith: Goldsmith, root: Path, tmp_path: Path, place: str) -> None:
    """In the library or in any folder called recipes."""
    base = root if place.startswith("library") else tmp_path
    told = goldsmith("check", _put(base, place, '[[grade]]\nop = "grade"\nsaturation = 0.5\n'), "-r", root)
    assert told.code == 0
    assert "It was read as a recipe." in told.out


def test_a_prompt_is_checked_as_one(goldsmith: Goldsmith, root: Path) -> None:
    """UTF-8 and not endless."""
    _put(root, "selected/hero.png")
    assert goldsmith("check", _put(root, "selected/hero.txt", "a desk")).code == 0
    (root / "selected/hero.txt").write_bytes("Bäume".encode("latin-1"))
    assert goldsmith("check", root / "selected/hero.txt").code == 3


@pytest.mark.parametrize(
    ("name", "what"), [("pipeline.toml", "a line file"), ("goldsmith.toml", "a house file"), ("models.toml", "a models file")]
)
@pytest.mark.parametrize("renamed", [False, True], ids=["by name", "by content"])
def test_configuration_is_known_by_name_or_content(goldsmith: Goldsmith, tmp_path: Path, name: str, what: str, renamed: bool) -> None:
    """Those that travel with the program are right, under whatever name."""
    text = resource_path("config", name).read_text()
    if name == "goldsmith.toml":
        text += "quiet = 5.0\n"
    told = goldsmith("check", _put(tmp_path, f"new-{name.replace('line', 'way').replace('house', 'home')}" if renamed else name, text))
    assert told.code == 0
    assert f"It was read as {what}." in told.out


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("pipeline.toml", '[[stage]]\nname = "edit"\nfolder = "a/b"\nnext = "c"\n', "stage.1.folder"),
        ("goldsmith.toml", 'quiet = "soon"\nquite = 1\n', "quite"),
        ("models.toml", "[models.x]\nkind = 1\n", "models.x.kind"),
    ],
)
def test_a_wrong_configuration_ends_with_two(goldsmith: Goldsmith, tmp_path: Path, name: str, text: str, place: str) -> None:
    """It is the admin's business, not the designer's."""
    told = goldsmith("check", _put(tmp_path, name, text))
    assert told.code == 2
    assert place in told.err


def test_a_brief_is_checked_before_it_is_dropped(goldsmith: Goldsmith, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside every root against what travels with the program; with --root against that root's library."""
    brief = _put(tmp_path, "desk/hero.toml", '[[grade]]\nop = "grade"\nlook = "warm"\n')
    monkeypatch.setattr("goldsmith.cli.location.resource_path", lambda *parts: tmp_path / "installed" / "shipped" / "samples")
    assert goldsmith("check", brief).code == 0
    assert goldsmith("check", brief, "--root", root).code == 3


@pytest.mark.parametrize("case", ["gone", "folder", "pipe", "huge", "deep", "binary", "other"])
def test_whatever_is_named_gets_a_sentence(goldsmith: Goldsmith, root: Path, case: str) -> None:
    """Missing, no file, a pipe, 100 MB, 10,000 levels, no text, no business of ours: never a hang, never a traceback."""
    path = root / "inbox" / ("it.doc" if case == "other" else "it.toml")
    if case == "folder":
        path.mkdir()
    elif case == "pipe":
        os.mkfifo(path)
    elif case == "huge":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    elif case != "gone":
        path.write_bytes({"deep": b"a = " + b"[" * 10_000, "binary": b"\0\xff\xfe" * 10, "other": b"x"}[case])
    told = goldsmith("check", path, "-r", root)
    assert told.code == (2 if case in ("gone", "other") else 3)
    assert told.err.startswith("goldsmith: ")
    assert len(told.err) < 2000


def test_weights_that_are_not_here_are_told(goldsmith: Goldsmith, root: Path) -> None:
    """With the command that gets them; the brief is right all the same."""
    told = goldsmith("check", _put(root, "selected/hero.toml", '[[edit]]\nop = "upscale"\nfactor = 4\nmodel = "realesrgan-x4plus"\n'))
    assert told.code == 0
    assert "goldsmith models fetch realesrgan-x4plus" in told.out


def test_a_brief_that_ended_before_its_folder_says_so(goldsmith: Goldsmith, root: Path) -> None:
    """What a picture would wait for there."""
    _put(root, "graded/hero.png")
    told = goldsmith("check", _put(root, "graded/hero.toml", '[[edit]]\nop = "denoise"\n'))
    assert told.code == 0
    assert "It ends with edit: in graded/ a picture waits for [[deliver]]" in told.out
