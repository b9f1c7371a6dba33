"""The report is one self-contained file: untrusted text stays text, and the thumbnail is small."""

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
    """All elements of a page with their attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def checked_file(*checks: PreflightCheck, name: str = "web", picture: bytes = b"jpeg") -> CheckedFile:
    return CheckedFile("hero_v.png", name, (("Format", "PNG"),), checks, picture)


def test_untrusted_text_is_escaped() -> None:
    """Names, values and text read in a picture cannot put an element into the page."""
    html = render_report(NASTY, [checked_file(PreflightCheck(NASTY, NASTY, NASTY, False), name=NASTY)])
    elements = Elements(html)
    assert {tag for tag, _ in elements.tags}.isdisjoint({"script", "link", "iframe", "object", "form", "a"})
    assert [tag for tag, _ in elements.tags].count("img") == 1
    assert elements.text.count(NASTY) == 6
    assert [attrs["src"] for tag, attrs in elements.tags if tag == "img"] == ["data:image/jpeg;base64,anBlZw=="]


def test_a_file_is_shown_by_its_label() -> None:
    """Reports show the label, because a version may be added to the file's name."""
    html = render_report("hero", [checked_file(PreflightCheck("size", "1", "1", True))])
    assert "hero_v.png" not in html
    assert "<h2>web</h2>" in html


def test_faults_come_first_in_plain_words() -> None:
    """Faults come first, then remarks, then passed checks, without words of the brief's settings."""
    checks = [
        PreflightCheck("size", "1", "1", True),
        PreflightCheck("ppi", "1", "2", False, True),
        PreflightCheck("bytes", "1", "2", False),
        PreflightCheck("depth", "1", "1", True),
    ]
    text = Elements(render_report("hero", [checked_file(*checks)])).text
    positions = [text.index(word) for word in ("File size", "Resolution in print, ppi", "Pixel size", "Bits per channel")]
    assert positions == sorted(positions)
    assert "bytes" not in text


def test_every_check_has_a_name_for_clients() -> None:
    """Checks are not shown by the name of their setting."""
    elements = Elements(
        render_report("hero", [checked_file(*(PreflightCheck(word, "1", "1", True) for word in (*get_args(CheckName), "file")))])
    ).text
    lines = {line.strip() for line in elements.splitlines()}
    for word in get_args(CheckName):
        assert not any(line.startswith(word) for line in lines)


CHROMIUM = shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [1200, 360])
def test_the_report_needs_no_horizontal_scrolling(width: int, tmp_path: Path) -> None:
    """Long words stay inside the window, on a desktop and on a phone."""
    long = "MW" * 60
    checks = [
        PreflightCheck("words", f"“{long}” at full size", long, False, True),
        PreflightCheck("size", "600 x 400 px", "600 x 400 px", True),
    ]
    photograph = encode_thumbnail(Picture(freeze(data.chelsea().astype(np.float32) / 255)))
    html = render_report(long, [checked_file(*checks, name=long, picture=photograph)])
    html = re.sub('<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace("</body>", f"{_RULER}</body>")
    file = tmp_path / "hero.report.html"
    file.write_text(f'<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{escape(html)}"></iframe>')
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'own'}", "--dump-dom"]
    dom = subprocess.run([*command, file.as_uri()], check=True, capture_output=True, text=True, timeout=900).stdout
    match = re.search(r'data-measured="(\d+) (\d+)"', dom)
    assert match is not None
    assert int(match[1]) == width
    assert int(match[2]) <= width


_RULER = """<script>addEventListener("load", () => {
const root = document.documentElement;
parent.document.body.dataset.measured = innerWidth + " " + root.scrollWidth;
})</script>"""


def test_the_report_loads_nothing_and_forbids_loading() -> None:
    """Reports hold no address, and their policy forbids loading anything."""
    html = render_report("hero", [checked_file()])
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
def test_the_verdict_is_shown_with_its_counts(checks: list[PreflightCheck], verdict: str) -> None:
    """Verdicts are in words, with the number of files and remarks."""
    assert verdict in Elements(render_report("hero", [checked_file(*checks)])).text


def test_an_unreadable_file_has_no_thumbnail() -> None:
    """Files that cannot be read have no thumbnail; their name and their fault are shown."""
    elements = Elements(render_report("hero", [checked_file(PreflightCheck("file", "one", "none", False), picture=b"")]))
    assert "img" not in [tag for tag, _ in elements.tags]
    assert "✗ fault" in elements.text


@pytest.mark.parametrize("kind", ["photograph", "noise"])
def test_a_thumbnail_is_a_small_jpeg(kind: Literal["photograph", "noise"]) -> None:
    """Thumbnails have at most 560 px and 40 kB, the picture's shape and no metadata; a small picture is not enlarged."""
    pixels = data.astronaut() if kind == "photograph" else np.random.default_rng(0).integers(0, 256, (900, 1800, 3))
    tall = np.repeat(pixels, 2, axis=0).astype(np.float32) / 255
    jpeg = encode_thumbnail(Picture(freeze(tall), ppi=(300, 300), metadata=Metadata(xmp=b"<secret/>")))
    thumbnail = decode(jpeg, "x.jpg", 10**6)
    assert max(thumbnail.width, thumbnail.height) == 560
    assert thumbnail.width / thumbnail.height == pytest.approx(tall.shape[1] / tall.shape[0], abs=0.01)
    assert len(jpeg) <= 40_000
    assert b"secret" not in jpeg
    small = Picture(freeze(tall[:30, :40]))
    assert shrink_to_side(small, 560).pixels is small.pixels


def test_a_thumbnail_is_in_srgb_on_white() -> None:
    """Browsers show thumbnails correctly, whatever profile and transparency the file has."""
    colour = Picture(freeze(np.full((64, 64, 3), (0.3, 0.6, 0.2), np.float32)), icc=builtin_profile("adobe-rgb"))
    thumbnail = decode(encode_thumbnail(colour), "x.jpg", 10**6)
    assert thumbnail.icc is None
    assert np.abs(thumbnail.pixels.mean(axis=(0, 1)) - convert_profile(colour, "srgb").pixels[0, 0]).max() < 0.01
    transparent = Picture(freeze(np.zeros((64, 64, 3), np.float32)), alpha=freeze(np.zeros((64, 64), np.float32)))
    assert decode(encode_thumbnail(transparent), "x.jpg", 10**6).pixels.min() > 0.99


def test_the_same_findings_give_the_same_bytes() -> None:
    """Reports depend on no clock and no chance, so a replay finds the same bytes."""
    files = [
        checked_file(
            PreflightCheck("size", "1", "1", True), picture=encode_thumbnail(Picture(freeze(data.chelsea().astype(np.float32) / 255)))
        )
        for _ in "ab"
    ]
    assert render_report("hero", files[:1]) == render_report("hero", files[1:])
    assert b64decode(render_report("hero", files[:1]).partition("base64,")[2].partition('"')[0]) == files[0].thumbnail
