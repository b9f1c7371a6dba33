"""The page of one picture, and that of a set of candidates."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from doubles.web_pages import AS_BROWSER, client_of, lay_candidates, lay_in_review, make_page, signed_in_client, small_png
from goldsmith.journal.records import HistoryRow
from goldsmith.web.history_strip import found_boxes, stage_words, strip_entries
from goldsmith.web.page import Page


def row(**changes: object) -> HistoryRow:
    values = {"job_id": "j1", "path": "selected/hero.png", "sha256": "", "started_at": 10.0, "taken_at": 20.0, "stage": "edit"}
    return HistoryRow.model_validate({**values, "outcome": "passed", **changes})


def look(client: TestClient, path: str) -> str:
    answer = client.get(f"/look/{path}", headers=AS_BROWSER)
    assert answer.status_code == 200
    return answer.text


def test_a_result_in_review_is_shown_with_what_it_was_made_from(root: Path, client: TestClient) -> None:
    """Before, mask and sheet are those beside it."""
    html = look(client, lay_in_review(root))
    assert 'data-before="review/acme/hero.review.before.png"' in html
    assert 'data-mask="review/acme/hero.review.before.mask.png"' in html
    assert 'href="/look/review/acme/hero.review.jpg"' in html
    assert 'data-decision="approve"' in html
    assert "Waits for your eye since" in html


def test_a_sheet_is_shown_by_itself_with_the_way_back(root: Path, client: TestClient) -> None:
    """Before and mask of its result have another size, and are on it already."""
    path = lay_in_review(root)
    html = look(client, path.replace("hero.png", "hero.review.jpg"))
    assert "data-before=" not in html
    assert "data-mask=" not in html
    assert f'href="/look/{path}">Back to the picture</a>' in html


def test_the_masks_that_wait_with_a_picture_can_be_painted(root: Path, client: TestClient) -> None:
    """A mask that waits itself, by its name; of a result that of the next try; nobody else gets the buttons."""
    path = lay_in_review(root)
    html = look(client, path)
    assert 'href="/paint/review/acme/hero.review.before.png?name=mask">Paint the mask of the next try</a>' in html
    assert html.count('href="/paint/') == 1
    for name in ("hero.mask.png", "hero.mask.step2.png"):
        (root / "review/acme" / name).write_bytes(small_png(255))
    html = look(client, path)
    assert 'href="/paint/review/acme/hero.png?name=mask">Paint over the mask</a>' in html
    assert 'href="/paint/review/acme/hero.png?name=step2">Paint over the mask: step2</a>' in html
    page = make_page(root, proxy_header="X-User", proxy_addresses=["10.0.0.2"])
    assert "/paint/" not in look(client_of(page, client=("10.0.0.2", 5), headers={"x-user": "bertha"}), path)


def test_a_person_who_may_look_gets_no_buttons(root: Path) -> None:
    """Those of another role would be refused anyhow."""
    path = lay_in_review(root)
    page = make_page(root, proxy_header="X-User", proxy_addresses=["10.0.0.2"])
    client = client_of(page, client=("10.0.0.2", 5), headers={"x-user": "bertha"})
    assert "data-decision" not in look(client, path)


def test_a_picture_that_waits_for_nobody_gets_no_buttons(root: Path, client: TestClient) -> None:
    """In a stage's folder, and in a tray."""
    for path in ("inbox/hero.png", "review/approve/hero.png"):
        (root / path).write_bytes(small_png(1))
        assert "data-decision" not in look(client, path)


def test_the_way_leads_from_one_waiting_picture_to_the_next(root: Path, page: Page) -> None:
    """In the order of the list."""
    lay_in_review(root, "one")
    lay_in_review(root, "two")
    html = look(signed_in_client(page), "review/acme/one.png")
    assert 'id="next" rel="next" href="/look/review/acme/two.png"' in html


def test_a_set_is_shown_as_a_grid_of_its_candidates(root: Path, client: TestClient) -> None:
    """Whichever of them is named."""
    paths = lay_candidates(root, 3)
    for path in paths:
        html = client.get(f"/pick/{path}", headers=AS_BROWSER).text
        assert html.count('role="option"') == 3
    assert "Waits for your pick among 3 candidates" in html


def test_what_is_no_candidate_cannot_be_picked(root: Path, client: TestClient) -> None:
    """A picture in the inbox has no set."""
    (root / "inbox" / "hero.png").write_bytes(small_png(1))
    assert client.get("/pick/inbox/hero.png").status_code == 404


def test_the_strip_has_the_original_and_every_version_where_it_lies_now(root: Path, page: Page) -> None:
    """A version that a later job took is in the archive; the sheet of a review is no version."""
    (root / "archive" / "hero.png").write_bytes(small_png(1))
    (root / "archive" / "masked.png").write_bytes(small_png(2))
    (root / "graded" / "hero.png").write_bytes(small_png(3))
    rows = [
        row(results=("masked/hero.png", "masked/hero.review.jpg"), record={"archived": {"selected/hero.png": "archive/hero.png"}}),
        row(
            job_id="j2",
            parent_job_id="j1",
            path="masked/hero.png",
            stage="grade",
            results=("graded/hero.png",),
            record={"archived": {"masked/hero.png": "archive/masked.png"}},
        ),
        row(job_id="j3", parent_job_id="j2", path="graded/hero.png", stage="deliver", results=("delivered/hero.png",)),
    ]
    entries = strip_entries(rows, page.root)
    assert [(entry.title, entry.path) for entry in entries] == [
        ("original", "archive/hero.png"),
        ("edit", "archive/masked.png"),
        ("grade", "graded/hero.png"),
        ("deliver", ""),
    ]


