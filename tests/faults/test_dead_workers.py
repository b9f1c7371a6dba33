"""Real worker processes that die, hang, grow or send invalid messages: each job gets one outcome, and the next job is not affected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles import tiny
from doubles.forked_workers import fork_diffusion_worker
from doubles.jobs import (
    FAULTY,
    GENEROUS,
    NULL_MODEL,
    Event,
    Share,
    events_until,
    import_first_from,
    open_pools,
    outcome_of,
    outcomes,
)
from doubles.worker_queues import pause_queue, queue_position, resume_queue
from goldsmith.jobs.job import Job, JobProgress, JobRequeued, Outcome, ResourceLimits
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.jobs.worker_start import spawn_worker
from goldsmith.pipeline.workers.worker_pools import WorkerPools

TESTS = Path(__file__).parents[1]
SMALL = ResourceLimits(timeout_seconds=900, max_memory_bytes=300 << 20, max_pixels=10_000_000)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture(autouse=True)
def find_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes find the catalogue of faults where the tests find it."""
    import_first_from(TESTS, monkeypatch)


@pytest.fixture
def pools(share: Share) -> Iterator[WorkerPools]:
    pools = open_pools(share.root, [WorkerSpec(queue="cpu")])
    yield pools
    pools.stop(0)


def pid_of(pools: WorkerPools, share: Share) -> int:
    """Run a short job and return the id of its worker process."""
    job = share.job(("report", {}))
    pools.submit(job)
    events_until(pools, lambda events: bool(events))
    pid = pools.running_jobs()[job.id].pid
    events_until(pools, lambda events: bool(outcomes(events)))
    return pid


def is_hanging(pools: WorkerPools, job: Job) -> bool:
    """Return whether the step ``hang`` of this job has begun."""
    running = pools.running_jobs().get(job.id)
    return running is not None and (Path(running.job.scratch) / "hanging").exists()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_file_that_is_decoded_for_too_long_is_the_pictures_problem(pools: WorkerPools, share: Share) -> None:
    """The sentence names the file and the time. The process ends, as nothing else stops a decoder, and the next job is not affected."""
    bad, good = share.job(("decode", {})), share.job(("invert", {}))
    pools.submit(bad)
    pools.submit(good)
    first, second = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
    assert first.fault is not None
    assert (first.job_id, first.fault.kind) == (bad.id, "problem")
    assert first.fault.sentence == "slow.layer.png takes too long to decode: more than 0 s of processor time."
    assert (second.job_id, second.fault) == (good.id, None)


def test_printing_does_not_disturb_the_messages(pools: WorkerPools, share: Share) -> None:
    """A library that prints 180 kB to stdout fills no pipe and damages no message."""
    assert outcome_of(pools, share.job(("babble", {}))).fault is None


def test_a_job_runs_although_its_worker_was_killed_while_idle(pools: WorkerPools, share: Share) -> None:
    """The job gets a new process."""
    for _ in range(3):
        os.kill(pid_of(pools, share), signal.SIGKILL)
    assert outcome_of(pools, share.job()).fault is None


def test_a_worker_ignores_interrupts(pools: WorkerPools, share: Share) -> None:
    """Ctrl-C and SIGTERM reach the whole process group. A worker goes on until the daemon ends it."""
    job = share.job(("hang", {}))
    pools.submit(job)
    events_until(pools, lambda events: is_hanging(pools, job))
    pid = pools.running_jobs()[job.id].pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    pools.cancel(job.id)
    assert outcomes(events_until(pools, lambda events: bool(outcomes(events))))[0].fault is not None
    assert pid_of(pools, share) == pid


def test_kills_at_random_moments_lose_no_job(share: Share) -> None:
    """With forty jobs and a kill after every third event, each job has exactly one outcome, done or crashed."""
    pools = open_pools(share.root, [WorkerSpec(queue="cpu", process_count=2)])
    jobs = [share.job(("invert", {}) if number % 2 else ("report", {"times": 5})) for number in range(40)]
    for job in jobs:
        pools.submit(job)
    events: list[JobProgress | Outcome] = []
    kills = 0
    while len(outcomes(events)) < len(jobs):
        events += events_until(pools, bool)
        if len(events) > 3 * kills and kills < 20 and pools.running_jobs():
            os.kill(next(iter(pools.running_jobs().values())).pid, signal.SIGKILL)
            kills += 1
    events += pools.stop(0)
    assert kills > 3
    assert sorted(outcome.job_id for outcome in outcomes(events)) == sorted(job.id for job in jobs)
    assert {outcome.fault.kind if outcome.fault else "done" for outcome in outcomes(events)} <= {"done", "crash"}


