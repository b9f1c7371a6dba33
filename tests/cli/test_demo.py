"""``goldsmith demo`` on a computer that cannot fetch weights."""

from __future__ import annotations

import json
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
    assert re.search(rf"In a browser: +goldsmith web --root {re.escape(str(root.relative_to(tmp_path)))}", result.out)
    assert "goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders" in result.out


def test_the_demo_of_a_review_picks_paints_and_delivers(goldsmith: Goldsmith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line says what happened, and names two sheets and a deliverable that are there; the record has the person's decisions."""
    monkeypatch.delenv("GOLDSMITH_STATE_DIR")
    monkeypatch.setenv("GOLDSMITH_QUIET", "0.3")
    result = goldsmith("demo", "--review", "--folder", "demo")
    assert result.code == 0, result.err
    line = result.out.strip().splitlines()[-1]
    assert line.startswith("Candidate 4 of 4 was picked, its mask was painted and approved, and it was delivered after ")
    files = [tmp_path / path for path in re.findall(r"demo/\S+?\.jpg", line)]
    assert [file.name for file in files] == [
        "astronaut.candidates.jpg",
        "astronaut_candidate004.review.jpg",
        "astronaut_candidate004_web.jpg",
    ]
    assert all(file.stat().st_size > 10_000 for file in files)
    manifest = json.loads((files[2].parent / "astronaut_candidate004.manifest.json").read_text())
    decisions = [stage["review"] for stage in manifest["stages"] if stage["stage"] == "review"]
    assert [(each["of"], [mask["painted"] for mask in each.get("masks", ())]) for each in decisions] == [("generate", []), ("edit", [True])]
    assert manifest["outside_mask"]["changed"] == 0
