"""``goldsmith replay``: one line for each deliverable, why they differ if they do, and an exit code that a program can go by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from doubles.deliveries import CAMPAIGN, COLD, MANIFEST, PRINT, Delivery, hero
from doubles.pictures import png


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return hero(tmp_path_factory.mktemp("hero"))


@pytest.fixture
def done(once: Delivery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setenv("GOLDSMITH_THREADS", "1")
    monkeypatch.setenv("GOLDSMITH_CPU_WORKERS", "1")
    return once.copied(tmp_path)


def test_identical_is_said_for_each_deliverable_and_the_code_is_0(goldsmith: Goldsmith, done: Delivery) -> None:
    """From the manifest's path alone: the root is the one that it lies in."""
    told = goldsmith("replay", done.at(MANIFEST))
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == ["hero_web.jpg: identical.", "hero_print.png: identical."]


def test_a_difference_says_how_far_where_from_and_why_and_the_code_is_6(goldsmith: Goldsmith, done: Delivery) -> None:
    """The changed look, named; what was made now is kept to be looked at."""
    done.at("library/looks/warm.cube").write_text(COLD)
    told = goldsmith("replay", done.at(MANIFEST), "--keep", "made")
    assert told.code == 6
    web, print_, place, why, kept = told.out.splitlines()
    assert web.startswith("hero_web.jpg: differs by ")
    assert print_.startswith("hero_print.png: differs by ")
    assert " at worst (of 255), in " in print_
    assert print_.endswith(" % of the pixels.")
    assert place == "The ways part at grade.1 (grade)."
    assert why.startswith("  grade.1 (grade): library/looks/warm.cube was changed (sha256 recorded ")
    assert kept == "What was made now lies in made."
    assert sorted(path.name for path in Path("made").iterdir()) == ["hero_print.png", "hero_web.jpg"]


def test_what_was_other_is_named_even_where_nothing_differs(goldsmith: Goldsmith, done: Delivery) -> None:
    """Another thread count and another version on record."""
    done.edit(lambda content: content["stages"][1]["environment"].update(threads=16, torch="1.0"))
    told = goldsmith("replay", done.at(MANIFEST))
    assert told.code == 0
    assert told.out.splitlines()[2] == "The same, although:"
    assert "  the number of threads was 16, here it is 1." in told.out.splitlines()
    assert "  torch was 1.0, here it is " in told.out


def test_what_nothing_explains_is_said(goldsmith: Goldsmith, done: Delivery) -> None:
    """Rather than something that might be it."""
    done.edit(lambda content: content["stages"][2]["steps"][0].update(picture_hash="0" * 16))
    done.edit(_delivered_otherwise)
    told = goldsmith("replay", done.at(MANIFEST))
    assert told.code == 6
    assert told.out.splitlines()[-2:] == ["The ways part at grade.1 (grade).", "  Nothing that is on record explains it."]


def test_json_has_all_of_it_on_one_line(goldsmith: Goldsmith, done: Delivery) -> None:
    """Verdicts, figures, place and reasons, also where the exit code is 6."""
    done.at("library/looks/warm.cube").write_text(COLD)
    told = goldsmith("replay", done.at(MANIFEST), "--json")
    assert told.code == 6
    found = json.loads(told.out)
    assert found["same"] is False
    assert found["first_difference"] == {"stage": "grade", "step": 1, "op": "grade"}
    assert [each["file"] for each in found["deliverables"]] == ["hero_web.jpg", "hero_print.png"]
    assert {"mean", "max", "changed_share", "depth"} <= found["deliverables"][1]["difference"].keys()
    assert (len(found["causes"]), found["other_changes"], found["manifest"]) == (1, [], str(done.at(MANIFEST)))


def test_an_edited_deliverable_is_named(goldsmith: Goldsmith, done: Delivery) -> None:
    """Below its line; it changes nothing about the verdict."""
    done.at(PRINT).write_bytes(png(8, 48, 32))
    told = goldsmith("replay", done.at(MANIFEST))
    assert told.code == 0
    assert told.out.splitlines()[1:] == [
        "hero_print.png: identical.",
        "  hero_print.png has been changed since it was delivered.",
    ]


def test_a_missing_original_is_a_sentence_with_code_3(goldsmith: Goldsmith, done: Delivery) -> None:
    """With the place where it was looked for."""
    done.archived(f"selected/{CAMPAIGN}/hero.mask.png").unlink()
    told = goldsmith("replay", done.at(MANIFEST))
    assert (told.code, told.out) == (3, "")
    assert "hero.mask.png (sha256 " in told.err
    assert "there is no file at archive/" in told.err


def test_missing_weights_are_a_sentence_with_the_command_that_gets_them(goldsmith: Goldsmith, done: Delivery) -> None:
    """Code 3, and nothing is delivered by another model in its stead."""
    done.edit(lambda content: content["stages"][1]["steps"][0]["engine"].update(name="migan"))
    told = goldsmith("replay", done.at(MANIFEST))
    assert told.code == 3
    assert "goldsmith models fetch migan" in told.err


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("delivered/none.manifest.json", 2, "is not there"),
        (PRINT, 3, "hero_print.png is not a manifest"),
        ("delivered", 2, "is not there"),
    ],
)
def test_what_is_no_manifest_is_told_apart(goldsmith: Goldsmith, done: Delivery, name: str, code: int, words: str) -> None:
    """Wrong use is 2, a wrong file is 3."""
    told = goldsmith("replay", done.at(name), "--root", done.root)
    assert told.code == code
    assert words in told.err


@pytest.mark.parametrize("spelt", [lambda done: MANIFEST, lambda done: done.at(MANIFEST)])
def test_a_manifest_is_named_from_the_root_or_whole(goldsmith: Goldsmith, done: Delivery, spelt: Callable[[Delivery], object]) -> None:
    """As other files are."""
    assert goldsmith("replay", spelt(done), "--root", done.root).code == 0


def test_a_copy_of_the_manifest_elsewhere_will_do(goldsmith: Goldsmith, done: Delivery, tmp_path: Path) -> None:
    """The archive and the library are those of the root; the deliverables are not beside it, and that is said."""
    copy = tmp_path / "safe.manifest.json"
    copy.write_bytes(done.at(MANIFEST).read_bytes())
    told = goldsmith("replay", copy, "--root", done.root)
    assert told.code == 0
    assert "  hero_web.jpg is no longer beside its manifest." in told.out.splitlines()


def _delivered_otherwise(content: dict[str, object]) -> None:
    for row in content["deliverables"]:  # type: ignore[attr-defined]
        for output in content["stages"][-1]["outputs"]:  # type: ignore[index]
            if output["sha256"] == row["sha256"]:
                output["sha256"] = "ef" * 32
        row["sha256"] = "ef" * 32
