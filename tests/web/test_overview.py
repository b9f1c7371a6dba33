"""The overview: every picture with its state and the reason, found by state, campaign and words."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from doubles.web_pages import AS_BROWSER, lay_candidates, lay_in_review, make_page, signed_in_client, small_png
from goldsmith.files import display_name
from goldsmith.pipeline.scheduler.text_files import TextFileCache
from goldsmith.pipeline.status import explain
from goldsmith.root_folder import RootFolder
from goldsmith.web.asset_board import Board
from goldsmith.web.overview import ROWS_PER_PAGE
from goldsmith.web.page import Page


def put(root: Path, path: str, data: bytes | str = b"x") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data.encode() if isinstance(data, str) else data)


def names(html: str) -> list[str]:
    """Return the names in the list, in its order."""
    return re.findall(r'<p class="name"><bdi dir="ltr">(?:<a [^>]*>)?([^<]+)', html)


def overview(client: TestClient, query: str = "") -> str:
    answer = client.get(f"/{query}", headers=AS_BROWSER)
    assert answer.status_code == 200
    return answer.text


@pytest.fixture
def full(root: Path) -> Path:
    """Return the root with a picture in each state that needs no daemon."""
    put(root, "inbox/alone.png")
    put(root, "selected/acme/spring/wrong.png")
    put(root, "selected/acme/spring/wrong.toml", '[[edit]]\nop = "eraze"\n')
    put(root, "selected/acme/ready.png", small_png(1))
    put(root, "selected/acme/ready.toml", '[[edit]]\nop = "grade"\nexposure = 1\n')
    put(root, "delivered/bolt/done_web.jpg")
    put(root, "delivered/bolt/done.manifest.json", "{}")
    lay_in_review(root, "waits", "acme")
    return root


def test_every_picture_is_listed_with_its_state_and_the_daemon_s_sentence(full: Path, client: TestClient) -> None:
    """Problems first, then what waits for a person; the sentences are those of `goldsmith why`."""
    assert full.is_dir()
    html = overview(client)
    assert names(html) == ["wrong.png", "waits.png", "alone.png", "ready.png", "done_web.jpg"]
    assert "there is no such operation: write op = &#34;erase&#34;" in html
    assert "Waits for your eye since" in html
    assert "Waiting for an instruction: put a mask" in html
    assert "Goldsmith is not running on these folders" in html


def test_the_list_can_be_narrowed_by_state_campaign_and_words(full: Path, client: TestClient) -> None:
    """Each alone and together; a word may be a part of the path, in upper or lower case."""
    assert full.is_dir()
    assert names(overview(client, "?state=review")) == ["waits.png"]
    assert names(overview(client, "?campaign=acme")) == ["wrong.png", "waits.png", "ready.png"]
    assert names(overview(client, "?campaign=ACME&q=SPRING")) == ["wrong.png"]
    assert names(overview(client, "?state=delivered&campaign=acme")) == []
    assert names(overview(client, "?q=acme+wrong")) == ["wrong.png"]
    assert names(overview(client, "?campaign=acm")) == []


@pytest.mark.parametrize("query", ["?state=%3Cscript%3E", "?page=-1", "?page=99999999999", "?page=x", "?q=" + "a" * 5000, "?campaign=%00"])
def test_a_query_that_means_nothing_breaks_nothing(full: Path, client: TestClient, query: str) -> None:
    """It is ignored, or nothing matches; it never comes back as code."""
    assert full.is_dir()
    assert "<script>" not in overview(client, query)


def test_a_hostile_name_stays_text(root: Path, client: TestClient) -> None:
    """In the name, the campaign, the address and the sentence, for the browser and for the eye."""
    evil = '"><img src=x onerror=alert(1)>'
    put(root, f"inbox/{evil}/{evil}.png".replace("/alert", "alert"), small_png(1))
    put(root, "inbox/<b>/\u202egnp.png")
    put(root, "selected/quote.png")
    put(root, "selected/quote.toml", '[[edit]]\nop = "<script>alert(1)</script>"\n')
    html = overview(client)
    assert "<img src=x" not in html
    assert "<b>/" not in html
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html


def test_a_name_that_is_no_utf_8_leads_to_its_picture(root: Path, client: TestClient) -> None:
    """Its link carries the bytes themselves."""
    (Path(os.fsdecode(os.fsencode(root) + b"/inbox/caf\xe9.png"))).write_bytes(small_png(1))
    link = re.findall(r'<p class="name"><bdi dir="ltr"><a href="([^"]+)"', overview(client))[0]
    assert link == "/look/inbox/caf%E9.png"
    assert client.get(link, headers=AS_BROWSER).status_code == 200


def test_candidates_are_one_row(root: Path, client: TestClient) -> None:
    """It leads to the page on which one picks."""
    lay_candidates(root, 4)
    html = overview(client)
    assert names(html) == ["hero"]
    assert "4 candidates" in html
    assert 'href="/pick/review/acme/hero_candidate001.png"' in html


def test_a_picture_in_a_tray_is_one_row(root: Path, client: TestClient) -> None:
    """What it has left behind is no row of its own, although it lies elsewhere."""
    path = lay_in_review(root)
    (root / path).rename(root / "review/approve/hero.png")
    assert names(overview(client)) == ["hero.png"]
    assert "has left review/" not in overview(client)


def test_a_long_list_has_pages(root: Path, client: TestClient) -> None:
    """With a link to the next and to the previous one, which keep what was chosen."""
    for number in range(ROWS_PER_PAGE + 3):
        put(root, f"inbox/acme/{number:03d}.png")
    first, second = overview(client, "?campaign=acme"), overview(client, "?campaign=acme&page=2")
    assert (len(names(first)), len(names(second))) == (ROWS_PER_PAGE, 3)
    assert set(names(first)) & set(names(second)) == set()
    assert 'rel="next" href="/?campaign=acme&amp;page=2"' in first
    assert 'rel="prev" href="/?campaign=acme&amp;page=1"' in second


def test_a_thousand_pictures_cost_each_folder_one_look_and_each_brief_one_reading(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next page none at all, as long as the board is fresh."""
    for number in range(1000):
        put(root, f"selected/c{number % 10}/{number:04d}.png")
    for number in range(0, 1000, 10):
        put(root, f"selected/c{number % 10}/{number:04d}.toml", '[[edit]]\nop = "grade"\nexposure = 1\n')
    page = make_page(root)
    client = signed_in_client(page)
    page.board.invalidate()
    scans, readings = [], []
    scan, read = RootFolder.list_names, TextFileCache._read
    monkeypatch.setattr(RootFolder, "list_names", lambda self, path: (scans.append(path), scan(self, path))[1])
    monkeypatch.setattr(TextFileCache, "_read", lambda self, path: (readings.append(path), read(self, path))[1])
    page.board._texts = TextFileCache(root)
    with client:
        overview(client)
        assert page.board.reading_count >= 1
        assert (len(readings), len(set(readings))) == (100, 100)
        # Each campaign's folder: once for its pictures, and once for a brief of its campaign.
        assert max(map(scans.count, scans)) <= 3
        counted = len(scans)
        overview(client, "?page=2")
        assert (len(scans), len(readings)) == (counted, 100)