def test_a_worker_that_cannot_start_pauses_its_queue_with_a_sentence(share: Share, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No picture is blamed for a broken installation. Once the installation is repaired, the job is done."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pydantic.py").write_text("raise ImportError('the installation is broken')")
    import_first_from(broken, monkeypatch)
    pools = open_pools(share.root, [WorkerSpec(queue="cpu")])
    job = share.job()
    pools.submit(job)
    events_until(pools, lambda events: pools.pause_reason("cpu") is not None)
    assert "the installation is broken" in (pools.pause_reason("cpu") or "")
    assert queue_position(pools, job.id) == 1
    (broken / "pydantic.py").unlink()
    assert [outcome.fault for outcome in outcomes(events_until(pools, lambda events: bool(outcomes(events))))] == [None]
    pools.stop(0)


def test_a_module_in_the_share_is_never_imported(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon may have been started in the share."""
    share.put("json.py", b"raise SystemExit('hijacked')")
    monkeypatch.chdir(share.root)
    pools = open_pools(share.root, [WorkerSpec(queue="cpu")])
    assert outcome_of(pools, share.job()).fault is None
    pools.stop(0)


@pytest.mark.parametrize("end", ["killed", "closed"])
def test_worker_processes_end_with_the_daemon(share: Share, end: str, tmp_path: Path) -> None:
    """If the daemon ends during a job, no process is left that writes to the share."""
    job = share.job(("hang", {"heeds": False}))
    (tmp_path / "job.json").write_text(job.model_dump_json())
    code = (
        "import sys, pathlib\n"
        "from doubles.jobs import events_until, open_pools\n"
        "from goldsmith.jobs import worker_start\n"
        "from goldsmith.jobs.job import Job\n"
        "from goldsmith.jobs.protocol import WorkerSpec\n"
        "worker_start.IMPORT_FOLDERS = (sys.argv[2], *worker_start.IMPORT_FOLDERS)\n"
        "pools = open_pools(pathlib.Path(sys.argv[3]), [WorkerSpec(queue='cpu')], spawn=worker_start.spawn_worker)\n"
        "job = Job.model_validate_json(pathlib.Path(sys.argv[1]).read_text())\n"
        "pools.submit(job)\n"
        "started = lambda: pools.running_jobs().get(job.id)\n"
        "hanging = lambda: (pathlib.Path(started().job.scratch) / 'hanging').exists()\n"
        "events_until(pools, lambda events: started() and hanging())\n"
        "print(started().pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "job.json"), str(TESTS), str(share.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])},
    ) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        worker = os.pidfd_open(int(daemon.stdout.readline()))
        if end == "killed":
            daemon.kill()
        else:
            daemon.stdin.close()
        daemon.wait(600)
    with os.fdopen(worker):
        import select

        assert select.select([worker], [], [], 20)[0] == [worker]


def test_a_worker_imports_little_at_the_start(share: Share) -> None:
    """A worker imports no codec, no model and no journal before a job needs them."""
    heavy = ["torch", "onnxruntime", "cv2", "imagecodecs", "PIL", "PyOpenColorIO", "sqlite3", "watchdog", "goldsmith.journal"]
    modules = "goldsmith.worker.main, goldsmith.worker.job_runner"
    code = f"import sys, {modules}; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_worker_process_inherits_only_known_variables(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """No keys and passwords, and no socket on which it could speak to systemd in the name of the daemon. Its threads are limited."""
    for name in ("NOTIFY_SOCKET", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "PYTHONSTARTUP", "LD_PRELOAD_HINT", "GOLDSMITH_NOTIFY"):
        monkeypatch.setenv(name, "kept from workers")
    for name in ("LC_TIME", "TZ", "CUDA_VISIBLE_DEVICES", "GOLDSMITH_QUIET"):
        monkeypatch.setenv(name, "passed on")
    pids: list[int] = []

    def spawn(spec: WorkerSpec, socket_fd: int, stderr_fd: int) -> subprocess.Popen[bytes]:
        process = spawn_worker(spec, socket_fd, stderr_fd)
        pids.append(process.pid)
        return process

    pools = open_pools(share.root, [WorkerSpec(queue="cpu", threads=1)], spawn=spawn)
    assert outcome_of(pools, share.job()).fault is None
    environment = Path(f"/proc/{pids[0]}/environ").read_bytes().split(b"\0")
    assert {b"OMP_NUM_THREADS=1", b"HF_HUB_OFFLINE=1", b"HF_HUB_DISABLE_TELEMETRY=1", b"ORT_DISABLE_TELEMETRY=1"} <= set(environment)
    assert sum(entry.endswith(b"=passed on") for entry in environment) == 4
    assert not [entry for entry in environment if entry.endswith(b"kept from workers")]
    pools.stop(0)


# --- devices and batches


GPU = WorkerSpec(queue="gpu", device="cuda:0")


def test_a_dead_device_pauses_its_queue_and_the_others_go_on(share: Share) -> None:
    """The job keeps its place and gets no outcome. Once the device works, another process does the job."""
    pools = open_pools(share.root, [GPU, WorkerSpec(queue="cpu")])
    share.put("dead", b"")
    bad, other = share.job(("unplug", {}), queue="gpu", models=("flux",)), share.job(("invert", {}))
    pools.submit(bad)
    events = events_until(pools, lambda events: any(isinstance(event, JobRequeued) for event in events))
    assert outcomes(events) == []
    assert "The GPU cuda:0 has failed (an illegal memory access" in (pools.pause_reason("gpu") or "")
    assert (queue_position(pools, bad.id), pools.queue_length("gpu"), pools.running_jobs()) == (1, 1, {})
    assert outcome_of(pools, other).fault is None
    assert queue_position(pools, bad.id) == 1
    (share.root / "dead").unlink()
    resume_queue(pools, "gpu")
    assert [outcome.fault for outcome in outcomes(events_until(pools, lambda events: bool(outcomes(events))))] == [None]
    pools.stop(0)


def test_a_picture_that_kills_a_healthy_device_is_held_and_the_others_are_done(share: Share) -> None:
    """Three processes die of the picture, and the other picture is done."""
    pools = open_pools(share.root, [GPU])
    poison = share.job(("unplug", {"always": True}), queue="gpu", models=("flux",))
    share.put("selected/good.png", (share.root / "inbox/hero.png").read_bytes())
    good = share.job(("invert", {}), inputs=[share.job_input("selected/good.png")], queue="gpu", models=("flux",))
    pools.submit(poison)
    pools.submit(good)
    events: list[Event] = []
    while len(outcomes(events)) < 2:
        events += events_until(pools, bool)
        resume_queue(pools, "gpu")
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in outcomes(events)] == [
        (good.id, None),
        (poison.id, "crash"),
    ]
    assert [event.job_id for event in events if isinstance(event, JobRequeued)] == [poison.id, poison.id]
    pools.stop(0)


@pytest.fixture
def batching_pools(share: Share) -> Iterator[WorkerPools]:
    models = share.put("models.toml", NULL_MODEL.encode())
    pools = open_pools(
        share.root,
        [WorkerSpec(queue="gpu", device_memory_mb=1000, max_batch=4)],
        WorkerConfig(catalogue=FAULTY.catalogue, models_file=str(models)),
    )
    yield pools
    pools.stop(0)


def batch_of(share: Share, *steps: dict[str, Any]) -> list[Job]:
    facts = {"queue": "gpu", "models": ("null-generate",), "batch_key": "x", "weights_mb": 1, "pictures_mb": 1}
    return [share.job(("meet", settings), seed=number, **facts) for number, settings in enumerate(steps)]


def outcomes_of_batch(pools: WorkerPools, jobs: list[Job], during_batch: Callable[[], None] = lambda: None) -> dict[str, Outcome]:
    """Return the outcomes of jobs that are all queued before the first of them starts."""
    pause_queue(pools, "gpu")
    for job in jobs:
        pools.submit(job)
    resume_queue(pools, "gpu")
    events_until(pools, lambda events: len([1 for event in events if isinstance(event, JobProgress) and event.step]) >= 1)
    during_batch()
    results = {outcome.job_id: outcome for outcome in outcomes(events_until(pools, lambda events: len(outcomes(events)) == len(jobs)))}
    assert set(results) == {job.id for job in jobs}
    return results


def sha256s(outcome: Outcome) -> list[str]:
    return [output.sha256 for output in outcome.outputs]


def test_a_file_that_is_decoded_for_too_long_leaves_its_batch_alone(batching_pools: WorkerPools, share: Share) -> None:
    """The other job of the process runs again, and no attempt of it is counted."""
    jobs = batch_of(share, {"decode": True}, {"linger": True})
    pause_queue(batching_pools, "gpu")
    for job in jobs:
        batching_pools.submit(job)
    resume_queue(batching_pools, "gpu")
    events = events_until(
        batching_pools, lambda events: len(outcomes(events)) == 2 or any(isinstance(event, JobRequeued) for event in events)
    )
    batching_pools.cancel(jobs[1].id)
    events += events_until(batching_pools, lambda later: len(outcomes([*events, *later])) == 2) if len(outcomes(events)) < 2 else []
    kinds = {outcome.job_id: outcome.fault and outcome.fault.kind for outcome in outcomes(events)}
    assert kinds == {jobs[0].id: "problem", jobs[1].id: "cancelled"}


def test_on_a_gpu_the_next_job_starts_while_the_last_one_is_written(share: Share) -> None:
    """The next job starts after the first job's last step with an engine. One process does both jobs."""
    pools = open_pools(share.root, [GPU])
    slow, quick = share.job(("draw", {}), ("linger", {}), queue="gpu"), share.job(("draw", {}), queue="gpu")
    pools.submit(slow)
    pools.submit(quick)
    events = events_until(pools, lambda events: len(outcomes(events)) == 1)
    assert [(outcome.job_id, outcome.fault) for outcome in outcomes(events)] == [(quick.id, None)]
    assert {running.pid for running in pools.running_jobs().values()} == {pools.running_jobs()[slow.id].pid}
    share.put("go", b"")
    (last,) = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 1))
    assert (last.job_id, last.fault) == (slow.id, None)
    pools.stop(0)


