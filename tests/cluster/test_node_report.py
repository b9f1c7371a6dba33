"""A node reports what it is and what it sees of a root; the report is made by a program that ends when a mount hangs."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import goldsmith
from goldsmith.cli.init import make_root
from goldsmith.cluster import node_report
from goldsmith.cluster.node_canary import CanaryAnswer, NodeCanary
from goldsmith.cluster.node_checks import NodeExchange, compare
from goldsmith.cluster.node_report import PIXEL_PACKAGES, ReportRequest, package_hash, read_node_report, run_node_report
from goldsmith.engines.registry import hash_notes
from goldsmith.errors import HostError
from goldsmith.jobs.work_folder import WorkFolder

CHECKOUT = Path(__file__).parents[2]
WEIGHTS = b"weights"
MODEL = f"""
[models.small]
kind = "upscale"
driver = "esrgan_ncnn"
licence = "MIT"
scale = 2
[[models.small.files]]
name = "small.onnx"
bytes = {len(WEIGHTS)}
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root whose work folder is ready."""
    make_root(tmp_path / "root")
    WorkFolder(tmp_path / "root").prepare()
    return tmp_path / "root"


@pytest.fixture
def models(tmp_path: Path) -> ReportRequest:
    """Return a request about a model with its weights and one without."""
    (tmp_path / "models.toml").write_text(MODEL + MODEL.replace("small", "absent"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/small.onnx").write_bytes(WEIGHTS)
    return ReportRequest(
        root=str(tmp_path),
        models_file=str(tmp_path / "models.toml"),
        weights_folder=str(tmp_path / "weights"),
        models=("small", "absent", "unknown"),
        hash_notes=str(tmp_path / "no-notes.json"),
    )


def read_report(request: ReportRequest, tmp_path: Path) -> node_report.NodeReport:
    return read_node_report(request, cache=tmp_path / "cache.json")


def test_the_program_reports_a_node_that_may_work(root: Path, models: ReportRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon's computer is its own node here: both see the canary and the answer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
    canary = NodeCanary(root)
    request = models.model_copy(update={"root": str(root), "canary": canary.relative_path, "inputs": ("inbox", "library")})
    own = run_node_report(request)
    answer = canary.read_answer(own)
    assert (own.canary_text, answer) == (canary.text, CanaryAnswer(own.answer_text, os.geteuid()))
    exchange = NodeExchange(canary.text, answer, own.started_at, own.ended_at)
    assert compare(own, own, exchange, 2.0) == ()
    assert (own.host, own.user_id, own.package_version) == (os.uname().nodename, os.geteuid(), goldsmith.__version__)
    assert own.python == sys.version.split()[0]
    assert own.packages["Pillow"]
    assert own.packages["torch"]
    assert own.package_hash == package_hash()
    canary.remove()
    assert list((root / ".goldsmith/work").iterdir()) == []


def test_a_root_that_is_not_there_is_reported(tmp_path: Path) -> None:
    """Nothing else of it is tried."""
    report = read_report(ReportRequest(root=str(tmp_path / "root"), canary=".goldsmith/work/x/canary", inputs=("inbox",)), tmp_path)
    assert report.root_fault is not None
    assert (report.root_fault.path, report.root_fault.errno) == (str(tmp_path / "root"), errno.ENOENT)
    assert (report.canary_fault, report.unreadable_inputs) == (None, ())


def test_another_share_at_the_path_has_no_canary(root: Path, tmp_path: Path) -> None:
    """It has the same folders."""
    canary = NodeCanary(root)
    make_root(tmp_path / "other")
    WorkFolder(tmp_path / "other").prepare()
    report = read_report(ReportRequest(root=str(tmp_path / "other"), canary=canary.relative_path), tmp_path)
    assert report.canary_fault is not None
    assert report.canary_fault.errno == errno.ENOENT
    assert canary.read_answer(report).fault == "it names no file"


def test_a_link_in_the_place_of_the_canary_is_not_followed(root: Path, tmp_path: Path) -> None:
    """It could lead to any file of the node."""
    canary = NodeCanary(root)
    (tmp_path / "secret").write_text("secret")
    (root / canary.relative_path).unlink()
    (root / canary.relative_path).symlink_to(tmp_path / "secret")
    report = read_report(ReportRequest(root=str(root), canary=canary.relative_path), tmp_path)
    assert report.canary_text == ""
    assert report.canary_fault is not None


def test_an_answer_that_did_not_arrive_is_told(root: Path, tmp_path: Path) -> None:
    """The node has written it elsewhere; or it names a file of others."""
    canary = NodeCanary(root)
    report = read_report(ReportRequest(root=str(root), canary=canary.relative_path), tmp_path)
    assert canary.read_answer(report.model_copy(update={"answer_name": "answer-2"})).fault == "No such file or directory"
    assert canary.read_answer(report.model_copy(update={"answer_name": "../answer-1"})).fault == "it names no file"
    assert canary.read_answer(report).fault == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_the_owner_of_an_answer_is_told(root: Path, tmp_path: Path) -> None:
    """A share can map the users of a node to another one."""
    canary = NodeCanary(root)
    report = read_report(ReportRequest(root=str(root), canary=canary.relative_path), tmp_path)
    os.chown((root / canary.relative_path).parent / report.answer_name, 65534, 65534)
    assert canary.read_answer(report) == CanaryAnswer(owner=65534)


def test_a_work_folder_that_takes_no_file_is_reported(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is mounted read-only."""
    canary = NodeCanary(root)

    def refuse(path: str, text: str) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(node_report, "_write_canary", refuse)
    report = read_report(ReportRequest(root=str(root), canary=canary.relative_path), tmp_path)
    assert report.answer_fault is not None
    assert (report.answer_fault.reason, report.answer_name) == ("Read-only file system", "")
    assert report.canary_text == canary.text


