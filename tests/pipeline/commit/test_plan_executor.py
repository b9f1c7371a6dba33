"""The commit: success, taken names, inputs that change at the last moment, denied permissions, and moves between filesystems."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.disk import Disk, Overwritten, Script
from doubles.share import DAY, NOON, Share, sha256
from goldsmith.files import FileSignature, Filesystem, PathAt
from goldsmith.journal.journal import Journal
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.plan_executor import (
    FileRefused,
    FilesChanged,
    PlanCommitted,
    PlanExecutor,
    PlanHalted,
    ResultsRejected,
    with_new_stem,
)
from goldsmith.root_folder import RootFolder


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture
def journal(share: Share) -> Iterator[Journal]:
    journal = share.journal()
    yield journal
    journal.close()


def test_results_are_placed_and_inputs_are_archived(share: Share, journal: Journal) -> None:
    """The results and the brief are in the next folder, the picture and the mask in the archive, and the journal records all of them."""
    plan = share.worked("a", campaign="acme/")
    result = share.deliver(journal).commit([plan])[0]
    assert share.files() == {
        "masked/acme/hero.png": b"finished hero",
        "masked/acme/hero_web.avif": b"for the web hero",
        "masked/acme/hero.toml": b"brief hero",
        f"archive/{DAY}/selected/acme/hero.png": b"picture hero",
        f"archive/{DAY}/selected/acme/hero.mask.png": b"mask hero",
    }
    assert isinstance(result, PlanCommitted)
    assert {placed.path: placed.sig for placed in result.placed_files} == {
        path: FileSignature.from_stat((share.root / path).lstat()) for path in share.files() if path.startswith("masked")
    }
    row = next(journal.history())
    assert (row.taken_at, row.results) == (NOON, ("masked/acme/hero.toml", "masked/acme/hero.png", "masked/acme/hero_web.avif"))
    assert row.record["archived"] == {take.path: take.destination for take in plan.consumes[:2]}
    placed = journal.placed_file("masked/acme/hero.png")
    assert placed is not None
    assert placed.sha256 == sha256(b"finished hero")


def test_a_batch_costs_one_fsync_per_folder(share: Share, journal: Journal) -> None:
    """Each changed folder is fsynced once, however many assets are in the batch."""
    script = Script()
    results = share.deliver(journal, Disk(script)).commit([share.passed(f"job{number}", f"hero{number}") for number in range(20)])
    assert all(isinstance(result, PlanCommitted) for result in results)
    assert script.calls.count("fsync_dir") == len(["selected", "masked", "archive", f"archive/{DAY}", f"archive/{DAY}/selected"])
    assert "fsync" not in script.calls


def test_a_taken_name_gives_every_result_the_next_version(share: Share, journal: Journal) -> None:
    """If one of several names is taken, all results are called v002, and the existing file stays."""
    share.put("masked/hero_web.avif", b"older")
    result = share.deliver(journal).commit([share.worked("a")])[0]
    assert isinstance(result, PlanCommitted)
    assert result.plan.stem == "hero_v002"
    assert sorted(os.listdir(share.root / "masked")) == ["hero_v002.png", "hero_v002.toml", "hero_v002_web.avif", "hero_web.avif"]
    assert share.files()["masked/hero_web.avif"] == b"older"
    assert journal.placed_versions("masked", "hero") == {2}


def test_a_result_that_names_other_results_is_rewritten(share: Share, journal: Journal) -> None:
    """A manifest that lists hero.png would be wrong for hero_v002.png, so the planner writes it again."""
    share.put("masked/hero.png", b"older")
    stems: list[str] = []

    def rename_plan(plan: Plan, stem: str) -> Plan:
        stems.append(stem)
        renamed = with_new_stem(plan, stem)
        listing = share.result("a", f"{stem}.json", f"masked/{stem}_web.avif", f"names {stem}.png".encode())
        return renamed.model_copy(update={"publishes": (renamed.publishes[0], listing)})

    result = PlanExecutor(share.root, journal, now=lambda: NOON, rename_plan=rename_plan).commit([share.worked("a")])[0]
    assert stems == ["hero_v002"]
    assert share.files()["masked/hero_v002_web.avif"] == b"names hero_v002.png"
    assert isinstance(result, PlanCommitted)
    assert {placed.path: placed.sha256 for placed in result.placed_files}["masked/hero_v002_web.avif"] == sha256(b"names hero_v002.png")


def test_two_assets_of_one_name_in_a_batch_are_two_versions(share: Share, journal: Journal) -> None:
    """hero.jpg and hero.png both become hero.png in the same batch."""
    first, second = (
        share.worked("a"),
        share.plan("b", "hero", (share.take("selected/hero.jpg", f"archive/{DAY}/selected/hero.jpg", b"j"),), ()),
    )
    second = second.model_copy(update={"publishes": (share.result("b", "0.png", "masked/hero.png", b"of the jpg"),)})
    assert all(isinstance(result, PlanCommitted) for result in share.deliver(journal).commit([first, second]))
    assert share.files()["masked/hero.png"] == b"finished hero"
    assert share.files()["masked/hero_v002.png"] == b"of the jpg"


def test_versions_are_remembered_after_their_files_are_deleted(share: Share, journal: Journal) -> None:
    """The journal lists every version that was ever placed in a folder."""
    assert journal.placed_versions("masked", "hero") == set()
    share.deliver(journal).commit([share.worked("a")])
    for path in (share.root / "masked").iterdir():
        path.unlink()
    assert journal.placed_versions("masked", "hero") == {1}
    assert journal.placed_versions("masked/acme", "hero") == set()


def test_an_archived_file_overwrites_no_other(share: Share, journal: Journal) -> None:
    """The second hero.png of a day is called hero~2.png."""
    share.put(f"archive/{DAY}/selected/hero.png", b"this morning's")
    result = share.deliver(journal).commit([share.worked("a")])[0]
    assert isinstance(result, PlanCommitted)
    assert result.plan.stem == "hero"
    assert share.files()[f"archive/{DAY}/selected/hero~2.png"] == b"picture hero"
    assert next(journal.history()).record["archived"]["selected/hero.png"] == f"archive/{DAY}/selected/hero~2.png"  # type: ignore[index,call-overload]


def test_names_may_hold_any_bytes(share: Share, journal: Journal) -> None:
    """Names with invalid UTF-8, line breaks, quotes and a leading dash are committed."""
    for number, stem in enumerate(("-rf", "two\nlines", "grün", 'a "b" $(c)', "\udcff\udcfe")):
        assert isinstance(share.deliver(journal).commit([share.worked(f"j{number}", stem)])[0], PlanCommitted)
        assert share.files()[f"masked/{stem}.png"] == b"finished " + os.fsencode(stem)
    assert [row.results[1] for row in journal.history()][-1] == "masked/\udcff\udcfe.png"


def _replace(path: Path) -> None:
    path.with_name("new").write_bytes(b"newer picture")
    path.with_name("new").rename(path)


def _rewrite(path: Path) -> None:
    path.write_bytes(b"PICTURE HERO")


@pytest.mark.parametrize("change", [_replace, _rewrite, Path.unlink], ids=["renamed over", "rewritten", "deleted"])
@pytest.mark.parametrize("early", [True, False], ids=["before the commit", "between check and rename"])
def test_an_input_that_changes_stays_and_nothing_is_committed(
    share: Share, journal: Journal, change: Callable[[Path], None], early: bool
) -> None:
    """Even at the last moment the newer file stays, no result is placed, and the work must be discarded."""
    plan = share.worked("a")
    picture = share.root / "selected/hero.png"
    os.utime(picture, ns=(1, 1))
    plan = plan.model_copy(
        update={"consumes": (plan.consumes[0].model_copy(update={"sig": FileSignature.from_stat(picture.lstat())}), *plan.consumes[1:])}
    )
    fs = Filesystem() if early else Overwritten(Script(), str(picture), lambda: change(picture))
    if early:
        change(picture)
    result = share.deliver(journal, fs).commit([plan])[0]
    assert isinstance(result, FilesChanged)
    assert result.path == "selected/hero.png"
    newer = {_replace: b"newer picture", _rewrite: b"PICTURE HERO"}.get(change)
    expected = {"selected/hero.mask.png": b"mask hero", "selected/hero.toml": b"brief hero"}
    assert share.files() == (expected if newer is None else {**expected, "selected/hero.png": newer})
    assert journal.open_plans() == []
    assert list(journal.history()) == []


def test_an_input_that_is_open_for_writing_is_put_back(share: Share, journal: Journal) -> None:
    """Its bytes are unchanged, but a program may still change them. Once the program has closed the file, the plan is committed."""
    plan = share.worked("a")
    writers: list[int] = []
    path = share.root / plan.consumes[1].path
    fs = Overwritten(Script(), str(path), lambda: writers.append(os.open(path, os.O_WRONLY)))
    executor = share.deliver(journal, fs)
    result = executor.commit([plan])[0]
    os.close(writers[0])
    assert isinstance(result, FilesChanged)
    assert "still being written" in result.sentence
    assert share.plan_state(plan) == "undone"
    assert isinstance(executor.commit([plan])[0], PlanCommitted)


COMPANIONS = [("hero.png", b"its picture"), ("HERO.jpg", b"its picture"), ("hero.mask.png", b"a mask"), ("hero.ref.png", b"reference")]


@pytest.mark.parametrize(("name", "data"), COMPANIONS)
@pytest.mark.parametrize("mounts", [(), ("archive",)], ids=["one disk", "two disks"])
def test_a_lone_brief_returns_if_its_picture_or_a_sidecar_arrives(
    share: Share, journal: Journal, name: str, data: bytes, mounts: tuple[str, ...]
) -> None:
    """If the file arrives just before the brief is moved, no result is placed, and both files stay side by side."""
    plan = share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})
    brief = share.root / "selected/hero.toml"
    disk = Overwritten(Script(), str(brief), lambda: share.put(f"selected/{name}", data), mounts=mounts)
    result = share.deliver(journal, disk).commit([plan])[0]
    assert isinstance(result, FilesChanged)
    assert (result.path, result.sentence) == (f"selected/{name}", f"{name} arrived while hero.toml was being worked on without it.")
    assert share.files() == {"selected/hero.toml": b"brief hero", f"selected/{name}": data}
    assert (journal.open_plans(), list(journal.history())) == ([], [])


def test_a_lone_brief_is_committed_despite_similar_names(share: Share, journal: Journal) -> None:
    """Files that only begin with the same letters, and a folder with a picture's name, belong to no brief."""
    for name in ("hero2.png", "hero.zip", "hero.png/inside.png"):
        share.put(f"selected/{name}", b"a neighbour")
    plan = share.chosen("a").model_copy(update={"lone_brief": "selected/hero.toml"})
    assert isinstance(share.deliver(journal).commit([plan])[0], PlanCommitted)


