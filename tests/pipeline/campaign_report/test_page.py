"""The report is one file that loads nothing and runs nothing, and says what the account says."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from goldsmith.pipeline.campaign_report.account import (
    CampaignAccount,
    DeliveredFile,
    Delivery,
    ModelTimes,
    SavedByHand,
    StageTimes,
)
from goldsmith.pipeline.campaign_report.drift import Drift
from goldsmith.pipeline.campaign_report.page import FIRST_LINE, duration, format_size, render_report
from goldsmith.pipeline.previews.preview_maker import PreviewResult

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202e"


def delivery(name: str, **fields: object) -> Delivery:
    files = (DeliveredFile(f"delivered/acme/{name}_web.jpg", "ab"), DeliveredFile(f"delivered/acme/{name}_print.pdf", "cd"))
    return Delivery(**{"path": f"graded/acme/{name}.png", "delivered_at": 2e9, "seconds": 75.0, "files": files, "remarks": (), **fields})  # type: ignore[arg-type]


class Page(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._stack: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._stack and self._stack.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._stack:
            self.text += f" {data.strip()}"


def page_of(account: CampaignAccount, previews: dict[str, PreviewResult] | None = None, **fields: object) -> Page:
    arguments = {"drift": {}, "sizes": {}, "now": 2e9, **fields}
    html = render_report(account, previews or {}, **arguments)  # type: ignore[arg-type]
    return Page(html)


@pytest.fixture
def account() -> CampaignAccount:
    account = CampaignAccount("acme", 1.9e9, 2e9, [delivery("a"), delivery("b")])
    account.stages = {"edit": StageTimes(3, 1, 90.0, 60.0, 30.0), "deliver": StageTimes(2, 0, 10.0, 0.0, 1.0)}
    account.models = {"premium": ModelTimes("Apache-2.0", 3, 60.0, 60.0), "migan": ModelTimes("MIT", 1, 2.0)}
    account.eyes.approved, account.eyes.again, account.eyes.wait_seconds, account.eyes.longest_seconds = 2, 1, 7500.0, 7200.0
    account.hands = {"GIMP 3.2": SavedByHand(1, 600.0)}
    return account


def test_it_says_what_was_delivered_and_what_it_took(account: CampaignAccount) -> None:
    """Deliveries, sizes, times, people, models and drift."""
    web = "delivered/acme/a_web.jpg"
    previews = {web: PreviewResult(b"JPEG", (50.0, 0.0, 0.0), "800 x 600 px, 8 bit", "ab")}
    drift = {web: Drift(12.4, None), "delivered/acme/b_web.jpg": Drift(0.3, 12.1)}
    page = page_of(account, previews, drift=drift, sizes={web: 160_300})
    for words in (
        "a_web.jpg: 160 kB, 800 x 600 px, 8 bit",
        "a_print.pdf: no longer in its folder",
        "after 1 min 15 s",
        "Its colour is unlike the rest of the series.",
        "edit, work of machines 1 min 30 s",
        "by hand, GIMP 3.2, at most 10 min",
        "waiting for eyes 2 h 05 min",
        "3 decisions in review/: 2 approved, 1 made again, 0 rejected.",
        "2 h 05 min in all, 42 min on average and 2 h 00 min at most",
        "1 picture saved by hand with GIMP 3.2, within 10 min",
        "The campaign has cost 60 GPU seconds",
        "premium Apache-2.0 3 1 min 00 s 60",
        "a 12.4",
        "b 0.3 12.1",
    ):
        assert words in re.sub(r"\s+", " ", page.text), words
    assert f"data:image/jpeg;base64,{base64.b64encode(b'JPEG').decode()}" in page.html


def test_it_loads_nothing_and_runs_nothing(account: CampaignAccount) -> None:
    """No script, no link, no address; a policy that forbids them, too."""
    page = page_of(account, {"delivered/acme/a_web.jpg": PreviewResult(b"JPEG", (1.0, 1.0, 1.0))})
    assert page.tags & {"script", "link", "iframe", "object", "embed", "form", "a", "base", "svg"} == set()
    assert [(name, value) for name, value in page.attributes if name.startswith("on") or name == "href"] == []
    assert all(value.startswith("data:image/jpeg;base64,") for name, value in page.attributes if name == "src")
    assert re.findall(r"(?:https?:)?//\w", page.html) == []
    assert "url(" not in page.html
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in [value for name, value in page.attributes if name == "content"]


def test_names_and_sentences_are_escaped() -> None:
    """A campaign, a picture, a program, a model and a reason that are HTML."""
    account = CampaignAccount(EVIL, 1.0, 2.0, [delivery("a", path=f"graded/{EVIL}.png", remarks=(EVIL,))], {EVIL: StageTimes(1, 0, 1.0)})
    account.models, account.hands = {EVIL: ModelTimes(EVIL, 1, 1.0)}, {EVIL: SavedByHand(1, 1.0)}
    page = page_of(account, {"delivered/acme/a_web.jpg": PreviewResult(reason=EVIL)})
    assert page.tags & {"script", "img"} == set()
    assert [name for name, _ in page.attributes if name.startswith("on")] == []
    assert "\u202e" not in page.html
    assert page.text.count("<script>alert(1)</script>") >= 7


def test_a_file_that_was_changed_after_its_delivery_is_marked(account: CampaignAccount) -> None:
    """What the sheet shows is then not what was delivered."""
    read = {"delivered/acme/a_web.jpg": PreviewResult(b"JPEG", (1.0, 1.0, 1.0), "8 x 6 px, 8 bit", "other")}
    assert "It was changed after it was delivered." in page_of(account, read).text
    assert "It was changed after it was delivered." not in page_of(account, {}).text


def test_a_campaign_without_deliveries_has_a_report() -> None:
    """Sections that would be empty are left out."""
    account = CampaignAccount("acme", 1.0, 2.0, stages={"edit": StageTimes(0, 2)})
    text = page_of(account).text
    assert "Nothing was delivered yet." in text
    assert not [word for word in ("Models", "People", "Drift") if word in text]


def test_columns_without_a_figure_are_left_out(account: CampaignAccount) -> None:
    """A studio without a GPU sees no column of zeros."""
    assert "on GPUs" in page_of(account).text
    for times in account.stages.values():
        times.gpu_seconds = 0.0
    assert "on GPUs" not in page_of(account).text


def test_deliveries_beyond_the_limit_are_counted(account: CampaignAccount) -> None:
    """The file stays small enough to be mailed."""
    assert "1,200 deliveries are shown without a picture" in page_of(account, thumbnails_left_out=1200).text


def test_it_begins_with_the_line_by_which_it_is_known(account: CampaignAccount) -> None:
    """A file without it is never replaced."""
    assert page_of(account).html.startswith(FIRST_LINE)


def test_times_and_sizes_are_written_as_people_say_them() -> None:
    """From a blink to days, from bytes to gigabytes."""
    assert list(map(duration, (0, 0.04, 0.8, 12.4, 59, 61, 3599, 7500, 100_000))) == [
        *("0 s", "0 s", "0.8 s", "12 s", "59 s", "1 min 01 s", "1 h 00 min", "2 h 05 min", "1 d 3 h"),
    ]
    assert list(map(format_size, (0, 940, 1400, 28_400, 1_400_000, 3e9))) == ["0 B", "940 B", "1.4 kB", "28 kB", "1.4 MB", "3.0 GB"]
