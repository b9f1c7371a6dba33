"""The daemon as the unit runs it: a user of its own, the folders' modes from the manual, and the unit's system-call filters."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles import service_user, unit_filters
from doubles.commission import EXPORT, INPAINT, SELECT
from doubles.pictures import mask, png
from doubles.shared_studio import PYTHON_PATH, SERVICE, STUDIO, as_designer, drop, run_command, run_service, shared_studio
from doubles.studio import Daemon, Studio
from goldsmith.worker.landlock import landlock_version

CAP_LEASE = 1 << 28
ALL_STAGES = SELECT + INPAINT + '[[grade]]\nop = "grade"\nsaturation = 0.7\n' + EXPORT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the daemon as another user"),
    pytest.mark.skipif(bool(unit_filters.find_missing_tool()), reason=unit_filters.find_missing_tool() or "all tools are there"),
]


@pytest.fixture
def studio() -> Iterator[Studio]:
    with shared_studio() as studio:
        yield studio


def _deliver(studio: Studio, unit: Path = unit_filters.UNIT) -> Daemon:
    """Run the service until it is idle, and return the ended daemon."""
    with run_service(studio, "--until-idle", unit=unit) as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the end of the run")
        assert daemon.process.returncode == 0, daemon.stderr.decode()[-3000:]
    return daemon


def _access(path: Path) -> tuple[int, int, str]:
    """Return owner, group and mode."""
    status = path.stat()
    return status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))


def test_a_picture_goes_through_all_stages_and_its_results_belong_to_the_share(studio: Studio) -> None:
    """Results have the group and the mode of their folder, new campaign folders also the set-group-id bit; nothing is refused."""
    files = {"inbox/acme/hero.toml": ALL_STAGES.encode(), "inbox/acme/hero.mask.png": mask(), "inbox/acme/hero.png": png(1)}
    drop(studio, files)
    daemon = _deliver(studio)

    delivered = studio.at("delivered/acme")
    names = sorted(path.name for path in delivered.iterdir())
    assert names == ["hero.manifest.json", "hero_print.png", "hero_web.jpg"]
    assert {_access(delivered / name) for name in names} == {(SERVICE, STUDIO, "0o660")}
    folders = [studio.at(f"{stage}/acme") for stage in ("selected", "masked", "graded", "delivered")]
    assert {_access(folder) for folder in folders} == {(SERVICE, STUDIO, "0o2770")}
    assert daemon.events_of("permissions refused") == []
    assert daemon.events_of("held") == []


def test_the_service_can_tell_whether_another_user_still_writes_a_file(studio: Studio) -> None:
    """With CAP_LEASE the short quiet time is enough for a designer's files, so no folder follows the weaker rule."""
    with run_service(studio) as daemon:
        drop(studio, {"inbox/hero.toml": ALL_STAGES.replace(INPAINT, "").encode(), "inbox/hero.png": png(1)})
        daemon.until(lambda: studio.at("delivered/hero.manifest.json").exists(), "the delivery")
        (state_file,) = studio.state_dir.glob("*/daemon.json")
        daemon.until(lambda: json.loads(state_file.read_text())["watch_modes"], "the state file")
        assert json.loads(state_file.read_text())["weak_quiet_folders"] == []
        assert daemon.end() == 0


def test_a_unit_that_refuses_a_change_of_the_group_is_reported_once_for_each_folder(studio: Studio, tmp_path: Path) -> None:
    """The work goes on without @chown. The log names every folder whose results keep the service's own group, each once."""
    unit = tmp_path / "goldsmith.service"
    unit.write_text(unit_filters.UNIT.read_text().replace("SystemCallFilter=@chown ", "SystemCallFilter="))
    drop(studio, {f"inbox/{name}.png": png(number) for number, name in enumerate(("one", "two"))})
    drop(studio, {f"inbox/{name}.toml": ALL_STAGES.replace(INPAINT, "").encode() for name in ("one", "two")})
    daemon = _deliver(studio, unit)
    assert studio.at("delivered/one_web.jpg").stat().st_gid == SERVICE
    reports = daemon.events_of("permissions refused")
    assert sorted(entry["folder"] for entry in reports) == ["archive", "delivered", "graded", "masked", "review", "selected"]
    assert {(entry["level"], "group" in entry["sentence"], "goldsmith doctor" in entry["remedy"]) for entry in reports} == {
        ("warning", True, True)
    }


