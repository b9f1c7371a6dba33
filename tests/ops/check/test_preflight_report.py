"""The report: one file that needs nothing else, in which what a stranger wrote is text, and a thumbnail that is small."""

from __future__ import annotations

import re
import shutil
import subprocess
from base64 import b64decode
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
from skimage import data

from goldsmith.ops.check.operation import CheckName
from goldsmith.ops.check.preflight import CheckedFile, PreflightCheck
from goldsmith.ops.check.preflight_report import render_report
from goldsmith.ops.check.readback import encode_thumbnail, shrink_to_side
from goldsmith.picture.codec import decode
from goldsmith.picture.colour import convert_profile
from goldsmith.picture.picture import Metadata, Picture, freeze
from goldsmith.picture.profiles import builtin_profile

NASTY = '<script>alert("x")</script>&\'<img src=http://x>'


class Elements(HTMLParser):
    """Every element with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(*checks: PreflightCheck, name: str = "web", picture: bytes = b"jpeg") -> CheckedFile:
    return CheckedFile("hero_v.png", name, (("Format", "PNG"),), checks, picture)


def test_what_comes_from_a_brief_is_text() -> None:
    """Names, values and what was read in a picture cannot put an element into the page."""
    html = render_report(NASTY, [seen(PreflightCheck(NASTY, NASTY, NASTY, False), name=NASTY)])
    told = Elements(html)
    assert {tag for tag, _ in told.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    assert [tag for tag, _ in told.tags].count("img") == 1
    assert told.text.count(NASTY) == 6
    assert [attrs["src"] for tag, attrs in told.tags if tag == "img"] == ["data:image/jpeg;base64,anBlZw=="]


def test_a_file_goes_by_what_it_is_not_by_a_name_it_may_not_get() -> None:
    """The name on the disk gets a version where it was taken before: the report says the label, and never that name."""
    html = render_report("hero", [seen(PreflightCheck("size", "1", "1", True))])
    assert "hero_v.png" not in html
    assert "<h2>web</h2>" in html


def test_what_is_not_as_asked_comes_first_and_in_words_for_anybody() -> None:
    """A fault, then remarks, then what is well, each in its order; and no word of a brief's settings."""
    checks = [
        PreflightCheck("size", "1", "1", True),
        PreflightCheck("ppi", "1", "2", False, True),
        PreflightCheck("bytes", "1", "2", False),
        PreflightCheck("depth", "1", "1", True),
    ]
    text = Elements(render_report("hero", [seen(*checks)])).text
    places = [text.index(word) for word in ("File size", "Resolution in print, ppi", "Pixel size", "Bits per channel")]
    assert places == sorted(places)
    assert "bytes" not in text


def test_every_check_of_a_brief_has_a_name_that_a_client_reads() -> None:
    """None is shown by the word of its setting."""
    told = Elements(render_report("hero", [seen(*(PreflightCheck(word, "1", "1", True) for word in (*get_args(CheckName), "file")))])).text
    lines = {line.strip() for line in told.splitlines()}
    for word in get_args(CheckName):
        assert not any(line.startswith(word) for line in lines)


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here")
@pytest.mark.parametrize("width", [1200, 360])
def test_a_browser_shows_it_without_scrolling_sideways(width: int, tmp_path: Path) -> None:
    """At a desk and on a phone, with long words in it: nothing reaches beyond the window."""
    long = "MW" * 60
    checks = [
        PreflightCheck("words", f"“{long}” at full size", long, False, True),
        PreflightCheck("size", "600 x 400 px", "600 x 400 px", True),
    ]
    photograph = encode_thumbnail(Picture(freeze(data.chelsea().astype(np.float32) / 255)))
    html = render_report(long, [seen(*checks, name=long, picture=photograph)])
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", f"{_RULER}</body>")
    file = tmp_path / "hero.report.html"
    file.write_text(f'<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{escape(html)}"></iframe>')
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'own'}", "--dump-dom"]
    said = subprocess.run([*command, file.as_uri()], check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r'data-measured="(\d+) (\d+)"', said)
    assert found is not None
    assert int(found[1]) == width
    assert int(found[2]) <= width


