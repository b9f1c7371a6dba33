"""The intake on real files: which bundles are returned, and when. The last tests use real events of the kernel."""

from __future__ import annotations

import errno
import itertools
import mmap
import os
import select
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.attached import attached, make
from doubles.pretended_mounts import pretend
from doubles.yard import FakeWatcher, ManualClock, Yard
from goldsmith.files import FileSignature
from goldsmith.pipeline.intake import stage_folders
from goldsmith.pipeline.intake.bundle import BundleKey
from goldsmith.pipeline.intake.file_tracker import FileTracker, SettleTimes
from goldsmith.pipeline.intake.intake import MAX_BUNDLES, Intake, IntakeSettings
from goldsmith.pipeline.intake.watcher import Watcher
from goldsmith.pipeline.turns import FolderTurns
from goldsmith.root_folder import MAX_FOLDER_DEPTH, RootFolder


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.fixture
def yard_without_events(tmp_path: Path) -> Yard:
    """Return a yard from which no events arrive."""
    return Yard(tmp_path, gives_events=False)


# --- floods

FLOOD = 1200


def collects_until(yard: Yard, name: str) -> tuple[int, int]:
    """Return how often ``collect`` was called until it returned this bundle, and how many bundles the last call returned before it."""
    for calls in itertools.count(1):
        assert yard.intake.seconds_until_due(yard.clock.now) == 0, f"{name} is not returned"
        names = [key.name for key in yard.collect()]
        if name in names:
            return calls, names.index(name)
    raise AssertionError


@pytest.mark.parametrize("flooded", ["inbox/acme", "inbox", "selected"])
@pytest.mark.parametrize("how", ["hints", "scan"])
def test_a_single_picture_is_found_in_its_turn_behind_a_flood(tmp_path: Path, flooded: str, how: str) -> None:
    """A thousand pictures of one campaign were there before. The first call returns that of another campaign among its first bundles.

    In order of arrival it would be returned in the third call.
    """
    yard = Yard(tmp_path)
    (yard.root / "inbox/bolt").mkdir()
    yard.put(f"{flooded}/brief.toml", b"")
    yard.put("inbox/bolt/hero.txt")
    yard.settle()
    for number in range(FLOOD):
        yard.put(f"{flooded}/{number}.png", hint=how == "hints")
    yard.put("inbox/bolt/hero.png", hint=how == "hints")
    yard.watcher.has_lost_hints = how == "scan"
    calls, before = collects_until(yard, "hero.png")
    assert calls == 1
    assert before <= 3


def test_a_file_s_check_is_done_in_its_turn_behind_a_flood(tmp_path: Path) -> None:
    """Thousands of files are due for a check before that of another campaign; two checks suffice to reach it."""
    tracker = FileTracker(str(tmp_path), SettleTimes(), turns=FolderTurns(["inbox", "graded"]))
    for folder in ("inbox/acme", "graded"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(FLOOD):
        (tmp_path / f"inbox/acme/{number}.png").write_bytes(b"picture")
        tracker.follow(f"inbox/acme/{number}.png", 10.0)
    (tmp_path / "graded/hero.png").write_bytes(b"picture")
    tracker.follow("graded/hero.png", 10.5)
    assert tracker.check_due(11.0, 1) == ["inbox/acme/0.png"]
    assert "graded/hero.png" in [path for _ in range(3) for path in tracker.check_due(11.0, 1)]
    assert tracker.next_check_at() == 0.0


class _HurryingClock(ManualClock):
    """A clock on which every look takes a second, as on a machine without time to spare."""

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_each_call_gets_something_done_on_a_machine_without_time_to_spare(yard: Yard) -> None:
    """The limits in time have run out before the first hint, and dozens of hints are processed all the same."""
    for number in range(100):
        yard.put(f"inbox/{number}.txt")
    yard.clock.__class__ = _HurryingClock
    assert 60 <= len(yard.collect()) < 100
    assert len(yard.collect()) >= 30


# --- which bundles are returned


def test_only_a_picture_with_an_instruction_is_returned(yard: Yard) -> None:
    """A picture alone is never returned; a picture with a mask is returned once."""
    yard.put("selected/alone.png")
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    assert yard.collect() == [BundleKey("selected", "", "hero.png")]
    assert yard.collect() == []
    bundle = yard.intake.bundle(BundleKey("selected", "", "hero.png"))
    assert bundle is not None
    assert bundle.masks == {"mask": ("selected/hero.mask.png",)}


def test_bundles_are_returned_in_order_of_arrival(yard: Yard) -> None:
    """The bundle of the first hint comes first, for any names."""
    for name in ("zoe", "adam", "mia"):
        yard.put(f"inbox/{name}.png")
        yard.put(f"inbox/{name}.toml")
    assert yard.names() == ["zoe.png", "adam.png", "mia.png"]


def test_a_bundle_is_returned_whenever_its_files_advance(yard: Yard) -> None:
    """It is returned on arrival, when it looks complete and when it has settled, and never in between."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    assert yard.names() == ["hero.png"]
    yard.follow("selected/hero.png", "selected/hero.mask.png")
    assert yard.intake.seconds_until_due(yard.clock.now) == pytest.approx(0.15)
    assert yard.names(later=0.1) == []
    assert yard.names(later=0.05) == ["hero.png"]
    assert yard.status("selected/hero.png") == yard.status("selected/hero.mask.png") == "looks_complete"
    assert yard.names(later=1.0) == []
    assert yard.names(later=0.85) == ["hero.png"]
    assert yard.status("selected/hero.png") == yard.status("selected/hero.mask.png") == "settled"
    assert yard.names(later=60.0) == []


def test_an_overwritten_file_returns_its_bundle(yard: Yard) -> None:
    """A job that works on the old bytes can be cancelled."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    yard.names()
    yard.follow("selected/hero.png", "selected/hero.mask.png")
    yard.names(later=3.0)
    yard.names(later=3.0)
    assert yard.status("selected/hero.png") == "settled"
    yard.put("selected/hero.png", b"another picture")
    assert yard.names() == ["hero.png"]
    assert yard.status("selected/hero.png") == "new"
    yard.put("selected/hero.png", b"another picture, still coming")
    assert yard.names(later=0.1) == []


def test_a_deleted_picture_is_returned_once_more(yard: Yard) -> None:
    """The job of the picture can be withdrawn. Its mask waits under another key."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    assert yard.names() == ["hero.png"]
    (yard.root / "selected/hero.png").unlink()
    yard.hint("selected/hero.png")
    assert sorted(yard.names()) == ["hero.png", "hero/"]
    assert yard.intake.bundle(BundleKey("selected", "", "hero.png")) is None
    assert yard.status("selected/hero.png") == "gone"
    yard.put("selected/hero.png")
    assert sorted(yard.names()) == ["hero.png", "hero/"]
    assert yard.intake.bundle(BundleKey("selected", "", "hero/")) is None


def test_a_picture_that_loses_its_instruction_is_returned_once_more(yard: Yard) -> None:
    """Without its mask the picture rests again."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png").unlink()
    (yard.root / "selected/hero.mask.png").write_bytes(b"x")
    assert yard.names() == ["hero.png"]
    (yard.root / "selected/hero.mask.png").unlink()
    yard.hint("selected/hero.mask.png")
    assert yard.names() == ["hero.png"]
    bundle = yard.intake.bundle(BundleKey("selected", "", "hero.png"))
    assert bundle is not None
    assert not bundle.has_instructions
    yard.put("selected/hero.png", b"touched up")
    assert yard.names() == []