def test_an_input_whose_source_has_a_new_file_goes_to_the_archive(share: Share, journal: Journal) -> None:
    """The input is replaced as it is moved, and a third file arrives before the second can return: neither file is lost."""
    plan = share.passed("a")
    picture = share.root / "selected/hero.png"

    class ThirdFileArrives(Overwritten):
        def open(self, at: object) -> int:  # the check after the rename
            fd = super().open(at)  # type: ignore[arg-type]
            if not self.path and not picture.exists():
                picture.write_bytes(b"third")
            return fd

    fs = ThirdFileArrives(Script(), str(picture), lambda: picture.write_bytes(b"second"))
    result = share.deliver(journal, fs).commit([plan])[0]
    assert isinstance(result, FilesChanged)
    files = share.files()
    assert files["selected/hero.png"] == b"third"
    assert files[f"archive/{DAY}/selected/hero.png"] == b"second"
    assert not any(path.startswith("masked") for path in files)
    row = next(journal.history())
    assert (row.outcome, row.path, row.record["archived"]) == (
        "superseded",
        "selected/hero.png",
        {"selected/hero.png": f"archive/{DAY}/selected/hero.png"},
    )


def test_one_failed_plan_does_not_stop_the_others(share: Share, journal: Journal) -> None:
    """A changed input concerns its own job only."""
    plans = [share.worked("a", "one"), share.worked("b", "two"), share.worked("c", "three")]
    (share.root / "selected/two.png").write_bytes(b"newer")
    results = share.deliver(journal).commit(plans)
    assert [type(result) for result in results] == [PlanCommitted, FilesChanged, PlanCommitted]
    assert [row.job_id for row in journal.history()] == ["a", "c"]