_RULER = """<script>addEventListener("load", () => {
const root = document.documentElement;
parent.document.body.dataset.measured = innerWidth + " " + root.scrollWidth;
})</script>"""


def test_it_needs_nothing_else_and_forbids_it() -> None:
    """No address in it, and a policy under which a browser would not follow one."""
    html = render_report("hero", [seen()])
    assert "http" not in html.replace("http-equiv", "")
    policy = next(attrs["content"] for _, attrs in Elements(html).tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@pytest.mark.parametrize(
    ("checks", "verdict"),
    [
        ([PreflightCheck("size", "1", "1", True)], "Passed 1 file read back from the disk."),
        ([PreflightCheck("size", "1", "2", False, True)], "Passed with remarks 1 file read back from the disk, 1 remark."),
        ([PreflightCheck("size", "1", "2", False, True)] * 2, "Passed with remarks 1 file read back from the disk, 2 remarks."),
        ([PreflightCheck("size", "1", "2", False)], "Not passed 1 file read back from the disk."),
    ],
)
def test_the_verdict_stands_on_top(checks: list[PreflightCheck], verdict: str) -> None:
    """In words, and counted."""
    assert verdict in Elements(render_report("hero", [seen(*checks)])).text


def test_a_file_without_a_picture_has_no_broken_one() -> None:
    """What could not be read has no thumbnail; its name and its fault are there."""
    told = Elements(render_report("hero", [seen(PreflightCheck("file", "one", "none", False), picture=b"")]))
    assert "img" not in [tag for tag, _ in told.tags]
    assert "✗ fault" in told.text


@pytest.mark.parametrize("kind", ["photograph", "noise"])
def test_a_thumbnail_is_a_small_jpeg(kind: Literal["photograph", "noise"]) -> None:
    """560 px and 40 kB at most, in its shape, with nothing of the picture's metadata; a small picture stays as large as it is."""
    pixels = data.astronaut() if kind == "photograph" else np.random.default_rng(0).integers(0, 256, (900, 1800, 3))
    tall = np.repeat(np.repeat(pixels, 2, axis=0), 1, axis=1).astype(np.float32) / 255
    made = encode_thumbnail(Picture(freeze(tall), ppi=(300, 300), metadata=Metadata(xmp=b"<secret/>")))
    shown = decode(made, "x.jpg", 10**6)
    assert max(shown.width, shown.height) == 560
    assert shown.width / shown.height == pytest.approx(tall.shape[1] / tall.shape[0], abs=0.01)
    assert len(made) <= 40_000
    assert b"secret" not in made
    small = Picture(freeze(tall[:30, :40]))
    assert shrink_to_side(small, 560).pixels is small.pixels


def test_a_thumbnail_is_in_srgb_on_white() -> None:
    """Browsers show it as it is, whatever profile the file has and whatever lies under its transparent parts."""
    colour = Picture(freeze(np.full((64, 64, 3), (0.3, 0.6, 0.2), np.float32)), icc=builtin_profile("adobe-rgb"))
    shown = decode(encode_thumbnail(colour), "x.jpg", 10**6)
    assert shown.icc is None
    assert np.abs(shown.pixels.mean(axis=(0, 1)) - convert_profile(colour, "srgb").pixels[0, 0]).max() < 0.01
    clear = Picture(freeze(np.zeros((64, 64, 3), np.float32)), alpha=freeze(np.zeros((64, 64), np.float32)))
    assert decode(encode_thumbnail(clear), "x.jpg", 10**6).pixels.min() > 0.99


def test_the_same_findings_give_the_same_bytes() -> None:
    """No clock, no chance: a replay finds the same report."""
    files = [
        seen(PreflightCheck("size", "1", "1", True), picture=encode_thumbnail(Picture(freeze(data.chelsea().astype(np.float32) / 255))))
        for _ in "ab"
    ]
    assert render_report("hero", files[:1]) == render_report("hero", files[1:])
    assert b64decode(render_report("hero", files[:1]).partition("base64,")[2].partition('"')[0]) == files[0].thumbnail
