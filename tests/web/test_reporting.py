"""The report of a campaign, from the page: the same file as that of the command, as a download."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from doubles.web_pages import AS_BROWSER, client_of, lay_in_review
from goldsmith.pipeline.campaign_report.page import FIRST_LINE
from goldsmith.service.one_off import CampaignReport
from goldsmith.web import reporting
from goldsmith.web.page import Page


@pytest.fixture
def campaigns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the campaigns of which a report was made; none is read from a journal."""
    names: list[str] = []

    def build(setup: object, campaign: str, now: float) -> CampaignReport:
        names.append(campaign)
        return CampaignReport(f"{FIRST_LINE}\n<p>{campaign}</p>", 1, {})

    monkeypatch.setattr(reporting, "build_report", build)
    return names


def test_a_report_is_a_download_with_the_name_of_its_campaign(client: TestClient, campaigns: list[str]) -> None:
    """So nothing in it runs as a part of the page."""
    answer = client.get("/report/acme/sp%20ring")
    assert (answer.status_code, campaigns) == (200, ["acme/sp ring"])
    assert answer.headers["content-disposition"] == 'attachment; filename="report-acme-sp-ring.html"'
    assert answer.text.startswith(FIRST_LINE)


@pytest.mark.parametrize("path", ["", "acme/%2e%2e/bolt", "acme//spring", "%2e%2e/acme", "a%0Ab", "%00"])
def test_what_is_no_campaign_has_no_report(client: TestClient, campaigns: list[str], path: str) -> None:
    """Nothing is read for it."""
    assert client.get(f"/report/{path}").status_code == 404
    assert campaigns == []


def test_a_campaign_in_which_nothing_was_done_has_a_sentence(client: TestClient) -> None:
    """That of the command."""
    answer = client.get("/report/acme")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(("Nothing was ever done", "There is no journal"))


def test_one_report_is_made_at_a_time(client: TestClient, campaigns: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may decode hundreds of pictures."""
    monkeypatch.setattr(reporting, "_making", asyncio.Lock())
    asyncio.run(reporting._making.acquire())
    answer = client.get("/report/acme")
    assert (answer.status_code, answer.json()["error"]) == (503, "Another report is being made at the moment.")
    assert campaigns == []


def test_nobody_gets_a_report_without_signing_in(page: Page, campaigns: list[str]) -> None:
    """It names pictures and people."""
    assert client_of(page).get("/report/acme").status_code == 401
    assert campaigns == []


def test_a_chosen_campaign_has_buttons_for_its_report_and_for_its_folders(client: TestClient, root: Path) -> None:
    """Those of the stages in which it has a folder; without a campaign there are none."""
    lay_in_review(root, "hero", "acme")
    (root / "selected/acme").mkdir()
    html = client.get("/?campaign=acme", headers=AS_BROWSER).text
    assert 'href="/report/acme" download' in html
    assert 'href="/ask/selected/acme"' in html
    assert 'href="/ask/inbox/acme"' not in html
    assert 'href="/ask/review/acme"' not in html
    assert "/report/" not in client.get("/", headers=AS_BROWSER).text
    assert 'href="/ask/selected/../' not in client.get("/?campaign=../selected", headers=AS_BROWSER).text
