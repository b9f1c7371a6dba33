"""``goldsmith doctor`` on other filesystems: what was tried out in each folder, one row for each property, one sentence for each lack."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from doubles.commandline import Goldsmith, WriteState
from doubles.mounted import mounted
from doubles.pretended_mounts import pretend
from goldsmith.cli import diagnostics, system_checks
from goldsmith.cli.findings import Finding
from goldsmith.cli.mount_checks import FolderFacts, check_properties, measure_folder
from goldsmith.mounts import kind_of_type
from goldsmith.root_folder import RootFolder

PROBE = ".goldsmith-canary-doctor"
# What each kind can do, as measured on this project's machines: renames that refuse, hard links, fsync of folders, time, names, case.
MEASURED = {
    "tmpfs": (True, True, True, "1 ns", 255, True),
    "overlay": (True, True, True, "1 ns", 255, True),
    "ext4": (True, True, True, "1 ns", 255, True),
    "xfs": (True, True, True, "1 ns", 255, True),
    "btrfs": (True, True, True, "1 ns", 255, True),
    "vfat": (True, False, True, "2 s", 255, False),
    "ntfs-3g": (False, True, None, "100 ns", 255, True),
    "sshfs": (False, True, None, "1 s", 255, True),
    "bindfs": (False, True, None, "1 ns", 255, True),
    "mergerfs": (False, True, None, "1 ns", 255, True),
    "gocryptfs": (True, True, None, "1 ns", 255, True),
    "encfs": (False, True, None, "1 µs", 175, True),
    "rclone": (False, False, None, "1 ns", 255, True),
}


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the GPU checks, which would import torch."""
    monkeypatch.setattr(diagnostics, "check_gpu", lambda: iter(()))


@pytest.mark.parametrize("kind", MEASURED)
def test_a_folder_is_measured_as_it_is_on(kind: str, tmp_path: Path) -> None:
    """Files with the probe's name are tried out and removed."""
    with mounted(kind, tmp_path / "mount", tmp_path / "root"):
        (tmp_path / "root" / "inbox").mkdir()
        facts = measure_folder(RootFolder(tmp_path / "root"), "inbox", PROBE)
        assert (
            facts.has_safe_rename,
            facts.has_hard_links,
            facts.syncs_folders,
            facts.time_step,
            facts.longest_name,
            facts.has_case,
        ) == MEASURED[kind]
        assert os.listdir(tmp_path / "root" / "inbox") == []


def _facts(folder: str, kind: str = "ext4", **lacks: object) -> FolderFacts:
    whole = FolderFacts(
        folder,
        kind_of_type(kind),
        has_safe_rename=True,
        has_hard_links=True,
        syncs_folders=True,
        time_step="1 ns",
        longest_name=255,
        has_case=True,
    )
    return replace(whole, **lacks)  # type: ignore[arg-type]


def _rows(facts: Sequence[FolderFacts]) -> Iterator[Finding]:
    return check_properties(facts, weak_quiet=10.0, poll=2.0, stages=["inbox", "selected"])


def test_a_local_disk_has_one_short_row_for_each_property() -> None:
    """What is right takes six lines, whatever the number of folders."""
    rows = list(_rows([_facts(folder) for folder in ("inbox", "selected", "archive")]))
    assert [row.subject for row in rows] == ["renames", "hard links", "power failure", "times", "names", "case"]
    assert {row.severity for row in rows} == {"ok"}
    assert max(len(row.sentence) for row in rows) < 80


@pytest.mark.parametrize(
    ("lack", "subject", "severity", "words"),
    [
        ({"has_safe_rename": False}, "renames", "ok", "by a hard link"),
        ({"has_safe_rename": False, "has_hard_links": False}, "renames", "note", "looks first, then renames"),
        ({"has_hard_links": False}, "hard links", "ok", "none are needed"),
        ({"syncs_folders": False}, "power failure", "note", "may be undone"),
        ({"syncs_folders": None}, "power failure", "note", "may be undone"),
        ({"time_step": "2 s"}, "times", "note", "steps of 2 s"),
        ({"longest_name": 143}, "names", "note", "at most 143 bytes"),
        ({"has_case": False}, "case", "ok", "one file"),
    ],
)
def test_each_lack_is_one_sentence_with_its_folders(lack: dict[str, object], subject: str, severity: str, words: str) -> None:
    """The folders without the lack are not named, and no other row says the opposite."""
    (row,) = [row for row in _rows([_facts("inbox", **lack), _facts("selected")]) if row.subject == subject]
    assert (row.severity, words in row.sentence) == (severity, True)
    assert "inbox/ (ext4)" in row.sentence
    assert "selected" not in row.sentence


def test_events_and_writers_are_judged_by_kind() -> None:
    """Only for the folders from which pictures are taken: in the archive neither matters."""
    facts = [_facts("inbox", "nfs4"), _facts("selected", "fuse.mergerfs"), _facts("archive", "nfs4")]
    rows = [row for row in _rows(facts) if row.subject in ("others' changes", "unfinished files")]
    network, stacked, writers = [row.sentence for row in rows]
    assert network == "What other machines change in inbox/ (NFS 4) causes no event: read every 2 s."
    assert stacked == "What other programs, behind the mount, change in selected/ (mergerfs) causes no event: read every 2 s."
    assert writers == ("Nothing tells if a program still writes in inbox/ (NFS 4) and selected/ (mergerfs): files must be quiet for 10 s.")


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize("kind", ["nfs4", "fuse.mergerfs"])
def test_doctor_says_the_same_with_and_without_a_daemon(
    kind: str, runs: bool, goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch, write_daemon_state: WriteState
) -> None:
    """The probe's own event arrives there, and an old daemon may have believed it; the kind decides."""
    if runs:
        write_daemon_state(watch_modes=dict.fromkeys(("inbox", "selected", "masked", "graded"), "events"))
    pretend(monkeypatch, root, kind)
    findings = json.loads(goldsmith("doctor", "-r", root, "--json").out)
    subjects = {each["subject"] for each in findings}
    assert {"others' changes", "unfinished files"} <= subjects
    assert not {"events", "leases"} & subjects
    sentences = " ".join(each["sentence"] for each in findings)
    assert "inbox/, selected/, masked/, graded/" in sentences


@pytest.mark.parametrize(("kind", "files", "severity"), [("ext4", 10, "fault"), ("fuse.rclone", 0, "ok"), ("vfat", 0, "ok")])
def test_free_files_count_only_where_they_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, files: int, severity: str
) -> None:
    """rclone says that none of 1,000,000,000 is free."""
    space = SimpleNamespace(f_bavail=int(10e9), f_frsize=1, f_favail=files, f_files=10**9, f_blocks=int(20e9))
    monkeypatch.setattr("goldsmith.cli.system_checks.os.statvfs", lambda path: space)
    pretend(monkeypatch, tmp_path, kind)
    (finding,) = system_checks.check_disks([tmp_path])
    assert finding.severity == severity
    assert ("more files fit" in finding.sentence) == (severity == "fault")


def test_no_remedy_asks_for_chmod_where_it_changes_nothing(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT has no set-group-id bit, and its options give every file one group."""
    root.chmod(0o770)
    (root / "inbox").chmod(0o770)
    pretend(monkeypatch, root, "vfat")
    findings = [Finding(**each) for each in json.loads(goldsmith("doctor", "-r", root, "--json").out)]
    remedies = [finding.remedy for finding in findings if finding.subject == "sharing"]
    assert ["mount it with the options" in remedy for remedy in remedies] == [True]
    assert not [remedy for remedy in remedies if "chmod" in remedy]
