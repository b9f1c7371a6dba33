"""The daemon on every kind of mount that this machine has: each picture comes through once, also after a SIGKILL within a commit."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from doubles import dying
from doubles.mounted import KINDS, mounted
from doubles.pictures import png
from doubles.studio import Daemon, Studio, studio_at

ONWARD = "generate = []\n"
RESIZED = '[[generate]]\nop = "resize"\nsize = [12, 8]\n'
PICTURES = {"plain": ONWARD, "second": ONWARD, "small": RESIZED}
# The call of a commit at which the first daemon kills itself: some files are moved by then, and others are not.
LAST_CALL = "6"
# A file that was just written may get another mtime when it has been uploaded: then it is read once more.
LATE_TIMES = ("rclone",)
# The password of cryfs costs 13 s of processor time. The other two are much like bindfs, as far as a daemon can tell.
SLOW = ("cryfs", "encfs", "gocryptfs")


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.soak) if kind in SLOW else kind for kind in KINDS])
def test_each_picture_comes_through_once_on(kind: str, tmp_path: Path) -> None:
    """Kill the daemon within a commit, then let another finish. No file may be called changed, since nobody changes one."""
    with mounted(kind, tmp_path / "mount", tmp_path / "root"):
        studio = Studio(tmp_path)
        data = {name: png(number) for number, name in enumerate(PICTURES)}
        for name, brief in PICTURES.items():
            studio.write(f"inbox/acme/{name}.toml", brief)
            studio.write(f"inbox/acme/{name}.png", data[name])
        false_changes = []
        for program, end in (((dying.__file__, LAST_CALL), -signal.SIGKILL), (("-m", "goldsmith"), 0)):
            with Daemon(studio, "--until-idle", program=program) as daemon:
                daemon.until(lambda daemon=daemon: daemon.process.poll() is not None, "the end of the daemon")
                daemon.listen(0)
                false_changes += [entry for entry in daemon.events_of("fault") if entry["kind"] == "changed"]
            assert daemon.process.returncode == end, daemon.stderr.decode()
        expected = {"selected": [f"acme/{name}.{end}" for name in sorted(PICTURES) for end in ("png", "toml")]}
        assert studio.folders() == expected, studio.report()
        assert studio.read("selected/acme/plain.png") == data["plain"]
        assert studio.read("selected/acme/second.png") == data["second"]
        assert studio.read("selected/acme/small.png") != data["small"]
        originals = [studio.read(f"archive/{path}") for path in studio.folder("archive") if path.endswith(".png") and "_result" not in path]
        assert sorted(originals) == sorted(data.values())
        assert false_changes == [] or kind in LATE_TIMES


@pytest.mark.parametrize("call", [12, pytest.param(20, marks=pytest.mark.soak), 28, pytest.param(36, marks=pytest.mark.soak)])
def test_a_kill_between_subvolumes_of_btrfs_makes_no_second_version(call: int, tmp_path: Path) -> None:
    """Each stage is a subvolume, so every move is a copy. The kernel says that a name is taken before it says so."""
    with mounted("btrfs", tmp_path / "mount", tmp_path / "root"):
        for folder in ("inbox", "selected", "archive"):
            subprocess.run(["btrfs", "subvolume", "create", str(tmp_path / "root" / folder)], capture_output=True, check=True)
        studio = Studio(tmp_path)
        for number, name in enumerate(PICTURES):
            studio.put(f"inbox/{name}.toml", RESIZED)
            studio.put(f"inbox/{name}.png", png(number))
        for program, end in (((dying.__file__, str(call)), -signal.SIGKILL), (("-m", "goldsmith"), 0)):
            with Daemon(studio, "--until-idle", program=program) as daemon:
                daemon.until(lambda daemon=daemon: daemon.process.poll() is not None, "the end of the daemon")
                daemon.listen(0)
            assert daemon.process.returncode == end, daemon.stderr.decode()
        assert studio.folders() == {"selected": [f"{name}.{end}" for name in sorted(PICTURES) for end in ("png", "toml")]}
        assert studio.archived() == [f"inbox/{name}.{end}" for name in sorted(PICTURES) for end in ("png", "toml")]


def test_a_picture_that_was_written_on_after_its_commit_comes_out_as_the_next_version(tmp_path: Path) -> None:
    """A program on the other side pauses for longer than the weaker rule waits, and then writes the rest into the archived file."""
    with mounted("sshfs", tmp_path / "mount", tmp_path / "root") as mount, studio_at(tmp_path) as studio:
        assert mount.behind is not None
        first, last = png(1), png(2)
        studio.put("inbox/acme/hero.toml", RESIZED)
        with (mount.behind / "inbox/acme/hero.png").open("wb", buffering=0) as other_side:
            other_side.write(first)
            studio.until(lambda: studio.folder("selected") == ["acme/hero.png", "acme/hero.toml"], "the first version")
            other_side.seek(0)
            other_side.truncate()
            other_side.write(last)
            os.utime(other_side.fileno(), (time.time() + 60, time.time() + 60))  # the program took a minute
        studio.until_event("put_back")
        studio.until(lambda: "acme/hero_v002.png" in studio.folder("selected"), "the next version")
        studio.until_idle()
        assert studio.folder("inbox") == []
        originals = [studio.read(f"archive/{path}") for path in studio.folder("archive") if path.endswith(".png") and "_result" not in path]
        assert originals == [last]
        assert studio.read("selected/acme/hero_v002.png") != studio.read("selected/acme/hero.png")
