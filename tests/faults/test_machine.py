"""Failures of the host: the daemon pauses with a sentence, every file stays in place, and work goes on by itself (law 5)."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import EXPORT, INPAINT, PIPELINE
from doubles.disk import Disk, Script
from doubles.pictures import mask, png
from doubles.studio import Studio, studio_at

FAULTS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS]
FAILING_CALLS = {"create", "write", "fsync", "fsync_dir", "mkdir", "rename"}
BRIEF = "seed = 7\ngrade = []\n" + INPAINT + EXPORT

Tree = dict[str, bytes]


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with studio_at(tmp_path, quiet=0.1, breath=0.02, gather=0.0, retry_machine=0.1) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def drop_hero(studio: Studio, campaign: str, brief: str = BRIEF) -> Tree:
    """Drop a picture with mask and brief, and return the files of its campaign."""
    studio.put(f"selected/{campaign}/hero.mask.png", mask())
    studio.put(f"selected/{campaign}/hero.toml", brief)
    studio.put(f"selected/{campaign}/hero.png", png(1))
    return tree(studio, campaign)


def tree(studio: Studio, campaign: str) -> Tree:
    """Return every file of a campaign by path, the archive without its day. A manifest counts as empty, since it has times."""
    files = {}
    for path in studio.root.rglob(f"{campaign}/*"):
        parts = path.relative_to(studio.root).parts
        if path.is_file() and parts[0] not in (".goldsmith", "library", "config"):
            name = "/".join(parts[:1] + parts[2:] if parts[0] == "archive" else parts).replace(f"{campaign}/", "")
            files[name] = b"" if name.endswith(".manifest.json") else path.read_bytes()
    return files


def are_same(actual: Tree, expected: Tree) -> bool:
    """Return whether both trees are equal, and print the sizes of files that differ, since pytest would show their bytes."""
    paths = [path for path in actual | expected if actual.get(path) != expected.get(path)]
    different = {path: (len(actual.get(path, b"")), len(expected.get(path, b""))) for path in paths}
    print("different:", different)
    return not different


def is_delivered(studio: Studio, campaign: str) -> bool:
    return studio.at(f"delivered/{campaign}/hero.manifest.json").exists()


def until_trials_fail(studio: Studio, count: int) -> None:
    """Run the main loop until the host has failed and ``count`` trials after that have failed too."""
    works = studio.runtime
    assert works is not None
    failures: set[float] = set()

    def have_failed() -> bool:
        failures.update({works.host_health.retry_at} if works.host_health.is_unhealthy else ())
        return len(failures) > count

    studio.until(have_failed, f"{count} failed trials")


def run_undisturbed(studio: Studio, script: Script) -> tuple[Tree, list[str]]:
    """Return the files of an undisturbed asset and its calls to the disk. The second asset counts, since the archive's folders exist."""
    for campaign in ("first", "dry"):
        script.calls.clear()
        drop_hero(studio, campaign)
        studio.until(lambda: is_delivered(studio, campaign))  # noqa: B023 - called at once
        studio.until_idle()
    return tree(studio, "dry"), list(script.calls)


@pytest.mark.parametrize("number", FAULTS, ids=errno.errorcode.get)
def test_each_call_of_each_commit_may_fail_once(studio: Studio, number: int) -> None:
    """Every second write, fsync and rename fails with one of the errors in turn: the daemon pauses and then delivers the same files."""
    _fails_once(studio, number, 2 * FAULTS.index(number), 2 * len(FAULTS))


@pytest.mark.soak
@pytest.mark.parametrize("number", FAULTS, ids=errno.errorcode.get)
def test_each_call_of_each_commit_may_fail_once_with_every_error(studio: Studio, number: int) -> None:
    """Every call fails with every error in turn."""
    _fails_once(studio, number, 0, 1)


def _fails_once(studio: Studio, number: int, first: int, stride: int) -> None:
    script = Script(trouble=lambda name: OSError(number, os.strerror(number)))
    studio.start(Disk(script))
    expected, calls = run_undisturbed(studio, script)
    assert expected.keys() >= {"delivered/hero_web.jpg", "delivered/hero.manifest.json", "archive/selected/hero.mask.png"}
    failing = [at for at, name in enumerate(calls, 1) if name in FAILING_CALLS]
    for at in failing[first::stride]:
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        drop_hero(studio, campaign)
        _check_pause_and_delivery(studio, campaign, number)
        script.at = 0
        assert are_same(tree(studio, campaign), expected), f"call {at} of {len(calls)}, {calls[at - 1]}\n{studio.report()}"


