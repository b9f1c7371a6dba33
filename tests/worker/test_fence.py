"""The fence round a worker process, tried from inside by an operation that does what a taken-over worker would do."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from doubles.fenced import run_fenced
from doubles.jobs import Share, events_until, import_first_from, outcome_of, outcomes
from doubles.studio import Studio
from goldsmith.errors import HostError
from goldsmith.files import resource_path
from goldsmith.jobs.protocol import WorkerConfig, WorkerFolders, WorkerSpec
from goldsmith.jobs.worker_start import spawn_worker
from goldsmith.pipeline.workers.runner import LocalRunner, SpawnWorker
from goldsmith.pipeline.workers.worker_pools import WorkerPools
from goldsmith.service.worker_setup import worker_folders
from goldsmith.worker import fence
from goldsmith.worker.landlock import landlock_version

INTRUDER = WorkerConfig(catalogue="doubles.intruder:catalogue")
needs_landlock = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    """Return a root with its journal and a models folder beside it."""
    import_first_from(Path(__file__).parents[1], monkeypatch)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/net.onnx").write_bytes(b"weights")
    studio = Studio(tmp_path, models_dir=str(tmp_path / "models"))
    studio.journal_path.write_bytes(b"journal")
    studio.put("delivered/hero.png", b"delivered")
    studio.put("library/looks/warm.cube", b"look")
    return studio


def pools_of(studio: Studio, spawn: SpawnWorker = spawn_worker, count: int = 1) -> WorkerPools:
    return WorkerPools(
        [WorkerSpec(queue="cpu", process_count=count)], INTRUDER, worker_folders(studio.setup()), runners={"local": LocalRunner(spawn)}
    )


@pytest.fixture
def pools(studio: Studio) -> Iterator[WorkerPools]:
    pools = pools_of(studio)
    yield pools
    pools.stop(0)


def intrude(pools: WorkerPools, studio: Studio, **settings: object) -> dict[str, str]:
    """Return what came of each attempt."""
    outcome = outcome_of(pools, Share(studio.root).job(("intrude", settings)))
    assert outcome.fault is None, outcome.fault
    results = outcome.steps[0].findings["results"]
    assert isinstance(results, dict)
    return {name: str(result) for name, result in results.items()}


@needs_landlock
def test_a_taken_over_worker_writes_its_scratch_folder_only(studio: Studio, pools: WorkerPools, tmp_path: Path) -> None:
    """Neither the share nor the weights nor the daemon's own files change."""
    other = studio.put(".goldsmith/work/worker-other/job/000.png", b"another worker's result")
    text = studio.put(".goldsmith/work/job/text-manifest.json", b"the daemon's manifest")
    paths = [
        *(studio.at(f"{name}/new.png") for name in ("inbox", "selected", "delivered", "archive", "library", ".goldsmith", "")),
        *(studio.at("delivered/hero.png"), studio.at("inbox/hero.png"), studio.at("library/looks/warm.cube")),
        *(other, other.parent / "new", text, studio.root / "config/models.toml", studio.journal_path),
        *(tmp_path / "models/net.onnx", tmp_path / "models/new"),
        Path(__file__),
    ]
    results = intrude(pools, studio, write=[str(path) for path in paths])
    assert {name: result for name, result in results.items() if name.startswith("write") and result != "PermissionError"} == {}
    assert (results["own scratch"], results["temporary file"]) == ("done", "done")
    assert (other.read_bytes(), text.read_bytes()) == (b"another worker's result", b"the daemon's manifest")
    assert (tmp_path / "models/net.onnx").read_bytes() == b"weights"


@needs_landlock
def test_a_taken_over_worker_reads_its_inputs_and_the_models_only(studio: Studio, pools: WorkerPools, tmp_path: Path) -> None:
    """Not the journal, not the service's other files, not the daemon's memory, and nothing of another worker."""
    other = studio.put(".goldsmith/work/worker-other/job/000.png", b"another worker's result")
    (tmp_path / "key").write_bytes(b"secret")
    closed = [other, studio.journal_path, tmp_path / "key", studio.at(".goldsmith/lock"), Path(f"/proc/{os.getpid()}/mem")]
    studio.put(".goldsmith/lock", b"")
    open_paths = [
        studio.at("inbox/hero.png"),
        studio.at("delivered/hero.png"),
        studio.at("library/looks/warm.cube"),
        tmp_path / "models/net.onnx",
    ]
    Share(studio.root).job()
    results = intrude(pools, studio, read=[str(path) for path in (*closed, *open_paths)])
    assert {path: results[f"read {path}"] for path in closed} == dict.fromkeys(closed, "PermissionError")
    assert {path: results[f"read {path}"] for path in open_paths} == dict.fromkeys(open_paths, "done")


