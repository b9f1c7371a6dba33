"""The manual page goldsmith(1) is made from the help of the commands, and is up to date."""

from __future__ import annotations

import shutil
import subprocess

import pytest

import man_page


def test_the_page_is_that_of_the_present_help() -> None:
    """Run ``make man`` if it is not."""
    assert man_page.PAGE.read_text() == man_page.man_page()


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="man or groff is not installed")
def test_the_page_can_be_read() -> None:
    """The formatter warns of nothing; every command is in the page, and its options can be copied into a shell."""
    groff = subprocess.run(["groff", "-man", "-Tutf8", "-ww", man_page.PAGE], capture_output=True, text=True, check=True)
    assert groff.stderr == ""
    page = subprocess.run(
        ["man", "-l", man_page.PAGE], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "100"}, check=True
    )
    for words in (
        "goldsmith run",
        "goldsmith models fetch",
        "--until-idle",
        "/etc/default/goldsmith",
        "GOLDSMITH_STATE_DIR",
        "6 a replay that differs",
    ):
        assert words in page.stdout
