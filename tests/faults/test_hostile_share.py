"""Attacks of a member of the share's group on the daemon: each is refused, or costs the attacker's own picture, and work goes on."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doubles.commission import NULLS, PIPELINE, SELECT
from doubles.nested_folders import make_nested_folders, nested_folders
from doubles.pictures import png
from doubles.shared_studio import SERVICE, STUDIO, as_designer, drop, find_obstacle, run_command, run_service, shared_studio
from doubles.studio import Daemon, Studio, studio_at
from goldsmith.jobs.job import JobFault
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.planner import Planner
from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.intake import Intake
from goldsmith.pipeline.scheduler import results
from goldsmith.pipeline.scheduler.readiness import Readiness, ReadinessResult
from goldsmith.pipeline.stage_work import StageWork

SECRET = b"the key of the service"


@pytest.fixture
def shared() -> Iterator[Studio]:
    """Yield a share of two users, with a folder ``secrets`` beside it that only the service can read."""
    if find_obstacle():
        pytest.skip(find_obstacle())
    with shared_studio() as studio:
        secrets = studio.root.parent / "secrets"
        (secrets / "work").mkdir(parents=True)
        for path, data in (
            ("work/journal", SECRET),
            ("hero.toml", b'"' + SECRET + b'" = 1\n'),
            ("hero.txt", SECRET),
            ("hero.png", png(99)),
        ):
            (secrets / path).write_bytes(data)
        for path in (secrets, *secrets.rglob("*")):
            os.chown(path, SERVICE, SERVICE)
            path.chmod(0o700 if path.is_dir() else 0o600)
        yield studio


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Studio]:
    """Yield a share whose daemon runs in this process."""
    with studio_at(tmp_path) as studio:
        studio.write_pipeline(PIPELINE)
        yield studio


def _open_root_to_the_group(studio: Studio) -> None:
    """Give the modes that older manuals gave: the group may rename what lies in the root, and write to the library."""
    for folder in (studio.root, *(path for path in studio.at("library").rglob("*") if path.is_dir()), studio.at("library")):
        os.chown(folder, SERVICE, STUDIO)
        folder.chmod(0o2775)


def _replace_by_link(path: Path, target: Path) -> None:
    """Do it as a designer; the folder stays beside the link as ``aside``."""

    def replace() -> None:
        path.rename(path.with_name("aside"))
        path.symlink_to(target)

    as_designer(replace)


def _until_delivered(studio: Studio, daemon: Daemon, name: str = "witness") -> None:
    """Drop a picture as a designer, and wait until it is delivered."""
    drop(studio, {f"inbox/{name}.png": png(1), f"inbox/{name}.toml": NULLS.encode()})
    daemon.until(lambda: studio.at(f"delivered/{name}.manifest.json").exists(), "the delivery")


def _files_with_secret(root: Path) -> list[str]:
    """Return the files of a root that contain the service's secret, without following a link."""
    paths = [Path(folder, name) for folder, _, names in os.walk(root) for name in names]
    return [str(path) for path in paths if not path.is_symlink() and path.is_file() and SECRET in path.read_bytes()]


# ------------------------------------------------------------------ the service's own folder


def _count_refusals(studio: Studio) -> int:
    """Try as a designer to get into the service's folder in every way; return how many were refused."""
    private = studio.at(".goldsmith")
    attempts: list[Callable[[], object]] = [
        lambda: os.listdir(private),
        lambda: os.open(private / "lock", os.O_RDONLY),
        lambda: os.symlink("/etc", private / "work" / "job"),
        lambda: os.mkfifo(private / "pipe"),
        lambda: os.rename(private / "work", private / "aside"),
        lambda: os.chmod(private, 0o777),  # noqa: S103 - an attack
    ]

    def attack() -> int:
        count = 0
        for attempt in attempts:
            try:
                attempt()
            except PermissionError:
                count += 1
        return count

    assert len(attempts) == 6
    return as_designer(attack)


@pytest.mark.parametrize("modes", ["the manual's", "older"])
def test_a_member_of_the_group_cannot_enter_the_service_s_folder(shared: Studio, modes: str) -> None:
    """A folder that an earlier chmod -R opened is closed at the start."""
    if modes == "older":
        _open_root_to_the_group(shared)
        for folder in (shared.at(".goldsmith"), shared.at(".goldsmith/work")):
            os.chown(folder, SERVICE, STUDIO)
            folder.chmod(0o2775)
    with run_service(shared) as daemon:
        daemon.until_ready()
        assert _count_refusals(shared) == 6
        assert [stat.S_IMODE(shared.at(name).stat().st_mode) & 0o777 for name in (".goldsmith", ".goldsmith/work")] == [0o700] * 2
        assert daemon.end() == 0


