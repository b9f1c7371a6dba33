"""``goldsmith report`` writes one file about a campaign, from a real journal and real deliveries, and overwrites nothing of yours."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from doubles.commandline import Goldsmith
from doubles.studio import Studio
from goldsmith.pipeline.campaign_report.page import FIRST_LINE

BRIEF = '[[grade]]\nop = "grade"\nsaturation = 1.2\n[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n'


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """Return a root on which two pictures of a campaign were delivered, and one of another campaign."""
    studio = Studio(tmp_path_factory.mktemp("studio"))
    for campaign in ("acme/spring", "acme/springtime"):
        studio.put(f"masked/{campaign}/brief.toml", BRIEF)
    for name, colour in (("acme/spring/one", 90), ("acme/spring/two", 160), ("acme/springtime/other", 10)):
        file = io.BytesIO()
        Image.new("RGB", (32, 24), (colour, colour, colour)).save(file, "PNG")
        studio.put(f"masked/{name}.png", file.getvalue())
    studio.until_idle()
    studio.stop()
    return studio


@pytest.fixture
def studio(delivered: Studio, monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setenv("GOLDSMITH_STATE_DIR", str(delivered.state_dir))
    return delivered


def test_a_report_shows_what_was_delivered_in_the_campaign(goldsmith: Goldsmith, studio: Studio, tmp_path: Path) -> None:
    """Every delivery has its picture; other campaigns are not in it. A newer report replaces an older one, and no other file."""
    file = tmp_path / "out.html"
    result = goldsmith("report", "/acme//spring/", "-r", studio.root, "--out", file)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{file}: 2 deliveries, ")
    html = file.read_text()
    assert html.startswith(FIRST_LINE)
    assert html.count('<img src="data:image/jpeg;base64,/9j/') == 2
    assert [name in html for name in ("one_web.jpg", "two_web.jpg", "other_web.jpg", "Drift of the series")] == [True, True, False, True]
    taken_away = studio.at("delivered/acme/spring/one_web.jpg").rename(tmp_path / "one_web.jpg")
    result = goldsmith("report", "acme/spring", "-r", studio.root, "--out", file)
    taken_away.rename(studio.at("delivered/acme/spring/one_web.jpg"))
    assert (result.code, "one_web.jpg is shown without its picture" in result.out) == (0, True)
    assert file.read_text().count("<img ") == 1
    file.write_text("Notes of mine")
    assert goldsmith("report", "acme/spring", "-r", studio.root, "--out", file).code == 2
    assert file.read_text() == "Notes of mine"


def test_a_campaign_has_those_below_it(goldsmith: Goldsmith, studio: Studio, tmp_path: Path) -> None:
    """Without --out the file is named after the campaign and lies in the working directory."""
    result = goldsmith("report", "acme", "-r", studio.root)
    assert result.out.startswith("report-acme.html: 3 deliveries, ")
    assert (tmp_path / "report-acme.html").exists()


@pytest.mark.parametrize(
    ("campaign", "words"),
    [("winter", "Nothing was ever done in a campaign called winter"), ("", "is not a campaign"), ("../x", "is not a")],
)
def test_a_campaign_that_is_none_is_refused(goldsmith: Goldsmith, studio: Studio, tmp_path: Path, campaign: str, words: str) -> None:
    """No file is written."""
    result = goldsmith("report", campaign, "-r", studio.root)
    assert (result.code, words in result.err) == (2, True)
    assert list(tmp_path.glob("*.html")) == []


def test_a_place_that_takes_no_file_is_named(goldsmith: Goldsmith, studio: Studio, tmp_path: Path) -> None:
    """Before the work, where that can be known."""
    result = goldsmith("report", "acme", "-r", studio.root, "--out", tmp_path)
    assert (result.code, "cannot be written: Is a directory" in result.err) == (2, True)
    result = goldsmith("report", "acme", "-r", studio.root, "--out", tmp_path / "gone" / "r.html")
    assert (result.code, "cannot be written: No such file or directory" in result.err) == (2, True)


def test_a_journal_that_this_user_may_not_read_is_named(goldsmith: Goldsmith, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A designer has no right to it; the sentence says who has."""

    def refuse(path: Path, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("goldsmith.service.one_off.Journal.open", refuse)
    result = goldsmith("report", "acme", "-r", studio.root)
    assert (result.code, "cannot be read: Permission denied." in result.err, "service's user" in result.err) == (2, True, True)
