"""No library that runs models reports to its maker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.nets import swap_net

CHECKOUT = Path(__file__).parents[2]
IMPORTS_RUNTIME = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)


def _run_in_new_home(code: str, home: Path) -> list[Path]:
    """Run Python code without this process's environment, and return what it left in its home folder."""
    home.mkdir()
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(CHECKOUT / "daemon"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    subprocess.run([sys.executable, "-P", "-c", code], env=environment, check=True, capture_output=True, text=True)
    return sorted(home.rglob("*"))


def test_running_an_onnx_model_leaves_nothing_in_the_cache_folder(tmp_path: Path) -> None:
    """Check a driver's session in a process that has no environment but its folders."""
    net = swap_net(tmp_path / "net.onnx", 64, (1, 3, 48, 48))
    code = f"""
import numpy as np
from pathlib import Path
from goldsmith.engines.drivers._onnx import open_session
session = open_session(Path({str(net)!r}), 1)
session.run(None, {{each.name: np.zeros(each.shape, np.float32) for each in session.get_inputs()}})
"""
    assert _run_in_new_home(code, tmp_path / "home") == []


def test_no_importable_runtime_reports_its_use(tmp_path: Path) -> None:
    """Check that onnxruntime and huggingface_hub, imported after the engines, leave no file and have telemetry switched off."""
    code = (
        "import goldsmith.engines, onnxruntime, huggingface_hub.constants as hub; "
        "assert hub.HF_HUB_DISABLE_TELEMETRY, 'huggingface_hub has telemetry switched on'"
    )
    assert _run_in_new_home(code, tmp_path / "home") == []


@pytest.mark.parametrize("folder", ["daemon", "tests"])
def test_only_the_engines_import_onnxruntime(folder: str) -> None:
    """Check every module, because the switch is set when ``goldsmith.engines`` is imported."""
    engines = CHECKOUT / "daemon" / "goldsmith" / "engines"
    outside = [path for path in sorted((CHECKOUT / folder).rglob("*.py")) if not path.is_relative_to(engines)]
    assert [str(path) for path in outside if path != Path(__file__) and IMPORTS_RUNTIME.search(path.read_text())] == []
