"""``make audit`` finds every change of an installed package, also one that covers itself up."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import py_compile
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import audit
from wheel_pins import Wheel, WheelPin, digest_wheel, format_wheel_pins, read_wheel_pins

SCRIPT = Path(__file__).parents[2] / ".ci" / "audit.py"
CODE = b"def paint():\n    return 'red'\n"


def make_wheel(folder: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> Path:
    """Write a wheel with a script as entry point, and return its path."""
    info = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: not this\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:paint\n".encode(),
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in members.items()
    ]
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, data in members.items():
            archive.writestr(path, data)
        archive.writestr(f"{info}/RECORD", "".join(rows) + f"{info}/RECORD,,\n")
    return wheel


def install(wheel: Path, environment: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Install a wheel with pip into another environment, without a network."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--prefix", str(environment)]
    command.append("--ignore-installed")  # otherwise pip removes a package of that name from the environment of these tests
    return subprocess.run([*command, *options, str(wheel)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Wheel]:
    """Return an environment with the package ``brush`` as pip installs it, and its wheel."""
    folder = tmp_path_factory.mktemp("original")
    wheel = make_wheel(folder, "brush", {"brush/__init__.py": CODE, "brush/hairs.py": CODE, "brush-1.0.data/data/share/brush.1": b"manual"})
    result = install(wheel, folder / "env")
    assert result.returncode == 0, result.stderr
    return folder / "env", digest_wheel(wheel)


@pytest.fixture
def site(original: tuple[Path, Wheel], tmp_path: Path) -> Path:
    """Return the site-packages of a copy of the environment."""
    subprocess.run(["cp", "--archive", str(original[0]), str(tmp_path / "env")], check=True)
    (site,) = (tmp_path / "env").glob("lib/python3*/site-packages")
    return site


@pytest.fixture
def find_faults(original: tuple[Path, Wheel], site: Path) -> Callable[[], dict[str, str]]:
    """Return a function that audits the copy and returns the faults by subject."""
    pins = {"brush": WheelPin("brush", "1.0", (original[1],))}
    return lambda: {verdict.subject: verdict.fault for verdict in audit.audit(site, pins) if verdict.fault}


def _write_record(site: Path, changed: str, data: bytes) -> None:
    """Put a file's hash into the package's list of files, as somebody would who covers up a change."""
    record = site / "brush-1.0.dist-info" / "RECORD"
    row = f"{changed},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
    rows = [line for line in record.read_text().splitlines() if not line.startswith(f"{changed},")]
    record.write_text("\n".join([*rows, row]) + "\n")


def test_what_pip_installed_from_a_pinned_wheel_is_in_order(original: tuple[Path, Wheel], site: Path) -> None:
    """Check a package with a script, data and bytecode, which pip writes itself."""
    assert list(site.rglob("*.pyc"))
    pins = {"brush": WheelPin("brush", "1.0", (Wheel("other.whl", "0" * 64, "0" * 64), original[1]))}
    assert audit.audit(site, pins) == [audit.Verdict("brush 1.0", remark="brush-1.0-py3-none-any.whl")]


def test_a_changed_file_is_found(site: Path, find_faults: Callable[[], dict[str, str]]) -> None:
    """The fault names the file."""
    (site / "brush" / "hairs.py").write_bytes(CODE.replace(b"red", b"ink"))
    assert find_faults()["brush 1.0"] == "its files are those of no pinned wheel: brush/hairs.py was changed"


def test_a_change_that_is_covered_up_is_found(site: Path, find_faults: Callable[[], dict[str, str]]) -> None:
    """The package's own list has the hash of the changed file."""
    changed = CODE.replace(b"red", b"ink")
    (site / "brush" / "hairs.py").write_bytes(changed)
    _write_record(site, "brush/hairs.py", changed)
    assert "changed together with the list of files" in find_faults()["brush 1.0"]


@pytest.mark.parametrize("is_listed", [False, True])
def test_an_added_file_is_found(site: Path, find_faults: Callable[[], dict[str, str]], *, is_listed: bool) -> None:
    """Check a file of paths, which Python runs at every start, with and without an entry in a package's list."""
    (site / "brush.pth").write_bytes(b"import os\n")
    if is_listed:
        _write_record(site, "brush.pth", b"import os\n")
    assert set(find_faults()) == ({"brush 1.0"} if is_listed else {"brush.pth"})


def test_a_removed_file_is_found(site: Path, find_faults: Callable[[], dict[str, str]]) -> None:
    """The fault names the file."""
    (site / "brush" / "hairs.py").unlink()
    assert "brush/hairs.py was changed" in find_faults()["brush 1.0"]


