"""The wheel, as somebody installs it who has never seen the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the unpacked wheel, built without a network."""
    made = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(made),
        str(CHECKOUT),
    ]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = made.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(made / "site")
    return made / "site"


def goldsmith(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed package, away from the checkout."""
    env = {
        **os.environ,
        "PYTHONPATH": str(installed),
        "GOLDSMITH_STATE_DIR": str(cwd / "state"),
        "GOLDSMITH_QUIET": "0.3",
        "GOLDSMITH_GATHER": "0",
    }
    return subprocess.run([sys.executable, "-P", "-m", "goldsmith", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=900)


def test_the_installed_package_is_the_one_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """Nothing of the checkout is imported, so that what follows says something about the wheel."""
    code = "import goldsmith; print(goldsmith.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(installed / "goldsmith" / "__init__.py")


def test_an_installed_wheel_takes_a_picture_from_inbox_to_delivered(installed: Path, tmp_path: Path) -> None:
    """init, a picture with a brief, run: with the configuration that travels inside the wheel."""
    assert goldsmith(installed, tmp_path, "init", "hot").returncode == 0
    inbox = tmp_path / "hot" / "inbox"
    Image.new("RGB", (64, 48), (200, 120, 40)).save(inbox / "hero.png")
    (inbox / "hero.toml").write_text('[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n')
    ran = goldsmith(installed, tmp_path, "run", "--root", "hot", "--until-idle")
    assert ran.returncode == 0, ran.stderr
    delivered = {path.name for path in (tmp_path / "hot" / "delivered").iterdir()} - {"README.txt"}
    assert delivered == {"hero_web.jpg", "hero.manifest.json"}


def test_without_a_root_an_installed_command_asks_for_one(installed: Path, tmp_path: Path) -> None:
    """Outside a checkout there is no default root, and the sentence says how to name one."""
    ran = goldsmith(installed, tmp_path, "run")
    assert ran.returncode == 2
    assert "--root" in ran.stderr