def test_a_plan_without_its_result_is_not_committed(share: Share, journal: Journal) -> None:
    """If a result is deleted from the scratch folder, the inputs stay."""
    plan = share.worked("a")
    Path(plan.publishes[0].source).unlink()
    assert share.deliver(journal).commit([plan]) == [ResultsRejected(plan, is_missing=True)]
    assert set(share.files()) == {take.path for take in plan.consumes}


def _swap_result(path: Path, data: bytes) -> None:
    path.with_name("swapped").write_bytes(data)
    path.with_name("swapped").rename(path)


@pytest.mark.parametrize("mounts", [(), ("masked",)], ids=["rename", "copy"])
def test_a_result_that_is_swapped_at_the_last_moment_is_not_published(share: Share, journal: Journal, mounts: tuple[str, ...]) -> None:
    """The check before the rename has seen the right file; the check after it sees another one, and everything returns."""
    plan = share.worked("a")
    before = share.files()
    source = Path(plan.publishes[1].source)
    fs = Overwritten(Script(), str(source), lambda: _swap_result(source, b"another file"), mounts=mounts)
    assert share.deliver(journal, fs).commit([plan]) == [ResultsRejected(plan, is_missing=False)]
    assert share.files() == before
    assert list(journal.history()) == []


def _overwrite(path: Path) -> None:
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _replace_by_link(path: Path) -> None:
    path.rename(path.with_name("hidden"))
    path.symlink_to("hidden")


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _swap_for_reversed(path: Path) -> None:
    _swap_result(path, path.read_bytes()[::-1])


