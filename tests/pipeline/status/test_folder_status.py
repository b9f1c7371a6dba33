"""The file _status.txt in each stage's folder: what it says, when it is written, and what it never does."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.commission import GRADE, PIPELINE, SHARPEN
from doubles.pictures import mask, png
from doubles.studio import Daemon, Studio, studio_at
from goldsmith.errors import HostError
from goldsmith.files import STATUS_FILE_NAME, Filesystem, PathAt
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.pipeline.status import folder_status
from goldsmith.pipeline.status.folder_status import FolderStatusFiles

SKY = '[[edit]]\nop = "inpaint"\nwhere = "sky"\n'


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = time.monotonic() + 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio whose status files are written at once."""
    monkeypatch.setattr(folder_status, "WRITE_INTERVAL_SECONDS", 0.0)
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def status_of(studio: Studio, folder: str = "selected") -> str:
    path = studio.at(f"{folder}/{STATUS_FILE_NAME}")
    return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n") if path.exists() else ""


def status_files(studio: Studio) -> FolderStatusFiles:
    assert studio.runtime is not None
    assert studio.runtime.folder_status is not None
    return studio.runtime.folder_status


def use_report(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the text of every folder by these lines, which tests change."""
    lines = ["first"]

    class Report:
        def __init__(self, *_: object) -> None:
            pass

        def lines(self) -> Iterator[str]:
            yield from lines

    monkeypatch.setattr(folder_status, "_FolderReport", Report)
    return lines


def until_told(studio: Studio, *parts: str, folder: str = "selected") -> str:
    studio.until(lambda: all(part in status_of(studio, folder) for part in parts), f"{parts} in {status_of(studio, folder)}")
    return status_of(studio, folder)


# --- what it says


def test_it_tells_what_waits_and_for_what_what_is_held_and_which_names_to_check(studio: Studio) -> None:
    """The sentences are those of ``why``."""
    studio.put("selected/acme/clay.png", png())
    studio.put("selected/acme/clay.toml", SKY)
    studio.put("selected/bad.png", png())
    studio.put("selected/bad.toml", '[[edit]]\nop = "sharpn"\n')
    studio.put("selected/n9.png", png())
    studio.put("selected/n9_mask_final.png", mask())
    studio.put("selected/layers.exr", b"v/1\1" + bytes(60))
    studio.put("selected/lamp.png ", png())
    studio.put("selected/old.png.", png())
    text = until_told(
        studio, "Waiting for the mask “sky”", "Waiting (1)", "Problems (1)", "Names to check (4)", "Pictures without an instruction (2)"
    )
    assert text.startswith("Goldsmith: the state of selected/\nLast change: ")
    assert "  acme/clay.png\n      Waiting for the mask “sky” (step 1 of edit needs it): put “clay.mask.sky.png” beside it.\n" in text
    assert "  bad.png\n      bad.toml: edit.1.op is" in text
    assert "  Is “n9_mask_final.png” the mask of “n9.png”? Call it “n9.mask.png”.\n" in text
    assert "  “layers.exr” is an OpenEXR picture, which Goldsmith does not read: save it as “layers.png”.\n" in text
    assert "  “lamp.png ” ends in a space: call it “lamp.png”.\n" in text
    assert "  “old.png.” ends in a full stop: call it “old.png”.\n" in text
    for name in ("selected/lamp.png ", "selected/old.png."):
        studio.at(name).unlink()
    text = until_told(studio, "Names to check (2)")
    assert text.endswith("Waiting for an instruction: put a mask (“NAME.mask.png”) or a brief (“NAME.toml”) beside it.\n")
    assert status_of(studio, "inbox").endswith("\nNothing is at work here, and nothing waits.\n")


def test_it_tells_what_is_at_work_and_how_far(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running job has its step and its progress."""
    texts: list[str] = []
    write = FolderStatusFiles._write

    def record(self: FolderStatusFiles, folder: str, file: object, body: list[str]) -> None:
        texts.append("\n".join(body))
        write(self, folder, file, body)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderStatusFiles, "_write", record)
    for number in range(3):
        studio.put(f"selected/hero{number}.png", png(number))
        studio.put(f"selected/hero{number}.toml", SHARPEN)
    studio.until(lambda: len(studio.folder("masked")) == 6, "three pictures in masked")
    all_text = "\n".join(texts)
    assert "At work (1)\n  hero" in all_text
    assert "Being worked on: sharpen (step 1 of edit), " in all_text
    assert "In the queue (" in all_text
    assert "in the queue.\n" in all_text
    until_told(studio, "Nothing is at work here, and nothing waits.")


