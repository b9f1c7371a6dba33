"""``goldsmith demo``: one real picture through all the folders, with everything real."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.init import make_root
from goldsmith.cli.screen import say, table, terminal
from goldsmith.engines.fetch import FetchFault
from goldsmith.errors import MachineFault
from goldsmith.files import shipped

_SAMPLE = "astronaut"


@dataclass
class _Told:
    """What the daemon said while it worked."""

    began: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    sentence: str = ""

    def committed(self, facts: dict[str, object]) -> None:
        results = facts["results"]
        names = ", ".join(map(str, results)) if isinstance(results, list) else ""
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
    setup = set_up(root, state_dir=place / "state")
    _fetch_weights(root, place)
    _drop(root / line.folders[0])
    say(f"Dropped {_SAMPLE}.png, its mask and its brief into {root / line.folders[0]}/. The service takes it from here.")
    told = _Told()
    with _bars([stage.name for stage in line.stages]) as advance:

        def heard(event: str, /, **facts: object) -> None:
            if event in ("started", "progress", "committed"):
                advance(str(facts["stage"]), 1.0 if event == "committed" else float(str(facts.get("fraction", 0.0))))
            if event == "committed":
                told.committed(facts)
            if event in ("held", "paused"):
                told.sentence = str(facts["sentence"])

        Service(lambda: setup, heard).run(until_idle=True)
    _report(place, root, line.last, told)


def _stock(root: Path) -> None:
    """The looks that the sample's brief names."""
    for look in shipped("samples", "library", "looks").iterdir():
        shutil.copy(look, root / "library" / "looks" / look.name)


def _drop(inbox: Path) -> None:
    for suffix in (".toml", ".mask.png", ".png"):
        shutil.copyfile(shipped("samples", _SAMPLE + suffix), inbox / (_SAMPLE + suffix))


def _fetch_weights(root: Path, place: Path) -> None:
    """The default inpainter's weights, by hash; without them the weight-free one does the work, and it is said."""
    from goldsmith.engines.fetch import fetch
    from goldsmith.service import set_up

    weights = set_up(root, state_dir=place / "state").weights
    name = weights.models.defaults.inpaint[0]
    if weights.available(name):
        say(f"The weights of {name} are here.")
        return
    say(f"Fetching the weights of {name} …")
    try:
        with _bars([name]) as advance:
            fetch(weights, name, lambda done, total, note: advance(name, done / total if total else 0.0))
    except (FetchFault, MachineFault) as fault:
        choice = weights.choose("inpaint", None)
        say(f"{fault}\nThe weights could not be fetched: inpainting is done by {choice.name} instead, which needs none.")


@contextmanager
def _bars(names: list[str]) -> Iterator[Callable[[str, float], None]]:
    """A progress bar for each name on a terminal; in a pipe, a line when one begins and ends."""
    if not terminal():
        yield _Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(TextColumn("{task.description:>10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn()) as bars:
        tasks = {name: bars.add_task(name, total=1.0, start=False) for name in names}

        def advance(name: str, fraction: float) -> None:
            bars.start_task(tasks[name])
            bars.update(tasks[name], completed=fraction)

        yield advance


class _Lines:
    """Progress for a pipe."""

    def __init__(self) -> None:
        self._said: set[tuple[str, bool]] = set()

    def __call__(self, name: str, fraction: float) -> None:
        whole = fraction >= 1.0
        if (name, whole) not in self._said:
            self._said.add((name, whole))
            say(f"{name}: {'done' if whole else 'working'}")


def _report(place: Path, root: Path, last: str, told: _Told) -> None:
    say()
    table(("stage", "work", "after", "put down"), told.rows)
    delivered = sorted(path for path in (root / last).iterdir() if path.name != "README.txt")
    if not delivered:
        raise MachineFault(f"Nothing was delivered. {told.sentence}", f"Look into {root}.")
    say(f"Delivered in {root / last}:")
    for path in delivered:
        say(f"  {path.name}  {path.stat().st_size / 1024:.0f} KB")
    say(f"Before and after: {_before_after(place, delivered)}")
    say("Your own pictures: goldsmith init ~/hotfolders && goldsmith run --root ~/hotfolders")


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