def _add_name(path: Path) -> None:
    os.link(path, path.with_name("second"))


@pytest.mark.parametrize("meddle", [_swap_for_reversed, _overwrite, _replace_by_link, _replace_by_pipe, _add_name])
def test_a_result_that_is_not_the_hashed_file_is_not_published(share: Share, journal: Journal, meddle: Callable[[Path], None]) -> None:
    """It is recognised by its inode, its times, its hash or its names; nothing is published, and the inputs stay."""
    plan = share.worked("a")
    meddle(Path(plan.publishes[1].source))
    assert share.deliver(journal).commit([plan]) == [ResultsRejected(plan, is_missing=False)]
    assert share.plan_state(plan) == "undone"


class _SwappedAroundRename(Filesystem):
    """Swaps a result just before its rename, and puts another file at its source just after it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        is_result = str(source) == str(self.path)
        if is_result:
            _swap_for_reversed(self.path)
        super().rename_noreplace(source, target)
        if is_result:
            self.path.write_bytes(b"bait")


def test_a_swapped_result_is_taken_back_although_its_source_has_a_new_file(share: Share, journal: Journal) -> None:
    """The rollback must not take the new file for the result and leave the swapped one on the share."""
    plan = share.worked("a")
    fs = _SwappedAroundRename(Path(plan.publishes[1].source))
    assert share.deliver(journal, fs).commit([plan]) == [ResultsRejected(plan, is_missing=False)]
    assert share.plan_state(plan) == "undone"


def test_a_result_with_new_permissions_only_is_published(share: Share, journal: Journal) -> None:
    """An earlier try may have changed them; the hash decides."""
    plan = share.worked("a")
    os.chmod(plan.publishes[0].source, 0o640)
    assert isinstance(share.deliver(journal).commit([plan])[0], PlanCommitted)
    assert share.plan_state(plan) == "done"


def test_a_result_that_is_open_for_writing_is_not_published(share: Share, journal: Journal) -> None:
    """The program could change it after it was hashed."""
    plan = share.worked("a")
    with open(plan.publishes[0].source, "r+b"):
        assert share.deliver(journal).commit([plan]) == [ResultsRejected(plan, is_missing=False)]
    assert share.plan_state(plan) == "undone"


def test_a_plan_with_a_path_out_of_the_root_is_refused_before_a_file_moves(share: Share, journal: Journal) -> None:
    """It concerns its own job only, and it is not even recorded."""
    plan = share.worked("a")
    stray = plan.publishes[0].model_copy(update={"destination": "masked/../../stray.png"})
    plan = plan.model_copy(update={"publishes": (stray, *plan.publishes[1:])})
    other = share.worked("b", "other")
    refused, committed = share.deliver(journal).commit([plan, other])
    assert isinstance(refused, FileRefused)
    assert "masked/../../stray.png is not a plain path" in refused.sentence
    assert isinstance(committed, PlanCommitted)
    assert "selected/hero.png" in share.files()
    assert [row.job_id for row in journal.history()] == ["b"]
    assert not journal.open_plans()


@pytest.mark.parametrize("folder", ["masked", "archive", "selected"])
def test_a_missing_folder_of_the_pipeline_is_a_failure_of_the_host(share: Share, journal: Journal, folder: str) -> None:
    """The folder is never created again, since its mount may be missing; once it is back, the same plan is committed."""
    plan = share.worked("a")
    (share.root / folder).rename(share.root / "elsewhere")
    executor = share.deliver(journal)
    result = executor.commit([plan])[0]
    assert isinstance(result, PlanHalted)
    assert folder in result.sentence
    (share.root / "elsewhere").rename(share.root / folder)
    assert any(isinstance(result, PlanCommitted) for result in executor.commit([] if result.is_pending else [plan]))
    assert share.plan_state(plan) == "done"


class _FirstRenameFails(Filesystem):
    """Makes the first rename of a commit fail."""

    def __init__(self, number: int = errno.EACCES) -> None:
        self.number = number

    def rename_noreplace(self, source: PathAt, target: PathAt) -> None:
        number, self.number = self.number, 0
        if number:
            raise OSError(number, os.strerror(number))
        super().rename_noreplace(source, target)


@pytest.fixture
def unwritable(share: Share, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the set of folders that count as not writable; the tests may run as root, who can write to all of them."""
    folders: set[str] = set()
    monkeypatch.setattr(RootFolder, "can_write", lambda root, path: path not in folders)
    return folders


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_an_unexplained_denial_counts_against_the_host_once_and_then_against_the_job(
    share: Share, journal: Journal, unwritable: set[str], number: int
) -> None:
    """Every folder is writable. The first denial pauses all jobs, since it may pass; the second denial refuses the job."""
    plan = share.worked("a", campaign="acme/")
    executor = share.deliver(journal, _FirstRenameFails(number))
    first = executor.commit([plan])[0]
    assert isinstance(first, PlanHalted)
    assert not first.is_pending
    executor.fs = _FirstRenameFails(number)
    second = executor.commit([plan])[0]
    assert isinstance(second, FileRefused)
    assert second.sentence == "selected/acme/hero.png cannot be moved on: Goldsmith may not move its files."
    executor.fs = Filesystem()
    assert isinstance(executor.commit([plan])[0], PlanCommitted), "the permissions are fixed"