def test_a_pause_comes_first(studio: Studio) -> None:
    """What stops everything is told before all else, also in folders without pictures."""
    works = studio.start()
    studio.until_idle()
    works.host_health.report_failure(HostError("The disk is full.", "Make room."), "turn")
    works.host_health.retry_at = float("inf")
    text = until_told(studio, "The disk is full. Make room.", folder="masked")
    assert text.split("\n")[3] == "Everything here waits (1)"


def test_a_campaign_that_is_not_searched_to_its_end_is_named_and_nothing_else_waits(studio: Studio) -> None:
    """It has a title of its own, since all other pictures of the folder go on."""
    studio.at("selected/" + "/".join(["deep"] * 70)).mkdir(parents=True)
    text = until_told(studio, "Campaigns that cannot be read, or only in part (1)\n  selected/deep/")
    assert "Everything here waits" not in text


def test_a_mistake_in_the_writer_is_logged_with_its_traceback(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on."""
    works = studio.start()
    assert works.folder_status is not None

    def fail() -> None:
        raise KeyError("folder")

    monkeypatch.setattr(works.folder_status, "write_due", fail)
    studio.put("selected/hero.png", png())
    event = studio.until_event("no status file")
    assert "KeyError: 'folder'" in event["detail"]
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: "hero.png" in studio.folder("masked"), "the picture in masked/")


def test_a_hold_without_a_note_is_told_in_the_folder_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a campaign's folder takes no note, the stage's folder has the sentence."""
    monkeypatch.setattr(folder_status, "WRITE_INTERVAL_SECONDS", 0.0)

    class NoNotes(Filesystem):
        def create(self, at: PathAt) -> int:
            if os.readlink(f"/proc/self/fd/{at.dir_fd}").endswith("selected/acme"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return super().create(at)

    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put("selected/acme/bad.png", png())
        studio.put("selected/acme/bad.toml", '[[edit]]\nop = "sharpn"\n')
        studio.start(NoNotes())
        text = until_told(studio, "Problems (1)")
        assert "  acme/bad.png\n      bad.toml: edit.1.op is" in text
        assert studio.note("selected/acme/bad.png") == ""


def test_a_long_list_is_cut_and_counted(studio: Studio) -> None:
    """Twelve entries are shown; the others are only counted."""
    studio.put("selected/brief.toml", SKY)
    for number in range(30):
        studio.put(f"selected/p{number:02}.png", png(number))
    studio.until(lambda: status_of(studio).count("Waiting for the mask “sky”") == 12, "twelve sentences")
    text = until_told(studio, "Waiting (30)", "  and 18 more\n")
    assert "  p00.png\n" in text
    assert "p12.png" not in text


def test_a_very_long_name_is_shortened(studio: Studio) -> None:
    """Its start and its end are shown."""
    name = "x" * 100 + "y" * 100
    studio.put(f"selected/{name}.png", png())
    studio.put(f"selected/{name}.toml", SKY)
    text = until_told(studio, "Waiting for the mask “sky”")
    assert f"\n  {'x' * 66} … {'y' * 20}.png\n" in text


# --- how it is written


def test_notepad_can_read_it(studio: Studio) -> None:
    """It has the byte order mark of UTF-8, and each line ends in CR LF."""
    studio.put("selected/Gänseblümchen.png", png())
    studio.put("selected/Gänseblümchen.toml", SKY)
    until_told(studio, "Gänseblümchen.png")
    data = studio.read(f"selected/{STATUS_FILE_NAME}")
    assert data.startswith(b"\xef\xbb\xbfGoldsmith: ")
    assert data.count(b"\n") == data.count(b"\r\n") > 3


def test_it_gets_the_group_and_the_mode_of_its_folder(studio: Studio) -> None:
    """Members of the share's group can read and delete it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to another group")
    os.chown(studio.at("selected"), -1, 4711)
    studio.at("selected").chmod(0o2770)
    studio.put("selected/clay.png", png())
    until_told(studio, "Pictures without an instruction (1)")
    status = studio.at(f"selected/{STATUS_FILE_NAME}").stat()
    assert (status.st_gid, stat.S_IMODE(status.st_mode)) == (4711, 0o660)
    assert [name for name in os.listdir(studio.at("selected")) if name.startswith(".goldsmith-new")] == []


def test_nothing_is_composed_or_written_while_nothing_changes(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle daemon has no status file due, however many pictures lie there and however often its loop turns."""
    for number in range(300):
        studio.put(f"selected/p{number}.png", b"x")
    until_told(studio, "Pictures without an instruction (300)")
    studio.until_idle()
    works, before = studio.runtime, studio.at(f"selected/{STATUS_FILE_NAME}").stat()
    assert works is not None
    works.run_once(0.0)
    reports: list[str] = []
    monkeypatch.setattr(folder_status, "_FolderReport", lambda folder, *_: reports.append(folder))
    for _ in range(20):
        works.run_once(0.0)
    assert status_files(studio).seconds_until_due() is None
    assert reports == []
    assert studio.at(f"selected/{STATUS_FILE_NAME}").stat() == before


def test_a_change_that_the_text_does_not_show_writes_nothing(studio: Studio) -> None:
    """A file without a role comes and goes: the text stays the same, and so does the file."""
    studio.put("selected/lone.png", png())
    until_told(studio, "Pictures without an instruction (1)")
    studio.until_idle()
    before = studio.at(f"selected/{STATUS_FILE_NAME}").stat()
    status_files(studio).mark_changed()
    status_files(studio).write_due()
    assert studio.at(f"selected/{STATUS_FILE_NAME}").stat() == before


def test_a_folder_s_file_is_written_at_most_once_in_three_seconds(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last change within the three seconds is written when they are over."""
    studio.start()
    studio.until_idle()
    words = use_report(monkeypatch)
    monkeypatch.setattr(folder_status, "WRITE_INTERVAL_SECONDS", 3.0)
    clock, files = Clock(), status_files(studio)
    monkeypatch.setattr(files, "_clock", clock)

    def change(word: str) -> str:
        words[0] = word
        files.mark_changed()
        files.write_due()
        return status_of(studio).split("\n")[-2]

    assert change("second") == "second"
    assert change("third") == "second"
    assert files.seconds_until_due() == 3.0
    clock.now += 2.9
    assert change("fourth") == "second"
    clock.now += 0.2
    files.write_due()
    assert status_of(studio).endswith("fourth\n")
    assert files.seconds_until_due() is None


# --- what it never does


def test_it_is_never_an_asset(studio: Studio) -> None:
    """By its exact name it is no prompt, in a stage's folder and below it, also when somebody drags it there."""
    assert classify("_status.txt").role == classify("_STATUS.TXT").role == "litter"
    assert group_keys("_status.txt") == ()
    assert classify("_status.txt.txt").role == "prompt"
    studio.put("selected/acme/_status.png", png())
    studio.put("selected/acme/_status.txt", "a prompt?")
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: "hero.png" in studio.folder("masked"), "hero in masked")
    studio.until_idle()
    assert studio.read("selected/acme/_status.txt") == b"a prompt?"
    assert studio.runtime is not None
    bundle = studio.runtime.intake.bundle_containing("selected/acme/_status.png")
    assert bundle is not None
    assert not bundle.has_instructions


@pytest.mark.parametrize("kind", ["link", "file", "folder", "pipe"])
def test_what_somebody_else_has_put_in_its_place_stays(studio: Studio, tmp_path: Path, kind: str) -> None:
    """A link is not followed and not replaced, a person's text is not overwritten; the reason is reported once, and work goes on."""
    outside, place = tmp_path / "outside.txt", studio.at(f"selected/{STATUS_FILE_NAME}")
    outside.write_text("mine")
    if kind == "link":
        place.symlink_to(outside)
    elif kind == "file":
        place.write_text("mine")
    elif kind == "folder":
        place.mkdir()
    else:
        os.mkfifo(place)
    before = place.lstat()
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.until(lambda: "hero.png" in studio.folder("masked"), "hero in masked")
    studio.until_event("no status file")
    assert (place.lstat().st_ino, place.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert outside.read_text() == "mine"
    refusal = "selected/_status.txt is not Goldsmith's, so Goldsmith does not write its own: rename it."
    assert status_files(studio).refusals == {"selected": refusal}
    assert len(studio.events_of("no status file")) == 1
    assert studio.runtime is not None
    assert studio.runtime.state().status_file_refusals == {"selected": refusal}


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC, errno.EROFS, errno.EIO, errno.ESTALE])
def test_a_folder_that_takes_no_file_pauses_nothing(studio: Studio, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It is reported once, tried again after a minute, and the pictures go on."""

    class Broken(Filesystem):
        def create(self, at: PathAt) -> int:
            raise OSError(number, os.strerror(number))

    studio.start()
    files, clock = status_files(studio), Clock()
    monkeypatch.setattr(files, "_clock", clock)
    monkeypatch.setattr(files, "_fs", Broken())
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN + GRADE)
    studio.until(lambda: "hero.png" in studio.folder("graded"), "hero in graded")
    studio.until_idle()
    assert studio.events_of("paused") == []
    assert {facts["folder"] for facts in studio.events_of("no status file")} == {"inbox", "selected", "masked", "graded", "review"}
    assert len(studio.events_of("no status file")) == 5
    assert files.seconds_until_due() == 60.0
    monkeypatch.setattr(files, "_fs", Filesystem())
    clock.now += 61
    assert studio.runtime is not None
    studio.runtime.run_once(0.0)
    assert "Nothing is at work here" in status_of(studio)
    assert files.refusals == {}


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    """With ``folder_status = false`` none is written, and the files of an earlier run go; a person's own file stays."""
    with studio_at(tmp_path, folder_status=False) as studio:
        studio.write_pipeline(PIPELINE)
        studio.put(f"selected/{STATUS_FILE_NAME}", "\ufeffGoldsmith: the state of selected/\r\nold")
        studio.put(f"masked/{STATUS_FILE_NAME}", "mine")
        studio.put("selected/hero.png", png())
        studio.put("selected/hero.toml", SHARPEN)
        studio.until(lambda: "hero.png" in studio.folder("masked"), "hero in masked")
        studio.until_idle()
        assert status_of(studio) == status_of(studio, "inbox") == ""
        assert status_of(studio, "masked") == "mine"


def test_it_says_when_goldsmith_has_stopped(tmp_path: Path) -> None:
    """After SIGTERM no file pretends that something is at work."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        with Daemon(studio) as daemon:
            daemon.until_ready().until(lambda: "Nothing is at work here" in status_of(studio), "the status file")
            assert daemon.end() == 0
        for folder in ("inbox", "selected", "masked", "graded"):
            assert "\nGoldsmith is not running: nothing happens to the pictures here until it is started again.\n" in status_of(
                studio, folder
            )


def test_a_folder_whose_mount_is_gone_gets_no_file(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file would lie beneath the mount. The other folders get theirs."""
    studio.start()
    studio.until_idle()
    use_report(monkeypatch)
    studio.at("selected").rename(studio.root / "elsewhere")
    studio.at("selected").mkdir()
    files = status_files(studio)
    monkeypatch.setattr(files, "_clock", lambda: time.monotonic() + 3600)  # else the last text may be too young
    files.mark_changed()
    files.write_due()
    assert not studio.at(f"selected/{STATUS_FILE_NAME}").exists()
    assert status_of(studio, "masked").endswith("\nfirst\n")
