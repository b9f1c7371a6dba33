"""``goldsmith doctor``: ok, a note or a fault for each thing, with what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from doubles.commandline import Goldsmith, Tell, Told
from goldsmith.brief.settings import read_settings
from goldsmith.cli import diagnostics, gpu_checks, system_checks
from goldsmith.cli.findings import Finding
from goldsmith.engines.devices import Accelerator, DeviceScan
from goldsmith.engines.registry.models import read_models


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has, nobody waits for torch here."""
    monkeypatch.setattr(diagnostics, "check_gpu", lambda: iter(()))


def _found(told: Told) -> dict[str, Finding]:
    return {each["what"]: Finding(**each) for each in json.loads(told.out)}


def test_fresh_folders_are_well(goldsmith: Goldsmith, root: Path) -> None:
    """No fault; each folder with its filesystem; events heard from a canary that leaves nothing behind."""
    before = sorted(str(path) for path in root.rglob("*"))
    told = goldsmith("doctor", "-r", root)
    assert told.code == 0
    assert {row[0] for row in told.rows[1:-1]} <= {"ok", "note"}
    found = _found(goldsmith("doctor", "-r", root, "--json"))
    assert "writable" in found["inbox/"].sentence
    assert found["events"].severity == "ok"
    assert found["journal"].severity == "ok"
    assert {"inbox/", "delivered/", "archive/", "inotify", "leases", "weights: inpaint"} <= set(found)
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_a_missing_folder_is_a_fault_with_its_remedy(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 4."""
    (root / "masked" / "README.txt").unlink()
    (root / "masked").rmdir()
    told = goldsmith("doctor", "-r", root)
    assert told.code == 4
    row = next(row for row in told.rows if row[1:2] == ["masked/"])
    assert row[0] == "fault"
    assert f"goldsmith init {root}" in row[3]
    assert "1 fault found." in told.err


def test_a_linked_folder_is_a_fault(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Links are never followed by the daemon either."""
    (root / "masked" / "README.txt").unlink()
    (root / "masked").rmdir()
    os.symlink(tmp_path, root / "masked")
    assert _found(goldsmith("doctor", "-r", root, "--json"))["masked/"].severity == "fault"


def test_a_folder_nothing_can_be_put_into_is_a_fault(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by trying, since permissions, mounts and quotas all end in the same."""
    touch = Path.touch

    def refused(path: Path, mode: int = 0o666, exist_ok: bool = True) -> None:
        if path.parent.name == "graded":
            raise OSError(30, "Read-only file system")
        touch(path, mode, exist_ok)

    monkeypatch.setattr(Path, "touch", refused)
    finding = _found(goldsmith("doctor", "-r", root, "--json"))["graded/"]
    assert finding.severity == "fault"
    assert "Read-only file system" in finding.sentence


def test_a_configuration_that_others_may_change_is_a_fault(goldsmith: Goldsmith, root: Path) -> None:
    """It says what is run on this machine."""
    (root / "config" / "pipeline.toml").chmod(0o666)
    told = goldsmith("doctor", "-r", root)
    assert told.code == 4
    assert "can be changed by others" in told.out


def test_a_network_filesystem_will_do_for_folders_alone(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures may lie there; the journal may not."""
    monkeypatch.setattr(diagnostics, "filesystem_type", lambda path: "nfs4")
    monkeypatch.setattr("goldsmith.journal.location.filesystem_type", lambda path: "nfs4")
    found = _found(goldsmith("doctor", "-r", root, "--json"))
    assert found["inbox/"].severity == "note"
    assert "nfs4" in found["inbox/"].sentence
    assert found["journal"].severity == "fault"


def test_a_running_daemon_knows_better_than_a_canary(goldsmith: Goldsmith, root: Path, running: Tell) -> None:
    """Polling, the weaker rule and a pause come from what it tells."""
    running(
        folders={"inbox": "polling", "selected": "events", "masked": "events", "graded": "events"},
        weak=["inbox"],
        paused="The disk is full.",
    )
    found = _found(goldsmith("doctor", "-r", root, "--json"))
    assert found["events"].sentence.startswith("No events from inbox/: polling")
    assert found["leases"].sentence.endswith("(the weaker rule).")
    assert found["daemon"].severity == "fault"


def test_a_device_that_pauses_is_a_fault(goldsmith: Goldsmith, root: Path, running: Tell) -> None:
    """Also where the lane goes on with its other devices; lanes that are well are not mentioned."""
    gone = "The GPU cuda:1 has failed (gone). It is tried again at 14:05:00; its jobs wait in place."
    running(lanes={"gpu": "", "cpu": ""}, seats=[{"lane": "gpu", "device": "cuda:0"}, {"lane": "gpu", "device": "cuda:1", "paused": gone}])
    found = _found(goldsmith("doctor", "-r", root, "--json"))
    assert (found["lane gpu"].severity, found["lane gpu"].sentence) == ("fault", gone)
    assert "lane cpu" not in found
    running(lanes={"cpu": "The cpu lane cannot start (no memory)."})
    assert _found(goldsmith("doctor", "-r", root, "--json"))["lane cpu"].severity == "fault"


def test_where_no_events_arrive_it_says_polling(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel grants no watch."""
    monkeypatch.setattr("goldsmith.cli.diagnostics.Watcher.start", lambda watcher: False)
    assert _found(goldsmith("doctor", "-r", root, "--json"))["events"].severity == "note"


def test_folders_that_do_not_hand_on_their_group_are_noted(goldsmith: Goldsmith, root: Path) -> None:
    """Group-writable without the set-group-id bit."""
    (root / "inbox").chmod(0o775)
    assert "inbox/" in _found(goldsmith("doctor", "-r", root, "--json"))["sharing"].sentence
    (root / "inbox").chmod(0o2775)
    assert "sharing" not in _found(goldsmith("doctor", "-r", root, "--json"))


@pytest.mark.parametrize(
    ("free", "inodes", "grade"), [(10e9, 10**6, "ok"), (1e9, 10**6, "note"), (50e6, 10**6, "fault"), (10e9, 10, "fault")]
)
def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, inodes: int, grade: str) -> None:
    """Space and inodes; one line for each filesystem."""
    space = SimpleNamespace(f_bavail=int(free), f_frsize=1, f_favail=inodes, f_files=10**7, f_blocks=int(20e9))
    monkeypatch.setattr("goldsmith.cli.system_checks.os.statvfs", lambda path: space)
    assert [finding.severity for finding in system_checks.check_disks([tmp_path, tmp_path / "not yet" / "there"])] == [grade]


@pytest.mark.parametrize(("limit", "grade"), [(1000, "ok"), (12, "note"), (5, "fault")])
def test_watches_are_counted_against_the_kernels_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, grade: str) -> None:
    """One a folder; where there are too few the line to type is said."""
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "max_user_watches").write_text(str(limit))
    (tmp_path / "limits" / "max_user_instances").write_text("128")
    monkeypatch.setattr(system_checks, "_INOTIFY_LIMITS", tmp_path / "limits")
    for number in range(10):
        (tmp_path / "root" / str(number)).mkdir(parents=True)
    watches, instances = system_checks.check_inotify(tmp_path / "root")
    assert (watches.severity, instances.severity) == (grade, "ok")
    assert watches.sentence.startswith("11 of ")
    assert ("sysctl fs.inotify.max_user_watches=" in watches.remedy) == (grade != "ok")


TWO = DeviceScan(
    (
        Accelerator("cuda:0", "NVIDIA L40S", "570.1", total_mb=46_068, free_mb=40_000),
        Accelerator("cuda:1", "NVIDIA RTX A4000", "570.1", total_mb=16_376, free_mb=16_000),
    )
)


def _machine(
    monkeypatch: pytest.MonkeyPatch, nodes: list[str], seen: DeviceScan = TWO, torch: str = "cuda", names: str = ""
) -> list[Finding]:
    """What is found on a machine with these device files, where driver and torch answer so."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.Path.glob", lambda path, pattern: iter(map(Path, nodes)))
    monkeypatch.setattr("goldsmith.cli.gpu_checks.os.access", lambda path, mode: str(path) != "/dev/closed")
    monkeypatch.setattr(gpu_checks, "find_devices", lambda: seen)
    monkeypatch.setattr(gpu_checks, "torch_backend", lambda: torch)

    def ran(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        assert command[0] == sys.executable
        return subprocess.CompletedProcess(command, 0 if names else 1, stdout=names + "\n")

    monkeypatch.setattr("goldsmith.cli.gpu_checks.subprocess.run", ran)
    return list(gpu_checks.check_gpu())


def test_a_machine_without_a_gpu_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is not even asked."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.Path.exists", lambda path: False)
    assert [finding.severity for finding in _machine(monkeypatch, [])] == ["note"]


def test_each_gpu_is_told_with_its_memory_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each, by the name that goldsmith.toml and the manifest use; and what torch says of them."""
    first, second, torch = _machine(monkeypatch, ["/dev/nvidia0"], names="NVIDIA L40S, NVIDIA RTX A4000")
    assert first == Finding("ok", "GPU cuda:0", "NVIDIA L40S, 42 GB of 48 GB are free, driver 570.1.", "")
    assert second.subject == "GPU cuda:1"
    assert (torch.severity, torch.sentence) == ("ok", "It can use NVIDIA L40S, NVIDIA RTX A4000.")


def test_a_gpu_that_may_not_be_used_or_does_not_answer_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed device files, and a driver's program that hangs."""
    assert [one.severity for one in _machine(monkeypatch, ["/dev/closed"])] == ["fault"]
    hung = DeviceScan((Accelerator("cuda:0", "NVIDIA L40S"),), "nvidia-smi does not answer.")
    said = _machine(monkeypatch, ["/dev/nvidia0"], hung)
    assert [(one.severity, one.sentence) for one in said[:2]] == [("fault", "nvidia-smi does not answer."), ("ok", "NVIDIA L40S.")]


def test_a_torch_for_the_cpu_beside_a_gpu_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same release in the build for GPUs; a torch that cannot see the GPU is another matter."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.metadata.version", lambda name: "2.13.0+cpu")
    torch = _machine(monkeypatch, ["/dev/nvidia0"], torch="cpu")[-1]
    assert torch.severity == "note"
    assert "built for the CPU" in torch.sentence
    assert torch.remedy == "pip install --force-reinstall torch==2.13.0"
    assert "cannot use the GPU" in _machine(monkeypatch, ["/dev/nvidia0"])[-1].sentence
    assert "not installed" in _machine(monkeypatch, ["/dev/nvidia0"], torch="")[-1].sentence


ENTRY = """
[models.NAME]
kind = "generate"
driver = "diffusers"
licence = "Apache-2.0"
folder = "/nowhere"
[models.NAME.diffusion]
family = "sdxl"
can = ["text"]
pixels = 1048576
multiple = 8
steps = 30
guidance = 5
memory_mb = MEMORY
picture_mb = 2000
"""


def _fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: DeviceScan, computer_mb: int) -> list[Finding]:
    models = tmp_path / "models.toml"
    sizes = (("small", 7_000), ("middle", 24_000), ("large", 60_000))
    models.write_text("".join(ENTRY.replace("NAME", name).replace("MEMORY", str(size)) for name, size in sizes))
    (tmp_path / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {computer_mb * 1024} kB\n")
    monkeypatch.setattr(gpu_checks, "_MEMINFO", tmp_path / "meminfo")
    house = read_settings(b"worker_memory_mb = 20000", "goldsmith.toml", {})
    return list(gpu_checks.check_model_fit(read_models(models), house, there.devices))


def test_which_models_fit_is_told_for_each_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, or with most of it waiting in the computer's memory, or not; by the rule that the lanes go by."""
    first, second = _fit(tmp_path, monkeypatch, TWO, computer_mb=30_000)
    assert first == Finding("ok", "models on cuda:0", "Fit: small, middle; too large: large.", "")
    assert second == Finding("ok", "models on cuda:1", "Fit: small; fit only in parts, slower: middle; too large: large.", "")


def test_without_a_gpu_the_processor_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the memory, for it computes in float32; and no more than the house lets a lane have."""
    assert _fit(tmp_path, monkeypatch, DeviceScan(), 64_000) == [
        Finding("ok", "models on the CPU, slowly", "Fit: small; too large: middle, large.", "")
    ]
    assert [one.severity for one in _fit(tmp_path, monkeypatch, DeviceScan(), 8_000)] == ["note"]


def test_a_journal_that_this_user_may_not_write_is_a_fault_in_words(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An admin asks without being the service's user: a sentence, no traceback."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    finding = diagnostics._check_journal(root, tmp_path / "state" / "hot" / "journal.sqlite")
    assert (finding.severity, finding.remedy) == ("fault", "Ask as the service's user, or set GOLDSMITH_STATE_DIR.")


def test_a_folder_that_may_not_be_entered_counts_as_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its disk is that of the nearest folder above."""

    def barred(path: object, **how: object) -> os.stat_result:
        if "barred" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return os.lstat(str(path))

    monkeypatch.setattr("os.stat", barred)
    assert system_checks.nearest_existing(tmp_path / "barred" / "journal") == tmp_path