def test_an_approval_is_no_version_of_its_own(root: Path, page: Page) -> None:
    """The file is the same, at its new place."""
    (root / "masked/hero.png").write_bytes(small_png(3))
    same = {"outputs": [{"role": "picture", "tail": ".png", "sha256": "aa"}], "review": {"decision": "approve", "by": "anna"}}
    rows = [
        row(results=("review/hero.png",)),
        row(
            job_id="j2", parent_job_id="j1", path="review/hero.png", sha256="aa", stage="review", results=("masked/hero.png",), record=same
        ),
    ]
    assert [(entry.title, entry.path) for entry in strip_entries(rows, page.root)][1:] == [("edit, approved by anna", "masked/hero.png")]


def test_who_has_dropped_painted_and_written_is_said(page: Page) -> None:
    """In the strip beside the version, and among what was done; of files that were put there by hand nothing is said."""
    inputs = [
        {"role": "picture", "name": "", "path": "selected/hero.png", "sha256": "a", "by": "anna", "act": "dropped"},
        {"role": "mask", "name": "mask", "path": "selected/hero.mask.png", "sha256": "b", "by": "bertha", "act": "painted"},
        {"role": "look", "name": "", "path": "selected/hero.cube", "sha256": "c"},
        {"role": "brief", "name": "", "path": "selected/hero.toml", "sha256": "d", "by": "anna", "act": "written"},
    ]
    rows = [row(results=("masked/hero.png",), record={"inputs": inputs})]
    people = ("dropped by anna", "mask painted by bertha", "brief written by anna")
    assert [entry.title for entry in strip_entries(rows, page.root)] == [f"original, {people[0]}", f"edit, {people[1]}, {people[2]}"]
    assert stage_words(rows)[0].lines == people


def test_only_settings_that_are_not_the_defaults_are_said() -> None:
    """A grade has dozens; of a table, only the entries that somebody has set. Those of an unknown operation are all said."""
    grade = {
        "exposure": 0.0,
        "saturation": 1.3,
        "look": "",
        "shadows": {"lightness": 0.0, "temperature": -12.0, "tint": 0.0, "saturation": 0.0},
    }
    steps = [{"op": "grade", "settings": grade}, {"op": "from_later", "settings": {"a": 1, "b": None}}]
    (words,) = stage_words([row(record={"steps": steps})])
    assert words.lines == ("1. grade: saturation 1.3, shadows (temperature -12.0)", "2. from_later: a 1")


def test_what_was_done_is_said_in_words() -> None:
    """Settings, model, seed and time; the pixels outside the mask; a decision with its person and remark."""
    step = {
        "op": "erase",
        "settings": {"where": "face", "grow": 12, "shadow": True},
        "seed": 7,
        "seconds": 1.25,
        "engine": {"name": "migan"},
        "findings": {"outside_pixels": 1000, "outside_changed": 0},
    }
    review = {"decision": "approve", "by": "anna", "remark": "lovely\x1b[31m"}
    edit, decision = stage_words([row(record={"steps": [step]}), row(stage="review", record={"review": review})])
    assert edit.lines == (
        "1. erase: where “face”, grow 12, shadow on; made with migan, seed 7; 1.2 s",
        "Outside the mask 0 of 1,000 pixels changed.",
    )
    assert (decision.title, decision.lines) == ("approved by anna", ("“lovely�[31m”",))


def test_a_record_of_another_form_is_left_out() -> None:
    """It may come from a newer version of the program."""
    odd = {"steps": [7, {"op": None, "settings": [], "findings": {"outside_pixels": "many"}}], "review": "yes"}
    assert stage_words([row(record=odd)])[0].title == "edit"
    assert found_boxes(row(record={"steps": [{"op": "x", "findings": {"faces": [{"box": [1, 2, "3", 4]}, {"box": 5}]}}]})) == []
    assert found_boxes(None) == []


def test_the_places_that_a_step_has_found_are_boxes() -> None:
    """Each with the operation and the name of the finding."""
    findings = {"doubtful_fills": [{"box": [1, 2, 30, 40], "cost": 5}], "deep": {"inner": {"box": [0, 0, 1, 1]}}}
    boxes = found_boxes(row(record={"steps": [{"op": "erase", "findings": findings}]}))
    assert [(box.name, box.left, box.height) for box in boxes] == [("erase: doubtful fills", 1, 40), ("erase: inner", 0, 1)]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>.png", '" onload="alert(1).png', "a'b.png"])
def test_a_hostile_name_stays_text_on_the_page_of_its_picture(root: Path, client: TestClient, name: str) -> None:
    """In attributes and in text."""
    from goldsmith.web.page import url_path

    name = name.replace("/", "_")
    (root / "inbox" / name).write_bytes(small_png(1))
    html = look(client, url_path(f"inbox/{name}"))
    assert "<script>alert" not in html
    assert 'onload="alert' not in html
