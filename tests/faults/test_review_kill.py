"""Kills in the middle of decisions: a picture in a tray is decided once and completely, or it still lies there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from doubles import dying
from doubles.jobs import png
from doubles.studio import Daemon, Studio, studio_at

BRIEF = 'review = ["edit"]\nseed = 3\n[[edit]]\nop = "grade"\nwhere = "mask"\nexposure = 0.5\n'
# The mask of this one is reviewed before the step.
MASK_BRIEF = BRIEF.replace('"edit"', '"edit.mask"').replace('"mask"\n', '"top"\n')
TRAYS = ("approve", "again", "reject")


def picture(number: int) -> bytes:
    return png(np.full((24, 32, 3), 0.2 + number * 0.01, np.float32))


def drop_and_drag(studio: Studio, number: int) -> None:
    """Let pictures wait in review/, and drag one into each tray, and one with its mask into approve/, while no daemon runs."""
    white = np.zeros((24, 32), np.float32)
    white[4:12, 4:12] = 1
    for tray in TRAYS:
        stem = f"{tray}{number}"
        studio.put(f"selected/acme/{stem}.mask.png", png(white))
        studio.put(f"selected/acme/{stem}.toml", BRIEF)
        studio.put(f"selected/acme/{stem}.png", picture(number))
    studio.put(f"selected/acme/masked{number}.toml", MASK_BRIEF)
    studio.put(f"selected/acme/masked{number}.png", picture(number))
    studio.until_idle()
    studio.stop()
    os.rename(studio.at(f"review/acme/masked{number}.png"), studio.at(f"review/approve/masked{number}.png"))
    for tray in TRAYS:
        os.rename(studio.at(f"review/acme/{tray}{number}.png"), studio.at(f"review/{tray}/{tray}{number}.png"))


def expected(number: int) -> dict[str, set[str]]:
    """Return what lies in the folders when all three decisions are carried out."""
    before = ("review.before.mask.png", "review.before.png", "review.jpg")
    again = {f"acme/again{number}_v002.{tail}" for tail in ("png", "toml", *before)}
    on = {f"acme/{stem}{number}.{tail}" for stem in ("approve", "masked") for tail in ("png", "toml")}
    return {"masked": on, "review": again}


def archived_results(studio: Studio, number: int) -> list[str]:
    names = [path.rpartition("/")[2] for path in studio.archived() if path.startswith("review/")]
    return sorted(name for name in names if name in {f"again{number}.png", f"reject{number}.png"})


@pytest.mark.parametrize("call", [11, *(pytest.param(call, marks=pytest.mark.soak) for call in (2, 23))])
def test_a_daemon_that_is_killed_while_it_carries_out_decisions_ends_like_an_undisturbed_one(tmp_path: Path, call: int) -> None:
    """It is killed at a call of the filesystem between the record and the end of the commit, and once in the recovery after that."""
    with studio_at(tmp_path, quiet=0.1) as studio:
        drop_and_drag(studio, call)
        for each in (call, -call - 20):
            with Daemon(studio, "--until-idle", program=(dying.__file__, str(each))) as daemon:
                daemon.until(lambda daemon=daemon: daemon.process.poll() is not None, "the end of the daemon")  # type: ignore[misc]
        studio.until_idle()
        folders = studio.folders()
        assert {folder: set(names) for folder, names in folders.items()} == expected(call)
        assert archived_results(studio, call) == [f"again{call}.png", f"reject{call}.png"]
        assert studio.folder("review/approve") == studio.folder("review/again") == studio.folder("review/reject") == []


def test_a_decision_is_found_without_events(tmp_path: Path) -> None:
    """Every event about the tray is lost: the next sweep of the folders finds the picture."""
    with studio_at(tmp_path, sweep=5.0) as studio:
        drop_and_drag(studio, 0)
        for tray in TRAYS:
            os.rename(studio.at(f"review/{tray}/{tray}0.png"), studio.at(f"review/acme/{tray}0.png"))
        studio.until_idle()
        assert studio.runtime is not None
        studio.runtime.watcher.take_hints(10**6)
        for tray in TRAYS:
            os.rename(studio.at(f"review/acme/{tray}0.png"), studio.at(f"review/{tray}/{tray}0.png"))
        while studio.runtime.watcher.has_hints():
            studio.runtime.watcher.take_hints(10**6)
        studio.until(lambda: "acme/approve0.png" in studio.folder("masked"), "the sweep")