def test_the_daemon_and_its_workers_run_behind_the_filters(studio: Studio) -> None:
    """This is what the other tests of this file rely on."""
    with run_service(studio) as daemon:
        daemon.until_ready()
        daemon.until(daemon.worker_pids, "a worker process")
        for pid in (daemon.pid, *daemon.worker_pids()):
            rows = dict(row.split(":\t", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert (rows["Seccomp"], rows["NoNewPrivs"], set(rows["Uid"].split())) == ("2", "1", {str(SERVICE)})
            assert int(rows["CapPrm"], 16) & ~CAP_LEASE == 0
        assert daemon.end() == 0


@pytest.mark.parametrize("is_root", [True, False])
def test_doctor_names_campaign_folders_that_the_service_cannot_use(studio: Studio, is_root: bool) -> None:
    """A desktop makes folders that only their owner may change. Root is not asked for its own rights but for the service's."""

    def make(name: str, mode: int) -> None:
        studio.at(f"inbox/{name}").mkdir()
        studio.at(f"inbox/{name}").chmod(mode)

    for name, mode in (("open", 0o2770), ("closed", 0o700), ("readable", 0o2750)):
        as_designer(lambda name=name, mode=mode: make(name, mode))  # type: ignore[misc]
    # Root does not trust the service's own config/.
    words = ("doctor", "--root", str(studio.root), "--config", str(Path(__file__).parents[2] / "config"), "--json")
    if is_root:
        environment = {**os.environ, "PYTHONPATH": PYTHON_PATH, "GOLDSMITH_STATE_DIR": str(studio.state_dir)}
        program = [sys.executable, "-P", "-m", "goldsmith", *words]
        output = subprocess.run(program, env=environment, capture_output=True, text=True).stdout
    else:
        output = run_command(studio, *words).stdout
    findings = [each["sentence"] for each in json.loads(output) if each["subject"] == "sharing" and each["severity"] == "fault"]
    assert findings == ["The service cannot read and change inbox/closed/, inbox/readable/, so pictures there wait."]
    for name in ("closed", "readable"):
        studio.at(f"inbox/{name}").chmod(0o2770)
        os.chown(studio.at(f"inbox/{name}"), -1, STUDIO)
    assert "cannot read and change" not in run_command(studio, *words).stdout


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_the_fence_is_up_in_the_workers_of_the_service() -> None:
    """The tests of the fence from inside a worker process pass for the service's user behind the unit's filters, too.

    One of them needs TCP, which the unit refuses already.
    """
    result = _run_tests_as_the_service("tests/worker/test_fence.py", "writes_its_scratch_folder_only or reads_its_inputs")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert result.stdout.count("PASSED") == 2


@pytest.mark.soak
@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_the_service_believes_no_hostile_worker() -> None:
    """The contract tests of hostile workers pass for the service's user behind the unit's filters, too."""
    result = _run_tests_as_the_service("tests/contracts/test_hostile_worker.py", "")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert result.stdout.count("PASSED") > 20


def _run_tests_as_the_service(file: str, expression: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a file of the checkout whose names match ``expression`` as the service's user behind the unit's filters."""
    checkout = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(prefix="goldsmith-service-") as place:
        os.chown(place, SERVICE, SERVICE)
        program = service_user.program(SERVICE, (SERVICE,))
        start_code = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
        options = ("-v", "-p", "no:cacheprovider", "-c", checkout / "pyproject.toml", "--basetemp", f"{place}/tests")
        return subprocess.run(
            [sys.executable, "-P", *program, *options, "-k", expression, checkout / file],
            env={**os.environ, "PYTHONPATH": PYTHON_PATH, "HOME": place, service_user.START_CODE: start_code},
            capture_output=True,
            text=True,
        )


@pytest.mark.parametrize(("groups", "severity"), [((SERVICE, STUDIO), "ok"), ((SERVICE,), "fault")])
def test_doctor_finds_out_whether_files_can_get_the_group_of_their_folder(studio: Studio, groups: tuple[int, ...], severity: str) -> None:
    """It tries with a file of its own, as the service's user, and leaves nothing behind. The remedy names group and user."""
    for name in ("inbox", "selected", "masked", "graded", "delivered"):
        studio.at(name).chmod(0o2777)
    studio.root.chmod(0o755)
    before = sorted(studio.root.rglob("*"))
    program = service_user.program(SERVICE, groups)
    result = subprocess.run(
        [sys.executable, "-P", *program, "doctor", "--root", studio.root, "--json"],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH, "GOLDSMITH_STATE_DIR": str(studio.state_dir)},
        capture_output=True,
        text=True,
    )
    findings = [each for each in json.loads(result.stdout) if each["subject"] in ("results", "sharing")]
    assert [each["severity"] for each in findings] == [severity], result.stderr
    if severity == "fault":
        assert "inbox/, selected/, masked/, graded/, delivered/" in findings[0]["sentence"]
        assert f"usermod -aG {STUDIO} {SERVICE}" in findings[0]["remedy"]
    assert sorted(studio.root.rglob("*")) == before
