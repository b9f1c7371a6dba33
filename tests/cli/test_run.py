"""``goldsmith run``, once for real with a tiny picture, and all that the other commands say of it afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.pipeline.commit.root_lock import RootLock

BRIEF = """
[[generate]]
op = "select"
[[deliver]]
op = "export"
name = "web"
format = "png"
"""


@pytest.fixture
def done(root: Path) -> Path:
    """A root in which one picture went all the way and another was found wanting."""
    from PIL import Image

    Image.effect_noise((48, 32), 40).convert("RGB").save(root / "inbox" / "hero.png")
    (root / "inbox" / "hero.toml").write_text(BRIEF)
    Image.new("RGB", (8, 8)).save(root / "inbox" / "wrong.png")
    (root / "inbox" / "wrong.toml").write_text('[[generate]]\nop = "selct"\n')
    env = {**os.environ, "GOLDSMITH_QUIET": "0.1", "GOLDSMITH_BREATH": "0.05", "GOLDSMITH_GATHER": "0", "GOLDSMITH_CPU_WORKERS": "1"}
    words = [sys.executable, "-m", "goldsmith", "run", "--root", str(root), "--until-idle"]
    ran = subprocess.run(words, capture_output=True, text=True, env=env, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert all(json.loads(line)["event"] for line in ran.stderr.splitlines() if line.startswith("{"))
    return root


def test_what_was_done_can_be_asked_for(goldsmith: Goldsmith, done: Path) -> None:
    """history, why, status, check and retry agree about one run."""
    lines = [json.loads(line) for line in goldsmith("history", "--json", "-r", done).out.splitlines()]
    assert [(line["path"], line["stage"], line["outcome"]) for line in lines] == [
        ("inbox/hero.png", "generate", "passed"),
        ("selected/hero.png", "edit", "passed"),
        ("masked/hero.png", "grade", "passed"),
        ("graded/hero.png", "deliver", "delivered"),
    ]
    assert "delivered/hero_web.png" in lines[-1]["result"]
    assert len({line["sha256"] for line in lines}) == 1
    assert all(isinstance(line["seed"], int) and line["seconds"] >= 0 for line in lines)
    whole = goldsmith("history", "delivered/hero_web.png", "--json", "-r", done).out.splitlines()
    assert [json.loads(line)["job_id"] for line in whole] == [line["job_id"] for line in lines]
    assert "was made of inbox/hero.png" in goldsmith("why", "delivered/hero_web.png", "-r", done).out
    assert "it became selected/hero.png" in goldsmith("why", "inbox/hero.png", "-r", done).out

    note = (done / "inbox" / "wrong.png.problem.txt").read_text()
    said = goldsmith("why", "inbox/wrong.png", "-r", done).out
    assert said.partition(";")[0] in note
    seen = json.loads(goldsmith("status", "--json", "-r", done).out)
    assert [problem["path"] for problem in seen["problems"]] == ["inbox/wrong.png"]
    assert {folder["folder"]: folder["pictures"] for folder in seen["folders"]}["delivered"] == 1
    assert goldsmith("check", "inbox/wrong.png", "-r", done).code == 3
    assert goldsmith("retry", "wrong.png", "-r", done).code == 0
    assert not (done / "inbox" / "wrong.png.problem.txt").exists()


def test_a_second_one_is_refused_with_a_sentence(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 5, and who holds the root."""
    with RootLock.acquire(root):
        told = goldsmith("run", "--root", root)
    assert told.code == 5
    assert f"Goldsmith is already running on {root} (process {os.getpid()} on " in told.err


def test_a_wrong_configuration_is_refused_wholly(goldsmith: Goldsmith, root: Path) -> None:
    """Exit code 2 with everything that is wrong, before any folder is touched."""
    (root / "config" / "goldsmith.toml").write_text('quite = 1\nsweep = "often"\n')
    told = goldsmith("run", "--root", root)
    assert told.code == 2
    assert "quite" in told.err
    assert "sweep" in told.err
