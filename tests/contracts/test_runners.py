"""What every runner must do: worker processes that it starts behave alike, on this host and on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from doubles.jobs import (
    FAULTY,
    GENEROUS,
    NULL_MODEL,
    Share,
    events_until,
    import_first_from,
    outcome_of,
    outcomes,
    worker_folders,
)
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.jobs.job import Job, JobProgress, Outcome, PartKept
from goldsmith.jobs.job_faults import REPORTED_EXIT_STATUS
from goldsmith.jobs.names import KEPT_FOLDER
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.pipeline.workers import worker_pool
from goldsmith.pipeline.workers.runner import LocalRunner, Runner
from goldsmith.pipeline.workers.worker_pools import WorkerPools

TESTS = Path(__file__).parents[1]
SMALL = GENEROUS.model_copy(update={"max_memory_bytes": 300 << 20})
# A runner is the daemon's, which has no fence.
pytestmark = pytest.mark.unfenced
HAS_RAY = find_spec("ray") is not None
needs_ray = pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'goldsmith[ray]'")
# What the driver of a GPU says on the node.
NVIDIA_SMI = """#!/bin/sh
echo "0, GPU-1, NVIDIA L40S, 560.1, 46068, 45000"
"""

OpenPools = Callable[..., WorkerPools]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A cluster with a node that has two processors and, as Ray and its driver say, one GPU."""
    from doubles.ray_cluster import LocalCluster

    program = tmp_path_factory.mktemp("driver") / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), nodes=1, gpus=1)
        yield cluster
        cluster.close()


