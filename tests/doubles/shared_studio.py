"""A share set up as the manual says, with the service and a designer as two users of one group."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from doubles import service_user, unit_filters
from doubles.commission import PIPELINE
from doubles.other_users import as_user
from doubles.studio import Daemon, Studio

SERVICE, DESIGNER, STUDIO = 5001, 5002, 7001
PYTHON_PATH = os.pathsep.join((str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
_MANUAL = Path(__file__).parents[2] / "docs" / "running.md"

T = TypeVar("T")


@contextlib.contextmanager
def shared_studio() -> Iterator[Studio]:
    """Yield a share in a folder that other users may enter. Only root can make it."""
    place = Path(tempfile.mkdtemp(prefix="goldsmith-share-"))
    place.chmod(0o755)
    studio = Studio(place)
    studio.write_pipeline(PIPELINE)
    studio.state_dir.mkdir()
    os.chown(studio.state_dir, SERVICE, SERVICE)
    _set_permissions(studio.root)
    yield studio
    shutil.rmtree(place)


def _set_permissions(root: Path) -> None:
    """Run the manual's own commands on a root."""
    (commands,) = re.findall(r"### Permissions\n.*?```\n(.*?)```", _MANUAL.read_text(), re.DOTALL)
    for name, value in (
        ("/srv/hotfolders", str(root)),
        ("goldsmith:", f"{SERVICE}:"),
        (":studio", f":{STUDIO}"),
    ):
        commands = commands.replace(name, value)
    subprocess.run(["bash", "-euc", commands], check=True)
    for file in (root / "config").iterdir():
        os.chown(file, 0, 0)


def run_service(
    studio: Studio, *words: str, unit: Path = unit_filters.UNIT, groups: tuple[int, ...] = (SERVICE, STUDIO), start_code: str = ""
) -> Daemon:
    """Start the daemon as the service's user, behind the unit's filters. ``start_code`` replaces ``-m goldsmith``."""
    environment = {"PYTHONPATH": PYTHON_PATH} | ({service_user.START_CODE: start_code} if start_code else {})
    return Daemon(studio, *words, program=service_user.program(SERVICE, groups, unit), **environment)


def run_command(studio: Studio, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the program as the service's user, and return its output."""
    return subprocess.run(
        [sys.executable, "-P", *service_user.program(SERVICE, (SERVICE, STUDIO)), *words],
        env={**os.environ, "PYTHONPATH": PYTHON_PATH, "GOLDSMITH_STATE_DIR": str(studio.state_dir), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def find_obstacle() -> str:
    """Return why tests with two users cannot run here; "" if they can."""
    return "only root can act as two users" if os.geteuid() != 0 else unit_filters.find_missing_tool()


def as_designer(work: Callable[[], T]) -> T:
    """Return what ``work`` returns as a member of the share's group whose new folders the group may write."""

    def with_umask() -> T:
        os.umask(0o007)
        return work()

    return as_user(DESIGNER, with_umask, groups=[STUDIO])


def drop(studio: Studio, files: dict[str, bytes]) -> None:
    """Write files as a designer."""

    def write() -> None:
        for path, data in files.items():
            studio.at(path).parent.mkdir(parents=True, exist_ok=True)
            studio.at(path).write_bytes(data)

    as_designer(write)