def test_names_that_run_from_right_to_left_move_nothing_beside_them(root: Path, client: TestClient) -> None:
    """An Arabic campaign would draw the number that follows it to its other side."""
    put(root, "inbox/حملة/صورة.png")
    html = overview(client)
    assert '<bdi dir="ltr">inbox / حملة</bdi> · ' in html
    assert "&#x2068;حملة&#x2069; (1)</option>" in html


def test_empty_folders_lead_to_the_page_for_dropping(client: TestClient) -> None:
    """A search that finds nothing does not."""
    assert '<a class="button" href="/drop/">Drop pictures</a>' in overview(client)


def test_a_decision_makes_the_next_reader_wait_for_the_present_state(root: Path, page: Page) -> None:
    """Nobody sees the picture that he has just moved."""
    with signed_in_client(page) as client:
        assert names(overview(client)) == []
        put(root, "inbox/new.png")
        assert names(overview(client)) == []
        page.board.invalidate()
        assert names(overview(client)) == ["new.png"]


def test_equal_sentences_of_many_pictures_are_one_text_in_memory(root: Path) -> None:
    """With the name of each in its place when it is shown; a name that is a part of the sentence changes nothing."""
    for name in ("hero", "chair", "brief", "a", "…", "x\u202ey"):
        put(root, f"inbox/{name}.png")
    assets = read_here(make_page(root)).assets
    assert len({id(asset.wording) for asset in assets if asset.name in ("hero.png", "chair.png")}) == 1
    for asset in assets:
        stem = display_name(asset.name.removesuffix(".png"))
        assert asset.sentence == f"Waiting for an instruction: put a mask (“{stem}.mask.png”) or a brief (“{stem}.toml”) beside it."


def test_an_asset_that_has_not_changed_stays_the_same_record(root: Path) -> None:
    """So that two boards of 20,000 pictures take little more than one."""
    put(root, "inbox/hero.png")
    put(root, "inbox/chair.png")
    page = make_page(root)
    first = page.board._read_folders()
    put(root, "inbox/chair.toml", '[[edit]]\nop = "grade"\nexposure = 1\n')
    second = page.board._read_folders()
    kept = {asset.path: asset for asset in first.assets}
    assert [asset.path for asset in second.assets if asset is kept[asset.path]] == ["inbox/hero.png"]
    assert first.version != second.version


def test_a_picture_that_is_saved_again_makes_another_version_of_the_board(root: Path) -> None:
    """Although no sentence changes: its thumbnail does."""
    put(root, "inbox/hero.png", small_png(1))
    page = make_page(root)
    os.utime(root / "inbox/hero.png", (1, 1))
    first = page.board._read_folders()
    os.utime(root / "inbox/hero.png", (2, 2))
    assert page.board._read_folders().version != first.version


def test_many_results_in_review_are_not_compared_with_each_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are looked up: twice as many take twice as long."""
    counts = []
    for count in (20, 40):
        for number in range(count):
            put(root, f"review/acme/{number:03d}.png")
        calls: list[str] = []
        monkeypatch.setattr(explain, "candidate_base", lambda stem, calls=calls: (calls.append(stem), stem)[1])
        read_here(make_page(root))
        counts.append(len(calls))
    assert counts[1] == 2 * counts[0]


def read_here(page: Page) -> Board:
    """Return the board of a page, read in this thread."""
    return page.board._read_folders()
