"""The disk of the state folder: full, at the start and while the daemon runs. The daemon stays, says so, and resumes by itself."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, PIPELINE, SHARPEN
from doubles.pictures import png
from doubles.studio import Daemon, Studio

BRIEF = "grade = []\n" + SHARPEN + EXPORT


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    """Yield a studio whose state folder is a disk of 1 MiB."""
    studio = Studio(tmp_path, retry_machine=0.2)
    studio.write_pipeline(PIPELINE)
    studio.state_dir.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(studio.state_dir)]
    mount = subprocess.run(command, capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"mounting is not allowed: {mount.stderr.strip()}")
    yield studio
    subprocess.run(["umount", "--lazy", str(studio.state_dir)], check=True)


def fill(studio: Studio) -> Path:
    """Fill the disk of the state folder, and return the file that does it."""
    filler = studio.state_dir / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def drop_hero(studio: Studio) -> None:
    studio.put("selected/hero.toml", BRIEF)
    studio.put("selected/hero.png", png(1))


def until_delivered(daemon: Daemon, studio: Studio) -> None:
    daemon.until(lambda: studio.at("delivered/hero.manifest.json").exists(), "the delivery")


def test_a_start_with_a_full_state_disk_waits_and_then_begins(studio: Studio) -> None:
    """systemd hears that the service is up and why it waits, and the log says it once."""
    filler = fill(studio)
    drop_hero(studio)
    with Daemon(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: daemon.events_of("waiting to start"), "the log")
        sentence = daemon.events_of("waiting to start")[0]["sentence"]
        assert "No space left" in sentence or "full" in sentence
        daemon.until(lambda: any(word.startswith("STATUS=Goldsmith cannot start yet: ") for word in daemon.words), "systemd's status")
        assert daemon.pass_time(1.0)
        assert len(daemon.events_of("waiting to start")) == 1
        filler.unlink()
        until_delivered(daemon, studio)
        assert daemon.end() == 0


def test_a_waiting_start_obeys_sigterm(studio: Studio) -> None:
    """It ends at once, with 0."""
    fill(studio)
    with Daemon(studio) as daemon:
        daemon.until(lambda: daemon.events_of("waiting to start"), "the log")
        assert daemon.end() == 0


def test_a_state_disk_that_fills_up_pauses_the_running_daemon(studio: Studio) -> None:
    """Neither the journal nor the state file can be written. Every file stays, and all is done when there is room."""
    with Daemon(studio) as daemon:
        daemon.until_ready()
        daemon.until(lambda: any(studio.state_dir.glob("*/daemon.json")), "the state file")
        filler = fill(studio)
        drop_hero(studio)
        daemon.until(lambda: daemon.events_of("paused") or daemon.events_of("state not written"), "the log")
        assert daemon.pass_time(2.0)
        assert studio.folder("selected") == ["hero.png", "hero.toml"]
        assert daemon.events_of("resumed") == []
        filler.unlink()
        until_delivered(daemon, studio)
        assert daemon.end() == 0


@pytest.mark.parametrize("fault", ["other folders", "broken", "unreadable", "broken settings", "no models"])
def test_a_reload_that_cannot_be_used_leaves_the_old_configuration_in_force(tmp_path: Path, fault: str) -> None:
    """The log says why; jobs go on with the old folders, and the next good configuration is taken."""
    studio = Studio(tmp_path)
    studio.write_pipeline(PIPELINE)
    config = studio.root / "config"
    with Daemon(studio) as daemon:
        daemon.until_ready()
        if fault == "other folders":
            studio.write_pipeline('[[stage]]\nname = "a"\nfolder = "new_in"\nnext = "new_out"\nsteps = ["sharpen"]\n')
        elif fault == "broken":
            studio.write_pipeline("[[stage\n")
        elif fault == "unreadable":
            (config / "pipeline.toml").unlink()
            (config / "pipeline.toml").mkdir()
        elif fault == "broken settings":
            (config / "goldsmith.toml").write_text("quite = 1\n")
        else:
            (config / "models.toml").write_text("[[model\n")
        daemon.send(signal.SIGHUP)
        daemon.until(lambda: daemon.events_of("not reloaded"), "the log")
        assert daemon.events_of("not reloaded")[0]["remedy"].endswith("The old configuration stays in force.")
        daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
        drop_hero(studio)
        until_delivered(daemon, studio)
        assert studio.at("new_in").exists() is False
        assert daemon.end() == 0
