"""Deliveries to replay: a studio that has delivered, copied for each test, and its manifest, which a test may edit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doubles.commission import PIPELINE, SELECT
from doubles.forked_workers import fork_worker, workers_from
from doubles.pictures import mask, png
from doubles.studio import HASTE, studio_at
from goldsmith.pipeline.replay.report import ReplayReport
from goldsmith.pipeline.workers.runner import SpawnWorker
from goldsmith.service.one_off import run_replay
from goldsmith.service.setup import Setup, load_setup

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
    """A root with a delivery."""

    def __init__(self, root: Path, manifest: str = MANIFEST) -> None:
        self.root = root
        self.manifest = manifest
        # Starts the worker processes of a replay.
        self.spawn: SpawnWorker = fork_worker

    def copied(self, place: Path) -> Delivery:
        """Return a copy in another place, which a test may change."""
        shutil.copytree(self.root, place / "root", symlinks=True)
        return Delivery(place / "root", self.manifest)

    def at(self, path: str) -> Path:
        return self.root / path

    def archived(self, path: str) -> Path:
        """Return the path of an input in the archive."""
        (match,) = self.root.glob(f"archive/*/{path}")
        return match

    @property
    def content(self) -> dict[str, Any]:
        fields = json.loads(self.at(self.manifest).read_bytes())
        assert isinstance(fields, dict)
        return fields

    def edit(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the manifest, as every person with write access to the share can."""
        content = self.content
        change(content)
        self.at(self.manifest).write_text(json.dumps(content))

    @property
    def setup(self) -> Setup:
        return load_setup(self.root, **HASTE)

    def again(self, keep: Path | None = None) -> ReplayReport:
        """Replay the delivery in worker processes of its own."""
        with workers_from(self.spawn):
            return run_replay(self.setup, self.at(self.manifest), lambda stage, fraction, note: None, keep)

    def file_states(self) -> dict[str, tuple[int, int, bytes]]:
        """Return the inode, the time and the bytes of every file in the root. A replay must not change them."""
        files = {}
        for above, _, names in os.walk(self.root):
            for name in names:
                path = os.path.join(above, name)
                status = os.lstat(path)
                files[path] = (status.st_ino, status.st_mtime_ns, Path(path).read_bytes())
        return files


def delivered(
    place: Path, files: dict[str, bytes | str], manifest: str, pipeline_toml: str = PIPELINE, spawn: SpawnWorker = fork_worker
) -> Delivery:
    """Run the daemon on these files until it is idle. ``spawn`` starts its worker processes, and those of the replays."""
    with studio_at(place) as studio:
        studio.spawn = spawn
        studio.write_pipeline(pipeline_toml)
        for path, data in files.items():
            studio.put(path, data)
        studio.until_idle()
        assert studio.at(manifest).exists(), studio.report()
    delivery = Delivery(studio.root, manifest)
    delivery.spawn = spawn
    return delivery


def hero(place: Path) -> Delivery:
    """Deliver a picture with a mask and a look from the library: from inbox/ to two deliverables."""
    files: dict[str, bytes | str] = {
        "library/looks/warm.cube": WARM,
        f"inbox/{CAMPAIGN}/hero.mask.png": mask(48, 32),
        f"inbox/{CAMPAIGN}/hero.toml": BRIEF,
        f"inbox/{CAMPAIGN}/hero.png": png(3, 48, 32),
    }
    return delivered(place, files, MANIFEST)