def test_deleting_the_problem_note_returns_the_bundle(yard: Yard) -> None:
    """The note is known with its bundle, and its deletion is a change like any other."""
    for name in ("hero.png", "hero.toml", "hero.png.problem.txt"):
        yard.put(f"inbox/{name}")
    assert yard.names() == ["hero.png"]
    bundle = yard.intake.bundle(BundleKey("inbox", "", "hero.png"))
    assert bundle is not None
    assert bundle.note == "inbox/hero.png.problem.txt"
    (yard.root / bundle.note).unlink()
    yard.hint(bundle.note)
    assert yard.names() == ["hero.png"]


def test_a_campaign_brief_is_an_instruction_for_all_pictures_below_it(yard: Yard) -> None:
    """``brief.toml`` arrives, settles, changes and goes; a nearer brief replaces it for its own pictures."""
    yard.put("inbox/acme/spring/a.png")
    yard.put("inbox/acme/b.png")
    yard.put("inbox/other/c.png")
    assert yard.names() == []
    yard.put("inbox/acme/brief.toml", b"title = 'x'")
    assert sorted(yard.names()) == ["acme/b.png", "acme/spring/a.png"]
    bundle = yard.intake.bundle(BundleKey("inbox", "acme/spring", "a.png"))
    assert bundle is not None
    assert bundle.campaign_brief == "inbox/acme/brief.toml"
    assert len(yard.names(later=0.15)) == 2
    assert yard.status("inbox/acme/brief.toml") == "looks_complete"
    yard.put("inbox/acme/spring/brief.toml", b"title = 'y'")
    assert "acme/spring/a.png" in yard.names()
    bundle = yard.intake.bundle(BundleKey("inbox", "acme/spring", "a.png"))
    assert bundle is not None
    assert bundle.campaign_brief == "inbox/acme/spring/brief.toml"
    (yard.root / "inbox/acme/brief.toml").unlink()
    yard.hint("inbox/acme/brief.toml")
    assert "acme/b.png" in yard.names()
    assert [bundle.has_instructions for bundle in yard.intake.bundles() if bundle.campaign == "acme"] == [False]


def test_one_call_returns_a_limited_number_of_bundles(yard: Yard) -> None:
    """All bundles are returned in the end, for any number that arrives at once."""
    for number in range(MAX_BUNDLES + 88):
        yard.put(f"inbox/{number}.png", hint=False)
        yard.put(f"inbox/{number}.txt")
    yard.hint(*(f"inbox/{number}.png" for number in range(MAX_BUNDLES + 88)))
    first = yard.collect()
    assert len(first) == MAX_BUNDLES
    assert yard.intake.seconds_until_due(yard.clock.now) == 0.0
    assert len(set(first) | set(yard.settle())) == MAX_BUNDLES + 88


# --- files that are never taken