def test_a_denial_that_passes_refuses_no_job(share: Share, journal: Journal, unwritable: set[str]) -> None:
    """If the permissions of a share are missing for a moment, every plan waits and is then committed."""
    plans = [share.worked("a", "one"), share.worked("b", "two")]
    executor = share.deliver(journal, _FirstRenameFails())
    assert [type(result) for result in executor.commit(plans)] == [PlanHalted, PlanHalted]
    assert [type(result) for result in executor.commit(plans)] == [PlanCommitted, PlanCommitted]


@pytest.mark.parametrize("folder", ["selected/acme", "masked/acme"])
def test_a_campaigns_folder_that_is_not_writable_refuses_its_own_job_only(
    share: Share, journal: Journal, unwritable: set[str], folder: str
) -> None:
    """The job is refused at once, and the other plans are committed."""
    plans = [share.worked("a", campaign="acme/"), share.worked("b", "two")]
    (share.root / "masked/acme").mkdir()
    unwritable.add(folder)
    results = share.deliver(journal, _FirstRenameFails()).commit(plans)
    assert [type(result) for result in results] == [FileRefused, PlanCommitted]


@pytest.mark.parametrize("folder", ["selected", "masked", "archive"])
def test_a_folder_of_the_pipeline_that_is_not_writable_is_a_failure_of_the_host(
    share: Share, journal: Journal, unwritable: set[str], folder: str
) -> None:
    """No job is refused for it, however often the commit is tried."""
    plan = share.worked("a")
    unwritable.add(folder)
    executor = share.deliver(journal)
    for _ in range(3):
        executor.fs = _FirstRenameFails()
        result = executor.commit([plan])[0]
        assert isinstance(result, PlanHalted)
        assert "write access to the folders of the pipeline" in result.remedy


