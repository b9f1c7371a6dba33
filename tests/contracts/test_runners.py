"""What every runner must do: worker processes that it starts behave alike, on this host and on the nodes of a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from doubles.jobs import FAULTY, GENEROUS, Share, events_until, import_first_from, outcome_of, outcomes, worker_folders
from goldsmith.jobs.job import Job, JobProgress
from goldsmith.jobs.protocol import WorkerSpec
from goldsmith.pipeline.workers.runner import LocalRunner, Runner
from goldsmith.pipeline.workers.worker_pools import WorkerPools

TESTS = Path(__file__).parents[1]
SMALL = GENEROUS.model_copy(update={"max_memory_bytes": 300 << 20})
# A runner is the daemon's, which has no fence.
pytestmark = pytest.mark.unfenced
HAS_RAY = find_spec("ray") is not None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from doubles.ray_cluster import LocalCluster

    cluster = LocalCluster(tmp_path_factory.mktemp("cluster"), nodes=1)
    yield cluster
    cluster.close()


@pytest.fixture(
    params=[
        "local",
        pytest.param("ray", marks=pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'goldsmith[ray]'")),
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    share = Share(tmp_path / "root")
    share.put("inbox/.keep", b"")
    return share


@pytest.fixture
def pools(kind: str, share: Share, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPools]:
    import_first_from(TESTS, monkeypatch)
    runner: Runner = LocalRunner() if kind == "local" else request.getfixturevalue("cluster").runner(share.root)
    spec = WorkerSpec(queue="cpu", runner="local" if kind == "local" else "ray")
    pools = WorkerPools([spec], FAULTY, worker_folders(share.root, FAULTY), runners={kind: runner})
    yield pools
    pools.stop(0)


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


@pytest.mark.parametrize(
    ("step", "kind_of_fault", "message"),
    [
        (("die", {"signal": 9}), "crash", "(signal 9, "),
        (("die", {"signal": 0}), "crash", "(exit status 3)"),
        (("babble", {"wire": True}), "crash", "sent an invalid message"),
        (("eat", {}), "memory", "(0.293 GiB)"),
        (("eat", {"lifts": True}), "memory", "(0.293 GiB)"),
    ],
)
def test_a_job_gets_one_outcome_whatever_a_step_does(
    pools: WorkerPools, share: Share, step: tuple[str, dict[str, Any]], kind_of_fault: str, message: str
) -> None:
    """The sentence is the same wherever the process runs, the end of its stderr is kept, and the next job is not affected."""
    bad, good = share.job(step, limits=SMALL), share.job(("invert", {}))
    pools.submit(bad)
    pools.submit(good)
    results = outcomes(events_until(pools, lambda events: len(outcomes(events)) == 2))
    assert [outcome.job_id for outcome in results] == [bad.id, good.id]
    fault = results[0].fault
    assert fault is not None
    assert (fault.kind, message in fault.sentence) == (kind_of_fault, True), fault.sentence
    assert step[0] != "die" or "these are my last words" in fault.detail
    assert results[1].fault is None


def test_a_hanging_step_is_ended_when_it_times_out(pools: WorkerPools, share: Share) -> None:
    """Its process is killed, and the next job gets another."""
    job = share.job(("hang", {"heeds": False}), limits=GENEROUS.model_copy(update={"timeout_seconds": 0.3}))
    fault = outcome_of(pools, job).fault
    assert fault is not None
    assert fault.kind == "timeout"
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
