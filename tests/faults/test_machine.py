"""The machine fails under the whole daemon: it pauses with a sentence, everything waits in place, and goes on by itself (law 5)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, INPAINT, LINE
from doubles.disk import Disk, Script
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

FAULTS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS]
STRUCK = {"create", "write", "fsync", "fsync_dir", "mkdir", "rename"}
BRIEF = "seed = 7\ngrade = []\n" + INPAINT + EXPORT

Tree = dict[str, bytes]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path, quiet=0.1, breath=0.02, gather=0.0) as made:
        made.line(LINE)
        yield made


def dropped(studio: Studio, campaign: str, brief: str = BRIEF) -> Tree:
    """A picture with mask and brief; what lies in its campaign then."""
    studio.put(f"selected/{campaign}/hero.mask.png", mask())
    studio.put(f"selected/{campaign}/hero.toml", brief)
    studio.put(f"selected/{campaign}/hero.png", png(1))
    return tree(studio, campaign)


def tree(studio: Studio, campaign: str) -> Tree:
    """Every file of a campaign, in whatever folder, archive included without its day; of a manifest only that it is there."""
    found = {}
    for path in studio.root.rglob(f"{campaign}/*"):
        parts = path.relative_to(studio.root).parts
        if path.is_file() and parts[0] not in (".goldsmith", "library", "config"):
            name = "/".join(parts[:1] + parts[2:] if parts[0] == "archive" else parts).replace(f"{campaign}/", "")
            found[name] = b"" if name.endswith(".manifest.json") else path.read_bytes()
    return found


def same(found: Tree, wanted: Tree) -> bool:
    """Equal, without pytest showing the bytes where they are not."""
    different = {
        path: (len(found.get(path, b"")), len(wanted.get(path, b""))) for path in found | wanted if found.get(path) != wanted.get(path)
    }
    print("different:", different)
    return not different


def delivered(studio: Studio, campaign: str) -> bool:
    return studio.at(f"delivered/{campaign}/hero.manifest.json").exists()


def undisturbed(studio: Studio, script: Script) -> tuple[Tree, list[str]]:
    """What comes of one asset, and every call that was made of the disk for it; the second one, when the archive has its folders."""
    for campaign in ("first", "dry"):
        script.calls.clear()
        dropped(studio, campaign)
        studio.until(lambda: delivered(studio, campaign))  # noqa: B023 - called at once
        studio.until_idle()
    return tree(studio, "dry"), list(script.calls)


@pytest.mark.parametrize("number", FAULTS, ids=errno.errorcode.get)
def test_each_call_of_each_commit_may_fail_once(studio: Studio, number: int) -> None:
    """At every write, fsync and rename, each with one of the faults in turn: told, in place, then delivered once and the same."""
    _fails_once(studio, number, FAULTS.index(number), len(FAULTS))


@pytest.mark.soak
@pytest.mark.parametrize("number", FAULTS, ids=errno.errorcode.get)
def test_each_call_of_each_commit_may_fail_once_in_every_way(studio: Studio, number: int) -> None:
    """The same with every fault at every call."""
    _fails_once(studio, number, 0, 1)


def _fails_once(studio: Studio, number: int, first: int, stride: int) -> None:
    script = Script(trouble=lambda name: OSError(number, os.strerror(number)))
    studio.start(Disk(script))
    wanted, calls = undisturbed(studio, script)
    assert wanted.keys() >= {"delivered/hero_web.jpg", "delivered/hero.manifest.json", "archive/selected/hero.mask.png"}
    struck = [at for at, name in enumerate(calls, 1) if name in STRUCK]
    for at in struck[first::stride]:
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        dropped(studio, campaign)
        _told_and_gone_on(studio, campaign)
        script.at = 0
        assert same(tree(studio, campaign), wanted), f"call {at} of {len(calls)}, {calls[at - 1]}\n{studio.report()}"


def _told_and_gone_on(studio: Studio, campaign: str) -> None:
    """It pauses, and holds no picture for it; the inputs of that commit lie where they lay."""
    studio.until(lambda: studio.heard("paused") or studio.heard("held"), f"a pause over {campaign}")
    assert studio.heard("held") == []
    told = studio.heard("paused")[0]
    assert told["sentence"].endswith(".")
    places = [folder for folder in ("selected", "masked", "graded") if studio.at(f"{folder}/{campaign}/hero.png").exists()]
    assert len(places) == 1, places
    assert studio.at(f"{places[0]}/{campaign}/hero.toml").exists()
    assert not delivered(studio, campaign)
    studio.until(lambda: delivered(studio, campaign), f"{campaign} delivered")
    studio.until_idle()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS], ids=errno.errorcode.get)
def test_a_disk_that_goes_on_failing_is_waited_for(studio: Studio, number: int) -> None:
    """From any call on, every further one fails, the undoing too; when it is well again all is delivered once and the same."""
    script = Script(trouble=lambda name: OSError(number, os.strerror(number)), lasting=True)
    studio.start(Disk(script))
    wanted, calls = undisturbed(studio, script)
    for at in range(1, len(calls) + 1, 9):
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        dropped(studio, campaign)
        studio.until(lambda: len(studio.heard("paused")) >= 1 and studio.heard("resumed"), f"a pause over {campaign}")
        assert studio.heard("committed", stage="deliver") == []
        script.at = 0
        studio.until(lambda: delivered(studio, campaign), f"{campaign} delivered")  # noqa: B023 - called at once
        studio.until_idle()
        assert same(tree(studio, campaign), wanted), f"from call {at} of {len(calls)}\n{studio.report()}"


def test_the_daemon_may_be_stopped_while_the_disk_fails(studio: Studio) -> None:
    """A commit that could neither be done nor undone is found by the next daemon."""
    script = Script(trouble=lambda name: OSError(errno.EIO, os.strerror(errno.EIO)), lasting=True)
    studio.start(Disk(script))
    wanted, calls = undisturbed(studio, script)
    renames = [at for at, name in enumerate(calls, 1) if name == "rename"]
    for at in renames[::3]:
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        dropped(studio, campaign)
        studio.until_heard("paused")
        studio.restart()
        studio.until(lambda: delivered(studio, campaign), f"{campaign} delivered")  # noqa: B023 - called at once
        studio.until_idle()
        assert same(tree(studio, campaign), wanted)
        script.at = 0
        studio.restart(Disk(script))


def test_a_note_that_cannot_be_written_pauses_and_is_written_later(studio: Studio) -> None:
    """A full disk keeps nobody from learning what is wrong, once there is room again."""
    script = Script(trouble=lambda name: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), at=1, lasting=True)
    studio.start(Disk(script))
    dropped(studio, "acme", '[[edit]]\nop = "sharpn"\n')
    assert "No space left" in studio.until_heard("paused")["sentence"]
    script.at = 0
    studio.until(lambda: studio.note("selected/acme/hero.png"))


def test_a_folder_that_takes_no_note_does_not_stop_the_others(studio: Studio) -> None:
    """One campaign's folder may not be written to: its bad brief is on record, and the rest of the line goes on."""
    script = Script(trouble=lambda name: PermissionError(errno.EACCES, os.strerror(errno.EACCES)), at=1)
    works = studio.start(Disk(script))
    dropped(studio, "acme", '[[edit]]\nop = "sharpn"\n')
    studio.until_heard("held")
    dropped(studio, "other")
    studio.until(lambda: delivered(studio, "other"))
    assert studio.heard("paused") == []
    assert "sharpn" in studio.journal.all_holds()[0].sentence
    dropped(studio, "acme")
    studio.until(lambda: delivered(studio, "acme"))
    assert works.scheduler.is_idle or studio.until_idle() is None