def test_on_a_gpu_a_step_before_the_last_engine_keeps_the_next_job_waiting(share: Share) -> None:
    """The first job may need its engine at any moment, so the second starts only after that."""
    pools = open_pools(share.root, [GPU])
    slow, quick = share.job(("linger", {}), ("draw", {}), queue="gpu"), share.job(("draw", {}), queue="gpu")
    pools.submit(slow)
    pools.submit(quick)
    events_until(pools, lambda events: any(isinstance(event, JobProgress) and event.op == "linger" for event in events))
    assert queue_position(pools, quick.id) == 1
    share.put("go", b"")
    results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
    assert {outcome.job_id: outcome.fault for outcome in results} == {slow.id: None, quick.id: None}
    pools.stop(0)


def test_on_a_gpu_an_uncaught_error_ends_the_process(share: Share) -> None:
    """Otherwise the job would never get an outcome. Another process does the next job."""
    pools = open_pools(share.root, [GPU])
    share.put("go", b"")
    bad, good = share.job(("linger", {"exit": True}), queue="gpu"), share.job(("invert", {}), queue="gpu")
    pools.submit(bad)
    pools.submit(good)
    results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in results] == [(bad.id, "crash"), (good.id, None)]
    pools.stop(0)


def test_a_batch_in_a_real_diffusion_pipeline_gives_the_same_bytes_as_single_jobs(share: Share) -> None:
    """The jobs have different prompts and seeds. On the CPU, bytes and findings are those of each job alone."""
    models = share.put("models.toml", tiny.models_toml({"tiny": "sdxl"}).encode())
    specs = [WorkerSpec(queue="gpu", device_memory_mb=1000, max_batch=4)]
    pools = open_pools(share.root, specs, WorkerConfig(models_file=str(models)), fork_diffusion_worker)
    facts = {"queue": "gpu", "models": ("tiny",), "batch_key": "x", "weights_mb": 1, "pictures_mb": 1, "limits": GENEROUS}
    settings = {"model": "tiny", "size": [64, 64], "steps": 2, "strength": 0.9}
    jobs = [share.job(("regenerate", {**settings, "prompt": words}), seed=len(words), **facts) for words in ("a hand", "a wooden desk")]
    batch_outcomes = outcomes_of_batch(pools, jobs)
    for job in jobs:
        assert batch_outcomes[job.id].fault is None
        alone = outcome_of(pools, job.model_copy(update={"id": f"{job.id}-alone"}))
        assert sha256s(alone) == sha256s(batch_outcomes[job.id])
        assert alone.steps[0].findings == batch_outcomes[job.id].steps[0].findings
    assert sha256s(batch_outcomes[jobs[0].id]) != sha256s(batch_outcomes[jobs[1].id])
    pools.stop(0)