def test_no_file_is_placed_through_a_link(share: Share, journal: Journal, tmp_path: Path) -> None:
    """If a campaign's folder is a link that leads out of the share, only the job of that campaign is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    plan = share.worked("a", campaign="acme/")
    (share.root / "masked/acme").symlink_to(outside)
    results = share.deliver(journal).commit([plan, share.worked("b", "other")])
    assert isinstance(results[0], FileRefused)
    assert isinstance(results[1], PlanCommitted)
    assert list(outside.iterdir()) == []
    assert all((share.root / take.path).exists() for take in plan.consumes)


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda path: socket.socket(socket.AF_UNIX).bind(str(path))], ids=["fifo", "dir", "socket"]
)
def test_an_input_that_is_replaced_by_a_special_file_is_put_back(share: Share, journal: Journal, make: Callable[[Path], None]) -> None:
    """A FIFO, a folder or a socket replaces the picture at the last moment: the commit does not hang, and the special file stays there."""
    plan = share.worked("a")
    picture = share.root / "selected/hero.png"

    def swap() -> None:
        picture.unlink()
        make(picture)

    result = share.deliver(journal, Overwritten(Script(), str(picture), swap)).commit([plan])[0]
    assert isinstance(result, FilesChanged)
    assert picture.exists()
    assert not stat.S_ISREG(picture.lstat().st_mode)


def test_results_get_the_permissions_of_their_folder(share: Share, journal: Journal) -> None:
    """Mode and group are those of the folder, also in a new campaign folder. An archived input keeps its own mode."""
    (share.root / "masked").chmod(0o2775)
    plan = share.worked("a", campaign="acme/spring/")
    os.chmod(plan.publishes[0].source, 0o600)
    (share.root / plan.consumes[0].path).chmod(0o640)
    plan = plan.model_copy(
        update={
            "consumes": tuple(
                take.model_copy(update={"sig": FileSignature.from_stat((share.root / take.path).lstat())}) for take in plan.consumes
            )
        }
    )
    assert isinstance(share.deliver(journal).commit([plan])[0], PlanCommitted)
    folder = share.root / "masked/acme/spring"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o2775
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o664}
    assert {path.stat().st_gid for path in folder.iterdir()} == {folder.stat().st_gid}
    assert stat.S_IMODE((share.root / f"archive/{DAY}/selected/acme/spring/hero.png").stat().st_mode) == 0o640


@pytest.mark.parametrize("number", [0, 2], ids=["to the archive", "to the next folder"])
def test_the_outside_name_of_a_hard_link_keeps_its_permissions(share: Share, journal: Journal, tmp_path: Path, number: int) -> None:
    """An input has a second name outside the share. What moves on is a copy with the mode of its folder."""
    (share.root / "masked").chmod(0o2777)
    plan = share.worked("a")
    source = share.root / plan.consumes[number].path
    source.chmod(0o600)
    os.link(source, tmp_path / "private.toml")
    changed = FileSignature.from_stat(source.lstat())
    takes = [take.model_copy(update={"sig": changed}) if take.path == plan.consumes[number].path else take for take in plan.consumes]
    plan = plan.model_copy(update={"consumes": tuple(takes)})
    assert isinstance(share.deliver(journal).commit([plan])[0], PlanCommitted)
    assert share.plan_state(plan) == "done"
    outside = (tmp_path / "private.toml").stat()
    assert stat.S_IMODE(outside.st_mode) == 0o600
    moved = (share.root / plan.consumes[number].destination).stat()
    is_in_archive = number == 0
    assert (moved.st_ino == outside.st_ino) == is_in_archive
    assert stat.S_IMODE(moved.st_mode) == (0o600 if is_in_archive else 0o666)


def test_a_displaced_input_keeps_its_own_permissions(share: Share, journal: Journal, tmp_path: Path) -> None:
    """A new file has its name after a rollback, so the old one goes to the archive, where inputs keep their mode."""
    plan = share.worked("a")
    brief, result = share.root / plan.consumes[2].path, Path(plan.publishes[0].source)
    brief.chmod(0o600)
    os.link(brief, tmp_path / "private.toml")
    changed = FileSignature.from_stat(brief.lstat())
    takes = (*plan.consumes[:2], plan.consumes[2].model_copy(update={"sig": changed}))
    plan = plan.model_copy(update={"consumes": takes})

    def meddle() -> None:
        brief.write_bytes(b"a new brief")
        result.write_bytes(b"another result")

    share.deliver(journal, Overwritten(Script(), str(result), meddle)).commit([plan])
    assert brief.read_bytes() == b"a new brief"
    assert stat.S_IMODE((tmp_path / "private.toml").stat().st_mode) == 0o600
    assert b"brief hero" in [path.read_bytes() for path in (share.root / "archive").rglob("*.toml")]


def test_a_file_that_takes_the_place_of_an_input_keeps_its_permissions(share: Share, journal: Journal, tmp_path: Path) -> None:
    """A member of the group renames another file over the input that has just arrived: that file must not be opened to the group."""
    (share.root / "masked").chmod(0o2777)
    plan = share.worked("a")
    private = share.root / "selected" / "private.txt"
    private.write_bytes(b"private")
    private.chmod(0o600)
    destination = share.root / plan.consumes[2].destination

    class Swapping(Filesystem):
        def open(self, at: PathAt) -> int:
            if str(at) == str(destination) and private.exists():
                private.rename(destination)
            return super().open(at)

    assert isinstance(share.deliver(journal, Swapping()).commit([plan])[0], FilesChanged)
    (swapped,) = [path for path in share.root.rglob("*") if path.is_file() and path.read_bytes() == b"private"]
    assert stat.S_IMODE(swapped.stat().st_mode) == 0o600


@pytest.mark.parametrize("mount", ["archive", "masked", "selected"])
def test_folders_may_be_mount_points(share: Share, journal: Journal, mount: str) -> None:
    """A rename becomes a copy, an fsync and a rename; the source is deleted once the plan is durable."""
    script = Script()
    plans = [share.worked("a"), share.passed("b", "other")]
    assert all(isinstance(result, PlanCommitted) for result in share.deliver(journal, Disk(script, mounts=(mount,))).commit(plans))
    assert [share.plan_state(plan) for plan in plans] == ["done", "done"]
    copies = [number for number, call in enumerate(script.calls) if call == "fsync"]
    assert copies
    assert max(copies) < min(number for number, call in enumerate(script.calls) if call == "fsync_dir")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a filesystem")
def test_a_result_moves_between_two_real_filesystems(share: Share, journal: Journal) -> None:
    """The next folder is a filesystem of its own, in memory. The copy in the scratch folder is removed."""
    mount = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(share.root / "masked")], capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"mounting a tmpfs is not allowed: {mount.stderr.strip()}")
    try:
        put = share.result("a", "x", "masked/hero.png", b"finished")
        plan = share.plan("a", "hero", (share.take("selected/hero.png", "archive/hero.png", b"picture"),), (put,))
        result = share.deliver(journal).commit([plan])[0]
        assert isinstance(result, PlanCommitted)
        assert share.files() == {"archive/hero.png": b"picture", "masked/hero.png": b"finished"}
        assert not Path(put.source).exists()
    finally:
        subprocess.run(["umount", "--lazy", str(share.root / "masked")], check=True)


def test_a_lost_mount_is_noticed(share: Share, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a folder is no longer a mount point, nothing is written to the empty folder below."""
    executor = share.deliver(journal)
    monkeypatch.setattr(executor, "_mounts", {"masked"})
    result = executor.commit([share.worked("a")])[0]
    assert isinstance(result, PlanHalted)
    assert "lost its mount" in result.sentence
    assert (share.root / "selected/hero.png").exists()
    assert list((share.root / "masked").iterdir()) == []
