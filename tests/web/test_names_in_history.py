"""A decision on the page is a row of the history with the name of the person; a name that nobody has signed in with is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles.jobs import png
from doubles.studio import Studio, studio_at
from doubles.web_pages import AS_BROWSER, make_page, signed_in_client, version_at
from goldsmith.cli.history import _decision_text, _table_row

BRIEF = 'review = ["edit"]\n[[edit]]\nop = "grade"\nexposure = 1.0\n'


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    with studio_at(tmp_path) as studio:
        monkeypatch.setenv("GOLDSMITH_QUIET", "0.1")
        monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(studio.state_dir))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield studio


def test_the_history_says_who_has_approved(studio: Studio) -> None:
    """One picture was approved by Anna on the page, one was dragged by somebody, and one was moved again after Anna."""
    for stem in ("hero", "dragged", "moved"):
        studio.put(f"selected/acme/{stem}.toml", BRIEF)
        studio.put(f"selected/acme/{stem}.png", png(np.full((8, 8, 3), len(stem) / 10, np.float32)))
    studio.until_idle()
    studio.stop()
    page = make_page(studio.root)
    with signed_in_client(page) as client:
        for stem in ("hero", "moved"):
            path = f"review/acme/{stem}.png"
            answer = client.post("/decide", json={"path": path, "version": version_at(page, path), "decision": "approve"})
            assert answer.status_code == 200
    moved = studio.at("review/approve/acme/moved.png")
    moved.rename(studio.at("review/moved.png"))
    studio.at("review/moved.png").rename(moved)
    studio.at("review/acme/dragged.png").rename(studio.at("review/approve/dragged.png"))
    studio.until_idle()
    reviews = {row.path.rpartition("/")[2]: row.record["review"] for row in studio.history() if row.stage == "review"}
    assert {name: review.get("by") for name, review in reviews.items() if isinstance(review, dict)} == {
        "hero.png": "anna",
        "dragged.png": None,
        "moved.png": None,
    }
    assert studio.folders() == {"masked": [f"acme/{stem}{end}" for stem in ("dragged", "hero", "moved") for end in (".png", ".toml")]}


def test_the_history_says_who_has_painted_written_and_dropped(studio: Studio) -> None:
    """On the command line and on the page of the picture; of a brief that an editor has saved over since it says nothing."""
    shape, half = (8, 8, 3), b"\1" + bytes(32) + b"\xff" * 32
    page = make_page(studio.root)
    with signed_in_client(page) as client:
        for stem in ("hero", "edited"):
            answer = client.put(f"/upload/selected/acme/{stem}.png", content=png(np.full(shape, len(stem) / 10, np.float32)))
            assert answer.status_code == 201
            size = client.get(f"/paint-mask/selected/acme/{stem}.png").content[:12]
            mask_answer = client.put(f"/paint-mask/selected/acme/{stem}.png", params={"replaces": ""}, content=size + half)
            form = {"steps": [{"stage": "edit", "op": "grade", "texts": {"exposure": "1", "where": "mask"}}]}
            brief_answer = client.put(f"/ask/selected/acme/{stem}.png", params={"replaces": ""}, json=form)
            assert (mask_answer.status_code, brief_answer.status_code) == (200, 200), (mask_answer.text, brief_answer.text)
        brief = studio.at("selected/acme/edited.toml")
        brief.write_text(brief.read_text() + "# by hand\n")
        studio.until_idle()
        studio.stop()
        rows = {row.path.rpartition("/")[2]: row for row in studio.history()}
        assert rows["hero.png"].outcome == "passed", rows["hero.png"].record
        assert _table_row(rows["hero.png"])[-1].split("; ")[1:] == [
            "picture dropped by anna",
            "mask painted by anna",
            "brief written by anna",
        ]
        assert "brief" not in _table_row(rows["edited.png"])[-1]
        html = client.get(f"/look/{rows['hero.png'].results[0]}", headers=AS_BROWSER).text
    for words in ("original, dropped by anna", "edit, mask painted by anna, brief written by anna"):
        assert words in html


def test_the_command_line_says_it_in_words() -> None:
    """With the name and the remark, as far as there are these."""
    assert _decision_text({"decision": "approve", "of": "edit", "by": "anna"}) == "approved the result of edit, by anna"
    again = {"decision": "again", "of": "edit", "by": "anna", "remark": "warmer"}
    assert _decision_text(again) == "made again the result of edit, by anna: “warmer”"
    assert _decision_text({"decision": "reject", "of": "edit"}) == "rejected the result of edit"