@pytest.fixture(params=["local", pytest.param("ray", marks=needs_ray)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    share = Share(tmp_path / "root")
    share.put("inbox/.keep", b"")
    share.put(f"{KEPT_FOLDER}/.keep", b"")
    return share


@pytest.fixture
def open_pools(share: Share, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenPools]:
    """Return a function that opens the pools of one queue on a kind of runner."""
    import_first_from(TESTS, monkeypatch)
    opened: list[WorkerPools] = []

    def open_(kind: str, config: WorkerConfig = FAULTY, **fields: Any) -> WorkerPools:
        runner: Runner = LocalRunner() if kind == "local" else request.getfixturevalue("cluster").runner(share.root)
        spec = WorkerSpec(**{"queue": "cpu", "runner": kind, **fields})
        folders = worker_folders(share.root, config).model_copy(update={"kept": str(share.root / KEPT_FOLDER)})
        opened.append(WorkerPools([spec], config, folders, runners={kind: runner}))
        return opened[-1]

    yield open_
    for pools in opened:
        pools.stop(0)


@pytest.fixture
def pools(kind: str, open_pools: OpenPools) -> WorkerPools:
    return open_pools(kind)


@pytest.fixture
def batching_pools(kind: str, share: Share, open_pools: OpenPools) -> WorkerPools:
    """Pools of one process that may get four jobs at once."""
    models = share.put("models.toml", NULL_MODEL.encode())
    config = WorkerConfig(catalogue=FAULTY.catalogue, models_file=str(models))
    return open_pools(kind, config, queue="gpu", device_memory_mb=1000, max_batch=4)


def is_hanging(pools: WorkerPools, job: Job) -> bool:
    running = pools.running_jobs().get(job.id)
    return running is not None and (Path(running.job.scratch) / "hanging").exists()


def test_a_job_has_an_outcome_and_progress(pools: WorkerPools, share: Share) -> None:
    """The files are in the job's scratch folder, and each step is reported."""
    job = share.job(("invert", {}), ("report", {"times": 3}))
    pools.submit(job)
    events = events_until(pools, lambda events: bool(outcomes(events)))
    outcome = outcomes(events)[0]
    assert outcome.fault is None
    assert outcome.reads[0].sig == job.inputs[0].sig
    assert [Path(output.path).is_file() for output in outcome.outputs] == [True]
    assert {event.step for event in events if isinstance(event, JobProgress)} >= {0, 1, 2}


# A step, the kind of the fault, a part of its sentence, and a part of its detail.
FAULTS: tuple[tuple[tuple[str, dict[str, Any]], str, str, str], ...] = (
    (("die", {"signal": 9}), "crash", "(signal 9, ", "these are my last words"),
    (("die", {"signal": 0}), "crash", "(exit status 3)", "these are my last words"),
    (("die", {"signal": 0, "status": REPORTED_EXIT_STATUS}), "crash", "(exit status 75)", "these are my last words"),
    (("segfault", {}), "crash", "(signal 11, segmentation fault)", "in apply"),
    (("raise", {}), "crash", "at step 1 (raise): LookupError: no such thing.", ""),
    (("unsayable", {}), "crash", "LookupError: a�.", ""),
    (("babble", {"wire": True}), "crash", "sent an invalid message", ""),
    (("eat", {}), "memory", "(0.293 GiB)", ""),
    (("eat", {"lifts": True}), "memory", "(0.293 GiB)", ""),
)


def test_each_job_gets_one_outcome_whatever_a_step_does_to_its_process(pools: WorkerPools, share: Share) -> None:
    """The sentence is the same wherever the process runs, the end of its stderr is kept, and the next job is not affected."""
    for step, kind, message, detail in FAULTS:
        bad, good = share.job(step, limits=SMALL), share.job(("invert", {}))
        pools.submit(bad)
        pools.submit(good)
        results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
        assert [outcome.job_id for outcome in results] == [bad.id, good.id], step
        fault = results[0].fault
        assert fault is not None, step
        assert (fault.kind, fault.path) == (kind, "inbox/hero.png"), step
        assert "hero.png" in fault.sentence
        assert message in fault.sentence
        assert detail in fault.detail
        assert results[1].fault is None, step
    assert pools.stop(0) == []


def test_a_hanging_step_is_ended_when_it_times_out(pools: WorkerPools, share: Share) -> None:
    """Its process is killed even if it never checks for a cancel, and the next job gets another."""
    job = share.job(("hang", {"heeds": False}), limits=GENEROUS.model_copy(update={"timeout_seconds": 0.3}))
    fault = outcome_of(pools, job).fault
    assert fault is not None
    assert (fault.kind, "0.3 s" in fault.sentence) == ("timeout", True)
    assert outcome_of(pools, share.job(("invert", {}))).fault is None


@pytest.mark.parametrize("heeds", [True, False])
def test_a_running_job_can_be_cancelled(pools: WorkerPools, share: Share, heeds: bool) -> None:
    """A step that reports progress stops, and its process goes on; another is killed."""
    job = share.job(("hang", {"heeds": heeds}))
    pools.submit(job)
    events_until(pools, lambda events: is_hanging(pools, job))
    pid = pools.running_jobs()[job.id].pid
    assert pools.cancel(job.id)
    results = outcomes(events_until(pools, lambda events: bool(outcomes(events))))
    assert [outcome.fault and outcome.fault.kind for outcome in results] == ["cancelled"]
    assert Path(f"/proc/{pid}").exists() == heeds


def test_a_process_gets_no_secret_of_its_host(pools: WorkerPools, share: Share, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the daemon's variables nor those of Ray, with the token of the cluster, reach a program that decodes strangers' files."""
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/nowhere")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    job = share.job(("hang", {}))
    pools.submit(job)
    events_until(pools, lambda events: is_hanging(pools, job))
    environment = Path(f"/proc/{pools.running_jobs()[job.id].pid}/environ").read_bytes().split(b"\0")
    assert b"HF_HUB_OFFLINE=1" in environment
    assert not [entry for entry in environment if entry.startswith((b"RAY_", b"AWS_"))]
    assert os.path.realpath(f"/proc/{pools.running_jobs()[job.id].pid}/cwd") == "/"
    pools.cancel(job.id)
    events_until(pools, lambda events: bool(outcomes(events)))


def test_no_process_is_left_when_the_pools_stop(pools: WorkerPools, share: Share) -> None:
    """A step that heeds nothing is killed, too."""
    job = share.job(("hang", {"heeds": False}))
    pools.submit(job)
    events_until(pools, lambda events: is_hanging(pools, job))
    pid = pools.running_jobs()[job.id].pid
    assert [outcome.fault and outcome.fault.kind for outcome in outcomes(pools.stop(0))] == ["cancelled"]
    assert not Path(f"/proc/{pid}").exists()


def test_a_long_job_gives_way_and_finds_its_part_again(pools: WorkerPools, share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked by the daemon, it stops between two parts; the waiting job is next. The process of its next turn reads the kept part."""
    monkeypatch.setattr(worker_pool, "GIVE_WAY_SECONDS", 0.0)
    monkeypatch.setattr(worker_pool, "GIVE_WAY_TO_OTHER_MODELS_SECONDS", 0.0)
    long_job, waiting = share.job(("portions", {}), keeps_parts=True), share.job(("invert", {}))
    pools.submit(long_job)
    events = events_until(pools, lambda events: any(isinstance(event, PartKept) for event in events))
    kept = [event.part for event in events if isinstance(event, PartKept)]
    pools.submit(waiting)
    results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in results] == [
        (long_job.id, "yielded"),
        (waiting.id, None),
    ]
    assert outcome_of(pools, long_job.model_copy(update={"id": "next-turn", "kept": tuple(kept)})).fault is None


# --- batches


def batch_of(share: Share, *steps: tuple[str, dict[str, Any]], then: str = "pass", pictures_mb: int = 1) -> list[Job]:
    """Return jobs that can share a process, one for each step, with the same second step."""
    facts = {"queue": "gpu", "models": ("null-generate",), "batch_key": "x", "weights_mb": 1, "pictures_mb": pictures_mb}
    return [share.job(step, (then, {}), seed=number, **facts) for number, step in enumerate(steps)]


def start_batch(pools: WorkerPools, jobs: list[Job]) -> list[Any]:
    """Queue all jobs before the first of them starts; return the events up to the first step."""
    pause_queue(pools, "gpu")
    for job in jobs:
        pools.submit(job)
    resume_queue(pools, "gpu")
    return events_until(pools, lambda events: any(isinstance(event, JobProgress) and event.step for event in events))


def outcomes_of_batch(pools: WorkerPools, jobs: list[Job], during_batch: Callable[[], object] = lambda: None) -> dict[str, Outcome]:
    events = start_batch(pools, jobs)
    during_batch()
    events += events_until(pools, lambda later: len(outcomes([*events, *later])) == len(jobs))
    results = {outcome.job_id: outcome for outcome in outcomes(events)}
    assert set(results) == {job.id for job in jobs}
    return results


def sha256s(outcome: Outcome) -> list[str]:
    return [output.sha256 for output in outcome.outputs]


def test_compatible_jobs_run_as_one_batch_and_get_the_pictures_of_their_own_seeds(batching_pools: WorkerPools, share: Share) -> None:
    """Each job gets the same bytes as it gets alone."""
    jobs = batch_of(share, ("meet", {}), ("meet", {}), ("meet", {}))
    batch_outcomes = outcomes_of_batch(batching_pools, jobs)
    assert [outcome.steps[0].findings["batch"] for outcome in batch_outcomes.values()] == [3, 3, 3]
    assert len({sha for outcome in batch_outcomes.values() for sha in sha256s(outcome)}) == 3
    assert batching_pools.worker_snapshots()[0].models.loaded == ("null-generate",)
    for job in jobs:
        alone = outcome_of(batching_pools, job.model_copy(update={"id": f"{job.id}-alone"}))
        assert alone.steps[0].findings["batch"] == 1
        assert sha256s(alone) == sha256s(batch_outcomes[job.id])


def test_a_job_that_fails_or_is_cancelled_leaves_its_batch_alone(batching_pools: WorkerPools, share: Share) -> None:
    """Of three jobs in one process one crashes, and one is cancelled while the third waits for it."""
    jobs = batch_of(share, ("meet", {"fail": True}), ("meet", {"linger": True}), ("meet", {}))
    results = outcomes_of_batch(batching_pools, jobs, lambda: batching_pools.cancel(jobs[1].id))
    kinds = [fault.kind if (fault := results[job.id].fault) else "done" for job in jobs]
    assert kinds == ["crash", "cancelled", "done"]


@needs_ray
def test_the_gpu_of_a_node_decides_how_many_jobs_fit_on_it(open_pools: OpenPools, share: Share) -> None:
    """The daemon knows neither the node nor its GPU before the process has started there; then `status` names it, too."""
    pools = open_pools("ray", queue="gpu", device="cuda:0", max_batch=4, host_memory_mb=64)
    job = share.job(("invert", {}), queue="gpu")
    assert outcome_of(pools, job).fault is None
    spec = pools.worker_snapshots()[0].spec
    assert (spec.device_title, spec.device_memory_mb) == ("NVIDIA L40S", 46068)
    jobs = batch_of(share, *[("linger", {})] * 4, then="draw", pictures_mb=15_000)
    start_batch(pools, jobs)
    assert set(pools.running_jobs()) == {jobs[0].id, jobs[1].id}, "85 % of its memory is enough for two"
    share.put("go", b"")
    results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 4))
    assert [outcome.fault for outcome in results] == [None] * 4


@needs_ray
def test_a_worker_waits_where_no_node_has_the_memory_for_it(open_pools: OpenPools, share: Share) -> None:
    """The sentence says what is missing and what to do."""
    pools = open_pools("ray", queue="gpu", device="cuda:0", host_memory_mb=1 << 20)
    pools.submit(share.job(("invert", {}), queue="gpu"))
    events_until(pools, lambda _: "left for another worker" in (pools.pause_reason("gpu") or ""))
    assert (
        "No node of the cluster has 1 GPU and 1024.0 GiB of memory left for another worker: add a node, or lower queues.gpu.workers."
        in (pools.pause_reason("gpu") or "")
    )
