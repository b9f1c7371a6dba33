"""A flood of pictures in one campaign: how long single pictures elsewhere wait, what the flood costs, and whether the loop answers."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

import numpy as np

from bench.rig import Daemon, fresh_root, resident_mib
from bench.row import Row
from goldsmith.journal.journal import Journal

_BENCHMARK = "turns"
_FLOOD_SIZE = (1200, 900)
_EDIT = '[[edit]]\nop = "sharpen"\n'
# Folder, brief and stage of each single picture.
_SINGLES = (
    ("graded", '[[deliver]]\nop = "export"\nname = "web"\nformat = "jpeg"\n', "deliver"),
    ("selected/bolt", _EDIT, "edit"),
    ("inbox", '[[generate]]\nop = "select"\nkeep = 1\n', "generate"),
)
_PATIENCE = 1800.0
# Times that the flood alone and the flood beside single pictures are measured, in turn: so other work on the computer strikes both alike.
_ROUNDS = 4


def measure(place: Path, count: int = 20_000, seconds: float = 60.0) -> list[Row]:
    """Measure with ``count`` pictures in the queue; the flood's throughput over ``seconds`` each without and with single pictures."""
    root = fresh_root(place)
    flood = root / "selected" / "flood"
    flood.mkdir()
    (flood / "brief.toml").write_text(_EDIT)
    picture = _plain_picture(place / "picture.png")
    for number in range(count):
        shutil.copyfile(picture, flood / f"p{number:05d}.png")
    daemon = Daemon(root)
    try:
        began = time.monotonic()
        queued = _until_queued(daemon, place / "state", root, count)
        read_after = time.monotonic() - began
        memory = resident_mib(daemon.process.pid)
        delays, alone, beside = _measure_rounds(daemon, root, picture, seconds / _ROUNDS)
        longest = max(float(str(facts["seconds"])) for _, facts in daemon.events("committed"))
        left = len(_waiting(place / "state", root))
    finally:
        daemon.end()
    if not left:
        raise RuntimeError(f"the flood of {count} was over before the end; it was queued at {queued}")
    limit = 2 * longest + 1.0
    note = f"longest job {longest:.2f} s, {left} still queued"
    rows = [
        Row(_BENCHMARK, f"a picture in {folder}/ behind {count}: drop to start, longest of {_ROUNDS + 1}", max(own), "s", limit, note=note)
        for (folder, _, _), own in zip(_SINGLES, zip(*delays, strict=True), strict=True)
    ]
    share = 100 * (1 - beside / alone)
    rows.append(Row(_BENCHMARK, "loss of throughput beside single pictures", share, "%", 5.0, beside=f"alone: {alone:.1f} jobs/s"))
    rows.append(Row(_BENCHMARK, f"resident memory of the daemon, {queued} queued", memory, "MiB", 120.0))
    rows.append(Row(_BENCHMARK, "until all are queued", read_after, "s"))
    return [*rows, *_loop_answers(place / "copies", 2 if count < 20_000 else 8)]


def _measure_rounds(daemon: Daemon, root: Path, picture: Path, seconds: float) -> tuple[list[list[float]], float, float]:
    """Return the delays of the single pictures, a list each round, and the flood's commits a second without and with them.

    The first round starts worker processes and loads libraries, which happens once: only its delays count.
    """
    delays, alone, beside = [[_single_delay(daemon, root, picture, 0, *single) for single in _SINGLES]], [], []
    for number in range(1, _ROUNDS + 1):
        alone.append(_throughput(daemon, seconds))
        since = time.monotonic()
        delays.append([_single_delay(daemon, root, picture, number, *single) for single in _SINGLES])
        beside.append(_throughput(daemon, max(1.0, since + seconds - time.monotonic()), since))
    return delays, sum(alone) / _ROUNDS, sum(beside) / _ROUNDS


def _plain_picture(path: Path) -> Path:
    """Write a picture that is small as a file and takes its time to work on."""
    from goldsmith.picture.codec import EncodingOptions, encode
    from goldsmith.picture.picture import Picture, freeze

    pixels = np.full((_FLOOD_SIZE[1], _FLOOD_SIZE[0], 3), 0.5, np.float32)
    path.write_bytes(encode(Picture(pixels=freeze(pixels)), EncodingOptions(format="png")))
    return path


