"""``goldsmith demo``: a newcomer's first minute, here on a machine that no weights can be fetched to."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.engines.fetching.fetch import FetchFault


def _no_network(*_: object) -> None:
    raise FetchFault("migan_pipeline_v2.onnx could not be fetched.", "Check the network.")


def test_the_demo_delivers_and_says_what_and_where(goldsmith: Goldsmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without weights the engine that needs none does it, and it is said; all files are there; the next lines can be copied."""
    monkeypatch.delenv("GOLDSMITH_STATE_DIR")
    monkeypatch.setattr("goldsmith.engines.fetching.fetch.fetch", _no_network)
    told = goldsmith("demo", "--folder", "demo")
    assert told.code == 0, told.err
    assert "inpainting is done by patchmatch instead" in told.out
    (root,) = (tmp_path / "demo").glob("*/hotfolders")
    delivered = sorted(path.name for path in (root / "delivered").iterdir() if path.name != "README.txt")
    assert delivered == ["astronaut.manifest.json", "astronaut_print.jpg", "astronaut_web.avif"]
    assert all(re.search(rf"{re.escape(name)}  [\d.]+ [kM]B", told.out) for name in delivered)
    assert "Removed by patchmatch on cpu" in told.out
    assert re.search(r"Outside the mask 0 of \d+ pixels changed\.", told.out)
    assert [row[0] for row in told.rows if row[0] in ("generate", "edit", "grade", "deliver")] == ["generate", "edit", "grade", "deliver"]
    picture = re.search(r"Before and after, side by side: (.*)", told.out)
    assert picture is not None
    assert (tmp_path / picture[1]).stat().st_size > 10_000
    look = re.search(r"Look around: +(.*)", told.out)
    assert look is not None
    assert len(goldsmith(*shlex.split(look[1])[1:]).rows) == 5
    assert "goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders" in told.out
