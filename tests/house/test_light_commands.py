"""The commands that people ask often import nothing heavy: what they import is most of the time that they take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from goldsmith.cli.init import make_root

# Modules that a look at the folders needs no more than a person does. asyncio and xml come with libraries for other work.
HEAVY = (
    *("numpy", "PIL", "cv2", "torch", "onnxruntime", "imagecodecs", "PyOpenColorIO", "pyvips", "scipy", "skimage"),
    *("rich", "structlog", "xml", "watchdog", "starlette", "uvicorn", "ray"),
    *("goldsmith.operation", "goldsmith.picture.picture", "goldsmith.worker"),
)
_PROGRAM = """
import json, sys
sys.argv = ["goldsmith", *sys.argv[1:]]
from goldsmith.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
print("\\n" + json.dumps([code or 0, sorted(sys.modules)]))
"""


@pytest.mark.parametrize("words", [("status",), ("why", "inbox/alone.png")])
def test_a_look_at_the_folders_imports_no_library_for_pixels_pages_or_tables(tmp_path: Path, words: tuple[str, ...]) -> None:
    """With a picture that has no brief, the operations are not imported either."""
    root = tmp_path / "root"
    make_root(root)
    (root / "inbox" / "alone.png").write_bytes(b"")

    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words, "--root", str(root)],
        env={"PATH": "/usr/bin:/bin", "GOLDSMITH_STATE_DIR": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    assert "goldsmith.pipeline.status.explain" in modules
    assert [name for name in HEAVY if name in modules] == []