def _waiting(state_dir: Path, root: Path) -> list[str]:
    """Return the pictures that wait in a queue."""
    from goldsmith.journal.location import prepare_journal_folder

    with contextlib.closing(Journal.open(prepare_journal_folder(root, state_dir), read_only=True)) as journal:
        return [job.path for job in journal.active_jobs() if job.started_at is None]


def _until_queued(daemon: Daemon, state_dir: Path, root: Path, count: int) -> int:
    """Wait until every picture of the flood is queued or has started, and return how many are queued then."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        waiting = len(_waiting(state_dir, root))
        if waiting + sum(1 for _ in daemon.events("started")) >= count:
            return waiting
        time.sleep(0.5)
    raise RuntimeError(f"{waiting} of {count} pictures are queued after {_PATIENCE:.0f} s: {daemon.lines[-3:]}")


def _throughput(daemon: Daemon, seconds: float, since: float | None = None) -> float:
    """Return the commits a second from ``since`` (now by default) until ``seconds`` from now."""
    since = time.monotonic() if since is None else since
    time.sleep(seconds)
    moments = [moment for moment, _ in daemon.events("committed") if moment >= since]
    return len(moments) / (time.monotonic() - since)


def _single_delay(daemon: Daemon, root: Path, picture: Path, number: int, folder: str, brief: str, stage: str) -> float:
    """Drop a picture with its brief, and return the seconds until its work starts."""
    target = root / folder / f"single{number}.png"
    target.parent.mkdir(exist_ok=True)
    target.with_suffix(".toml").write_text(brief)
    shutil.copyfile(picture, target)
    dropped, path = time.monotonic(), str(target.relative_to(root))

    def starts() -> list[float]:
        return [moment for moment, facts in daemon.events("started") if (facts["picture"], facts["stage"]) == (path, stage)]

    if not daemon.wait_for(lambda _: bool(starts()), _PATIENCE):
        raise RuntimeError(f"{path} did not start: {daemon.lines[-3:]}")
    return starts()[0] - dropped


# ---------------------------------------------------------------------- the loop while files are copied


def _loop_answers(place: Path, files: int) -> list[Row]:
    """Measure the turns of the main loop while originals of 144 MB are copied to an archive on another filesystem.

    The archive is a folder of the same disk that answers like another filesystem. So nothing has to be mounted, and the copies are real.
    """
    from doubles.studio import Studio
    from doubles.two_disks import TwoDisks

    place.mkdir(parents=True)
    studio = Studio(place, quiet=0.2, cpu_workers=1)
    shape = (6000, 8000, 3)
    (studio.root / "inbox/big").mkdir()
    for number in range(files):
        _raw_tiff(studio.root / f"inbox/big/p{number}.tif", shape, number)
    (studio.root / "inbox/big/brief.toml").write_text("generate = []\nedit = []\n")
    disk = TwoDisks("archive")
    works = studio.start(disk)
    turns: list[float] = []
    copying = 0.0
    try:
        end = time.monotonic() + _PATIENCE
        while len(studio.events_of("committed", stage="generate")) < files and time.monotonic() < end:
            due = works.scheduler.seconds_until_due()
            works._poll.poll(1000 * min(0.05, 0.05 if due is None else due))
            began, is_copying = time.monotonic(), disk.is_copying
            works.scheduler.run_once()
            if is_copying:
                turns.append(time.monotonic() - began)
        copying = disk.copy_seconds
    finally:
        studio.stop()
    if not turns:
        raise RuntimeError(f"nothing was copied: {studio.report()}")
    beside = f"{copying:.1f} s of copying, {len(turns)} turns"
    return [Row(_BENCHMARK, f"longest turn of the loop while {files} x 144 MB are copied", 1000 * max(turns), "ms", 100.0, beside=beside)]


def _raw_tiff(path: Path, shape: tuple[int, int, int], number: int) -> None:
    """Write an uncompressed TIFF in rows of one colour."""
    from PIL import Image

    Image.fromarray(np.full(shape, number * 20 + 10, np.uint8)).save(path, compression=None)
    os.sync()