@needs_landlock
def test_a_taken_over_worker_makes_no_link_no_connection_and_sends_no_signal(studio: Studio, pools: WorkerPools, tmp_path: Path) -> None:
    """It can still signal itself, as abort(3) does."""
    with socket.create_server(("127.0.0.1", 0)) as server, subprocess.Popen(["sleep", "1000"]) as stranger:
        try:
            results = intrude(pools, studio, make_link=[str(studio.at("inbox/link"))], port=server.getsockname()[1], pid=stranger.pid)
            assert intrude(pools, studio, pid=os.getpid())["signal"] == "PermissionError"
        finally:
            stranger.kill()
    assert results[f"link {studio.at('inbox/link')}"] == "PermissionError"
    assert (results["connect"], results["signal"], results["own signal"]) == ("PermissionError", "PermissionError", "done")


@needs_landlock
def test_two_workers_cannot_reach_each_other(studio: Studio) -> None:
    """Each has a scratch folder of its own, which only the service's user can enter."""
    process_folders: list[Path] = []
    for _ in range(2):
        pools = pools_of(studio)
        intrude(pools, studio)
        (folder,) = [each for each in studio.at(".goldsmith/work").iterdir() if each not in process_folders]
        assert folder.stat().st_mode & 0o777 == 0o700
        if process_folders:
            assert intrude(pools, studio, write=[str(process_folders[0] / "x")])[f"write {process_folders[0] / 'x'}"] == "PermissionError"
        process_folders.append(folder)
        (folder / "job1").rename(folder / "kept")
        pools.stop(0)


@needs_landlock
def test_a_folder_that_is_made_again_is_read_by_the_next_process(studio: Studio, pools: WorkerPools) -> None:
    """A fence does not follow a mount that comes back, so the daemon replaces the process before it gives it a job."""
    intrude(pools, studio)
    studio.at("library").rename(studio.at("old"))
    studio.put("library/looks/new.cube", b"look")
    path = str(studio.at("library/looks/new.cube"))
    assert intrude(pools, studio, read=[path])[f"read {path}"] == "done"


@needs_landlock
def test_a_worker_reads_what_ships_with_the_program(studio: Studio) -> None:
    """In a checkout, the shipped fonts and models.toml are outside the package."""
    fonts = resource_path("samples", "library", "fonts")
    paths = [
        str(path) for path in (resource_path("config", "models.toml"), next(path for path in fonts.iterdir() if path.suffix == ".ttf"))
    ]
    results = intrude(pools_of(studio), studio, read=paths)
    assert {path: results[f"read {path}"] for path in paths} == dict.fromkeys(paths, "done")


@needs_landlock
def test_a_worker_that_cannot_raise_its_fence_gets_no_job(studio: Studio) -> None:
    """The queue pauses with a sentence, and the picture waits in its place."""

    def spawn(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
        (folder,) = studio.at(".goldsmith/work").iterdir()
        folder.rmdir()
        folder.symlink_to(studio.at("delivered"))
        return spawn_worker(spec, socket_fd, stderr_fd)

    pools = pools_of(studio, spawn)
    pools.submit(Share(studio.root).job(("intrude", {})))
    events_until(pools, lambda events: pools.pause_reason("cpu") is not None or bool(outcomes(events)))
    assert "The fence round a worker process cannot be raised at " in (pools.pause_reason("cpu") or "")
    assert (pools.queue_length("cpu"), pools.running_jobs()) == (1, {})
    assert studio.folder("delivered") == ["hero.png"]
    pools.stop(0)


def test_a_link_in_place_of_a_folder_of_the_root_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write the root could else show a worker any folder of the service."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private/key").write_bytes(b"secret")
    (tmp_path / "inbox").symlink_to("private")
    (tmp_path / "scratch").mkdir()
    folders = WorkerFolders(work=str(tmp_path / "scratch"), inputs=(str(tmp_path / "inbox"),), models=())

    def is_readable() -> bool:
        try:
            return bool((tmp_path / "inbox/key").read_bytes())
        except PermissionError:
            return False

    assert run_fenced(is_readable, tmp_path / "scratch", folders) == (not landlock_version())
    linked = folders.model_copy(update={"models": (str(tmp_path / "inbox"),)})
    assert run_fenced(is_readable, tmp_path / "scratch", linked)


@needs_landlock
def test_no_fence_is_raised_beside_running_threads(tmp_path: Path) -> None:
    """They would stay outside it."""
    errors: list[HostError] = []

    def work() -> None:
        try:
            fence.raise_fence(str(tmp_path), WorkerFolders(work=str(tmp_path)))
        except HostError as error:
            errors.append(error)

    thread = Thread(target=work)  # beside the thread of the test, which stays outside the fence if there is one
    thread.start()
    thread.join()
    assert ["has started threads already" in error.sentence for error in errors] == [True]


def test_a_kernel_without_landlock_has_workers_without_a_fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record says so."""
    monkeypatch.setattr(fence, "landlock_version", lambda: 0)
    assert fence.raise_fence(str(tmp_path), WorkerFolders(work=str(tmp_path))) == fence.NO_FENCE == "none"
