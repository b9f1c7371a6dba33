"""The daemon as a program: one per root, signals, systemd notifications, and the ownership of its results."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.commission import GRADE, PIPELINE, SELECT, SHARPEN, WHOLE
from doubles.pictures import png
from doubles.studio import Daemon, Studio
from goldsmith.brief.parsing import ConfigError
from goldsmith.cluster import ray_extra
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.errors import HostError, UsageError
from goldsmith.files import Filesystem, write_atomically
from goldsmith.jobs.protocol import ModelsMessage, WorkerSpec
from goldsmith.journal.journal import Journal
from goldsmith.journal.location import weights_notes_path
from goldsmith.pipeline.status.daemon_state import STATE_FILE, DaemonState, WorkerStatus
from goldsmith.pipeline.workers.slot import WorkerSnapshot
from goldsmith.service.inspection import refuse_inspection
from goldsmith.service.runtime import worker_status
from goldsmith.service.service import Service
from goldsmith.service.setup import load_setup, require_root
from goldsmith.service.state_report import StateReport
from goldsmith.service.systemd_notify import SystemdNotifier
from goldsmith.service.worker_setup import worker_config

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4
POLISH_STAGE = '[[stage]]\nname = "polish"\nfolder = "polished"\nnext = "graded"\nsteps = ["sharpen"]\n'


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    studio = Studio(tmp_path)
    studio.write_pipeline(PIPELINE)
    return studio


@pytest.fixture
def daemon(studio: Studio) -> Iterator[Daemon]:
    with Daemon(studio) as started:
        yield started.until_ready()


def _prctl(option: int, value: int = 0) -> int:
    return int(ctypes.CDLL(None).prctl(option, value, 0, 0, 0))


def pipeline_with_polish_stage() -> str:
    """Return a pipeline.toml with polished/ between masked/ and graded/."""
    rows = PIPELINE.split("[[stage]]")
    rows[3] = rows[3].replace('next = "graded"', 'next = "polished"')
    return "[[stage]]".join([*rows[:4], POLISH_STAGE.removeprefix("[[stage]]"), rows[4]])


def test_a_second_daemon_is_refused(daemon: Daemon, studio: Studio) -> None:
    """It names the running process and exits with 5. The first daemon goes on."""
    with Daemon(studio) as second:
        second.until(lambda: second.process.poll() is not None, "the exit")
        second.listen(0)
        assert second.process.returncode == 5
        assert f"already running on {studio.root} (process {daemon.pid} on" in second.stderr.decode()
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", SELECT)
    daemon.until(lambda: studio.folder("selected"), "the first daemon's work")


def test_after_a_crash_another_daemon_may_start(daemon: Daemon, studio: Studio) -> None:
    """The kernel releases the lock of a dead process."""
    daemon.kill()
    with Daemon(studio) as second:
        second.until_ready()
        assert second.end() == 0


def test_sigterm_lets_running_jobs_finish_and_starts_no_more(studio: Studio) -> None:
    """The exit code is 0; every picture is in its folder or in a later one, and the state file is gone."""
    studio.put("inbox/brief.toml", SELECT + SHARPEN)
    for number in range(12):
        studio.put(f"inbox/p{number}.png", png(number))
    with Daemon(studio) as daemon:
        daemon.until(lambda: daemon.events_of("started"), "the first start")
        assert daemon.end() == 0
    pictures = [
        Path(name).stem for name in (*studio.folder("inbox"), *studio.folder("selected"), *studio.folder("masked")) if name[-4:] == ".png"
    ]
    assert sorted(pictures) == sorted(f"p{number}" for number in range(12))
    assert not (studio.journal_path.parent / STATE_FILE).exists()
    assert os.listdir(studio.root / ".goldsmith/work") == []


def test_sighup_reloads_the_pipeline_and_a_new_stage_works(daemon: Daemon, studio: Studio) -> None:
    """Its folder is created, and pictures go through it."""
    studio.write_pipeline(pipeline_with_polish_stage())
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
    studio.put("masked/hero.png", png())
    studio.put("masked/hero.toml", GRADE + '[[polish]]\nop = "sharpen"\n')
    daemon.until(lambda: len(daemon.events_of("committed")) == 2, "two commits")
    assert studio.folder("graded") == ["hero.png", "hero.toml"]
    assert [event["stage"] for event in daemon.events_of("committed")] == ["grade", "polish"]


def test_sighup_with_errors_in_the_pipeline_keeps_the_old_one(daemon: Daemon, studio: Studio) -> None:
    """The errors are logged, and work goes on as before."""
    studio.write_pipeline(PIPELINE.replace('"masked"', '"maskd"', 1))
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.events_of("not reloaded"), "the logged error")
    assert "maskd" in daemon.events_of("not reloaded")[0]["sentence"]
    daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    daemon.until(lambda: "hero.png" in studio.folder("masked"), "a picture in masked/")


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_daemon_sleeps_after_a_signal(daemon: Daemon) -> None:
    """The byte that a signal writes to the wake pipe is read; otherwise the main loop would spin from then on."""
    daemon.send(signal.SIGHUP)
    daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
    for _ in range(20):
        before = processor_seconds(daemon.pid)
        daemon.pass_time(1.0)
        used = processor_seconds(daemon.pid) - before
        if used < 0.25:
            break
    assert used < 0.25


def test_systemd_is_notified_in_the_right_order(studio: Studio) -> None:
    """The order is ready, watchdog pings, reloading with the time, ready again, stopping."""
    with Daemon(studio, WATCHDOG_USEC="600000") as daemon:
        daemon.until_ready()
        daemon.until(lambda: daemon.words.count("WATCHDOG=1") >= 3, "three pings")
        daemon.send(signal.SIGHUP)
        daemon.until(lambda: daemon.words.count("READY=1") == 2, "ready again")
        assert daemon.end() == 0
        words = [word for word in daemon.words if not word.startswith(("WATCHDOG", "STATUS"))]
    assert [word.partition("_USEC=")[0] for word in words] == ["READY=1", "RELOADING=1", "MONOTONIC", "READY=1", "STOPPING=1"]
    assert "STATUS=Watching the folders." in daemon.words


def test_the_state_file_follows_the_running_daemon(daemon: Daemon, studio: Studio) -> None:
    """It reports events for each folder, which is not known yet at the first write."""
    file = studio.journal_path.parent / STATE_FILE

    def state() -> DaemonState:
        with contextlib.suppress(FileNotFoundError):
            return DaemonState.from_json(file.read_bytes(), "")
        return DaemonState()

    daemon.until(
        lambda: state().watch_modes == dict.fromkeys(("inbox", "selected", "masked", "graded", "review"), "events"), "events everywhere", 20
    )
    assert state().pid == daemon.pid


def test_the_state_of_a_worker_does_not_change_with_time() -> None:
    """The state file is written only when something changes, so it has the start of loading, not the duration."""
    spec = WorkerSpec(queue="gpu", device="cuda:0", device_title="NVIDIA L40S", device_memory_mb=46068)
    snapshot = WorkerSnapshot(spec, "", (), ModelsMessage(loaded=("sdxl",), loading="flux"), loading_seconds=12.0)
    assert worker_status(snapshot, 1000.0) == WorkerStatus(
        queue="gpu",
        device="cuda:0",
        device_title="NVIDIA L40S",
        device_memory_mb=46068,
        loaded=("sdxl",),
        loading="flux",
        loading_since=988,
    )
    paused = worker_status(WorkerSnapshot(spec, "It is gone."), 1000.0)
    assert (paused.pause_reason, paused.loading_since) == ("It is gone.", 0)


class Reported:
    """A state report on a clock that only the test moves, with the events and the state file that it makes."""

    def __init__(self, tmp_path: Path) -> None:
        self.now = 100.0
        self.file = tmp_path / "state" / STATE_FILE
        self.file.parent.mkdir()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.report = StateReport(
            self.file, SystemdNotifier(), lambda event, /, **facts: self.events.append((event, facts)), lambda: self.now
        )

    def update(self, later: float, **fields: Any) -> None:
        self.now += later
        self.report.update(lambda: DaemonState(**fields))

    @property
    def written_reason(self) -> str:
        return DaemonState.from_json(self.file.read_bytes(), "").pause_reason


def test_the_last_state_gets_through(tmp_path: Path) -> None:
    """A state that comes within a second of the one before is written at the end of that second, without another event."""
    reported = Reported(tmp_path)
    reported.update(0.0)
    assert reported.report.seconds_until_due(60.0) == 60.0
    reported.update(0.25, pause_reason="The disk is full.")
    assert (reported.written_reason, reported.report.seconds_until_due(60.0)) == ("", 0.75)
    reported.update(0.75, pause_reason="The disk is full.")
    assert (reported.written_reason, reported.report.seconds_until_due(60.0)) == ("The disk is full.", 60.0)


def test_a_state_file_that_cannot_be_written_is_reported_once_and_tried_again(tmp_path: Path) -> None:
    """The work does not depend on it."""
    reported = Reported(tmp_path)
    reported.file.parent.rmdir()
    for _ in range(3):
        reported.update(1.0, pause_reason="The disk is full.")
    assert [event for event, _ in reported.events] == ["state not written"]
    assert reported.report.seconds_until_due(60.0) == 1.0
    reported.file.parent.mkdir()
    reported.update(1.0, pause_reason="The disk is full.")
    assert (reported.written_reason, reported.report.seconds_until_due(60.0)) == ("The disk is full.", 60.0)


def test_a_state_file_that_another_daemon_has_replaced_is_written_again(tmp_path: Path) -> None:
    """A daemon that has slept while its root was taken over may write once more before it notices; a deleted file comes back, too."""
    reported = Reported(tmp_path)
    reported.update(1.0, pause_reason="The disk is full.")
    write_atomically(Filesystem(), reported.file, DaemonState(pause_reason="").to_json(), replace=True)
    reported.update(1.0, pause_reason="The disk is full.")
    assert reported.written_reason == "The disk is full."
    reported.file.unlink()
    reported.update(1.0, pause_reason="The disk is full.")
    assert reported.written_reason == "The disk is full."
    inode = reported.file.stat().st_ino
    reported.update(1.0, pause_reason="The disk is full.")
    assert reported.file.stat().st_ino == inode


def test_a_mistake_in_the_state_s_report_is_logged_with_its_traceback(tmp_path: Path) -> None:
    """The loop goes on."""
    reported = Reported(tmp_path)

    def fail() -> DaemonState:
        raise KeyError("gpu")

    reported.report.update(fail)
    ((event, facts),) = reported.events
    assert event == "state not written"
    assert "KeyError: 'gpu'" in str(facts["detail"])


def test_each_change_of_a_queue_or_a_folder_is_logged_once(tmp_path: Path) -> None:
    """Only the time of the next try differs between the second report and the first, which is no change."""
    reported = Reported(tmp_path)
    for seconds in ("0.5", "1"):
        sentence = f"The workers of queue cpu cannot start (denied). They are tried again within {seconds} s."
        reported.update(1.0, queue_pauses={"cpu": sentence, "gpu": ""}, unavailable_folders={"inbox": "inbox/ is not there."})
    reported.update(1.0, queue_pauses={"cpu": "", "gpu": ""})
    assert [(event, facts.get("queue") or facts.get("folder")) for event, facts in reported.events] == [
        ("queue paused", "cpu"),
        ("folder unavailable", "inbox"),
        ("queue resumed", "cpu"),
        ("folder available", "inbox"),
    ]


def test_a_root_that_was_used_before_is_waited_for(studio: Studio) -> None:
    """Its share is probably not mounted. A root that no daemon has seen is a mistake in the command."""
    with pytest.raises(UsageError, match="does not exist"):
        require_root(studio.root.parent / "elsewhere", studio.state_dir)
    Journal.open(studio.journal_path).close()
    shutil.rmtree(studio.root)
    with pytest.raises(HostError, match="has worked on it before"):
        require_root(studio.root, studio.state_dir)
    studio.root.mkdir()
    require_root(studio.root, studio.state_dir)


def test_a_log_that_cannot_be_written_stops_nothing(studio: Studio) -> None:
    """Its disk may be full, or the program that reads it may have ended."""

    def refuse(event: str, /, **facts: object) -> None:
        raise OSError(28, "No space left on device")

    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    try:
        Service(studio.setup, refuse).run(until_idle=True)
    finally:
        _prctl(_PR_SET_DUMPABLE, 1)
    assert "hero.png" in studio.folder("masked")


def test_worker_processes_get_the_notes_of_hashes_as_they_are_when_they_start(studio: Studio, tmp_path: Path) -> None:
    """A running daemon hands on what `goldsmith models` has noted since its start."""
    setup = studio.setup()
    assert worker_config(setup).weights_notes == {}
    (tmp_path / "net.onnx").write_bytes(b"weights")
    notes = HashNotes(weights_notes_path(studio.state_dir))
    note = notes.read(tmp_path / "net.onnx")
    notes.save()
    assert worker_config(setup).weights_notes == {str(tmp_path / "net.onnx"): note}


def test_until_idle_exits_when_no_job_is_left(studio: Studio) -> None:
    """Waiting and held pictures do not keep the daemon running."""
    studio.put("inbox/hero.png", png())
    studio.put("inbox/hero.toml", WHOLE)
    studio.put("inbox/alone.png", png(1))
    studio.put("inbox/wrong.png", b"no picture at all")
    studio.put("inbox/wrong.toml", SELECT)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the exit")
    assert daemon.process.returncode == 0
    assert studio.folders() == {
        "inbox": ["alone.png", "wrong.png", "wrong.png.problem.txt", "wrong.toml"],
        "delivered": ["hero.manifest.json", "hero_print.png", "hero_web.jpg"],
    }


def test_a_queue_that_no_stage_uses_is_refused(studio: Studio) -> None:
    """Its jobs would go on working on this computer, and nobody would notice."""
    (studio.root / "config/goldsmith.toml").write_text('[queues.cpux]\nrunner = "local"\n')
    with pytest.raises(ConfigError, match=r"queues\.cpux is not a queue of a stage in pipeline\.toml; did you mean cpu\?"):
        load_setup(studio.root)


def test_a_queue_on_the_cluster_needs_ray(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon does not start, and says what to install."""
    monkeypatch.setattr(ray_extra.importlib.util, "find_spec", lambda name: None)
    (studio.root / "config/goldsmith.toml").write_text('[cluster]\naddress = "auto"\n[queues.cpu]\nrunner = "ray"\n')
    with pytest.raises(UsageError, match=r'queues\.cpu\.runner is "ray", but Ray is not installed\.') as caught:
        Service(lambda: load_setup(studio.root, None, **studio.flags)).run(until_idle=True)
    assert "pip install 'goldsmith[ray]'" in caught.value.remedy


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    """The exit code is 2, and the message has the command that creates a root."""
    studio = Studio(tmp_path)
    shutil.rmtree(studio.root)
    with Daemon(studio) as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the exit")
        daemon.listen(0)
    assert daemon.process.returncode == 2
    assert "goldsmith init" in daemon.stderr.decode()


