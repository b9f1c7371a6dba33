"""The wheel, installed without the checkout."""

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
    """Return a folder with the unpacked wheel, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
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
        str(folder),
        str(CHECKOUT),
    ]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_installs_the_manual_page(installed: Path) -> None:
    """pip puts it into share/man of the environment."""
    (page,) = installed.glob("*.data/data/share/man/man1/goldsmith.1")
    assert page.read_text() == (CHECKOUT / "docs/goldsmith.1").read_text()


def test_the_wheel_has_every_file_of_the_page(installed: Path) -> None:
    """Templates, scripts, styles and pictures: nothing is loaded from elsewhere."""
    folders = (installed / "goldsmith/web", CHECKOUT / "daemon/goldsmith/web")
    in_wheel, in_checkout = ({path.relative_to(each) for path in each.rglob("*.*") if path.suffix != ".pyc"} for each in folders)
    assert in_wheel == in_checkout
    assert Path("templates/base.html") in in_wheel


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
    """Nothing is imported from the checkout, so the other tests of this file test the wheel."""
    code = "import goldsmith; print(goldsmith.__file__)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    result = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(installed / "goldsmith" / "__init__.py")


def test_an_installed_wheel_takes_a_picture_from_inbox_to_delivered(installed: Path, tmp_path: Path) -> None:
    """Call ``init``, add a picture with a brief, and call ``run``, with the configuration inside the wheel."""
    assert goldsmith(installed, tmp_path, "init", "hot").returncode == 0
    inbox = tmp_path / "hot" / "inbox"
    Image.new("RGB", (64, 48), (200, 120, 40)).save(inbox / "hero.png")
    (inbox / "hero.toml").write_text('[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n')
    result = goldsmith(installed, tmp_path, "run", "--root", "hot", "--until-idle")
    assert result.returncode == 0, result.stderr
    delivered = {path.name for path in (tmp_path / "hot" / "delivered").iterdir()} - {"README.txt"}
    assert delivered == {"hero_web.jpg", "hero.manifest.json"}


def test_without_a_root_an_installed_command_asks_for_one(installed: Path, tmp_path: Path) -> None:
    """Outside a checkout there is no default root; the message names the option."""
    result = goldsmith(installed, tmp_path, "run")
    assert result.returncode == 2
    assert "--root" in result.stderr
