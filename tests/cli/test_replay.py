"""``goldsmith replay`` prints a line for each deliverable and the cause of a difference, and has an exit code for each result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from doubles.deliveries import CAMPAIGN, COLD, MANIFEST, PRINT, Delivery, hero
from doubles.pictures import png


@pytest.fixture(scope="module")
def module_delivery(tmp_path_factory: pytest.TempPathFactory) -> Delivery:
    return hero(tmp_path_factory.mktemp("hero"))


@pytest.fixture
def delivery(module_delivery: Delivery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Delivery:
    monkeypatch.setenv("GOLDSMITH_THREADS", "1")
    monkeypatch.setenv("GOLDSMITH_CPU_WORKERS", "1")
    return module_delivery.copied(tmp_path)


def test_identical_deliverables_give_code_0(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The manifest's path gives the root."""
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == ["hero_web.jpg: identical.", "hero_print.png: identical."]


def test_a_difference_gives_its_size_place_and_cause_and_code_6(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The cause is the changed look. --keep saves the new files."""
    delivery.at("library/looks/warm.cube").write_text(COLD)
    result = goldsmith("replay", delivery.at(MANIFEST), "--keep", "made")
    assert result.code == 6
    web, print_, place, cause, kept = result.out.splitlines()
    assert web.startswith("hero_web.jpg: differs by ")
    assert print_.startswith("hero_print.png: differs by ")
    assert " at most (of 255), in " in print_
    assert print_.endswith(" % of the pixels.")
    assert place == "The first difference is in grade.1 (grade)."
    assert cause.startswith("  grade.1 (grade): library/looks/warm.cube was changed (sha256 recorded ")
    assert kept == "The new files are in made."
    assert sorted(path.name for path in Path("made").iterdir()) == ["hero_print.png", "hero_web.jpg"]


def test_changes_are_listed_even_if_the_pixels_are_the_same(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The record has another thread count and another version of torch."""
    delivery.edit(lambda content: content["stages"][1]["environment"].update(threads=16, torch="1.0"))
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert result.code == 0
    assert result.out.splitlines()[2] == "The same, although this changed:"
    assert "  the number of threads was 16, here it is 1." in result.out.splitlines()
    assert "  torch was 1.0, here it is " in result.out


def test_a_difference_that_the_record_does_not_explain_is_reported(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """No cause is guessed."""
    delivery.edit(lambda content: content["stages"][2]["steps"][0].update(picture_hash="0" * 16))
    delivery.edit(_change_delivered_hashes)
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert result.code == 6
    assert result.out.splitlines()[-2:] == ["The first difference is in grade.1 (grade).", "  The record does not explain it."]


def test_json_has_the_whole_report_on_one_line(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The report has verdicts, figures, place and causes, also with exit code 6."""
    delivery.at("library/looks/warm.cube").write_text(COLD)
    result = goldsmith("replay", delivery.at(MANIFEST), "--json")
    assert result.code == 6
    report = json.loads(result.out)
    assert report["same"] is False
    assert report["first_difference"] == {"stage": "grade", "step": 1, "op": "grade"}
    assert [each["file"] for each in report["deliverables"]] == ["hero_web.jpg", "hero_print.png"]
    assert {"mean", "max", "changed_share", "depth"} <= report["deliverables"][1]["difference"].keys()
    assert (len(report["causes"]), report["other_changes"], report["manifest"]) == (1, [], str(delivery.at(MANIFEST)))


def test_an_edited_deliverable_is_named(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """A line below the verdict names the deliverable. The verdict does not change."""
    delivery.at(PRINT).write_bytes(png(8, 48, 32))
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert result.code == 0
    assert result.out.splitlines()[1:] == [
        "hero_print.png: identical.",
        "  hero_print.png has been changed since it was delivered.",
    ]


def test_a_missing_original_gives_code_3(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The sentence gives the path in the archive."""
    delivery.archived(f"selected/{CAMPAIGN}/hero.mask.png").unlink()
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert (result.code, result.out) == (3, "")
    assert "hero.mask.png (sha256 " in result.err
    assert "there is no file at archive/" in result.err


def test_missing_weights_give_the_command_that_fetches_them(goldsmith: Goldsmith, delivery: Delivery) -> None:
    """The exit code is 3. No other model is used instead."""
    delivery.edit(lambda content: content["stages"][1]["steps"][0]["engine"].update(name="migan"))
    result = goldsmith("replay", delivery.at(MANIFEST))
    assert result.code == 3
    assert "goldsmith models fetch migan" in result.err


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("delivered/none.manifest.json", 2, "does not exist"),
        (PRINT, 3, "hero_print.png is not a manifest"),
        ("delivered", 2, "does not exist"),
    ],
)
def test_a_file_that_is_no_manifest_is_an_error(goldsmith: Goldsmith, delivery: Delivery, name: str, code: int, expected: str) -> None:
    """The exit code is 2 for a missing file and 3 for another file."""
    result = goldsmith("replay", delivery.at(name), "--root", delivery.root)
    assert result.code == code
    assert expected in result.err


@pytest.mark.parametrize("name", [lambda delivery: MANIFEST, lambda delivery: delivery.at(MANIFEST)])
def test_a_manifest_is_named_from_the_root_or_by_an_absolute_path(
    goldsmith: Goldsmith, delivery: Delivery, name: Callable[[Delivery], object]
) -> None:
    """--root gives the root."""
    assert goldsmith("replay", name(delivery), "--root", delivery.root).code == 0


def test_a_copy_of_the_manifest_in_another_folder_works(goldsmith: Goldsmith, delivery: Delivery, tmp_path: Path) -> None:
    """The archive and the library are those of the root. The output says that the deliverables are not beside the manifest."""
    copy = tmp_path / "safe.manifest.json"
    copy.write_bytes(delivery.at(MANIFEST).read_bytes())
    result = goldsmith("replay", copy, "--root", delivery.root)
    assert result.code == 0
    assert "  hero_web.jpg is no longer beside its manifest." in result.out.splitlines()


def _change_delivered_hashes(content: dict[str, object]) -> None:
    for row in content["deliverables"]:  # type: ignore[attr-defined]
        for output in content["stages"][-1]["outputs"]:  # type: ignore[index]
            if output["sha256"] == row["sha256"]:
                output["sha256"] = "ef" * 32
        row["sha256"] = "ef" * 32