@pytest.mark.parametrize("name", [".goldsmith", ".goldsmith/work"])
def test_the_start_waits_while_a_link_is_in_place_of_the_service_s_folder(shared: Studio, name: str) -> None:
    """Nothing behind the link is deleted, the sentence names the folder, and once the link is gone, the work begins."""
    _open_root_to_the_group(shared)
    os.chown(shared.at(".goldsmith"), SERVICE, STUDIO)
    shared.at(".goldsmith").chmod(0o2775)
    secrets = shared.root.parent / "secrets"
    _replace_by_link(shared.at(name), secrets if name == ".goldsmith" else secrets / "work")
    with run_service(shared) as daemon:
        daemon.until(lambda: daemon.events_of("waiting to start"), "the reason of the wait")
        assert f"{shared.at(name)} is a link or a file" in str(daemon.events_of("waiting to start")[0])
        assert sorted(path.name for path in secrets.rglob("*")) == ["hero.png", "hero.toml", "hero.txt", "journal", "work"]
        shared.at(name).unlink()  # by the administrator
        _until_delivered(shared, daemon)
        assert daemon.end() == 0
    assert (secrets / "work/journal").read_bytes() == SECRET


def test_a_link_that_comes_while_the_daemon_runs_pauses_it_until_it_is_gone(shared: Studio) -> None:
    """The pause has its sentence, and nothing is written behind the link."""
    _open_root_to_the_group(shared)
    secrets = shared.root.parent / "secrets"
    with run_service(shared) as daemon:
        daemon.until_ready()
        _replace_by_link(shared.at(".goldsmith"), secrets)
        drop(shared, {"inbox/hero.png": png(2), "inbox/hero.toml": NULLS.encode()})
        daemon.until(lambda: daemon.events_of("paused"), "the pause")
        assert f"{shared.at('.goldsmith')} is a link or a file" in str(daemon.events_of("paused")[0])
        assert sorted(path.name for path in secrets.rglob("*")) == ["hero.png", "hero.toml", "hero.txt", "journal", "work"]

        def mend() -> None:
            shared.at(".goldsmith").unlink()
            shared.at("aside").rename(shared.at(".goldsmith"))

        as_designer(mend)
        daemon.until(lambda: shared.at("delivered/hero.manifest.json").exists(), "the delivery after the pause")
        assert daemon.end() == 0


# ------------------------------------------------------------------ folders without end


@pytest.mark.parametrize(("depth", "moment"), [(1000, "while it runs"), (6000, "before the start")])
def test_nested_folders_do_not_end_the_daemon(shared: Studio, depth: int, moment: str) -> None:
    """Folders more than 64 deep are not searched, the state file says so, and the next picture is delivered."""
    drop(shared, {"inbox/acme/note.txt": b""})
    with nested_folders(shared.at("inbox/acme"), 0):  # for its end, which removes what the designer makes
        if moment == "before the start":
            as_designer(lambda: make_nested_folders(shared.at("inbox/acme"), depth))
        with run_service(shared) as daemon:
            daemon.until_ready()
            if moment == "while it runs":
                as_designer(lambda: make_nested_folders(shared.at("inbox/acme"), depth))
            _until_delivered(shared, daemon)
            (state_file,) = shared.state_dir.glob("*/daemon.json")
            daemon.until(lambda: "inbox/acme" in json.loads(state_file.read_text())["unavailable_folders"], "the sentence")
            assert "more than 64 deep" in json.loads(state_file.read_text())["unavailable_folders"]["inbox/acme"]
            assert daemon.end() == 0


