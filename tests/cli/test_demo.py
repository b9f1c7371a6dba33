"""``goldsmith demo`` on a computer that cannot fetch weights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.engines.fetching.fetch import FetchFault


def _no_network(*_: object) -> None:
    raise FetchFault("migan_pipeline_v2.onnx could not be fetched.", "Check the network.")


def test_the_demo_delivers_without_weights(goldsmith: Goldsmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output names the inpainter that is used instead, all files, and the next commands, which can be copied."""
    monkeypatch.delenv("GOLDSMITH_STATE_DIR")
    monkeypatch.setattr("goldsmith.engines.fetching.fetch.fetch", _no_network)
    result = goldsmith("demo", "--folder", "demo")
    assert result.code == 0, result.err
    assert "The demo inpaints with patchmatch instead" in result.out
    (root,) = (tmp_path / "demo").glob("*/hotfolders")
    delivered = sorted(path.name for path in (root / "delivered").iterdir() if path.name != "README.txt")
    assert delivered == ["astronaut.manifest.json", "astronaut_print.jpg", "astronaut_web.avif"]
    assert all(re.search(rf"{re.escape(name)}  [\d.]+ [kM]B", result.out) for name in delivered)
    assert "Removed by patchmatch on cpu" in result.out
    assert re.search(r"Outside the mask 0 of \d+ pixels changed\.", result.out)
    assert [row[0] for row in result.rows if row[0] in ("generate", "edit", "grade", "deliver")] == ["generate", "edit", "grade", "deliver"]
    picture = re.search(r"Before and after, side by side: (.*)", result.out)
    assert picture is not None
    assert (tmp_path / picture[1]).stat().st_size > 10_000
    history = re.search(r"History: +(.*)", result.out)
    assert history is not None
    assert len(goldsmith(*shlex.split(history[1])[1:]).rows) == 5
    assert "goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders" in result.out