def _check_pause_and_delivery(studio: Studio, campaign: str, number: int) -> None:
    """Check that the daemon pauses, holds no picture, leaves the inputs in place, and delivers afterwards.

    A denied permission in the scratch folder of a job is that job's own fault: it gets a note, and without the note it is tried again.
    """
    studio.until(lambda: studio.events_of("paused") or studio.events_of("held"), f"a pause over {campaign}")
    if number == errno.EACCES and studio.events_of("held"):
        (hold,) = studio.events_of("held")
        assert ".goldsmith/work/" in hold["sentence"]
        studio.at(f"{hold['picture']}.problem.txt").unlink()
        studio.until(lambda: is_delivered(studio, campaign), f"{campaign} delivered")
        studio.until_idle()
        return
    assert studio.events_of("held") == []
    pause = studio.events_of("paused")[0]
    assert pause["sentence"].endswith(".")
    folders = [folder for folder in ("selected", "masked", "graded") if studio.at(f"{folder}/{campaign}/hero.png").exists()]
    assert len(folders) == 1, folders
    assert studio.at(f"{folders[0]}/{campaign}/hero.toml").exists()
    assert not is_delivered(studio, campaign)
    studio.until(lambda: is_delivered(studio, campaign), f"{campaign} delivered")
    studio.until_idle()


@pytest.mark.parametrize(
    "number",
    [errno.ENOSPC, pytest.param(errno.EIO, marks=pytest.mark.soak), pytest.param(errno.EROFS, marks=pytest.mark.soak)],
    ids=errno.errorcode.get,
)
def test_the_daemon_waits_for_a_disk_that_keeps_failing(studio: Studio, number: int) -> None:
    """From one call on, every call fails, also those of the rollback; after that the same files are delivered."""
    script = Script(trouble=lambda name: OSError(number, os.strerror(number)), lasting=True)
    studio.start(Disk(script))
    expected, calls = run_undisturbed(studio, script)
    for at in range(1, len(calls) + 1, 9):
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        drop_hero(studio, campaign)
        until_trials_fail(studio, 2)
        assert studio.events_of("resumed") == []
        assert studio.events_of("committed", stage="deliver") == []
        script.at = 0
        studio.until(lambda: is_delivered(studio, campaign), f"{campaign} delivered")  # noqa: B023 - called at once
        studio.until_idle()
        assert are_same(tree(studio, campaign), expected), f"from call {at} of {len(calls)}\n{studio.report()}"


@pytest.mark.soak
def test_the_daemon_may_be_stopped_while_the_disk_fails(studio: Studio) -> None:
    """The next daemon finishes or undoes a commit that the failing disk left half done."""
    script = Script(trouble=lambda name: OSError(errno.EIO, os.strerror(errno.EIO)), lasting=True)
    studio.start(Disk(script))
    expected, calls = run_undisturbed(studio, script)
    renames = [at for at, name in enumerate(calls, 1) if name == "rename"]
    for at in renames[::3]:
        campaign = f"c{at}"
        script.calls.clear()
        script.at = at
        studio.events.clear()
        drop_hero(studio, campaign)
        studio.until_event("paused")
        studio.restart()
        studio.until(lambda: is_delivered(studio, campaign), f"{campaign} delivered")  # noqa: B023 - called at once
        studio.until_idle()
        assert are_same(tree(studio, campaign), expected)
        script.at = 0
        studio.restart(Disk(script))


def test_a_note_that_cannot_be_written_pauses_and_is_written_later(studio: Studio) -> None:
    """The note appears once the disk has space again."""
    script = Script(trouble=lambda name: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), at=1, lasting=True)
    studio.start(Disk(script))
    drop_hero(studio, "acme", '[[edit]]\nop = "sharpn"\n')
    assert "No space left" in studio.until_event("paused")["sentence"]
    script.at = 0
    studio.until(lambda: studio.note("selected/acme/hero.png"))