@pytest.mark.parametrize("depth", [70, 800])
def test_status_and_why_tell_of_pictures_in_folders_that_are_too_deep(shared: Studio, depth: int) -> None:
    """Both name the campaign and the remedy, while the daemon runs; the path of the deepest picture is longer than the kernel takes."""
    drop(shared, {"inbox/acme/note.txt": b""})
    deep = "inbox/acme/" + "/".join(["deeper"] * depth)
    sentence = "inbox/acme/ has folders more than 64 deep: pictures in those are not found. Move them up."

    def put() -> None:
        make_nested_folders(shared.at("inbox/acme"), depth)
        folder = os.open(shared.at("inbox/acme"), os.O_RDONLY)
        for _ in range(depth):
            folder = os.open("deeper", os.O_RDONLY, dir_fd=folder)
        with os.fdopen(os.open("hero.png", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as file:
            file.write(png(1))

    with nested_folders(shared.at("inbox/acme"), 0):
        as_designer(put)
        with run_service(shared) as daemon:
            daemon.until_ready()
            (state_file,) = shared.state_dir.glob("*/daemon.json")
            daemon.until(lambda: "inbox/acme" in json.loads(state_file.read_text())["unavailable_folders"], "the sentence")
            status = run_command(shared, "status", "--root", str(shared.root))
            assert (status.returncode, sentence in status.stdout) == (0, True), status.stdout + status.stderr
            why = run_command(shared, "why", "--root", str(shared.root), f"{deep}/hero.png")
            assert (why.returncode, why.stdout) == (0, f"{sentence}\n"), why.stderr
            assert daemon.end() == 0


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_a_bundle_that_exhausts_the_daemon_is_held(own: Studio, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """Only its own picture gets a note; the error is in the log, and the loop goes on."""
    check = Readiness.check

    def exhausting_check(readiness: Readiness, bundle: Bundle) -> ReadinessResult:
        if bundle.stem == "hero":
            raise error
        return check(readiness, bundle)

    monkeypatch.setattr(Readiness, "check", exhausting_check)
    for number, name in enumerate(("hero", "witness")):
        own.put(f"inbox/{name}.png", png(number))
        own.put(f"inbox/{name}.toml", NULLS)
    own.until(lambda: own.at("delivered/witness.manifest.json").exists() and own.note("inbox/hero.png"), "the delivery and the note")
    assert "hero.png cannot be worked on" in own.note("inbox/hero.png")
    assert error.__name__ in own.events_of("error")[0]["detail"]
    assert own.events_of("paused") == []


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_an_exhausted_turn_of_no_known_bundle_is_logged_and_the_loop_goes_on(
    own: Studio, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """The work pauses with a sentence, and is tried again."""
    collect = Intake.collect
    errors = [error()]

    def exhausting_collect(intake: Intake, *arguments: float) -> object:
        if errors:
            raise errors.pop()
        return collect(intake, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Intake, "collect", exhausting_collect)
    own.put("inbox/witness.png", png(1))
    own.put("inbox/witness.toml", NULLS)
    own.until(lambda: own.at("delivered/witness.manifest.json").exists(), "the delivery")
    assert error.__name__ in own.events_of("error")[0]["detail"]
    assert "more memory than Goldsmith has" in str(own.events_of("paused")[0])


# ------------------------------------------------------------------ links out of the share


@pytest.mark.parametrize(
    ("folder", "brief"),
    [
        ("recipes", b'recipe = "hero"\n'),
        ("plates", b'[[grade]]\nop = "composite"\nlayers = [{ from = "hero" }]\n'),
    ],
)
def test_a_library_folder_that_leads_outside_is_not_read(shared: Studio, folder: str, brief: bytes) -> None:
    """The note names the folder; no byte of the service's files is in it."""
    _open_root_to_the_group(shared)
    _replace_by_link(shared.at(f"library/{folder}"), shared.root.parent / "secrets")
    with run_service(shared) as daemon:
        stage = "inbox" if folder == "recipes" else "masked"
        drop(shared, {f"{stage}/hero.png": png(2), f"{stage}/hero.toml": brief})
        daemon.until(lambda: shared.note(f"{stage}/hero.png"), "the note")
        assert f"library/{folder}/ is a link or a file" in shared.note(f"{stage}/hero.png")
        _until_delivered(shared, daemon)
        assert daemon.end() == 0
    assert _files_with_secret(shared.root) == []


@pytest.mark.parametrize("closed", ["recipes", "recipes/studio.toml"])
def test_a_closed_recipe_does_not_end_the_daemon(shared: Studio, closed: str) -> None:
    """A designer keeps it to themselves: the pictures that name it get a note, and work goes on."""
    _open_root_to_the_group(shared)
    recipes = shared.at("library/recipes")

    def close() -> None:
        if closed == "recipes":
            recipes.rename(recipes.with_name("aside"))
            recipes.mkdir()
        (recipes / "studio.toml").write_text(NULLS)
        shared.at(f"library/{closed}").chmod(0)

    as_designer(close)
    with run_service(shared) as daemon:
        drop(shared, {"inbox/hero.png": png(2), "inbox/hero.toml": b'recipe = "studio"\n'})
        daemon.until(lambda: shared.note("inbox/hero.png"), "the note")
        assert f"library/{closed}" in shared.note("inbox/hero.png")
        assert "cannot be read: Permission denied" in shared.note("inbox/hero.png")
        _until_delivered(shared, daemon)
        assert daemon.end() == 0


def test_a_campaign_that_becomes_a_link_outside_is_not_entered(shared: Studio) -> None:
    """Neither the prompt nor the picture behind it is read; the campaign counts as gone."""
    with run_service(shared) as daemon:
        drop(shared, {"inbox/acme/other.png": png(3)})
        _until_delivered(shared, daemon)
        _replace_by_link(shared.at("inbox/acme"), shared.root.parent / "secrets")
        _until_delivered(shared, daemon, "second")
        assert daemon.events_of("held") == []
        assert daemon.end() == 0
    assert [path.name for path in shared.at("delivered").iterdir() if "hero" in path.name] == []
    assert _files_with_secret(shared.root) == []


# ------------------------------------------------------------------ one job's scratch folder


def _link(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def _pipe(path: Path, victim: Path) -> None:
    os.mkfifo(path)


def _file(path: Path, victim: Path) -> None:
    path.write_bytes(b"in the way")


def _text_folder(work: StageWork) -> Path:
    """Return the folder into which the daemon writes the texts of the commit. It does not exist yet."""
    work.text_folder.parent.mkdir(exist_ok=True)
    return work.text_folder


def _result_folder(work: StageWork) -> Path:
    """Return the path of the folder with the results, which is moved away."""
    Path(work.scratch).rename(Path(work.scratch).with_name("aside"))
    return Path(work.scratch)


@pytest.mark.parametrize("place", [_text_folder, _result_folder])
@pytest.mark.parametrize("put", [_link, _pipe, _file])
def test_a_fault_in_the_scratch_of_a_job_is_its_own(
    own: Studio, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, Path], None], place: Callable[[StageWork], Path]
) -> None:
    """The picture gets a note; another one is delivered, nothing pauses, and what a link leads to stays as it was."""
    victim = own.root / "victim"
    victim.mkdir()
    for name in ("text-toml", "000.png"):
        (victim / name).write_bytes(SECRET)
    plan = Planner.plan

    def attacked_plan(planner: Planner, work: StageWork) -> Plan:
        if work.bundle.stem == "hero":
            put(place(work), victim)
        return plan(planner, work)

    monkeypatch.setattr(Planner, "plan", attacked_plan)
    for number, name in enumerate(("hero", "witness")):
        own.put(f"inbox/{name}.png", png(number))
        own.put(f"inbox/{name}.toml", SELECT + '[[generate]]\nop = "upscale"\nfactor = 2\n')
    own.until(lambda: own.note("inbox/hero.png") and own.at("selected/witness.png").exists(), "the note and the other picture")
    assert ".goldsmith/work/" in own.note("inbox/hero.png")
    assert own.events_of("paused") == []
    assert {path.name: path.read_bytes() for path in victim.iterdir()} == {"text-toml": SECRET, "000.png": SECRET}


def _endless(path: Path, victim: Path) -> None:
    path.symlink_to("/dev/zero")


def _huge(path: Path, victim: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("put", [_link, _endless, _pipe, _huge])
def test_a_swapped_preview_is_not_shown(own: Studio, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, Path], None]) -> None:
    """The note comes without a picture."""
    (own.root / "victim").write_bytes(SECRET)
    read_preview = results._read_preview

    def attacked_preview(work: StageWork, fault: JobFault) -> bytes:
        preview = Path(work.scratch, "shown.jpg")
        preview.parent.mkdir(parents=True, exist_ok=True)
        put(preview, own.root / "victim")
        return read_preview(work, fault.model_copy(update={"preview_path": str(preview)}))

    monkeypatch.setattr(results, "_read_preview", attacked_preview)
    own.put("inbox/hero.png", b"not a picture")
    own.put("inbox/hero.toml", NULLS)
    own.until(lambda: own.note("inbox/hero.png"), "the note")
    assert not own.at("inbox/hero.png.problem.jpg").exists()
