"""Permissions that the share refuses to the service's user: one picture waits and says why, all others go on, and a mended one goes on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles import unit_filters
from doubles.commission import EXPORT, SHARPEN
from doubles.pictures import png
from doubles.shared_studio import DESIGNER, STUDIO, as_designer, drop, run_service, shared_studio
from doubles.studio import Daemon, Studio
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState

BRIEF = ("grade = []\n" + SHARPEN + EXPORT).encode()

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the daemon as another user"),
    pytest.mark.skipif(bool(unit_filters.find_missing_tool()), reason=unit_filters.find_missing_tool() or "all tools are there"),
]


@pytest.fixture
def studio() -> Iterator[Studio]:
    with shared_studio() as studio:
        studio.flags["retry_machine"] = 0.2
        yield studio


def state(studio: Studio) -> DaemonState:
    """Return the daemon's last state; an empty one before the first."""
    file = next(studio.state_dir.glob(f"*/{STATE_FILE}"), None)
    return DaemonState() if file is None else DaemonState.from_json(file.read_bytes(), "")


def drop_hero(studio: Studio, campaign: str) -> Path:
    """Drop a picture with its brief into a campaign of selected/, as a designer, and return the picture."""
    drop(studio, {f"selected/{campaign}/hero.toml": BRIEF, f"selected/{campaign}/hero.png": png(1)})
    return studio.at(f"selected/{campaign}/hero.png")


def until_delivered(daemon: Daemon, studio: Studio, campaign: str) -> None:
    daemon.until(lambda: studio.at(f"delivered/{campaign}/hero.manifest.json").exists(), f"the delivery of {campaign}")


def close_to_the_service(folder: Path) -> None:
    """Take the right to write from the group, as a program with a umask of 022 does."""
    os.chown(folder, DESIGNER, STUDIO)
    folder.chmod(0o2755)


def test_a_folder_without_group_write_is_tried_again_after_its_chmod(studio: Studio) -> None:
    """Meanwhile the log and the state say why the picture waits, each once, since the folder takes no note; other campaigns go on."""
    picture = drop_hero(studio, "acme")
    close_to_the_service(picture.parent)
    with run_service(studio) as daemon:
        daemon.until(lambda: daemon.events_of("held"), "a hold")
        drop_hero(studio, "other")
        until_delivered(daemon, studio, "other")
        daemon.until(lambda: state(studio).holds_without_note, "the state file")
        (path,) = state(studio).holds_without_note
        assert path == "selected/acme/hero.png"
        assert "may not write to selected/acme/" in state(studio).holds_without_note[path]
        assert daemon.pass_time(1.0)
        assert (len(daemon.events_of("held")), daemon.events_of("paused")) == (1, [])
        picture.parent.chmod(0o2775)
        until_delivered(daemon, studio, "acme")
        daemon.until(lambda: not state(studio).holds_without_note, "an empty list")


@pytest.mark.soak
def test_a_hold_over_a_permission_is_tried_again_at_the_start(studio: Studio) -> None:
    """The folder was mended while no daemon ran."""
    studio.flags["retry_machine"] = 3600
    picture = drop_hero(studio, "acme")
    close_to_the_service(picture.parent)
    with run_service(studio) as daemon:
        daemon.until(lambda: daemon.events_of("held"), "a hold")
        assert daemon.end() == 0
    picture.parent.chmod(0o2775)
    with run_service(studio) as daemon:
        until_delivered(daemon, studio, "acme")


@pytest.mark.soak
def test_a_touched_picture_is_tried_again_at_once(studio: Studio) -> None:
    """This is what `goldsmith retry` does if there is no note to delete."""
    studio.flags["retry_machine"] = 3600
    picture = drop_hero(studio, "acme")
    close_to_the_service(picture.parent)
    with run_service(studio) as daemon:
        daemon.until(lambda: daemon.events_of("held"), "a hold")
        picture.parent.chmod(0o2775)
        times = picture.stat()
        as_designer(lambda: os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000)))
        until_delivered(daemon, studio, "acme")


def test_a_file_that_only_its_owner_may_read_gets_a_note_and_goes_on_after_its_chmod(studio: Studio) -> None:
    """The note disappears with the wait."""
    picture = drop_hero(studio, "acme")
    picture.chmod(0o600)
    note = Path(f"{picture}.problem.txt")
    with run_service(studio) as daemon:
        daemon.until(note.exists, "a note")
        assert note.read_text().startswith("selected/acme/hero.png cannot be read: its permissions keep Goldsmith out.\n")
        daemon.until(lambda: daemon.events_of("held"), "the log")
        picture.chmod(0o640)
        until_delivered(daemon, studio, "acme")
        daemon.until(lambda: not note.exists(), "the end of the note")
        assert len(daemon.events_of("held")) == 1


@pytest.mark.soak
def test_a_closed_campaign_folder_waits_while_the_library_changes(studio: Studio) -> None:
    """The daemon tries its held pictures again after the change, cannot read them, and goes on with all others."""
    drop(studio, {"selected/acme/hero.toml": b'recipe = "spring"\n' + BRIEF, "selected/acme/hero.png": png(1)})
    with run_service(studio) as daemon:
        daemon.until(lambda: daemon.events_of("held"), "a hold over the missing recipe")
        studio.at("selected/acme").chmod(0)
        studio.put("library/looks/warm.cube", b"LUT_1D_SIZE 2\n0 0 0\n1 1 1\n").chmod(0o644)
        drop_hero(studio, "other")
        until_delivered(daemon, studio, "other")
        assert daemon.events_of("paused") == []
        studio.at("selected/acme").chmod(0o2770)
        studio.put("library/recipes/spring.toml", b"seed = 3\n").chmod(0o644)
        until_delivered(daemon, studio, "acme")


def test_a_worker_that_cannot_start_is_reported_once_with_what_is_denied(studio: Studio) -> None:
    """The log, systemd and the state file say it; the picture waits, and goes on once the program may be executed."""
    interpreter = studio.state_dir.parent / "closed" / "python"
    interpreter.parent.mkdir(mode=0o700)
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    start = f"import sys; sys.executable = {str(interpreter)!r}; from goldsmith.cli import main; main()"
    drop(studio, {"selected/hero.toml": BRIEF, "selected/hero.png": png(1)})
    with run_service(studio, start_code=start) as daemon:
        daemon.until(lambda: daemon.events_of("queue paused"), "the log")
        (entry,) = daemon.events_of("queue paused")
        denied = f"the folder {interpreter.parent} may not be entered"
        assert (entry["queue"], entry["level"]) == ("cpu", "warning")
        assert denied in entry["sentence"]
        daemon.until(lambda: any(word.startswith("STATUS=") and denied in word for word in daemon.words), "systemd's status")
        daemon.until(lambda: denied in json.dumps(state(studio).queue_pauses), "the state file")
        daemon.until(lambda: "within 2 s" in json.dumps(state(studio).queue_pauses), "two more tries")
        assert len(daemon.events_of("queue paused")) == 1
        interpreter.parent.chmod(0o755)
        daemon.until(lambda: daemon.events_of("queue resumed"), "the queue's recovery", 120)
        daemon.until(lambda: studio.at("delivered/hero.manifest.json").exists(), "the delivery")