def test_a_folder_that_refuses_a_note_does_not_stop_the_others(studio: Studio) -> None:
    """One campaign's folder is not writable: the journal has its problem, and the other campaigns go on."""
    script = Script(trouble=lambda name: PermissionError(errno.EACCES, os.strerror(errno.EACCES)), at=1)
    studio.start(Disk(script))
    drop_hero(studio, "acme", '[[edit]]\nop = "sharpn"\n')
    studio.until_event("held")
    drop_hero(studio, "other")
    studio.until(lambda: is_delivered(studio, "other"))
    assert studio.events_of("paused") == []
    assert "sharpn" in studio.journal.all_holds()[0].sentence
    drop_hero(studio, "acme")
    studio.until(lambda: is_delivered(studio, "acme"))
    studio.until_idle()


def test_a_full_journal_pauses_the_daemon_and_loses_no_file(studio: Studio) -> None:
    """While SQLite cannot add a page, the pictures stay in place. All are delivered later."""
    studio.start()
    expected, _ = run_undisturbed(studio, Script())
    database = studio.journal._db
    max_page_count = database.execute("PRAGMA max_page_count").fetchone()[0]
    for each in range(12):
        drop_hero(studio, f"before{each}")
    studio.until_event("started", count=3)
    database.execute("PRAGMA max_page_count = 1")  # SQLite keeps the existing pages and adds none
    for each in range(12):
        drop_hero(studio, f"during{each}")
    until_trials_fail(studio, 2)
    assert studio.events_of("resumed") == []
    assert "journal" in studio.events_of("paused")[0]["sentence"]
    database.execute(f"PRAGMA max_page_count = {max_page_count}")
    campaigns = [f"{when}{each}" for when in ("before", "during") for each in range(12)]
    studio.until(lambda: all(is_delivered(studio, campaign) for campaign in campaigns), "all delivered")
    assert all(are_same(tree(studio, campaign), expected) for campaign in campaigns)


@pytest.mark.parametrize("folder", ["selected", "masked", "delivered", "archive"])
def test_a_folder_of_the_pipeline_may_disappear_and_return(studio: Studio, folder: str) -> None:
    """A mount may disappear and return. Its files then move on, and the daemon never creates the folder itself."""
    studio.start()
    expected, _ = run_undisturbed(studio, Script())
    if folder == "selected":
        drop_hero(studio, "acme", INPAINT.replace('"mask"', '"sky"') + BRIEF.replace(INPAINT, ""))
        studio.until_idle()
        os.rename(studio.at(folder), studio.at("elsewhere"))
        works = studio.runtime
        assert works is not None
        studio.until(lambda: folder in works.intake.unavailable_folders(), "the folder is reported missing")
        os.rename(studio.at("elsewhere"), studio.at(folder))
        os.unlink(studio.at("selected/acme/hero.toml"))
        studio.put("selected/acme/hero.toml", BRIEF)
    else:
        os.rename(studio.at(folder), studio.at("elsewhere"))
        drop_hero(studio, "acme")
        assert folder in studio.until_event("paused")["sentence"]
        assert not studio.at(folder).exists()
        os.rename(studio.at("elsewhere"), studio.at(folder))
    studio.until(lambda: is_delivered(studio, "acme"))
    studio.until_idle()
    assert are_same(tree(studio, "acme"), expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a tmpfs of 2 MiB, or skip the test if mounting is not allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed: {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="mount is not installed")
def test_the_daemon_waits_for_a_real_disk_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    """The daemon pauses and delivers once the disk has space again."""
    with studio_at(small_disk, state_dir=tmp_path / "state", quiet=0.1) as studio:
        studio.state_dir = tmp_path / "state"
        studio.write_pipeline(PIPELINE)
        studio.start()
        expected, _ = run_undisturbed(studio, Script())
        drop_hero(studio, "acme")
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        studio.until_event("paused")
        assert not is_delivered(studio, "acme")
        filler.unlink()
        studio.until(lambda: is_delivered(studio, "acme"))
        studio.until_idle()
        assert are_same(tree(studio, "acme"), expected)
