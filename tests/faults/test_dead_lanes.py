"""Real lane processes that die, hang, swell, lie and babble: each job gets one outcome, and the next job is innocent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from doubles import tiny
from doubles.jobs import FAULTY, GENEROUS, Event, Share, events_until, outcome_of, outcomes
from goldsmith.jobs.job import Job, JobProgress, JobRequeued, Outcome, ResourceLimits
from goldsmith.pipeline.workers.worker_pools import WorkerConfig, WorkerPools, WorkerSpec
from goldsmith.pipeline.workers.worker_process import spawn_worker

TESTS = Path(__file__).parents[1]
SMALL = ResourceLimits(timeout_seconds=60, max_memory_bytes=300 << 20, max_pixels=10_000_000)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


@pytest.fixture(autouse=True)
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lane processes find the catalogue of faults where the tests do."""
    monkeypatch.setenv("PYTHONPATH", str(TESTS))


@pytest.fixture
def lanes() -> Iterator[WorkerPools]:
    made = WorkerPools([WorkerSpec(queue="cpu")], FAULTY)
    yield made
    made.stop(0)


def pid_of(lanes: WorkerPools, share: Share) -> int:
    """The process of the lane, found by letting it work a little."""
    job = share.job(("report", {}))
    lanes.submit(job)
    events_until(lanes, lambda told: bool(told))
    pid = lanes.running_jobs()[job.id].pid
    events_until(lanes, lambda told: bool(outcomes(told)))
    return pid


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (("die", {"signal": 9}), "crash", "(signal 9, "),
        (("die", {"signal": 0}), "crash", "(exit status 3)"),
        (("segfault", {}), "crash", "(signal 11, segmentation fault)"),
        (("raise", {}), "crash", "at step 1 (raise): LookupError: no such thing."),
        (("unsayable", {}), "crash", "a\udcff"),
        (("babble", {"wire": True}), "crash", "sent an invalid message"),
        (("eat", {}), "memory", "(0.293 GiB)"),
        (("eat", {"lifts": True}), "memory", "(0.293 GiB)"),
    ],
)
def test_whatever_a_step_does_to_its_lane_the_job_gets_one_outcome(
    lanes: WorkerPools, share: Share, step: tuple[str, dict[str, Any]], kind: str, words: str
) -> None:
    """The sentence names the picture and says how it ended, and the next job runs as if nothing had been."""
    bad, good = share.job(step, limits=SMALL), share.job(("invert", {}))
    lanes.submit(bad)
    lanes.submit(good)
    told = outcomes(events_until(lanes, lambda events: len(outcomes(events)) == 2))
    assert [outcome.job_id for outcome in told] == [bad.id, good.id]
    fault = told[0].fault
    assert fault is not None
    assert (fault.kind, fault.path) == (kind, "inbox/hero.png")
    assert "hero.png" in fault.sentence
    assert words in fault.sentence
    assert told[1].fault is None
    assert lanes.stop(0) == []


def test_a_lane_s_last_words_are_kept_for_the_log(lanes: WorkerPools, share: Share) -> None:
    """What it wrote to stderr, and for a segmentation fault where it happened."""
    assert "these are my last words" in getattr(outcome_of(lanes, share.job(("die", {}))).fault, "detail", "")
    assert "in apply" in getattr(outcome_of(lanes, share.job(("segfault", {}))).fault, "detail", "")


def test_a_hanging_step_is_ended_when_its_time_is_over(lanes: WorkerPools, share: Share) -> None:
    """Even one that heeds nothing."""
    job = share.job(("hang", {"heeds": False}), limits=GENEROUS.model_copy(update={"timeout_seconds": 0.3}))
    outcome = outcome_of(lanes, job)
    assert outcome.fault is not None
    assert (outcome.fault.kind, "0.3 s" in outcome.fault.sentence) == ("timeout", True)


