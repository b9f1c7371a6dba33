"""Deliveries to be done again: a studio that has delivered, copied for each test, and its manifest, which anybody may edit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doubles.commission import LINE, SELECT
from doubles.pictures import mask, png
from doubles.studio import HASTE, studio_at
from goldsmith.pipeline.replay.report import ReplayReport
from goldsmith.service import Setup, load_setup, run_replay

CAMPAIGN = "acme/spring"
MANIFEST = f"delivered/{CAMPAIGN}/hero.manifest.json"
WEB, PRINT = f"delivered/{CAMPAIGN}/hero_web.jpg", f"delivered/{CAMPAIGN}/hero_print.png"
WARM = "LUT_3D_SIZE 2\n" + "\n".join(f"{0.5 + r / 2} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)) + "\n"
COLD = "LUT_3D_SIZE 2\n" + "\n".join(f"{r / 2} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1)) + "\n"
BRIEF = f"""
title = "Spring hero"
prompt = "a desk"
seed = 7
{SELECT}
[[edit]]
op = "inpaint"
where = "mask"
model = "patchmatch"
[[edit]]
op = "sharpen"
[[grade]]
op = "grade"
look = "warm"
[[deliver]]
op = "export"
name = "web"
format = "jpeg"
[[deliver]]
op = "export"
name = "print"
"""


class Delivery:
    """A root where something was delivered."""

    def __init__(self, root: Path, manifest: str = MANIFEST) -> None:
        self.root = root
        self.manifest = manifest

    def copied(self, place: Path) -> Delivery:
        """The same in another place, to be done with as one likes."""
        shutil.copytree(self.root, place / "root", symlinks=True)
        return Delivery(place / "root", self.manifest)

    def at(self, path: str) -> Path:
        return self.root / path

    def archived(self, path: str) -> Path:
        """Where an input lies in the archive."""
        (found,) = self.root.glob(f"archive/*/{path}")
        return found

    @property
    def content(self) -> dict[str, Any]:
        found = json.loads(self.at(self.manifest).read_bytes())
        assert isinstance(found, dict)
        return found

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the manifest, as whoever may write to the share can."""
        content = self.content
        change(content)
        self.at(self.manifest).write_text(json.dumps(content))

    @property
    def setup(self) -> Setup:
        return load_setup(self.root, **HASTE)

    def again(self, keep: Path | None = None) -> ReplayReport:
        """Do it again, in lanes of their own."""
        return run_replay(self.setup, self.at(self.manifest), lambda stage, fraction, note: None, keep)

    def lies(self) -> dict[str, tuple[int, int, bytes]]:
        """Everything in the root, with inode, time and bytes: what must not change."""
        found = {}
        for above, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(above, name)
                status = os.lstat(path)
                found[path] = (status.st_ino, status.st_mtime_ns, Path(path).read_bytes())
        return found


def delivered(place: Path, files: dict[str, bytes | str], manifest: str, line: str = LINE) -> Delivery:
    """Run the daemon over these files until nothing more happens."""
    with studio_at(place) as studio:
        studio.line(line)
        for path, data in files.items():
            studio.put(path, data)
        studio.until_idle()
        assert studio.at(manifest).exists(), studio.report()
    return Delivery(studio.root, manifest)


def hero(place: Path) -> Delivery:
    """A picture with a mask and a look out of the library, all the way from inbox to two deliverables."""
    files: dict[str, bytes | str] = {
        "library/looks/warm.cube": WARM,
        f"inbox/{CAMPAIGN}/hero.mask.png": mask(48, 32),
        f"inbox/{CAMPAIGN}/hero.toml": BRIEF,
        f"inbox/{CAMPAIGN}/hero.png": png(3, 48, 32),
    }
    return delivered(place, files, MANIFEST)
