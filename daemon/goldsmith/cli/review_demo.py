"""The demo of a review: candidates and a mask wait in review/, and a script does what a person does with the mouse and a brush."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from goldsmith.cli.output import print_text, progress_bars
from goldsmith.errors import HostError
from goldsmith.files import resource_path

if TYPE_CHECKING:
    from goldsmith.service.setup import Setup

_STEM = "astronaut"
_CANDIDATES, _PICKED = 4, 4
_MODEL = "demo-tints"
# A generator without weights: it mixes each candidate with another tint, so that there is something to pick.
_MODEL_ENTRY = f"""
[models.{_MODEL}]
kind = "generate"
driver = "null"
licence = "CC0-1.0"
about = "for this demo: mixes the picture with a tint, and needs no weights"
[models.{_MODEL}.diffusion]
family = "null"
can = ["text", "image"]
pixels = 262144
multiple = 16
steps = 1
guidance = 0
memory_mb = 10
picture_mb = 1
"""
# The first region is only roughly where the model of a space shuttle stands, so that there is something to paint.
_BRIEF = f"""\
title = "A portrait that waits for your eye"
seed = 11
review = ["edit.mask"]

[[generate]]
op = "regenerate"
model = "{_MODEL}"
candidates = {_CANDIDATES}
strength = 0.18
[[generate]]
op = "select"
ask = true

[[edit]]
op = "erase"
where = "right & top"

[[deliver]]
op = "export"
name = "web"
format = "jpeg"
"""


def run_review_demo(root: Path, load_setup: Callable[[], Setup], show: Callable[[Path], str]) -> None:
    """Let four candidates and a mask wait in review/ below ``root``, and decide about them as a person does.

    ``show`` returns a path as a person reads it. Raises HostError if nothing was delivered.
    """
    # Imported here because it is slow, and every command imports this module.
    from goldsmith.brief.pipeline import APPROVE, REVIEW_FOLDER

    started = time.monotonic()
    with (root / "config" / "models.toml").open("a", encoding="utf-8") as models:
        models.write(_MODEL_ENTRY)
    setup = load_setup()
    inbox = root / setup.pipeline.folders[0]
    (inbox / f"{_STEM}.toml").write_text(_BRIEF, encoding="utf-8")
    shutil.copyfile(resource_path("samples", f"{_STEM}.png"), inbox / f"{_STEM}.png")
    print_text(
        f"Dropped into {show(inbox)}/: {_STEM}.png and its brief, which asks for {_CANDIDATES} candidates and for a look at the mask."
    )

    review, approve = root / REVIEW_FOLDER, root / REVIEW_FOLDER / APPROVE
    picked = f"{_STEM}_candidate{_PICKED:03d}"
    _run_until_idle(setup, review / f"{picked}.png")
    sheet = _keep(review / f"{_STEM}.candidates.jpg", root.parent)
    print_text(f"{_CANDIDATES} candidates wait in {show(review)}/ with their sheet. The demo drags {picked}.png into {show(approve)}/.")
    os.rename(review / f"{picked}.png", approve / f"{picked}.png")

    _run_until_idle(setup, review / f"{picked}.mask.png")
    mask_sheet = _keep(review / f"{picked}.review.jpg", root.parent)
    print_text("The mask of the erase step waits, before the step runs. The demo paints it anew and drags the picture into the tray.")
    shutil.copyfile(resource_path("samples", f"{_STEM}.mask.png"), review / f"{picked}.mask.png")
    os.rename(review / f"{picked}.png", approve / f"{picked}.png")

    delivered = root / setup.pipeline.final_folder / f"{picked}_web.jpg"
    _run_until_idle(setup, delivered)
    print_text()
    print_text(
        f"Candidate {_PICKED} of {_CANDIDATES} was picked, its mask was painted and approved, and it was delivered after "
        f"{time.monotonic() - started:.0f} s: look at {show(sheet)}, {show(mask_sheet)} and {show(delivered)}."
    )


def _run_until_idle(setup: Setup, expected: Path) -> None:
    """Run the service until nothing is left to do. Raises HostError if the expected file is not there then."""
    from goldsmith.service.service import Service

    sentences: list[str] = []
    stages = [stage.name for stage in setup.pipeline.stages]
    with progress_bars(stages) as advance:

        def on_event(event: str, /, **facts: object) -> None:
            if event in ("started", "progress", "committed") and facts.get("stage") in stages:
                fraction = 1.0 if event == "committed" else min(0.99, float(str(facts.get("fraction", 0.0))))
                advance(str(facts["stage"]), fraction, "")
            if event in ("held", "paused"):
                sentences.append(str(facts["sentence"]))

        Service(lambda: setup, on_event).run(until_idle=True)
    if not expected.is_file():
        raise HostError(f"{expected.name} was not made. {' '.join(sentences[-1:])}".rstrip(), f"Check {expected.parent}.")


def _keep(sheet: Path, folder: Path) -> Path:
    """Copy a sheet to where it stays when its pictures have gone on. Return the path of the copy."""
    return Path(shutil.copyfile(sheet, folder / sheet.name))