def test_a_folder_of_inputs_that_is_missing_or_a_link_is_reported(root: Path, tmp_path: Path) -> None:
    """The folder of a stage can be a mount of its own that the node lacks."""
    (root / "elsewhere").symlink_to(tmp_path)
    (root / "inbox/hero.png").write_bytes(b"x")
    report = read_report(ReportRequest(root=str(root), inputs=("inbox", "gone", "elsewhere")), tmp_path)
    assert [(os.path.basename(fault.path), fault.errno) for fault in report.unreadable_inputs] == [
        ("gone", errno.ENOENT),
        ("elsewhere", errno.ENOTDIR),
    ]


def test_the_weights_are_reported_as_they_are_on_the_disk(models: ReportRequest, tmp_path: Path) -> None:
    """Files that differ from models.toml have their real hash. A model that is missing has its reason."""
    report = read_report(models, tmp_path)
    assert report.models["small"].hashes == {"small.onnx": hashlib.sha256(WEIGHTS).hexdigest()}
    assert report.models["absent"].missing == "absent.onnx is not there"
    assert report.models["unknown"].missing.startswith("There is no model called 'unknown'")
    (tmp_path / "weights/small.onnx").write_bytes(b"another")
    changed = read_report(models, tmp_path).models["small"]
    assert changed.hashes == {"small.onnx": hashlib.sha256(b"another").hexdigest()}
    assert changed.entry == report.models["small"].entry


def test_a_file_of_weights_is_read_once(models: ReportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its hash is noted in a file, also if the report ends too soon."""
    before = read_report(models, tmp_path)
    assert before.models["small"].hashes != {}
    monkeypatch.setattr(hash_notes, "_hash_open_file", lambda fd, path: pytest.fail(f"{path} was read again"))
    assert read_report(models, tmp_path).models == before.models


def test_the_entry_of_a_model_counts_without_its_place_and_its_words(models: ReportRequest, tmp_path: Path) -> None:
    """Another scale is another model."""
    entry = read_report(models, tmp_path).models["small"].entry
    (tmp_path / "models.toml").write_text(MODEL.replace('licence = "MIT"', 'licence = "MIT"\nabout = "a small one"'))
    assert read_report(models, tmp_path).models["small"].entry == entry
    (tmp_path / "models.toml").write_text(MODEL.replace("scale = 2", "scale = 4"))
    assert read_report(models, tmp_path).models["small"].entry != entry


def test_a_models_toml_that_cannot_be_read_is_reported(models: ReportRequest, tmp_path: Path) -> None:
    """The rest of the report is complete."""
    report = read_report(models.model_copy(update={"models_file": str(tmp_path / "gone.toml")}), tmp_path)
    assert "gone.toml" in report.models_fault
    assert report.models == {}
    assert report.root_fault is None


def test_the_hash_of_the_package_changes_with_any_of_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What only an installed package contains does not count, and no bytecode."""
    package = tmp_path / "goldsmith"
    (package / "ops").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "ops/grade.py").write_text("x = 1\n")
    monkeypatch.setattr(node_report.goldsmith, "__file__", str(package / "__init__.py"))
    first = package_hash()
    for name in ("shipped/config/models.toml", "ops/__pycache__/grade.cpython-311.pyc", "grade.pyc"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("x")
    assert package_hash() == first
    (package / "ops/grade.py").write_text("x = 2\n")
    second = package_hash()
    (package / "ops/grade.py").rename(package / "ops/graded.py")
    assert len({first, second, package_hash()}) == 3


def test_the_packages_that_are_compared_are_those_of_the_default_install() -> None:
    """A package that was renamed would be missing everywhere, and so be equal everywhere."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    required = {canonicalize_name(Requirement(each).name) for each in project["dependencies"]}
    assert {canonicalize_name(name) for name in PIXEL_PACKAGES} <= required


def test_a_report_that_hangs_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead mount blocks whoever looks at it. The program waits for ever for its input here."""
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    started: list[subprocess.Popen[bytes]] = []

    def start(_: list[str], **options: object) -> subprocess.Popen[bytes]:
        started.append(popen(command, **options))  # type: ignore[call-overload]
        return started[0]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    with pytest.raises(HostError, match=rf"did not report within 0\.05 s what it sees of {root}") as caught:
        run_node_report(ReportRequest(root=str(root)), seconds=0.05)
    assert "Check there that the share answers" in caught.value.remedy
    assert started[0].wait() < 0


def test_a_program_that_fails_is_told_with_its_reason(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may not know the request."""
    popen = subprocess.Popen
    command = [sys.executable, "-c", "raise SystemExit('no module named goldsmith.cluster')"]
    monkeypatch.setattr(subprocess, "Popen", lambda _, **options: popen(command, **options))
    with pytest.raises(HostError, match=r"could not report what it sees of .*: no module named goldsmith\.cluster"):
        run_node_report(ReportRequest(root=str(root)))


def test_the_program_gets_no_token_of_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs none."""
    environment = node_report._report_environment({"RAY_AUTH_TOKEN": "secret", "PATH": "/bin", "PYTHONPATH": "/share"})
    assert set(environment) - {"PYTHONPATH"} == {"PATH"}
    assert environment.get("PYTHONPATH") != "/share"


def test_no_model_and_no_decoder_is_imported() -> None:
    """The program starts in the time of a small one, and opens no file of strangers."""
    heavy = ["torch", "onnxruntime", "cv2", "imagecodecs", "tifffile", "PIL", "ray"]
    code = f"import sys, goldsmith.cluster.node_report, goldsmith.cluster.node_checks; print([n for n in {heavy!r} if n in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
