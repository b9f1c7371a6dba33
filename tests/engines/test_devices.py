"""What there is to compute on, by what the driver's program and the kernel say; torch is never imported for it."""

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


def ask(told: str | None, proc: Path = Path("/nowhere"), **environ: str) -> DeviceScan:
    asked: list[Sequence[str]] = []

    def say(command: Sequence[str]) -> str | None:
        asked.append(command)
        return told

    seen = find_devices(say, proc, environ)
    assert asked[0][0] == "nvidia-smi"
    return seen


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    for bus, title, uuid in (("0000:01:00.0", "L40S", "aaaa1111"), ("0000:41:00.0", "RTX A4000", "bbbb2222")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "information").write_text(INFORMATION.format(title, uuid))
    return tmp_path


def test_every_gpu_is_found_with_what_is_known_of_it() -> None:
    """Named as torch names it; what the driver does not tell is 0."""
    assert ask(TWO) == DeviceScan((L40S, A4000))


def test_no_driver_no_gpu() -> None:
    """The program is not there, or says that it found nothing."""
    assert ask(None) == DeviceScan()
    assert ask("No devices were found\n") == DeviceScan()


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
def test_what_is_hidden_from_programs_is_hidden_from_workers(mask: str, titles: list[str]) -> None:
    """CUDA_VISIBLE_DEVICES: numbers or uuids, renumbered in their order; the first that means nothing ends the list."""
    found = ask(TWO, CUDA_VISIBLE_DEVICES=mask).devices
    assert [each.title for each in found] == titles
    assert [each.name for each in found] == [f"cuda:{number}" for number in range(len(titles))]


def test_a_driver_that_does_not_answer_still_has_its_cards(proc: Path) -> None:
    """The kernel shows them, and it is told; without the driver's program that is no trouble."""
    cards = (Accelerator("cuda:0", "NVIDIA L40S"), Accelerator("cuda:1", "NVIDIA RTX A4000"))
    assert ask("", proc) == DeviceScan(cards, "nvidia-smi does not answer.")
    assert ask(None, proc) == DeviceScan(cards)
    assert ask(None, proc, CUDA_VISIBLE_DEVICES="GPU-bbbb2222").devices[0].title == "NVIDIA RTX A4000"


def test_a_program_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for its end: one that hangs in the driver has none."""
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
def test_what_torch_was_built_for_is_read_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str) -> None:
    """From its own version file."""
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