def test_links_pipes_and_sockets_are_refused_without_being_opened(yard: Yard) -> None:
    """Each is returned with its bundle and a sentence; the pipe blocks nothing; a folder with such a name is a campaign."""
    os.symlink("/etc/passwd", yard.root / "inbox/link.png")
    os.mkfifo(yard.root / "inbox/pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(yard.root / "inbox/socket.png"))
    (yard.root / "inbox/folder.png").mkdir()
    for name in ("link", "pipe", "socket", "folder"):
        yard.put(f"inbox/{name}.txt")
        yard.hint(f"inbox/{name}.png")
    assert sorted(yard.names()) == ["folder/", "link.png", "pipe.png", "socket.png"]
    assert "copy the file itself here" in yard.reason("inbox/link.png")
    yard.follow("inbox/link.png", "inbox/pipe.png", "inbox/socket.png")
    for name in ("link", "pipe", "socket"):
        assert yard.status(f"inbox/{name}.png") == "refused"
        assert yard.reason(f"inbox/{name}.png")


def test_a_link_to_a_folder_is_not_entered(yard: Yard, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither hints nor sweeps enter it."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.png").write_bytes(b"x")
    (outside / "a.txt").write_bytes(b"x")
    os.symlink(outside, yard.root / "inbox/acme")
    yard.hint("inbox/acme")
    assert yard.names() == []
    yard.watcher.has_lost_hints = True
    assert yard.names() == []
    assert list(yard.intake.bundles()) == []


@pytest.mark.parametrize(
    "path", ["inbox/.hidden.png", "inbox/._a.png", "inbox/a.png.part", "inbox/.git/a.png", "inbox/@eaDir/a.png", "delivered/a.png"]
)
def test_temporary_files_and_other_folders_are_not_indexed(yard: Yard, path: str) -> None:
    """Dot-files, temporary names, folders of file managers and folders that are not stage folders are left out."""
    yard.put("inbox/brief.toml")
    yard.put("delivered/brief.toml")
    yard.put(path)
    assert yard.names() == []
    yard.watcher.has_lost_hints = True
    yard.settle()
    assert list(yard.intake.bundles()) == []


def test_any_file_name_is_kept_unchanged(yard: Yard) -> None:
    """Undecodable bytes, newlines, direction marks, shell characters, Korean, emoji, leading dashes and 255 bytes are kept."""
    stems = [b"\xff\xfe", b"a\nb", "\u202egnp".encode(), "금 👩‍🎨".encode(), b"$(rm -rf ~);'\"", b"-o", b"x" * 251]
    for stem in stems:
        for tail in (b".png", b".txt"):
            with open(os.path.join(os.fsencode(yard.root), b"inbox", stem + tail), "wb") as file:
                file.write(b"x")
    yard.watcher.has_lost_hints = True
    assert {os.fsencode(name) for name in yard.names()} == {stem + b".png" for stem in stems}
    for bundle in yard.intake.bundles():
        yard.follow(*bundle.files)
    yard.names(later=0.15)
    assert {yard.status(path) for bundle in yard.intake.bundles() for path in bundle.files} == {"looks_complete"}


# --- folders


def test_files_that_exist_at_the_start_are_found(tmp_path: Path) -> None:
    """An intake first scans the stage folders and their campaigns."""
    (tmp_path / "inbox/acme").mkdir(parents=True)
    (tmp_path / "inbox/acme/a.png").write_bytes(b"x")
    (tmp_path / "inbox/acme/a.toml").write_bytes(b"x")
    yard = Yard(tmp_path)
    assert [bundle.key for bundle in yard.intake.bundles()] == [BundleKey("inbox", "acme", "a.png")]


def test_a_tree_that_is_moved_in_is_scanned_after_one_hint(yard: Yard, tmp_path_factory: pytest.TempPathFactory) -> None:
    """500 files can arrive with a single event for their folder."""
    outside = tmp_path_factory.mktemp("outside") / "acme"
    (outside / "deep/deeper").mkdir(parents=True)
    for path in ("a.png", "a.txt", "deep/b.png", "deep/b.txt", "deep/deeper/c.png", "deep/deeper/c.txt"):
        (outside / path).write_bytes(b"x")
    os.rename(outside, yard.root / "inbox/acme")
    yard.hint("inbox/acme")
    assert yard.names() == ["acme/a.png", "acme/deep/b.png", "acme/deep/deeper/c.png"]


def test_a_hint_from_an_unknown_tree_scans_the_tree(yard: Yard) -> None:
    """The event of the folder itself may have been lost; the other files in the tree are found too."""
    yard.put("inbox/acme/deep/a.png", hint=False)
    yard.put("inbox/acme/b.png", hint=False)
    yard.put("inbox/acme/b.txt", hint=False)
    yard.put("inbox/acme/deep/a.txt")
    assert yard.names() == ["acme/b.png", "acme/deep/a.png"]


def test_a_renamed_folder_takes_its_bundles_along(yard: Yard) -> None:
    """The bundles are gone under the old name and have arrived under the new name."""
    yard.put("inbox/old/a.png")
    yard.put("inbox/old/a.txt")
    yard.names()
    yard.follow("inbox/old/a.png")
    os.rename(yard.root / "inbox/old", yard.root / "inbox/new")
    yard.hint("inbox/old", "inbox/new")
    assert yard.names() == ["old/a.png", "new/a.png"]
    assert yard.status("inbox/old/a.png") == "gone"


def test_the_bundles_of_a_deleted_folder_are_returned_once_more(yard: Yard) -> None:
    """Each job of a deleted campaign can be withdrawn."""
    for path in ("inbox/acme/a.png", "inbox/acme/a.txt", "inbox/acme/deep/b.png", "inbox/acme/deep/b.txt"):
        yard.put(path)
    assert len(yard.names()) == 2
    shutil.rmtree(yard.root / "inbox/acme")
    yard.hint("inbox/acme")
    assert sorted(yard.names()) == ["acme/a.png", "acme/deep/b.png"]
    assert list(yard.intake.bundles()) == []


def test_an_unreadable_folder_has_a_sentence(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits with its reason until its permissions change."""
    yard.put("inbox/acme/a.png", hint=False)
    yard.put("inbox/acme/a.txt", hint=False)
    open_folder = RootFolder.open_folder

    def refuse(root: RootFolder, path: str) -> int:
        if path.endswith("acme"):
            raise PermissionError(13, "Permission denied")
        return open_folder(root, path)

    with monkeypatch.context() as patch:
        patch.setattr(RootFolder, "open_folder", refuse)
        yard.hint("inbox/acme")
        assert yard.names() == []
    assert yard.intake.unreadable_folders() == {"inbox/acme": "inbox/acme/ cannot be read (Permission denied)."}
    yard.hint("inbox/acme")
    assert yard.names() == ["acme/a.png"]
    assert yard.intake.unreadable_folders() == {}


@pytest.mark.parametrize("refused", ["open_folder", "stat"])
def test_a_folder_that_could_not_be_read_is_scanned_again_by_itself(yard: Yard, monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """A disk that works again sends no event; without this, its pictures would wait for the next sweep, ten minutes later."""
    yard.put("inbox/acme/a.png", hint=False)
    yard.put("inbox/acme/a.txt", hint=False)
    target = RootFolder if refused == "open_folder" else os
    call = getattr(target, refused)

    def refuse(*arguments: object, **options: object) -> object:
        if any(str(argument).endswith(("acme", "a.png", "a.txt")) for argument in arguments):
            raise OSError(errno.EIO, "Input/output error")
        return call(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(target, refused, refuse)
        yard.hint("inbox/acme")
        assert yard.names() == []
        assert yard.names(later=0.6) == []
    assert 0 < yard.intake.seconds_until_due(yard.clock.now) <= 1.0
    assert yard.names(later=1.0) == ["acme/a.png"]
    assert yard.intake.seconds_until_due(yard.clock.now) > 0


def test_folders_that_lie_too_deep_are_not_searched_and_are_reported(yard: Yard) -> None:
    """The sentence names the campaign once, however many such folders it has, until they are gone."""
    top = "inbox/acme" + "/x" * (MAX_FOLDER_DEPTH - 1)
    for path in (f"{top}/found", f"{top}/deeper/lost", f"{top}/beside/lost"):
        yard.put(f"{path}.png", hint=False)
        yard.put(f"{path}.txt", hint=False)
    yard.hint("inbox/acme")
    assert [name.rpartition("/")[2] for name in yard.names()] == ["found.png"]
    yard.hint(f"{top}/deeper/lost.png")
    assert yard.names() == []
    sentence = "inbox/acme/ has folders more than 64 deep: pictures in those are not found. Move them up."
    assert yard.intake.unreadable_folders() == {"inbox/acme": sentence}
    for name in ("deeper", "beside"):
        shutil.rmtree(yard.root / top / name)
    yard.hint(top)
    yard.names()
    assert yard.intake.unreadable_folders() == {}


def test_a_campaign_that_becomes_a_link_is_forgotten(yard: Yard) -> None:
    """Its pictures are gone, and those behind the link are never found."""
    yard.put("inbox/acme/a.png")
    yard.put("inbox/acme/a.txt")
    assert yard.names() == ["acme/a.png"]
    (yard.root / "inbox/acme").rename(yard.root / "elsewhere")
    (yard.root / "inbox/acme").symlink_to(yard.root / "elsewhere")
    yard.hint("inbox/acme/a.png")
    yard.hint("inbox/acme")
    yard.names()
    assert list(yard.intake.bundles()) == []


# --- lost events, polling, mounts


def test_every_folder_is_scanned_after_lost_events(yard: Yard) -> None:
    """The scan finds new, changed and deleted files."""
    for name in ("stays", "goes", "changes"):
        yard.put(f"inbox/{name}.png")
        yard.put(f"inbox/{name}.txt")
    assert len(yard.names()) == 3
    for name in ("stays", "goes", "changes"):
        yard.follow(f"inbox/{name}.png", f"inbox/{name}.txt")
    yard.names(later=3.0)
    yard.names(later=3.0)
    (yard.root / "inbox/goes.png").unlink()
    (yard.root / "inbox/goes.txt").unlink()
    yard.put("inbox/changes.png", b"other bytes", hint=False)
    yard.put("inbox/comes.png", hint=False)
    yard.put("inbox/comes.txt", hint=False)
    yard.watcher.has_lost_hints = True
    assert sorted(yard.names()) == ["changes.png", "comes.png", "goes.png"]


def test_a_folder_that_was_deleted_without_an_event_is_removed(yard: Yard) -> None:
    """If a campaign is deleted while events are lost, its bundles are returned once more, and those of its neighbours are not."""
    for path in ("inbox/acme/a.png", "inbox/acme/a.txt", "inbox/other/b.png", "inbox/other/b.txt"):
        yard.put(path)
    yard.names()
    shutil.rmtree(yard.root / "inbox/acme")
    yard.watcher.has_lost_hints = True
    assert yard.names() == ["acme/a.png"]
    assert [bundle.campaign for bundle in yard.intake.bundles()] == ["other"]


def test_a_file_and_a_folder_may_swap_names(yard: Yard) -> None:
    """A folder in the place of a picture is a campaign, and a picture in the place of a campaign is a picture."""
    for path in ("inbox/x.png", "inbox/x.txt", "inbox/y.png/a.png", "inbox/y.png/a.txt", "inbox/y.txt"):
        yard.put(path)
    assert sorted(yard.names()) == ["x.png", "y.png/a.png", "y/"]
    (yard.root / "inbox/x.png").unlink()
    shutil.rmtree(yard.root / "inbox/y.png")
    yard.put("inbox/y.png")
    yard.put("inbox/x.png/a.png", hint=False)
    yard.put("inbox/x.png/a.txt", hint=False)
    yard.hint("inbox/x.png")
    assert sorted(yard.names()) == ["x.png", "x.png/a.png", "x/", "y.png", "y.png/a.png", "y/"]
    assert sorted(bundle.key.name for bundle in yard.intake.bundles()) == ["a.png", "x/", "y.png"]


def test_without_events_the_folders_are_scanned_every_two_seconds(yard_without_events: Yard) -> None:
    """A new file is noticed after at most two seconds."""
    yard = yard_without_events
    assert yard.intake.watch_modes() == {"inbox": "polling", "selected": "polling"}
    yard.put("inbox/hero.png", hint=False)
    yard.put("inbox/hero.txt", hint=False)
    assert yard.names(later=1.0) == []
    assert yard.names(later=1.0) == ["hero.png"]
    yard.put("inbox/hero.txt", b"another prompt", hint=False)
    assert yard.names(later=2.0) == ["hero.png"]


def test_with_events_the_folders_are_scanned_every_ten_minutes(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """At rest the loop wakes only for the health check."""
    assert yard.intake.watch_modes() == {"inbox": "events", "selected": "events"}
    assert 0 < yard.intake.seconds_until_due(yard.clock.now) <= stage_folders.CHECK_INTERVAL_SECONDS
    yard.put("inbox/hero.png", hint=False)
    yard.put("inbox/hero.txt", hint=False)
    assert yard.names(later=590.0) == []
    assert yard.names(later=15.0) == ["hero.png"]


def test_a_folder_whose_canary_is_not_heard_is_polled(tmp_path: Path) -> None:
    """A canary proves that events arrive, so a silent folder is noticed."""
    yard = Yard(tmp_path)
    yard.watcher.silent_folders.add("selected")
    yard.names(later=601.0)
    assert yard.intake.watch_modes()["selected"] == "events"
    yard.names(later=6.0)
    assert yard.intake.watch_modes() == {"inbox": "events", "selected": "polling"}


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.mergerfs"])
def test_a_shared_mount_is_always_polled(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """inotify reports this kernel's changes only, so folders on NFS, SMB and on branches are scanned, and no canary is planted."""
    pretend(monkeypatch, tmp_path, kind)
    yard = Yard(tmp_path)
    assert set(yard.intake.watch_modes().values()) == {"polling"}
    assert yard.watcher.planted == []


def test_a_stage_folder_with_an_unwatched_subfolder_is_polled(yard: Yard) -> None:
    """When there are more folders than the kernel grants watches, no campaign is missed."""
    yard.watcher.unwatched.add("inbox/acme")
    yard.put("inbox/acme/a.png")
    yard.settle()
    assert yard.intake.watch_modes()["inbox"] == "polling"
    yard.watcher.unwatched.clear()
    yard.names(later=2.0)
    assert yard.intake.watch_modes()["inbox"] == "events"


def test_a_missing_folder_is_paused_and_loses_no_file(yard: Yard) -> None:
    """The loss of a share gives a sentence. Its bundles are neither gone nor new. When the share is back, only changes are returned."""
    for name in ("hero.png", "hero.txt"):
        yard.put(f"inbox/{name}")
    assert yard.names() == ["hero.png"]
    yard.follow("inbox/hero.png", "inbox/hero.txt")
    os.rename(yard.root / "inbox", yard.root / "away")
    assert yard.names(later=0.5) == ["hero.png"]
    assert yard.reason("inbox/hero.png") == "its folder is not there"
    assert yard.names(later=2.0) == []
    assert yard.intake.unavailable_folders() == {"inbox": "inbox/ is not there: is the share mounted?"}
    assert yard.intake.bundle(BundleKey("inbox", "", "hero.png")) is not None
    (yard.root / "away/late.png").write_bytes(b"x")
    (yard.root / "away/late.txt").write_bytes(b"x")
    os.rename(yard.root / "away", yard.root / "inbox")
    starts = yard.watcher.starts
    assert "late.png" in yard.names(later=2.0)
    assert yard.intake.unavailable_folders() == {}
    assert yard.watcher.starts == starts + 1
    yard.names(later=10.0)
    yard.names(later=10.0)
    assert yard.status("inbox/hero.png") == "settled"


def test_a_file_that_is_missing_with_its_folder_is_not_gone(yard: Yard) -> None:
    """A hint can arrive between the loss of a share and the next check."""
    for name in ("hero.png", "hero.txt"):
        yard.put(f"inbox/{name}")
    yard.names()
    os.rename(yard.root / "inbox", yard.root / "away")
    yard.hint("inbox/hero.png", "inbox")
    assert yard.names() == []
    assert yard.intake.bundle(BundleKey("inbox", "", "hero.png")) is not None


def test_a_replaced_folder_is_watched_and_scanned_anew(yard: Yard) -> None:
    """If another folder has the same name (remounted or restored), missing files are gone, and its files have arrived."""
    for name in ("hero.png", "hero.txt"):
        yard.put(f"inbox/{name}")
    yard.names()
    os.rename(yard.root / "inbox", yard.root / "away")
    (yard.root / "inbox").mkdir()
    yard.put("inbox/new.png", hint=False)
    yard.put("inbox/new.txt", hint=False)
    assert sorted(yard.names(later=2.0)) == ["hero.png", "new.png"]
    assert yard.watcher.starts == 2


def test_an_empty_mount_point_is_not_an_empty_folder(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage folder that was a mount and is now on the root's own disk is paused, not emptied."""
    yard.intake._stage_folders.by_name["inbox"].was_mounted = True
    yard.collect(later=2.0)
    assert yard.intake.unavailable_folders() == {"inbox": "inbox/ was a mount of its own and is not mounted now: is the share mounted?"}


def test_a_bind_mount_that_vanishes_is_noticed(tmp_path: Path) -> None:
    """It shows a folder of the root's own filesystem, so the device stays the same. Its pictures are not taken for deleted ones."""
    root = make(tmp_path / "root")
    with attached("--bind", make(tmp_path / "elsewhere"), make(root / "inbox")):
        yard = Yard(root)
        yard.put("inbox/hero.png")
        yard.put("inbox/hero.txt")
        assert yard.names(later=2.0) == ["hero.png"]
    yard.collect(later=2.0)
    assert yard.intake.unavailable_folders() == {"inbox": "inbox/ was a mount of its own and is not mounted now: is the share mounted?"}
    with attached("--bind", tmp_path / "elsewhere", root / "inbox"):
        yard.collect(later=2.0)
        assert yard.intake.unavailable_folders() == {}


def test_a_link_as_stage_folder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """``inbox`` must be a folder or a mount, not a link."""
    os.symlink("/tmp", tmp_path / "selected")
    yard = Yard(tmp_path)
    assert "links are not followed" in yard.intake.unavailable_folders()["selected"]


def test_a_dead_watch_is_restarted_and_every_folder_is_scanned(yard: Yard) -> None:
    """The health check finds the dead watch within two seconds, and files that arrived meanwhile are not lost."""
    yard.watcher.is_alive = False
    yard.put("inbox/hero.png", hint=False)
    yard.put("inbox/hero.txt", hint=False)
    assert yard.names(later=2.0) == ["hero.png"]
    assert yard.watcher.starts == 2


def test_a_watch_that_the_kernel_refuses_is_tried_again_every_ten_seconds(yard_without_events: Yard) -> None:
    """The watch is not tried at every check."""
    starts = yard_without_events.watcher.starts
    for _ in range(10):
        yard_without_events.collect(later=2.0)
        yard_without_events.settle()
    assert yard_without_events.watcher.starts - starts == 2


def test_a_running_watch_is_not_started_twice(tmp_path: Path) -> None:
    """The service may have started it before."""
    for folder in ("inbox", "library"):
        (tmp_path / folder).mkdir()
    watcher = FakeWatcher(tmp_path)
    watcher.restart()
    clock = ManualClock()
    intake = Intake(tmp_path, ["inbox"], watcher, clock)  # type: ignore[arg-type]
    intake.start()
    intake.collect(clock.now)
    assert (watcher.starts, intake.watch_modes()) == (1, {"inbox": "events"})


def test_a_slow_disk_is_scanned_less_often(yard_without_events: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps take at most a twentieth of the loop's time."""
    yard = yard_without_events
    yard.intake._stage_folders.by_name["inbox"].sweep_seconds = 1.0
    yard.put("inbox/hero.png", hint=False)
    yard.put("inbox/hero.txt", hint=False)
    assert yard.names(later=15.0) == []
    assert yard.names(later=5.0) == ["hero.png"]


# --- the daemon's own files, the library


def test_the_daemons_own_result_is_settled_at_once_and_its_bundle_is_returned(yard: Yard) -> None:
    """The next stage starts without waiting for an event or for a time without a change."""
    for name in ("hero.png", "hero.toml"):
        path = yard.put(f"selected/acme/{name}", hint=False)
        yard.intake.add_settled(f"selected/acme/{name}", FileSignature.from_stat(os.lstat(path)), f"hash of {name}")
    assert yard.names() == ["acme/hero.png"]
    assert yard.status("selected/acme/hero.png") == "settled"
    assert yard.intake.known_sha256("selected/acme/hero.png") == "hash of hero.png"
    yard.hint("selected/acme", "selected/acme/hero.png", "selected/acme/hero.toml")
    assert yard.names() == []
    assert yard.status("selected/acme/hero.png") == "settled"
    yard.put("selected/acme/hero.png", b"painted over")
    assert yard.names() == ["acme/hero.png"]
    assert yard.intake.known_sha256("selected/acme/hero.png") is None


def test_a_bundle_that_the_daemon_removed_is_not_returned(yard: Yard) -> None:
    """A committed bundle is not returned, even when its events arrive afterwards."""
    for name in ("hero.png", "hero.mask.png"):
        yard.put(f"selected/{name}")
    yard.names()
    for name in ("hero.png", "hero.mask.png"):
        (yard.root / "selected" / name).unlink()
        yard.intake.forget(f"selected/{name}")
    yard.hint("selected/hero.png", "selected/hero.mask.png")
    assert yard.names() == []
    assert list(yard.intake.bundles()) == []


def test_a_stem_is_taken_by_a_picture_or_a_brief_of_that_name(yard: Yard) -> None:
    """A result with that stem must become a new version; a mask or a note alone takes no name."""
    for path in ("selected/acme/Hero.png", "selected/acme/other.toml", "selected/acme/third.mask.png"):
        yard.put(path)
    yard.settle()
    are_taken = [bool(yard.intake.names_with_stem("selected", "acme", stem)) for stem in ("hero", "other", "third", "fourth")]
    assert are_taken == [True, True, False, False]
    assert not yard.intake.names_with_stem("selected", "nowhere", "hero")


def test_the_intake_is_busy_until_everything_has_settled(yard: Yard) -> None:
    """A run with --until-idle waits for arriving files, but not for an empty file, which may stay empty."""
    yard.put("selected/hero.png")
    assert yard.intake.is_busy
    yard.settle()
    assert not yard.intake.is_busy
    yard.follow("selected/hero.png")
    assert yard.intake.is_followed("selected/hero.png")
    assert yard.intake.is_busy
    yard.names(later=0.2)
    yard.names(later=2.0)
    assert not yard.intake.is_busy
    yard.put("selected/empty.png", b"")
    yard.settle()
    yard.follow("selected/empty.png")
    yard.names(later=0.2)
    assert not yard.intake.is_busy


def test_recheck_returns_the_bundle_now(yard: Yard) -> None:
    """The caller knows that the file has changed, so no event is needed."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    yard.names()
    yard.intake.recheck("selected/hero.png")
    assert yard.names() == ["hero.png"]


def test_following_a_missing_file_returns_its_bundle_as_gone(yard: Yard) -> None:
    """The file was deleted between its hint and the call."""
    yard.put("selected/hero.png")
    yard.put("selected/hero.mask.png")
    yard.names()
    (yard.root / "selected/hero.png").unlink()
    yard.follow("selected/hero.png")
    assert yard.status("selected/hero.png") == "gone"
    assert "hero.png" in yard.names()


def test_the_library_is_watched_for_changes_only(yard: Yard) -> None:
    """A new recipe may release a held brief; files of the library form no bundles."""
    assert not yard.intake.library_changed
    yard.put("library/recipes/spring.toml")
    yard.settle()
    assert yard.intake.library_changed
    assert list(yard.intake.bundles()) == []


def test_changes_of_the_library_are_noticed_without_events(yard_without_events: Yard) -> None:
    """A sweep compares the contents of the library folders."""
    yard_without_events.put("library/recipes/spring.toml", hint=False)
    yard_without_events.collect(later=2.0)
    assert yard_without_events.intake.library_changed


def test_weights_that_arrive_count_as_a_change_of_the_library(tmp_path: Path) -> None:
    """``weights_stamp`` is called every few seconds, and a change of its result is reported once."""
    weights = ["migan"]
    yard = Yard(tmp_path, weights_stamp=lambda: tuple(weights))
    yard.collect(later=2.0)
    assert not yard.intake.library_changed
    weights.append("flux")
    yard.collect(later=2.0)
    assert yard.intake.library_changed
    yard.intake.library_changed = False
    yard.collect(later=2.0)
    assert not yard.intake.library_changed


def test_folders_with_the_weaker_rule_are_listed(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """`goldsmith status` shows the folders in which the kernel grants no lease."""
    monkeypatch.setattr("goldsmith.pipeline.intake.file_tracker.has_writer", lambda fd: None)
    yard.put("selected/hero.png")
    yard.settle()
    yard.follow("selected/hero.png")
    yard.names(later=2.0)
    assert yard.intake.weak_quiet_folders() == {"selected"}


# --- with the kernel itself


@pytest.fixture
def intake(tmp_path: Path) -> Iterator[Intake]:
    for folder in ("inbox", "library"):
        (tmp_path / folder).mkdir()
    watcher = Watcher(tmp_path)
    intake = Intake(tmp_path, ["inbox"], watcher)
    intake.start()
    yield intake
    watcher.close()


def turn_until(intake: Intake, condition: Callable[[list[BundleKey]], bool], seconds: float = 15.0) -> int:
    """Run the loop as the daemon does; return the number of turns."""
    deadline, turns, keys = time.monotonic() + seconds, 0, []
    while time.monotonic() < deadline:
        turns += 1
        for key in intake.collect(time.monotonic()):
            keys.append(key)
            bundle = intake.bundle(key)
            intake.follow(bundle.files if bundle is not None else ())
        if condition(keys):
            return turns
        select.select([intake._watcher.fd], [], [], min(intake.seconds_until_due(time.monotonic()), 0.5))
    raise AssertionError(keys)


def test_a_real_arrival_settles_within_few_turns_of_the_loop(intake: Intake, tmp_path: Path) -> None:
    """The loop does not spin between the kernel's event and the settled file."""
    (tmp_path / "inbox/hero.png").write_bytes(b"x")
    (tmp_path / "inbox/hero.txt").write_bytes(b"x")
    turns = turn_until(intake, lambda keys: intake.state("inbox/hero.png").status == "settled")
    assert turns < 30
    assert intake.watch_modes() == {"inbox": "events"}


def test_an_overflow_of_the_kernel_queue_loses_no_file(intake: Intake, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The watching thread is held while more files are written than the queue can hold. Every bundle is found all the same."""
    turn_until(intake, lambda keys: intake.watch_modes()["inbox"] == "events")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with intake._watcher._lock:  # the watching thread waits here, and the kernel's queue fills
        for number in range(limit):
            os.close(os.open(tmp_path / f"inbox/filler{number % 40}.png", os.O_CREAT | os.O_WRONLY | os.O_TRUNC))
            os.utime(tmp_path / f"inbox/filler{number % 40}.png")
        (tmp_path / "inbox/late").mkdir()
        for number in range(5):
            (tmp_path / f"inbox/late/{number}.png").write_bytes(b"x")
            (tmp_path / f"inbox/late/{number}.txt").write_bytes(b"x")
    turn_until(intake, lambda keys: len({key for key in keys if key.campaign == "late"}) == 5)
    assert "overflow" in caplog.text
    (tmp_path / "inbox/late/after.png").write_bytes(b"x")
    (tmp_path / "inbox/late/after.txt").write_bytes(b"x")
    turn_until(intake, lambda keys: BundleKey("inbox", "late", "after.png") in keys)


CONTENT = bytes(range(256)) * 40


def written_with_a_pause(path: Path, temporary: Path) -> Iterator[str]:
    with path.open("wb") as out:
        out.write(CONTENT[:100])
        out.flush()
        yield "writing"
        out.write(CONTENT[100:])


def written_through_mmap(path: Path, temporary: Path) -> Iterator[str]:
    with path.open("w+b") as out:
        out.truncate(len(CONTENT))
        with mmap.mmap(out.fileno(), len(CONTENT)) as memory:
            memory[:100] = CONTENT[:100]
            yield "writing"
            memory[100:] = CONTENT[100:]


def linked_while_growing(path: Path, temporary: Path) -> Iterator[str]:
    """Write like Krita: O_TMPFILE and linkat, so that the name gets a create event and no close event."""
    with open(os.open(path.parent, os.O_TMPFILE | os.O_WRONLY), "wb") as out:
        out.write(CONTENT[:100])
        out.flush()
        root_fd = os.open("/", os.O_PATH)
        os.link(f"/proc/self/fd/{out.fileno()}", path, src_dir_fd=root_fd, follow_symlinks=True)
        os.close(root_fd)
        yield "writing"
        out.write(CONTENT[100:])


def renamed_while_growing(path: Path, temporary: Path) -> Iterator[str]:
    with temporary.open("wb") as out:
        out.write(CONTENT[:100])
        out.flush()
        os.rename(temporary, path)
        yield "writing"
        out.write(CONTENT[100:])


def resumed(path: Path, temporary: Path) -> Iterator[str]:
    path.write_bytes(CONTENT[:100])
    yield "looks_complete"
    with path.open("ab") as out:
        out.write(CONTENT[100:])


def swapped_by_a_save(path: Path, temporary: Path) -> Iterator[str]:
    path.write_bytes(b"the old picture")
    yield "looks_complete"
    temporary.write_bytes(CONTENT)
    os.rename(temporary, path)


def empty_first(path: Path, temporary: Path) -> Iterator[str]:
    path.touch()
    yield "new"
    path.write_bytes(CONTENT)


DROPS = [written_with_a_pause, written_through_mmap, linked_while_growing, renamed_while_growing, resumed, swapped_by_a_save, empty_first]


@pytest.mark.parametrize("drop", DROPS, ids=lambda drop: drop.__name__)
def test_only_a_complete_file_settles(drop: Callable[[Path, Path], Iterator[str]], tmp_path: Path) -> None:
    """Each kind of writing is stopped halfway until the intake has noticed the file. When the file settles, it is complete."""
    for folder in ("inbox", "library"):
        (tmp_path / folder).mkdir()
    watcher = Watcher(tmp_path)
    intake = Intake(tmp_path, ["inbox"], watcher, settings=IntakeSettings(quiet=0.5, breath=0.05))
    intake.start()
    path = tmp_path / "inbox/hero.png"
    (tmp_path / "inbox/hero.txt").write_bytes(b"prompt")

    def sig() -> FileSignature:
        return FileSignature.from_stat(os.lstat(path))

    try:
        for status in drop(path, tmp_path / "aside"):
            turn_until(intake, lambda keys, status=status: intake.state("inbox/hero.png").status in (status, "settled"))
            assert status == "looks_complete" or intake.state("inbox/hero.png").status == status
        turn_until(intake, lambda keys: intake.state("inbox/hero.png").status == "settled" and intake.state("inbox/hero.png").sig == sig())
        assert path.read_bytes() == CONTENT
    finally:
        watcher.close()
