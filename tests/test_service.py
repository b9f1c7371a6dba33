"""The daemon as a program: one to a root, told by signals, speaking to systemd; and what it makes belongs to the share."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, LINE, SELECT, SHARPEN, WHOLE
from doubles.pictures import png
from doubles.studio import Daemon, Studio
from goldsmith.service import STATE_FILE

SIXTH = '[[stage]]\nname = "polish"\nfolder = "polished"\nnext = "graded"\nsteps = ["sharpen"]\n'


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    made = Studio(tmp_path)
    made.line(LINE)
    return made


@pytest.fixture
def daemon(studio: Studio) -> Iterator[Daemon]:
    with Daemon(studio) as made:
        yield made.until_ready()


def with_a_sixth_folder() -> str:
    """The line with polished/ between masked/ and graded/."""
    rows = LINE.split("[[stage]]")
    rows[3] = rows[3].replace('next = "graded"', 'next = "polished"')
    return "[[stage]]".join([*rows[:4], SIXTH.removeprefix("[[stage]]"), rows[4]])


def test_a_second_daemon_is_refused_with_a_sentence(daemon: Daemon, studio: Studio) -> None:
    """It says who runs there, ends with 5, and the first one does not notice."""
    with Daemon(studio) as second:
        second.until(lambda: second.process.poll() is not None, "its end")
        second.listen(0)
        assert second.process.returncode == 5
        assert f"already running on {studio.root} (process {daemon.pid} on" in second.stderr.decode()
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT)
    daemon.until(lambda: studio.folder("selected"), "the first one works on")


def test_after_a_crash_of_the_first_another_one_may_start(daemon: Daemon, studio: Studio) -> None:
    """The lock goes with the process, however it dies."""
    daemon.kill()
    with Daemon(studio) as second:
        second.until_ready()
        assert second.end() == 0


def test_sigterm_lets_finish_what_runs_and_begins_nothing_more(studio: Studio) -> None:
    """It ends with 0; pictures are either where they were or in the next folder, and the state file is gone."""
    studio.put("inbox/brief.toml", SELECT + SHARPEN)
    for number in range(12):
        studio.put(f"inbox/p{number}.png", png(number))
    with Daemon(studio) as daemon:
        daemon.until(lambda: daemon.heard("started"), "the first start")
        assert daemon.end() == 0
    lying = [
        Path(name).stem for name in (*studio.folder("inbox"), *studio.folder("selected"), *studio.folder("masked")) if name[-4:] == ".png"
    ]
    assert sorted(lying) == sorted(f"p{number}" for number in range(12))
    assert not (studio.journal_path.parent / STATE_FILE).exists()
    assert os.listdir(studio.root / ".goldsmith/work") == []


def test_sighup_reads_the_line_again_and_a_new_stage_works(daemon: Daemon, studio: Studio) -> None:
    """Its folder is made, and pictures go through it."""
    studio.line(with_a_sixth_folder())
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", GRADE + '[[polish]]\nop = "sharpen"\n')
    daemon.until(lambda: len(daemon.heard("committed")) == 2, "two commits")
    assert studio.folder("graded") == ["hero.png", "hero.toml"]
    assert [told["stage"] for told in daemon.heard("committed")] == ["grade", "polish"]


def test_sighup_with_a_broken_line_leaves_the_old_one_in_force(daemon: Daemon, studio: Studio) -> None:
    """What is wrong is logged, and work goes on as before."""
    studio.line(LINE.replace('"masked"', '"maskd"', 1))
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.heard("not reloaded"), "the complaint")
    assert "maskd" in daemon.heard("not reloaded")[0]["sentence"]
    daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    daemon.until(lambda: "hero.png" in studio.folder("masked"), "a picture in masked/")


def test_systemd_hears_each_word_in_its_order(studio: Studio) -> None:
    """Ready, a watchdog that is petted while nothing happens, reloading with the time, ready again, stopping."""
    with Daemon(studio, WATCHDOG_USEC="600000") as daemon:
        daemon.until_ready()
        daemon.until(lambda: daemon.words.count("WATCHDOG=1") >= 3, "three pets")
        daemon.send(signal.SIGHUP)
        daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
        assert daemon.end() == 0
        words = [word for word in daemon.words if not word.startswith(("WATCHDOG", "STATUS"))]
    assert [word.partition("_USEC=")[0] for word in words] == ["READY=1", "RELOADING=1", "MONOTONIC", "READY=1", "STOPPING=1"]
    assert "STATUS=Watching the folders." in daemon.words


def test_the_state_file_tells_of_the_running_daemon_and_keeps_up(daemon: Daemon, studio: Studio) -> None:
    """Each folder is heard by events, though that was not known yet when it was first written."""
    file = studio.journal_path.parent / STATE_FILE

    def state() -> dict[str, object]:
        with contextlib.suppress(FileNotFoundError):
            found: dict[str, object] = json.loads(file.read_text())
            return found
        return {}

    daemon.until(
        lambda: state().get("folders") == dict.fromkeys(("inbox", "selected", "masked", "graded"), "events"), "events everywhere", 20
    )
    assert state()["pid"] == daemon.pid


def test_until_idle_ends_by_itself_when_nothing_is_left(studio: Studio) -> None:
    """Also with pictures that wait and pictures that are held."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.put("inbox/alone.png", png(1))
    studio.put("inbox/wrong.png", b"no picture at all")
    studio.put("inbox/wrong.toml", SELECT)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "its end")
    assert daemon.process.returncode == 0
    assert studio.folders() == {
        "inbox": ["alone.png", "wrong.png", "wrong.png.problem.txt", "wrong.toml"],
        "delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"],
    }


def test_a_root_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 2 and the command that makes one."""
    studio = Studio(tmp_path)
    shutil.rmtree(studio.root)
    with Daemon(studio) as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "its end")
        daemon.listen(0)
    assert daemon.process.returncode == 2
    assert "goldsmith init" in daemon.stderr.decode()


# ---------------------------------------------------------------------- whose results are


def test_results_get_the_mode_and_the_group_of_their_folder(studio: Studio) -> None:
    """Everything that the daemon puts down, notes included."""
    groups = [group for group in os.getgroups() if group != os.getegid()] or ([4242] if os.geteuid() == 0 else [])
    for folder in ("masked", "selected"):
        if groups:
            os.chown(studio.root / folder, -1, groups[0])
        os.chmod(studio.root / folder, 0o2770)  # noqa: S103 - a folder of the whole group is what is tested
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.put("selected/wrong.png", b"no picture at all")
    studio.put("selected/wrong.toml", SHARPEN)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "its end")
    for path in ("masked/hero.png", "masked/hero.toml", "selected/wrong.png.problem.txt"):
        status = studio.at(path).stat()
        assert (oct(status.st_mode & 0o777), status.st_gid) == ("0o660", groups[0] if groups else os.getegid()), path


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed")
def test_results_get_the_default_acl_of_their_folder(studio: Studio) -> None:
    """A group that is let in by the folder's default ACL may read and write what is put there."""
    made = subprocess.run(["setfacl", "-d", "-m", "g:4242:rwx,m:rwx", studio.root / "masked"], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"no ACLs here: {made.stderr.strip()}")
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "its end")
    for name in ("hero.png", "hero.toml"):
        told = subprocess.run(["getfacl", "--numeric", "--omit-header", studio.root / "masked" / name], capture_output=True, text=True)
        assert "group:4242:rw" in told.stdout, told.stdout
