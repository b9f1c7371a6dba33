"""Lines for the systemd journal begin with their syslog priority, so that ``journalctl -p warning`` finds warnings and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from goldsmith.brief.settings import Settings
from goldsmith.cli.output import configure_logging, print_error
from goldsmith.errors import HostError
import structlog

configure_logging(Settings(log_format=FORMAT, log_level="debug"))
log = structlog.get_logger()
log.debug("progress")
log.info("committed", picture="hero.png")
log.warning("held", sentence="It is black.\\nReally.")
log.error("paused", sentence="The disk is full.")
print_error(HostError("The disk is full.", "Make room."))
"""


def lines_of(file: Path, log_format: str, journal_stream: str) -> list[str]:
    """Run the program with this file for its stderr, and return the lines that it writes."""
    environment = {**os.environ, "JOURNAL_STREAM": journal_stream, "NO_COLOR": "1", "GOLDSMITH_LOG_LEVEL": "", "GOLDSMITH_LOG_FORMAT": ""}
    with file.open("w") as stderr:
        code = PROGRAM.replace("FORMAT", repr(log_format))
        subprocess.run([sys.executable, "-c", code], stderr=stderr, env=environment, check=True)
    return file.read_text().splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "stderr").touch()
    return tmp_path / "stderr"


def journal_stream(file: Path) -> str:
    """Return the value that systemd gives a service whose stderr is this file."""
    status = file.stat()
    return f"{status.st_dev}:{status.st_ino}"


def test_each_json_line_has_the_priority_of_its_level(file: Path) -> None:
    """journald takes it off again; the rest is the JSON of the event."""
    *events, first, second = lines_of(file, "json", journal_stream(file))
    assert [line[:3] for line in events] == ["<7>", "<6>", "<4>", "<3>"]
    assert [json.loads(line[3:])["event"] for line in events] == ["progress", "committed", "held", "paused"]
    assert (first, second) == ("<3>goldsmith: The disk is full.", "<3>Make room.")


def test_each_line_of_a_console_event_has_the_priority(file: Path) -> None:
    """journald would take the further lines for events of another level."""
    lines = lines_of(file, "console", journal_stream(file))
    assert {line[:3] for line in lines} == {"<7>", "<6>", "<4>", "<3>"}
    assert all(line.startswith("<4>") for line in lines if "held" in line or "Really." in line)


@pytest.mark.parametrize("stream", ["", "1:2", "nonsense"])
def test_other_outputs_have_no_priority(file: Path, stream: str) -> None:
    """JOURNAL_STREAM is inherited by programs whose stderr goes elsewhere."""
    lines = lines_of(file, "json", stream)
    assert [json.loads(line)["event"] for line in lines[:4]] == ["progress", "committed", "held", "paused"]
    assert lines[4] == "goldsmith: The disk is full."
