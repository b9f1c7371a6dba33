"""``goldsmith doctor`` reports ok, a note or a fault for each check, with a remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from doubles.commandline import CommandResult, Goldsmith, WriteState
from doubles.pretended_mounts import pretend
from goldsmith.brief.settings import read_settings
from goldsmith.cli import diagnostics, gpu_checks, system_checks
from goldsmith.cli.findings import Finding
from goldsmith.cli.identity_checks import check_identity
from goldsmith.cli.journal_checks import check_journal
from goldsmith.credentials.signing_identity import create_identity, read_identity
from goldsmith.engines.devices import Accelerator, DeviceScan
from goldsmith.engines.registry.models import read_models
from goldsmith.files import Filesystem, PathAt
from goldsmith.pipeline.status.daemon_state import DaemonState
from goldsmith.service.setup import load_setup


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the GPU checks, which would import torch."""
    monkeypatch.setattr(diagnostics, "check_gpu", lambda: iter(()))


def _findings(result: CommandResult) -> dict[str, Finding]:
    return {each["subject"]: Finding(**each) for each in json.loads(result.out)}


def test_fresh_folders_have_no_fault(goldsmith: Goldsmith, root: Path) -> None:
    """Each folder is listed with its filesystem. The probe for events leaves no file behind."""
    before = sorted(str(path) for path in root.rglob("*"))
    result = goldsmith("doctor", "-r", root)
    assert result.code == 0
    assert {row[0] for row in result.rows[1:-1]} <= {"ok", "note"}
    findings = _findings(goldsmith("doctor", "-r", root, "--json"))
    assert "writable" in findings["inbox/"].sentence
    assert findings["events"].severity == "ok"
    assert findings["journal"].severity == "ok"
    assert {"inbox/", "delivered/", "archive/", "inotify", "leases", "weights: inpaint"} <= set(findings)
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_a_missing_folder_is_a_fault_with_a_remedy(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 4."""
    (root / "masked" / "README.txt").unlink()
    (root / "masked").rmdir()
    result = goldsmith("doctor", "-r", root)
    assert result.code == 4
    row = next(row for row in result.rows if row[1:2] == ["masked/"])
    assert row[0] == "fault"
    assert f"goldsmith init {root}" in row[3]
    assert "1 fault found." in result.err


def test_a_linked_folder_is_a_fault(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """The daemon does not follow links either."""
    (root / "masked" / "README.txt").unlink()
    (root / "masked").rmdir()
    os.symlink(tmp_path, root / "masked")
    assert _findings(goldsmith("doctor", "-r", root, "--json"))["masked/"].severity == "fault"


def test_a_read_only_folder_is_a_fault(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check writes a file, because permissions, mounts and quotas have the same effect."""
    create = Filesystem.create

    def refuse(fs: Filesystem, at: PathAt) -> int:
        if str(at).rpartition("/")[0].endswith("graded"):
            raise OSError(30, "Read-only file system")
        return create(fs, at)

    monkeypatch.setattr(Filesystem, "create", refuse)
    finding = _findings(goldsmith("doctor", "-r", root, "--json"))["graded/"]
    assert finding.severity == "fault"
    assert "Read-only file system" in finding.sentence


def test_a_configuration_that_others_may_change_is_a_fault(goldsmith: Goldsmith, root: Path) -> None:
    """The configuration controls the programs that run on this computer."""
    (root / "config" / "pipeline.toml").chmod(0o666)
    result = goldsmith("doctor", "-r", root)
    assert result.code == 4
    assert "can be changed by others" in result.out


def test_a_network_filesystem_is_allowed_for_folders_only(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal needs a local disk."""
    pretend(monkeypatch, root.parent, "nfs4")
    findings = _findings(goldsmith("doctor", "-r", root, "--json"))
    assert "NFS 4 (nfs4)" in findings["inbox/"].sentence
    assert findings["journal"].severity == "fault"


def test_a_running_daemon_replaces_the_probe(goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState) -> None:
    """The daemon's state file gives polling, the weaker rule and a pause."""
    write_daemon_state(
        watch_modes={"inbox": "polling", "selected": "events", "masked": "events", "graded": "events"},
        weak_quiet_folders=["inbox"],
        pause_reason="The disk is full.",
    )
    findings = _findings(goldsmith("doctor", "-r", root, "--json"))
    assert findings["events"].sentence.startswith("No events from inbox/, review/: polling")
    assert findings["leases"].sentence.endswith("(the weaker rule).")
    assert findings["daemon"].severity == "fault"


def test_a_paused_device_is_a_fault(goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState) -> None:
    """This holds even if the queue continues on other devices. Queues without a pause are not listed."""
    pause_reason = "The GPU cuda:1 has failed (gone). It is tried again at 14:05:00; its jobs wait in place."
    write_daemon_state(
        queue_pauses={"gpu": "", "cpu": ""},
        workers=[{"queue": "gpu", "device": "cuda:0"}, {"queue": "gpu", "device": "cuda:1", "pause_reason": pause_reason}],
    )
    findings = _findings(goldsmith("doctor", "-r", root, "--json"))
    assert (findings["queue gpu"].severity, findings["queue gpu"].sentence) == ("fault", pause_reason)
    assert "queue cpu" not in findings
    write_daemon_state(queue_pauses={"cpu": "The workers of queue cpu cannot start (no memory)."})
    assert _findings(goldsmith("doctor", "-r", root, "--json"))["queue cpu"].severity == "fault"


def test_a_paused_cluster_and_a_refused_node_are_told(goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState) -> None:
    """The remedy of a queue on the cluster is not the tool of a driver."""
    (root / "config/goldsmith.toml").write_text('[cluster]\naddress = "auto"\n[queues.gpu]\nrunner = "ray"\n')
    refusal = "The node gpu2 has Python 3.12.1, and here it is 3.11.7. Use Python 3.11 there."
    write_daemon_state(queue_pauses={"gpu": "The cluster's head does not answer (since 14:05)."}, node_refusals=[refusal])
    all_findings = [Finding(**each) for each in json.loads(goldsmith("doctor", "-r", root, "--json").out)]
    (queue,) = (each for each in all_findings if each.subject == "queue gpu")
    assert (queue.severity, queue.sentence) == ("fault", "The cluster's head does not answer (since 14:05).")
    assert "nvidia-smi" not in queue.remedy
    assert ("note", f"A node of the cluster gets no jobs: {refusal}") in [(each.severity, each.sentence) for each in all_findings]


def test_missing_events_are_a_note(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses the watch."""
    monkeypatch.setattr("goldsmith.cli.diagnostics.Watcher.start", lambda watcher: False)
    assert _findings(goldsmith("doctor", "-r", root, "--json"))["events"].severity == "note"


def test_a_shared_folder_without_setgid_gets_a_note(goldsmith: Goldsmith, root: Path) -> None:
    """The folder is group-writable, but new subfolders do not get its group."""
    (root / "inbox").chmod(0o775)
    assert "inbox/" in _findings(goldsmith("doctor", "-r", root, "--json"))["sharing"].sentence
    (root / "inbox").chmod(0o2775)
    assert "sharing" not in _findings(goldsmith("doctor", "-r", root, "--json"))


def test_a_root_that_others_may_write_to_gets_a_note(goldsmith: Goldsmith, root: Path) -> None:
    """They could rename the service's own folder and put another there."""
    root.chmod(0o2775)
    finding = _findings(goldsmith("doctor", "-r", root, "--json"))["sharing"]
    assert (finding.severity, finding.remedy) == ("note", f"chmod go-w {root}")
    assert ".goldsmith" in finding.sentence


def test_a_group_that_cannot_be_given_is_a_fault(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check changes the group of a file of its own in each stage's folder and deletes the file. The remedy names the group."""

    def refuse(fd: int, uid: int, gid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    before = sorted(root.rglob("*"))
    assert _findings(goldsmith("doctor", "-r", root, "--json"))["results"].severity == "ok"
    monkeypatch.setattr(os, "fchown", refuse)
    finding = _findings(goldsmith("doctor", "-r", root, "--json"))["sharing"]
    assert (finding.severity, "inbox/, selected/, masked/, graded/, delivered/" in finding.sentence) == ("fault", True)
    assert finding.remedy.startswith("usermod -aG ")
    assert sorted(root.rglob("*")) == before


def test_what_the_system_refused_to_a_running_daemon_is_a_fault(goldsmith: Goldsmith, root: Path, write_daemon_state: WriteState) -> None:
    """The unit's filters apply to the daemon and not to this command, so only the daemon can tell."""
    sentence = "The system refused the group of delivered/ to new files there, 3 so far."
    write_daemon_state(permission_refusals={"delivered": sentence})
    finding = _findings(goldsmith("doctor", "-r", root, "--json"))["sharing"]
    assert (finding.severity, finding.sentence) == ("fault", sentence)
    assert "SystemCallFilter=@chown" in finding.remedy
    assert sentence in goldsmith("status", "-r", root).out
    status = json.loads(goldsmith("status", "-r", root, "--json").out)
    assert status["permission_refusals"] == {"delivered": sentence}


@pytest.mark.parametrize(
    ("free", "inodes", "severity"), [(10e9, 10**6, "ok"), (1e9, 10**6, "note"), (50e6, 10**6, "fault"), (10e9, 10, "fault")]
)
def test_a_full_disk_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: float, inodes: int, severity: str) -> None:
    """Space and inodes count; each filesystem is one row."""
    space = SimpleNamespace(f_bavail=int(free), f_frsize=1, f_favail=inodes, f_files=10**7, f_blocks=int(20e9))
    monkeypatch.setattr("goldsmith.cli.system_checks.os.statvfs", lambda path: space)
    assert [finding.severity for finding in system_checks.check_disks([tmp_path, tmp_path / "not yet" / "there"])] == [severity]


@pytest.mark.parametrize(("limit", "severity"), [(1000, "ok"), (12, "note"), (5, "fault")])
def test_watches_are_counted_against_the_kernels_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, severity: str) -> None:
    """Each folder needs one watch. If there are too few watches, the remedy is the command that raises the limit."""
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "max_user_watches").write_text(str(limit))
    (tmp_path / "limits" / "max_user_instances").write_text("128")
    monkeypatch.setattr(system_checks, "_INOTIFY_LIMITS", tmp_path / "limits")
    for number in range(10):
        (tmp_path / "root" / str(number)).mkdir(parents=True)
    watches, instances = system_checks.check_inotify(tmp_path / "root")
    assert (watches.severity, instances.severity) == (severity, "ok")
    assert watches.sentence.startswith("11 of ")
    assert ("sysctl fs.inotify.max_user_watches=" in watches.remedy) == (severity != "ok")


TWO_GPUS = DeviceScan(
    (
        Accelerator("cuda:0", "NVIDIA L40S", "570.1", total_mb=46_068, free_mb=40_000),
        Accelerator("cuda:1", "NVIDIA RTX A4000", "570.1", total_mb=16_376, free_mb=16_000),
    )
)


def _check_gpu_with(
    monkeypatch: pytest.MonkeyPatch, nodes: list[str], scan: DeviceScan = TWO_GPUS, torch: str = "cuda", names: str = ""
) -> list[Finding]:
    """Return the findings for these device files and these answers of the driver and of torch."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.Path.glob", lambda path, pattern: iter(map(Path, nodes)))
    monkeypatch.setattr("goldsmith.cli.gpu_checks.os.access", lambda path, mode: str(path) != "/dev/closed")
    monkeypatch.setattr(gpu_checks, "find_devices", lambda: scan)
    monkeypatch.setattr(gpu_checks, "torch_backend", lambda: torch)

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        assert command[0] == sys.executable
        return subprocess.CompletedProcess(command, 0 if names else 1, stdout=names + "\n")

    monkeypatch.setattr("goldsmith.cli.gpu_checks.subprocess.run", run)
    return list(gpu_checks.check_gpu())


def test_a_computer_without_a_gpu_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch is not started."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.Path.exists", lambda path: False)
    assert [finding.severity for finding in _check_gpu_with(monkeypatch, [])] == ["note"]


def test_each_gpu_is_listed_with_memory_and_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has the name of the GPU in goldsmith.toml and in the manifest. torch has a row of its own."""
    first, second, torch = _check_gpu_with(monkeypatch, ["/dev/nvidia0"], names="NVIDIA L40S, NVIDIA RTX A4000")
    assert first == Finding("ok", "GPU cuda:0", "NVIDIA L40S, 42 GB of 48 GB are free, driver 570.1.", "")
    assert second.subject == "GPU cuda:1"
    assert (torch.severity, torch.sentence) == ("ok", "It can use NVIDIA L40S, NVIDIA RTX A4000.")


def test_a_gpu_without_permission_or_response_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """This user may not open the device files, or the driver's program hangs."""
    assert [finding.severity for finding in _check_gpu_with(monkeypatch, ["/dev/closed"])] == ["fault"]
    hung = DeviceScan((Accelerator("cuda:0", "NVIDIA L40S"),), "nvidia-smi does not answer.")
    findings = _check_gpu_with(monkeypatch, ["/dev/nvidia0"], hung)
    assert [(finding.severity, finding.sentence) for finding in findings[:2]] == [
        ("fault", "nvidia-smi does not answer."),
        ("ok", "NVIDIA L40S."),
    ]


def test_a_cpu_build_of_torch_beside_a_gpu_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command installs the same release for GPUs. A torch that cannot use the GPU gets another remedy."""
    monkeypatch.setattr("goldsmith.cli.gpu_checks.metadata.version", lambda name: "2.13.0+cpu")
    torch = _check_gpu_with(monkeypatch, ["/dev/nvidia0"], torch="cpu")[-1]
    assert torch.severity == "note"
    assert "built for the CPU" in torch.sentence
    assert torch.remedy == "pip install --force-reinstall torch==2.13.0"
    assert "cannot use the GPU" in _check_gpu_with(monkeypatch, ["/dev/nvidia0"])[-1].sentence
    assert "not installed" in _check_gpu_with(monkeypatch, ["/dev/nvidia0"], torch="")[-1].sentence


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


def _check_model_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scan: DeviceScan, computer_mb: int) -> list[Finding]:
    models = tmp_path / "models.toml"
    sizes = (("small", 7_000), ("middle", 24_000), ("large", 60_000))
    models.write_text("".join(ENTRY.replace("NAME", name).replace("MEMORY", str(size)) for name, size in sizes))
    monkeypatch.setattr(gpu_checks, "free_mb", lambda device: computer_mb)
    settings = read_settings(b"worker_memory_mb = 20000", "goldsmith.toml", {})
    return list(gpu_checks.check_model_fit(read_models(models), settings, scan.devices))


def test_each_device_lists_the_models_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the rule of the workers, a model fits completely, in parts, or not at all."""
    first, second = _check_model_fit(tmp_path, monkeypatch, TWO_GPUS, computer_mb=30_000)
    assert first == Finding("ok", "models on cuda:0", "Fit: small, middle; too large: large.", "")
    assert second == Finding("ok", "models on cuda:1", "Fit: small; fit only in parts, slower: middle; too large: large.", "")


def test_without_a_gpu_the_cpu_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 needs twice the memory, and ``worker_memory_mb`` is the limit."""
    assert _check_model_fit(tmp_path, monkeypatch, DeviceScan(), 64_000) == [
        Finding("ok", "models on the CPU, slowly", "Fit: small; too large: middle, large.", "")
    ]
    assert [finding.severity for finding in _check_model_fit(tmp_path, monkeypatch, DeviceScan(), 8_000)] == ["note"]


def test_a_journal_that_this_user_may_not_write_is_a_fault(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator may not be the service's user."""
    monkeypatch.setattr("os.access", lambda path, mode: False)
    finding = next(check_journal(root, tmp_path / "state" / "hot" / "journal.sqlite", DaemonState()))
    assert (finding.severity, finding.remedy) == ("fault", "Run this as the service's user, or set GOLDSMITH_STATE_DIR.")


def test_a_folder_without_permission_counts_as_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of such a folder is that of the nearest visible folder above it."""

    def refuse(path: object, **options: object) -> os.stat_result:
        if "barred" in str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return os.lstat(str(path))

    monkeypatch.setattr("os.stat", refuse)
    assert system_checks.nearest_existing(tmp_path / "barred" / "journal") == tmp_path


@pytest.mark.parametrize(
    ("version", "severity", "sentence"),
    [(0, "note", "This kernel has no Landlock"), (3, "note", "may still be open"), (7, "ok", "Landlock 7: a worker process writes")],
)
def test_the_fence_of_worker_processes_is_reported(
    goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch, version: int, severity: str, sentence: str
) -> None:
    """The sentence says what a kernel without Landlock, or with an early version, leaves open."""
    monkeypatch.setattr(system_checks, "landlock_version", lambda: version)
    finding = _findings(goldsmith("doctor", "-r", root, "--json"))["fence"]
    assert (finding.severity, sentence in finding.sentence) == (severity, True)


def _signature(root: Path, now: float) -> Finding:
    return check_identity(load_setup(root), now)


def test_who_signs_and_until_when_is_said(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """It is a note without an identity and 30 days before the end, and a fault behind it."""
    assert _signature(root, time.time()).severity == "note"
    goldsmith("init", root, "--identity", "--studio", "Acme")
    finding = _findings(goldsmith("doctor", "--root", root, "--json"))["signature"]
    assert finding.severity == "ok"
    assert finding.sentence.startswith("Acme content credentials, Acme signs deliverables until ")
    identity = read_identity(create_identity(tmp_path / "state" / "credentials", ""), [])
    severities = [_signature(root, identity.expires_at + days * 86_400).severity for days in (-31, -29, 0)]
    assert severities == ["ok", "note", "fault"]


def test_an_identity_that_cannot_be_used_is_a_fault(root: Path, tmp_path: Path) -> None:
    """The remedy says what to run. Without signing, nobody needs an identity."""
    create_identity(tmp_path / "state" / "credentials", "Acme").key.chmod(0o644)
    finding = _signature(root, time.time())
    assert (finding.severity, finding.remedy) == ("fault", f"Run: chmod 600 {tmp_path}/state/credentials/key.pem")
    (root / "config" / "goldsmith.toml").write_text("[credentials]\nsign = false\n")
    assert _signature(root, time.time()).severity == "ok"
