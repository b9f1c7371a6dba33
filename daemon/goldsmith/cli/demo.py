"""``goldsmith demo``: one real picture through all the folders, with everything real."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.init import README, make_root
from goldsmith.cli.screen import bars, say, size_of, table
from goldsmith.errors import GoldsmithError, MachineFault
from goldsmith.files import shipped

if TYPE_CHECKING:
    from goldsmith.engines.registry.weights import Weights
    from goldsmith.service import Setup

_SAMPLE = "astronaut"
_MASKED = "the model of a space shuttle behind her"


@dataclass
class _Told:
    """What the daemon said while it worked."""

    began: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    sentence: str = ""

    def committed(self, facts: dict[str, object]) -> None:
        results = facts["results"]
        names = ", ".join(sorted(map(str, results))) if isinstance(results, list) else ""
        self.rows.append((str(facts["stage"]), f"{facts['seconds']:.1f} s", f"{time.monotonic() - self.began:.1f} s", names))


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where to make the folders of this run.")] = Path("demo"),
) -> None:
    """Run one real picture from inbox to delivered: an object erased by a neural inpainter, graded, exported twice.

    Example: goldsmith demo
    """
    from goldsmith.service import Service, set_up

    place = folder.absolute() / time.strftime("%Y-%m-%d_%H%M%S")
    root = place / "hotfolders"
    line = make_root(root)
    _stock(root)
    _keep_journal_in(place / "state", root)
    setup = set_up(root)
    _fetch_weights(setup.weights)
    _drop(root / line.folders[0])
    say(f"Dropped into {_near(root / line.folders[0])}/: {_SAMPLE}.png, its mask ({_MASKED}) and its brief.")
    say("The service takes it from here; two seconds go by until it is sure that nobody is still writing.")
    told = _Told()
    with bars([stage.name for stage in line.stages]) as advance:

        def heard(event: str, /, **facts: object) -> None:
            if event in ("started", "progress", "committed"):
                fraction = 1.0 if event == "committed" else min(0.99, float(str(facts.get("fraction", 0.0))))
                advance(str(facts["stage"]), fraction, "")
            if event == "committed":
                told.committed(facts)
            if event in ("held", "paused"):
                told.sentence = str(facts["sentence"])

        Service(lambda: setup, heard).run(until_idle=True)
    _report(setup, place, told)


def _keep_journal_in(state: Path, root: Path) -> None:
    """All of a demo lies in one folder; written into its configuration, so that the other commands find it as well."""
    with (root / "config" / "house.toml").open("a", encoding="utf-8") as house:
        house.write(f"\n# This demo keeps everything in one place.\nstate_dir = {json.dumps(str(state), ensure_ascii=False)}\n")


def _stock(root: Path) -> None:
    """The looks that the sample's brief names."""
    for look in shipped("samples", "library", "looks").iterdir():
        shutil.copy(look, root / "library" / "looks" / look.name)


def _drop(inbox: Path) -> None:
    for suffix in (".toml", ".mask.png", ".png"):
        shutil.copyfile(shipped("samples", _SAMPLE + suffix), inbox / (_SAMPLE + suffix))


def _fetch_weights(weights: Weights) -> None:
    """The default inpainter's weights, by hash; without them the weight-free one does the work, and it is said."""
    from goldsmith.engines import EngineNeed
    from goldsmith.engines.fetching.fetch import FetchFault, fetch

    name = weights.models.defaults.inpaint[0]
    if weights.available(name):
        say(f"The weights of the inpainter ({name}) are here already.")
        return
    say(f"Fetching the weights of the inpainter ({name}, {size_of(sum(file.size for file in weights.models.named(name).files))}) …")
    try:
        with bars([name]) as advance:
            fetch(weights, name, lambda done, total, note: advance(name, done / total if total else 0.0, note))
    except (FetchFault, MachineFault) as fault:
        choice = weights.choose(EngineNeed("inpaint"))
        say(f"{fault}\nThe weights could not be fetched: inpainting is done by {choice.name} instead, which needs none.")


def _report(setup: Setup, place: Path, told: _Told) -> None:
    root, last = setup.root, setup.line.last
    say()
    table(("stage", "work", "done after", "put down"), told.rows)
    delivered = sorted(path for path in (root / last).iterdir() if path.name != README)
    if not delivered:
        raise MachineFault(f"Nothing was delivered. {told.sentence}", f"Look into {root}.")
    for sentence in _done(setup):
        say(sentence)
    say()
    say(f"Delivered in {_near(root / last)}/:")
    for path in delivered:
        say(f"  {path.name}  {size_of(path.stat().st_size)}")
    say(f"Before and after, side by side: {_near(_before_after(place, delivered))}")
    say()
    say(f"Look around:       goldsmith history --root {shlex.quote(_near(root))}")
    say("Your own pictures: goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders")


def _done(setup: Setup) -> Iterator[str]:
    """What was done to the picture in the stage that worked under its mask, from the record."""
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.place import journal_path

    try:
        journal = Journal.open(journal_path(setup.root, setup.house.state_dir), read_only=True)
    except GoldsmithError:
        return  # the demo's result does not hang on its being told
    steps: list[Any] = [step for row in journal.history() for step in row.record.get("steps", [])]  # type: ignore[union-attr]
    journal.close()
    for step in steps:
        findings, engine = step["findings"], step["engine"] or {}
        if "outside_changed" in findings:
            by = f" by {engine['name']} on {engine.get('device', 'the CPU')}" if "name" in engine else ""
            yield f"Removed{by}: {_MASKED}."
            yield f"Outside the mask {findings['outside_changed']} of {findings['outside_pixels']} pixels changed."


def _near(path: Path) -> str:
    """The path as it is shortest from here."""
    near = os.path.relpath(path)
    return near if not near.startswith("..") else str(path)


def _before_after(place: Path, delivered: list[Path]) -> Path:
    """The original and the deliverable side by side, at the deliverable's size."""
    from PIL import Image

    picture = next(path for path in delivered if path.suffix in (".avif", ".jpg", ".jpeg", ".png"))
    after = Image.open(picture).convert("RGB")
    before = Image.open(shipped("samples", f"{_SAMPLE}.png")).convert("RGB").resize(after.size, Image.Resampling.LANCZOS)
    both = Image.new("RGB", (after.width * 2 + 16, after.height), "white")
    both.paste(before, (0, 0))
    both.paste(after, (after.width + 16, 0))
    path = place / "before-after.png"
    both.save(path)
    return path