@pytest.mark.parametrize("heeds", [True, False])
def test_a_job_is_called_off_in_the_middle(lanes: WorkerPools, share: Share, heeds: bool) -> None:
    """A step that reports progress stops there and its process lives; another is killed after a grace."""
    job = share.job(("hang", {"heeds": heeds}))
    lanes.submit(job)
    hanging = Path(job.scratch) / "hanging"
    events_until(lanes, lambda told: hanging.exists())
    pid = lanes.running_jobs()[job.id].pid
    begun = monotonic()
    assert lanes.cancel(job.id)
    told = outcomes(events_until(lanes, lambda events: bool(outcomes(events))))
    assert [outcome.fault and outcome.fault.kind for outcome in told] == ["cancelled"]
    assert alive(pid) == heeds
    assert (monotonic() - begun < 2.0) == heeds


def test_printing_does_not_disturb_the_talk(lanes: WorkerPools, share: Share) -> None:
    """A library that prints 180 kB to stdout fills no pipe and garbles no message."""
    assert outcome_of(lanes, share.job(("babble", {}))).fault is None


def test_a_lane_killed_while_idle_costs_no_job_anything(lanes: WorkerPools, share: Share) -> None:
    """The next job finds a new process."""
    for _ in range(3):
        os.kill(pid_of(lanes, share), signal.SIGKILL)
    assert outcome_of(lanes, share.job()).fault is None


def test_interrupts_are_left_to_the_daemon(lanes: WorkerPools, share: Share) -> None:
    """Ctrl-C and SIGTERM reach the whole group; a lane works on until the daemon says otherwise."""
    job = share.job(("hang", {}))
    lanes.submit(job)
    events_until(lanes, lambda told: (Path(job.scratch) / "hanging").exists())
    pid = lanes.running_jobs()[job.id].pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    lanes.cancel(job.id)
    assert outcomes(events_until(lanes, lambda events: bool(outcomes(events))))[0].fault is not None
    assert pid_of(lanes, share) == pid


def test_kills_at_random_moments_lose_no_job(share: Share) -> None:
    """Forty jobs, a kill at every third event: each job has exactly one outcome, done or crashed."""
    lanes = WorkerPools([WorkerSpec(queue="cpu", process_count=2)], FAULTY)
    jobs = [share.job(("invert", {}) if number % 2 else ("report", {"times": 5})) for number in range(40)]
    for job in jobs:
        lanes.submit(job)
    told: list[JobProgress | Outcome] = []
    kills = 0
    while len(outcomes(told)) < len(jobs):
        told += events_until(lanes, bool)
        if len(told) > 3 * kills and kills < 20 and lanes.running_jobs():
            os.kill(next(iter(lanes.running_jobs().values())).pid, signal.SIGKILL)
            kills += 1
    told += lanes.stop(0)
    assert kills > 3
    assert sorted(outcome.job_id for outcome in outcomes(told)) == sorted(job.id for job in jobs)
    assert {outcome.fault.kind if outcome.fault else "done" for outcome in outcomes(told)} <= {"done", "crash"}


def test_a_lane_that_cannot_even_start_waits_with_a_sentence(share: Share, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broken installation blames no picture; once it is mended the job goes through."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pydantic.py").write_text("raise ImportError('the installation is broken')")
    monkeypatch.setenv("PYTHONPATH", f"{broken}:{TESTS}")
    lanes = WorkerPools([WorkerSpec(queue="cpu")], FAULTY)
    job = share.job()
    lanes.submit(job)
    events_until(lanes, lambda told: lanes.pause_reason("cpu") is not None)
    assert "the installation is broken" in (lanes.pause_reason("cpu") or "")
    assert lanes.position(job.id) == 1
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    assert [outcome.fault for outcome in outcomes(events_until(lanes, lambda told: bool(outcomes(told))))] == [None]
    lanes.stop(0)