# ---------------------------------------------------------------------- ownership of the results


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start processes of another user")
@pytest.mark.parametrize("refuses", [True, False])
def test_another_process_of_the_same_user_cannot_inspect_the_daemon(refuses: bool) -> None:
    """Neither its environment nor its descriptors are readable. Without this protection they are."""
    (ready, tell), (wait, end) = os.pipe(), os.pipe()

    def be_the_daemon() -> bool:
        if refuses:
            refuse_inspection()
        os.write(tell, b"x")
        return bool(os.read(wait, 1))

    def inspect_it() -> bool:
        environment, descriptors = Path(f"/proc/{daemon}/environ"), f"/proc/{daemon}/fd"
        return _is_refused(environment.read_bytes) and _is_refused(lambda: os.listdir(descriptors))

    daemon = _fork_as_nobody(be_the_daemon)
    try:
        os.read(ready, 1)
        assert os.waitstatus_to_exitcode(os.waitpid(_fork_as_nobody(inspect_it), 0)[1]) == refuses
    finally:
        os.write(end, b"x")
        os.waitpid(daemon, 0)
        for fd in (ready, tell, wait, end):
            os.close(fd)


def _fork_as_nobody(work: Callable[[], bool]) -> int:
    """Start a process of another user and return its id; its exit status is what ``work`` returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        _become_nobody()
        status = int(work())
    finally:
        os._exit(status)


def _become_nobody() -> None:
    """Become another user, as a service does, whose processes may inspect each other."""
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    _prctl(_PR_SET_DUMPABLE, 1)  # a change of the user has cleared it; the start of a program sets it


def _is_refused(inspect: Callable[[], object]) -> bool:
    try:
        inspect()
    except PermissionError:
        return True
    return False


def test_the_daemon_refuses_inspection_from_its_start(studio: Studio) -> None:
    """This holds for ``goldsmith run``, with and without --until-idle."""
    _prctl(_PR_SET_DUMPABLE, 1)  # an earlier test may have run a daemon in this process
    try:
        Service(studio.setup, lambda event, /, **facts: None).run(until_idle=True)
        assert _prctl(_PR_GET_DUMPABLE) == 0
    finally:
        _prctl(_PR_SET_DUMPABLE, 1)


def test_results_get_the_mode_and_the_group_of_their_folder(studio: Studio) -> None:
    """This holds for all files that the daemon writes, notes included."""
    groups = [group for group in os.getgroups() if group != os.getegid()] or ([4242] if os.geteuid() == 0 else [])
    for folder in ("masked", "selected"):
        if groups:
            os.chown(studio.root / folder, -1, groups[0])
        os.chmod(studio.root / folder, 0o2770)  # noqa: S103 - the test needs a folder that the group may write to
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    studio.put("selected/wrong.png", b"no picture at all")
    studio.put("selected/wrong.toml", SHARPEN)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the exit")
    for path in ("masked/hero.png", "masked/hero.toml", "selected/wrong.png.problem.txt"):
        status = studio.at(path).stat()
        assert (oct(status.st_mode & 0o777), status.st_gid) == ("0o660", groups[0] if groups else os.getegid()), path


@pytest.mark.skipif(shutil.which("setfacl") is None, reason="setfacl is not installed")
def test_results_get_the_default_acl_of_their_folder(studio: Studio) -> None:
    """A group in the folder's default ACL may read and write the results."""
    result = subprocess.run(["setfacl", "-d", "-m", "g:4242:rwx,m:rwx", studio.root / "masked"], capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip(f"no ACLs here: {result.stderr.strip()}")
    studio.put("selected/hero.png", png())
    studio.put("selected/hero.toml", SHARPEN)
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the exit")
    for name in ("hero.png", "hero.toml"):
        acl = subprocess.run(["getfacl", "--numeric", "--omit-header", studio.root / "masked" / name], capture_output=True, text=True)
        assert "group:4242:rw" in acl.stdout, acl.stdout
