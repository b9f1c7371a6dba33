"""The command ``goldsmith demo``: one real picture through the whole pipeline, with the real service."""

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
from goldsmith.cli.output import format_size, print_table, print_text, progress_bars
from goldsmith.cli.review_demo import run_review_demo
from goldsmith.errors import GoldsmithError, HostError
from goldsmith.files import resource_path

if TYPE_CHECKING:
    from goldsmith.engines.registry.weights_registry import WeightsRegistry
    from goldsmith.service.setup import Setup

_SAMPLE = "astronaut"
_MASKED_OBJECT = "the model of a space shuttle behind her"


@dataclass
class _DemoLog:
    """The events of the daemon that the demo reports."""

    started_at: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    sentence: str = ""

    def add_committed(self, facts: dict[str, object]) -> None:
        """Add a row for a committed job."""
        results = facts["results"]
        names = ", ".join(sorted(map(str, results))) if isinstance(results, list) else ""
        self.rows.append((str(facts["stage"]), f"{facts['seconds']:.1f} s", f"{time.monotonic() - self.started_at:.1f} s", names))


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where to create the folders of this run.")] = Path("demo"),
    review: Annotated[bool, typer.Option("--review", help="Show a review: candidates to pick from, and a mask to approve.")] = False,
) -> None:
    """Process one real picture from inbox to delivered: erase an object with a neural inpainter, grade, export twice.

    With --review, candidates and a mask wait in review/ on the way, and the demo decides about them as a person does.

    Example: goldsmith demo
    """
    from goldsmith.service.service import Service
    from goldsmith.service.setup import load_setup

    demo_folder = folder.absolute() / time.strftime("%Y-%m-%d_%H%M%S")
    root = demo_folder / "hotfolders"
    pipeline = make_root(root)
    _set_state_dir(demo_folder / "state", root)
    if review:
        run_review_demo(root, lambda: load_setup(root), _display_path)
        return
    _copy_looks(root)
    setup = load_setup(root)
    _fetch_weights(setup.weights)
    _drop_sample(root / pipeline.folders[0])
    print_text(f"Dropped into {_display_path(root / pipeline.folders[0])}/: {_SAMPLE}.png, its mask ({_MASKED_OBJECT}) and its brief.")
    print_text("The service waits two seconds, until it is sure that nobody is still writing the files.")
    log = _DemoLog()
    with progress_bars([stage.name for stage in pipeline.stages]) as advance:

        def on_event(event: str, /, **facts: object) -> None:
            if event in ("started", "progress", "committed"):
                fraction = 1.0 if event == "committed" else min(0.99, float(str(facts.get("fraction", 0.0))))
                advance(str(facts["stage"]), fraction, "")
            if event == "committed":
                log.add_committed(facts)
            if event in ("held", "paused"):
                log.sentence = str(facts["sentence"])

        Service(lambda: setup, on_event).run(until_idle=True)
    _print_report(setup, demo_folder, log)


def _set_state_dir(state: Path, root: Path) -> None:
    """Write the journal's folder into the settings, so that the other commands find the journal too."""
    with (root / "config" / "goldsmith.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n# This demo keeps all its files in one folder.\nstate_dir = {json.dumps(str(state), ensure_ascii=False)}\n")


def _copy_looks(root: Path) -> None:
    """Copy the looks that the sample's brief names."""
    for look in resource_path("samples", "library", "looks").iterdir():
        shutil.copy(look, root / "library" / "looks" / look.name)


def _drop_sample(inbox: Path) -> None:
    for suffix in (".toml", ".mask.png", ".png"):
        shutil.copyfile(resource_path("samples", _SAMPLE + suffix), inbox / (_SAMPLE + suffix))


def _fetch_weights(weights: WeightsRegistry) -> None:
    """Fetch the default inpainter's weights. If that fails, say which inpainter without weights works instead."""
    from goldsmith.engines.fetching.fetch import FetchFault, fetch
    from goldsmith.engines.kinds import INPAINTER
    from goldsmith.engines.protocols import EngineNeed

    name = weights.models.defaults.candidates(EngineNeed(INPAINTER))[0]
    if weights.is_available(name):
        print_text(f"The weights of the inpainter ({name}) are present.")
        return
    print_text(
        f"Fetching the weights of the inpainter ({name}, {format_size(sum(file.size for file in weights.models.get(name).files))}) …"
    )
    try:
        with progress_bars([name]) as advance:
            fetch(weights, name, lambda done, total, note: advance(name, done / total if total else 0.0, note))
    except (FetchFault, HostError) as error:
        choice = weights.choose(EngineNeed(INPAINTER))
        print_text(f"{error}\nThe weights could not be fetched. The demo inpaints with {choice.name} instead, which needs no weights.")


def _print_report(setup: Setup, folder: Path, log: _DemoLog) -> None:
    root, final_folder = setup.root, setup.pipeline.final_folder
    print_text()
    print_table(("stage", "work", "done after", "results"), log.rows)
    delivered = sorted(path for path in (root / final_folder).iterdir() if path.name != README)
    if not delivered:
        raise HostError(f"Nothing was delivered. {log.sentence}", f"Check {root}.")
    for sentence in _result_sentences(setup):
        print_text(sentence)
    print_text()
    print_text(f"Delivered in {_display_path(root / final_folder)}/:")
    for path in delivered:
        print_text(f"  {path.name}  {format_size(path.stat().st_size)}")
    print_text(f"Before and after, side by side: {_display_path(_save_comparison(folder, delivered))}")
    print_text()
    print_text(f"In a browser:      goldsmith web --root {shlex.quote(_display_path(root))}")
    print_text(f"History:           goldsmith history --root {shlex.quote(_display_path(root))}")
    print_text("Your own pictures: goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders")


def _result_sentences(setup: Setup) -> Iterator[str]:
    """Yield sentences about the step that worked under the mask, from the journal."""
    from goldsmith.journal.journal import Journal
    from goldsmith.journal.location import journal_path

    try:
        journal = Journal.open(journal_path(setup.root, setup.settings.state_dir), read_only=True)
    except GoldsmithError:
        return  # the delivery is complete without these sentences
    steps: list[Any] = [step for row in journal.history() for step in row.record.get("steps", [])]  # type: ignore[union-attr]
    journal.close()
    for step in steps:
        findings, engine = step["findings"], step["engine"] or {}
        if "outside_changed" in findings:
            engine_phrase = f" by {engine['name']} on {engine.get('device', 'the CPU')}" if "name" in engine else ""
            yield f"Removed{engine_phrase}: {_MASKED_OBJECT}."
            yield f"Outside the mask {findings['outside_changed']} of {findings['outside_pixels']} pixels changed."


def _display_path(path: Path) -> str:
    """Return the path relative to the working directory if it is inside, else the absolute path."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)


def _save_comparison(folder: Path, delivered: list[Path]) -> Path:
    """Save the original and the deliverable side by side, at the deliverable's size. Return the path."""
    from PIL import Image

    picture = next(path for path in delivered if path.suffix in (".avif", ".jpg", ".jpeg", ".png"))
    after = Image.open(picture).convert("RGB")
    before = Image.open(resource_path("samples", f"{_SAMPLE}.png")).convert("RGB").resize(after.size, Image.Resampling.LANCZOS)
    comparison = Image.new("RGB", (after.width * 2 + 16, after.height), "white")
    comparison.paste(before, (0, 0))
    comparison.paste(after, (after.width + 16, 0))
    path = folder / "before-after.png"
    comparison.save(path)
    return path