def test_changed_bytecode_is_found(site: Path, tmp_path: Path, find_faults: Callable[[], dict[str, str]]) -> None:
    """Check bytecode with the time and size of its source, which Python runs instead of the source."""
    source = site / "brush" / "hairs.py"
    bytecode = Path(importlib.util.cache_from_source(str(source)))
    other = tmp_path / "hairs.py"
    other.write_bytes(CODE.replace(b"red", b"ink"))
    os.utime(other, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    py_compile.compile(str(other), str(bytecode), doraise=True)
    assert find_faults() == {f"brush/__pycache__/{bytecode.name}": "this bytecode is not that of its source"}


@pytest.mark.parametrize("damage", ["stale", "truncated"])
def test_bytecode_that_python_does_not_run_is_no_fault(site: Path, find_faults: Callable[[], dict[str, str]], damage: str) -> None:
    """Check bytecode of an earlier source, which Python compiles again, and bytecode that breaks off, which ends the program."""
    bytecode = Path(importlib.util.cache_from_source(str(site / "brush" / "hairs.py")))
    data = bytecode.read_bytes()
    bytecode.write_bytes(data[:8] + bytes(8) + data[16:] if damage == "stale" else data[:20])
    assert bool(find_faults()) == (damage == "truncated")


def test_other_versions_and_unknown_packages_are_found(site: Path, tmp_path: Path, original: tuple[Path, Wheel]) -> None:
    """Check a package of another version than the pin, and one without a pin."""
    assert install(make_wheel(tmp_path, "easel", {"easel.py": CODE}), tmp_path / "env").returncode == 0
    verdicts = audit.audit(site, {"brush": WheelPin("brush", "2.0", (original[1],))})
    assert {verdict.subject: verdict.fault for verdict in verdicts} == {
        "brush 1.0": "the pinned version is 2.0",
        "easel 1.0": "this package is not pinned",
    }


def test_torch_is_not_compared_but_its_own_list_must_fit(site: Path, tmp_path: Path, original: tuple[Path, Wheel]) -> None:
    """The build of torch is the user's choice; a changed file of it is still found. The tests' own torch stays."""
    own = metadata.version("torch")
    assert install(make_wheel(tmp_path, "torch", {"torch/__init__.py": CODE}), tmp_path / "env").returncode == 0
    pins = {"brush": WheelPin("brush", "1.0", (original[1],))}
    assert metadata.version("torch") == own
    assert audit.Verdict("torch 1.0", "", "not compared: its build is your choice") in audit.audit(site, pins)
    (site / "torch" / "__init__.py").write_bytes(b"")
    faults = [verdict.fault for verdict in audit.audit(site, pins) if verdict.fault]
    assert "torch/__init__.py differs from the package's own list of files" in faults


def test_the_command_has_an_exit_code_and_runs_nothing_of_the_environment(site: Path, tmp_path: Path) -> None:
    """Check the command line of the Makefile with an environment whose start-up file would write a file."""
    (site / "evil.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    command = [sys.executable, "-E", "-s", "-S", str(SCRIPT), str(tmp_path / "env")]
    result = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(site)})
    assert result.returncode == 1
    assert result.stdout.splitlines() == [
        "brush 1.0: this package is not pinned",
        "evil.pth: this file belongs to no installed package",
        "0 packages are exactly the pinned wheels; 2 differences.",
    ]
    assert not (tmp_path / "ran").exists()
    assert subprocess.run([*command[:-1], str(tmp_path)], capture_output=True).returncode == 2


def test_pip_reads_the_pins_and_refuses_another_wheel(tmp_path: Path, original: tuple[Path, Wheel]) -> None:
    """Check ``--require-hashes`` with the wheel and with a wheel of the same name and other content."""
    requirements = tmp_path / "wheels.txt"
    pin = WheelPin("brush", "1.0", (original[1], Wheel("brush-1.0-cp311-cp311-linux_x86_64.whl", "1" * 64, "2" * 64)))
    requirements.write_text("# A heading.\n\n" + format_wheel_pins([pin, WheelPin("easel", "2.0", pin.wheels[1:])]))
    assert read_wheel_pins([requirements])["brush"] == pin
    requirements.write_text(format_wheel_pins([pin]))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--require-hashes", "--prefix"]
    for folder, expected in ((original[0].parent, 0), (tmp_path, 1)):
        if expected:
            make_wheel(folder, "brush", {"brush/__init__.py": b"other"})
        options = [str(tmp_path / "target"), "--ignore-installed", "--find-links", str(folder), "--requirement", str(requirements)]
        result = subprocess.run([*command, *options], capture_output=True, text=True, env={**os.environ, "PIP_FIND_LINKS": ""})
        assert result.returncode == expected, result.stderr
    assert "DO NOT MATCH THE HASHES" in result.stderr