def test_a_journal_without_room_pauses_and_nothing_is_forgotten(studio: Studio) -> None:
    """sqlite may write no further page: pictures wait in place, whatever their lanes have said meanwhile, and all are delivered."""
    studio.start()
    wanted, _ = undisturbed(studio, Script())
    database = studio.journal._db
    room = database.execute("PRAGMA max_page_count").fetchone()[0]
    for each in range(12):
        dropped(studio, f"before{each}")
    studio.until_heard("started", count=3)
    database.execute("PRAGMA max_page_count = 1")  # that is: as many as there are
    for each in range(12):
        dropped(studio, f"during{each}")
    studio.until(lambda: len(studio.heard("resumed")) >= 2, "two pauses")
    assert "journal" in studio.heard("paused")[0]["sentence"]
    database.execute(f"PRAGMA max_page_count = {room}")
    campaigns = [f"{when}{each}" for when in ("before", "during") for each in range(12)]
    studio.until(lambda: all(delivered(studio, campaign) for campaign in campaigns), "all delivered")
    assert all(same(tree(studio, campaign), wanted) for campaign in campaigns)


@pytest.mark.parametrize("folder", ["selected", "masked", "delivered", "archive"])
def test_a_folder_of_the_line_may_vanish_and_come_back(studio: Studio, folder: str) -> None:
    """As a mount does: what lay there lies there again, and goes on; nothing is put into a folder made in its stead."""
    studio.start()
    wanted, _ = undisturbed(studio, Script())
    if folder == "selected":
        dropped(studio, "acme", INPAINT.replace('"mask"', '"sky"') + BRIEF.replace(INPAINT, ""))
        studio.until_idle()
        os.rename(studio.at(folder), studio.at("elsewhere"))
        works = studio.works
        assert works is not None
        studio.until(lambda: folder in works.intake.unavailable_folders(), "the folder is missed")
        os.rename(studio.at("elsewhere"), studio.at(folder))
        os.unlink(studio.at("selected/acme/hero.toml"))
        studio.put("selected/acme/hero.toml", BRIEF)
    else:
        os.rename(studio.at(folder), studio.at("elsewhere"))
        dropped(studio, "acme")
        assert folder in studio.until_heard("paused")["sentence"]
        assert not studio.at(folder).exists()
        os.rename(studio.at("elsewhere"), studio.at(folder))
    studio.until(lambda: delivered(studio, "acme"))
    studio.until_idle()
    assert same(tree(studio, "acme"), wanted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 2 MiB; skipped by name where mounting is not allowed."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed here: {made.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="mount is not installed")
def test_a_real_disk_that_is_full_is_waited_for(small_disk: Path, tmp_path: Path) -> None:
    """The daemon says so, everything waits, and with room again everything is delivered once."""
    with studio_at(small_disk, state_dir=tmp_path / "state", quiet=0.1) as studio:
        studio.state_dir = tmp_path / "state"
        studio.line(LINE)
        studio.start()
        wanted, _ = undisturbed(studio, Script())
        dropped(studio, "acme")
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        studio.until_heard("paused")
        assert not delivered(studio, "acme")
        filler.unlink()
        studio.until(lambda: delivered(studio, "acme"))
        studio.until_idle()
        assert same(tree(studio, "acme"), wanted)