def test_a_module_lying_in_the_share_is_never_imported(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon may have been started there."""
    share.put("json.py", b"raise SystemExit('hijacked')")
    monkeypatch.chdir(share.root)
    lanes = WorkerPools([WorkerSpec(queue="cpu")], FAULTY)
    assert outcome_of(lanes, share.job()).fault is None
    lanes.stop(0)


@pytest.mark.parametrize("how", ["killed", "let go"])
def test_lane_processes_end_with_the_daemon(share: Share, how: str, tmp_path: Path) -> None:
    """When the daemon is killed in mid-job nothing is left that writes to the share."""
    job = share.job(("hang", {"heeds": False}))
    (tmp_path / "job.json").write_text(job.model_dump_json())
    code = (
        "import sys, pathlib, select, time\n"
        "from doubles.jobs import FAULTY, events_until\n"
        "from goldsmith.jobs.job import Job\n"
        "from goldsmith.pipeline.workers.worker_pools import WorkerPools, WorkerSpec\n"
        "lanes = WorkerPools([WorkerSpec(queue='cpu')], FAULTY)\n"
        "job = Job.model_validate_json(pathlib.Path(sys.argv[1]).read_text())\n"
        "lanes.submit(job)\n"
        "events_until(lanes, lambda told: (pathlib.Path(job.scratch) / 'hanging').exists())\n"
        "print(lanes.running_jobs()[job.id].pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "job.json")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdin is not None
        assert daemon.stdout is not None
        lane = os.pidfd_open(int(daemon.stdout.readline()))
        if how == "killed":
            daemon.kill()
        else:
            daemon.stdin.close()
        daemon.wait(20)
    with os.fdopen(lane):
        import select

        assert select.select([lane], [], [], 20)[0] == [lane]


def test_a_lane_starts_small(share: Share) -> None:
    """No codec, no model, no journal before a job asks for them."""
    heavy = ["torch", "onnxruntime", "cv2", "imagecodecs", "PIL", "PyOpenColorIO", "sqlite3", "watchdog", "goldsmith.journal"]
    modules = "goldsmith.worker.main, goldsmith.worker.job_runner"
    code = f"import sys, {modules}; print([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_lane_s_process_keeps_nothing_of_the_daemon_s(share: Share, monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not speak to systemd in the daemon's name, and its threads are counted."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    pids: list[int] = []

    def spawn(spec: WorkerSpec, wire: int, grumbles: int) -> subprocess.Popen[bytes]:
        born = spawn_worker(spec, wire, grumbles)
        pids.append(born.pid)
        return born

    lanes = WorkerPools([WorkerSpec(queue="cpu", threads=1)], FAULTY, spawn=spawn)
    assert outcome_of(lanes, share.job()).fault is None
    given = Path(f"/proc/{pids[0]}/environ").read_bytes().split(b"\0")
    assert b"OMP_NUM_THREADS=1" in given
    assert not [entry for entry in given if entry.startswith(b"NOTIFY_SOCKET")]
    lanes.stop(0)


# --- devices and flights


GPU = WorkerSpec(queue="gpu", device="cuda:0")
NULL = """
[models.null-generate]
kind = "generate"
driver = "null"
licence = "Apache-2.0"
[models.null-generate.diffusion]
family = "null"
can = ["text"]
pixels = 65536
multiple = 16
steps = 1
guidance = 0
memory_mb = 1
picture_mb = 1
"""


def test_a_dead_device_pauses_its_lane_and_the_others_go_on(share: Share) -> None:
    """The job keeps its place and no outcome is told; once the device is well it is done, by another process."""
    lanes = WorkerPools([GPU, WorkerSpec(queue="cpu")], FAULTY)
    share.put("dead", b"")
    bad, other = share.job(("unplug", {}), queue="gpu", models=("flux",)), share.job(("invert", {}))
    lanes.submit(bad)
    told = events_until(lanes, lambda told: any(isinstance(event, JobRequeued) for event in told))
    assert outcomes(told) == []
    assert "The GPU cuda:0 has failed (an illegal memory access" in (lanes.pause_reason("gpu") or "")
    assert (lanes.position(bad.id), lanes.queue_length("gpu"), lanes.running_jobs()) == (1, 1, {})
    assert outcome_of(lanes, other).fault is None
    assert lanes.position(bad.id) == 1
    (share.root / "dead").unlink()
    lanes.resume("gpu")
    assert [outcome.fault for outcome in outcomes(events_until(lanes, lambda told: bool(outcomes(told))))] == [None]
    lanes.stop(0)


def test_a_picture_that_kills_a_well_device_is_told_and_the_others_come_through(share: Share) -> None:
    """Three processes die of it, and it is held; no other picture pays for that."""
    lanes = WorkerPools([GPU], FAULTY)
    poison = share.job(("unplug", {"always": True}), queue="gpu", models=("flux",))
    share.put("selected/good.png", (share.root / "inbox/hero.png").read_bytes())
    good = share.job(("invert", {}), inputs=[share.given("selected/good.png")], queue="gpu", models=("flux",))
    lanes.submit(poison)
    lanes.submit(good)
    told: list[Event] = []
    while len(outcomes(told)) < 2:
        told += events_until(lanes, bool)
        lanes.resume("gpu")
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in outcomes(told)] == [(good.id, None), (poison.id, "crash")]
    assert [event.job_id for event in told if isinstance(event, JobRequeued)] == [poison.id, poison.id]
    lanes.stop(0)


@pytest.fixture
def flying(share: Share) -> Iterator[WorkerPools]:
    models = share.put("models.toml", NULL.encode())
    made = WorkerPools(
        [WorkerSpec(queue="gpu", device_memory_mb=1000, max_batch=4)], WorkerConfig(catalogue=FAULTY.catalogue, models_file=str(models))
    )
    yield made
    made.stop(0)


def flight(share: Share, *steps: dict[str, Any]) -> list[Job]:
    facts = {"queue": "gpu", "models": ("null-generate",), "batch_key": "x", "weights_mb": 1, "pictures_mb": 1}
    return [share.job(("meet", settings), seed=number, **facts) for number, settings in enumerate(steps)]


def told_of_all(lanes: WorkerPools, jobs: list[Job], meanwhile: Callable[[], None] = lambda: None) -> dict[str, Outcome]:
    """What comes of jobs that are all in line before the first begins."""
    lanes.pause("gpu", "Wait.")
    for job in jobs:
        lanes.submit(job)
    lanes.resume("gpu")
    events_until(lanes, lambda told: len([1 for event in told if isinstance(event, JobProgress) and event.step]) >= 1)
    meanwhile()
    told = {outcome.job_id: outcome for outcome in outcomes(events_until(lanes, lambda told: len(outcomes(told)) == len(jobs)))}
    assert set(told) == {job.id for job in jobs}
    return told


def sha256s(outcome: Outcome) -> list[str]:
    return [output.sha256 for output in outcome.outputs]


def test_equal_jobs_go_through_the_engine_as_one_and_get_the_pictures_of_their_own_seeds(flying: WorkerPools, share: Share) -> None:
    """The very bytes that each gets by itself."""
    jobs = flight(share, {}, {}, {})
    together = told_of_all(flying, jobs)
    assert [outcome.steps[0].findings["batch"] for outcome in together.values()] == [3, 3, 3]
    assert len({sha for outcome in together.values() for sha in sha256s(outcome)}) == 3
    assert flying.worker_snapshots()[0].models.loaded == ("null-generate",)
    for job in jobs:
        alone = outcome_of(flying, job.model_copy(update={"id": f"{job.id}-alone"}))
        assert alone.steps[0].findings["batch"] == 1
        assert sha256s(alone) == sha256s(together[job.id])


def test_one_that_fails_or_is_called_off_leaves_the_others_alone(flying: WorkerPools, share: Share) -> None:
    """Three in one process: one crashes, one is called off while the third waits for it."""
    jobs = flight(share, {"fail": True}, {"linger": True}, {})
    told = told_of_all(flying, jobs, lambda: [None, flying.cancel(jobs[1].id)][0])
    kinds = [told[job.id].fault.kind if told[job.id].fault else "done" for job in jobs]  # type: ignore[union-attr]
    assert kinds == ["crash", "cancelled", "done"]


def test_on_a_gpu_the_next_job_begins_while_what_the_one_before_made_is_put_down(share: Share) -> None:
    """From the step on that needs an engine last; both come through, in one process."""
    lanes = WorkerPools([GPU], FAULTY)
    slow, quick = share.job(("draw", {}), ("linger", {}), queue="gpu"), share.job(("draw", {}), queue="gpu")
    lanes.submit(slow)
    lanes.submit(quick)
    told = events_until(lanes, lambda events: len(outcomes(events)) == 1)
    assert [(outcome.job_id, outcome.fault) for outcome in outcomes(told)] == [(quick.id, None)]
    assert {running.pid for running in lanes.running_jobs().values()} == {lanes.running_jobs()[slow.id].pid}
    share.put("go", b"")
    (last,) = outcomes(events_until(lanes, lambda events: len(outcomes(events)) == 1))
    assert (last.job_id, last.fault) == (slow.id, None)
    lanes.stop(0)


def test_on_a_gpu_a_step_before_the_last_engine_keeps_the_next_job_waiting(share: Share) -> None:
    """It may need its engine at any moment: the second is begun only when the first is past that."""
    lanes = WorkerPools([GPU], FAULTY)
    slow, quick = share.job(("linger", {}), ("draw", {}), queue="gpu"), share.job(("draw", {}), queue="gpu")
    lanes.submit(slow)
    lanes.submit(quick)
    events_until(lanes, lambda told: any(isinstance(event, JobProgress) and event.op == "linger" for event in told))
    assert lanes.position(quick.id) == 1
    share.put("go", b"")
    told = outcomes(events_until(lanes, lambda events: len(outcomes(events)) == 2))
    assert {outcome.job_id: outcome.fault for outcome in told} == {slow.id: None, quick.id: None}
    lanes.stop(0)


def test_on_a_gpu_whatever_no_border_catches_ends_the_process(share: Share) -> None:
    """Otherwise nobody would ever hear of the job; the next one is served by another process."""
    lanes = WorkerPools([GPU], FAULTY)
    share.put("go", b"")
    bad, good = share.job(("linger", {"exit": True}), queue="gpu"), share.job(("invert", {}), queue="gpu")
    lanes.submit(bad)
    lanes.submit(good)
    told = outcomes(events_until(lanes, lambda events: len(outcomes(events)) == 2))
    assert [(outcome.job_id, outcome.fault and outcome.fault.kind) for outcome in told] == [(bad.id, "crash"), (good.id, None)]
    lanes.stop(0)


def test_a_real_pipeline_serves_several_jobs_at_once_with_the_bytes_that_each_gets_alone(share: Share) -> None:
    """Different words, pictures and seeds in one flight: the record tells the same, and the processor gives the very same bytes."""
    models = share.put("models.toml", tiny.models_toml({"tiny": "sdxl"}).encode())
    lanes = WorkerPools([WorkerSpec(queue="gpu", device_memory_mb=1000, max_batch=4)], WorkerConfig(models_file=str(models)))
    facts = {"queue": "gpu", "models": ("tiny",), "batch_key": "x", "weights_mb": 1, "pictures_mb": 1, "limits": GENEROUS}
    settings = {"model": "tiny", "size": [64, 64], "steps": 2, "strength": 0.9}
    jobs = [share.job(("regenerate", {**settings, "prompt": words}), seed=len(words), **facts) for words in ("a hand", "a wooden desk")]
    together = told_of_all(lanes, jobs)
    for job in jobs:
        assert together[job.id].fault is None
        alone = outcome_of(lanes, job.model_copy(update={"id": f"{job.id}-alone"}))
        assert sha256s(alone) == sha256s(together[job.id])
        assert alone.steps[0].findings == together[job.id].steps[0].findings
    assert sha256s(together[jobs[0].id]) != sha256s(together[jobs[1].id])
    lanes.stop(0)
