"""Accelerators, as the driver and the kernel report them, without an import of torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from goldsmith.engines import devices as module
from goldsmith.engines.devices import Accelerator, DeviceScan, find_devices, run_command, torch_backend

TWO = """0, GPU-aaaa1111, NVIDIA L40S, 570.86.10, 46068, 45500
1, GPU-bbbb2222, NVIDIA RTX A4000, 570.86.10, 16376, [N/A]
"""
L40S = Accelerator("cuda:0", "NVIDIA L40S", "570.86.10", 46068, 45500)
A4000 = Accelerator("cuda:1", "NVIDIA RTX A4000", "570.86.10", 16376, 0)
INFORMATION = "Model: \t\t NVIDIA {}\nIRQ:   \t\t 123\nGPU UUID: \t GPU-{}\nVideo BIOS: \t 95.02\n"


def scan_devices(output: str | None, proc: Path = Path("/nowhere"), **environ: str) -> DeviceScan:
    """Return the scan for an output of nvidia-smi."""
    commands: list[Sequence[str]] = []

    def run(command: Sequence[str]) -> str | None:
        commands.append(command)
        return output

    result = find_devices(run, proc, environ)
    assert commands[0][0] == "nvidia-smi"
    return result


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a folder with the files of the kernel module for two GPUs."""
    for bus, title, uuid in (("0000:01:00.0", "L40S", "aaaa1111"), ("0000:41:00.0", "RTX A4000", "bbbb2222")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(INFORMATION.format(title, uuid))
    return tmp_path


def test_every_gpu_is_found_with_its_properties() -> None:
    """Check the names that torch uses; unknown values are 0."""
    assert scan_devices(TWO) == DeviceScan((L40S, A4000))


def test_without_a_driver_there_is_no_gpu() -> None:
    """Check a missing program, and a program that finds no devices."""
    assert scan_devices(None) == DeviceScan()
    assert scan_devices("No devices were found\n") == DeviceScan()


@pytest.mark.parametrize(
    ("mask", "titles"),
    [
        ("1", ["NVIDIA RTX A4000"]),
        ("1,0", ["NVIDIA RTX A4000", "NVIDIA L40S"]),
        ("GPU-bbbb", ["NVIDIA RTX A4000"]),
        ("0,7,1", ["NVIDIA L40S"]),
        ("0,0", ["NVIDIA L40S"]),
        ("-1", []),
        ("", []),
        ("MIG-1234", ["a part of a GPU (MIG)"]),
    ],
)
def test_only_visible_gpus_are_found(mask: str, titles: list[str]) -> None:
    """Check CUDA_VISIBLE_DEVICES with numbers and UUIDs, in its order, up to the first invalid entry."""
    devices = scan_devices(TWO, CUDA_VISIBLE_DEVICES=mask).devices
    assert [each.title for each in devices] == titles
    assert [each.name for each in devices] == [f"cuda:{number}" for number in range(len(titles))]


def test_gpus_are_found_if_the_driver_does_not_answer(proc: Path) -> None:
    """Check that the kernel lists them: with a warning if nvidia-smi hangs, without a warning if it is missing."""
    cards = (Accelerator("cuda:0", "NVIDIA L40S"), Accelerator("cuda:1", "NVIDIA RTX A4000"))
    assert scan_devices("", proc) == DeviceScan(cards, "nvidia-smi does not answer.")
    assert scan_devices(None, proc) == DeviceScan(cards)
    assert scan_devices(None, proc, CUDA_VISIBLE_DEVICES="GPU-bbbb2222").devices[0].title == "NVIDIA RTX A4000"


def test_a_hanging_program_is_abandoned_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check its empty output, and the output of programs that fail, succeed or are missing."""
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 0.05)
    assert run_command(["sleep", "60"]) == ""
    assert run_command(["false"]) == ""
    assert run_command(["echo", "here"]) == "here\n"
    assert run_command(["no-such-program-anywhere"]) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cuda: Optional[str] = None\nhip: Optional[str] = None\n", "cpu"),
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", "cuda"),
        ("cuda = '12.8'\nhip = None\n", "cuda"),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4.0'\n", "hip"),
    ],
)
def test_the_backend_of_torch_is_read_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str) -> None:
    """Check the version file of torch."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise ImportError('it was imported')")
    (tmp_path / "torch" / "version.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert torch_backend() == kind


def test_finding_devices_imports_no_torch() -> None:
    """Check that the daemon, which finds the devices, stays without torch."""
    code = (
        "import sys; from goldsmith.engines.devices import find_devices, torch_backend; find_devices(); torch_backend();"
        "print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
