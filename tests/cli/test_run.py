"""``goldsmith run`` with a tiny picture, and the output of the other commands afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.cli.init import make_root
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
def root_after_run(root: Path) -> Path:
    """Return a root with one delivered picture and one picture with a problem."""
    from PIL import Image

    Image.effect_noise((48, 32), 40).convert("RGB").save(root / "inbox" / "hero.png")
    (root / "inbox" / "hero.toml").write_text(BRIEF)
    Image.new("RGB", (8, 8)).save(root / "inbox" / "wrong.png")
    (root / "inbox" / "wrong.toml").write_text('[[generate]]\nop = "selct"\n')
    env = {**os.environ, "GOLDSMITH_QUIET": "0.1", "GOLDSMITH_BREATH": "0.05", "GOLDSMITH_GATHER": "0", "GOLDSMITH_CPU_WORKERS": "1"}
    command = [sys.executable, "-m", "goldsmith", "run", "--root", str(root), "--until-idle"]
    process = subprocess.run(command, capture_output=True, text=True, env=env, timeout=900, check=False)
    assert process.returncode == 0, process.stderr
    assert all(json.loads(line)["event"] for line in process.stderr.splitlines() if line.startswith("{"))
    return root


def test_all_commands_agree_about_a_run(goldsmith: Goldsmith, root_after_run: Path) -> None:
    """The commands are history, why, status, check and retry."""
    lines = [json.loads(line) for line in goldsmith("history", "--json", "-r", root_after_run).out.splitlines()]
    assert [(line["path"], line["stage"], line["outcome"]) for line in lines] == [
        ("inbox/hero.png", "generate", "passed"),
        ("selected/hero.png", "edit", "passed"),
        ("masked/hero.png", "grade", "passed"),
        ("graded/hero.png", "deliver", "delivered"),
    ]
    assert "delivered/hero_web.png" in lines[-1]["result"]
    assert len({line["sha256"] for line in lines}) == 1
    assert all(isinstance(line["seed"], int) and line["seconds"] >= 0 for line in lines)
    history = goldsmith("history", "delivered/hero_web.png", "--json", "-r", root_after_run).out.splitlines()
    assert [json.loads(line)["job_id"] for line in history] == [line["job_id"] for line in lines]
    assert "was made from inbox/hero.png" in goldsmith("why", "delivered/hero_web.png", "-r", root_after_run).out
    assert "It became selected/hero.png" in goldsmith("why", "inbox/hero.png", "-r", root_after_run).out

    note = (root_after_run / "inbox" / "wrong.png.problem.txt").read_text()
    sentence = goldsmith("why", "inbox/wrong.png", "-r", root_after_run).out
    assert sentence.partition(". Correct")[0] in note
    status = json.loads(goldsmith("status", "--json", "-r", root_after_run).out)
    assert [problem["path"] for problem in status["problems"]] == ["inbox/wrong.png"]
    assert {folder["folder"]: folder["pictures"] for folder in status["folders"]}["delivered"] == 1
    assert goldsmith("check", "inbox/wrong.png", "-r", root_after_run).code == 3
    assert goldsmith("retry", "wrong.png", "-r", root_after_run).code == 0
    assert not (root_after_run / "inbox" / "wrong.png.problem.txt").exists()


def test_a_second_daemon_is_refused(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 5, and the message names the process that holds the root."""
    with RootLock.acquire(root):
        result = goldsmith("run", "--root", root)
    assert result.code == 5
    assert f"Goldsmith is already running on {root} (process {os.getpid()} on " in result.err


def test_a_root_in_a_folder_of_another_does_not_start(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """It was made before the other one, or moved there. The exit code is 2, and nothing is created."""
    make_root(tmp_path / "moved")
    (tmp_path / "moved").rename(root / "inbox" / "moved")
    inner, outer = goldsmith("run", "--root", root / "inbox" / "moved"), goldsmith("run", "--root", root)
    assert (inner.code, outer.code) == (2, 2)
    assert f"{root}/inbox/moved lies in {root}/inbox, a folder of another root" in inner.err
    assert f"{root}/inbox/moved is a root of its own, in a folder of {root}" in outer.err
    assert not (tmp_path / "state").exists()


def test_a_configuration_with_errors_is_refused(goldsmith: Goldsmith, root: Path) -> None:
    """The exit code is 2, and the message lists every error."""
    (root / "config" / "goldsmith.toml").write_text('quite = 1\nsweep = "often"\n')
    result = goldsmith("run", "--root", root)
    assert result.code == 2
    assert "quite" in result.err
    assert "sweep" in result.err
