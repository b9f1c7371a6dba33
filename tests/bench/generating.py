"""Pictures from prompts through the real daemon, a worker and a real driver, beside the same pipeline in a bare loop in the same run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import sized
from bench.bare import PROMPT, LoopSettings, LoopTimes, bare
from bench.rig import Daemon, cpu_seconds, cpu_used, fresh_root
from bench.row import Row

# The most time that the daemon may add to a job.
OVERHEAD_MS = 30.0
# The least throughput of the daemon, as a share of the bare loop's.
THROUGHPUT = 0.98
_PATIENCE = 580.0
# The memory that the driver and other programs may use; less than any model of these sizes.
_BESIDE_MB = 3000


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a measurement.

    model: a folder with the family's weights. other: (family, folder) of a second model, to swap to. total_mb: the device's memory; 0 = all
    models fit at once. rounds: how often the queue is dropped; the quickest round counts. batch: pictures in one call of the bare loop, as
    many as the daemon may batch. edit: the size of the picture in which a hole is filled; None = none.
    """

    bench: str
    family: str
    model: Path
    device: str
    precision: str
    threads: int
    side: int
    steps: int
    guidance: float
    jobs: int
    bare_jobs: int
    batch: int
    memory_mb: int
    picture_mb: int
    other: tuple[str, Path] | None = None
    total_mb: int = 0
    edit: tuple[int, int] | None = None
    fills: int = 3
    rounds: int = 1


@dataclass(frozen=True, slots=True)
class DaemonTimes:
    """Seconds.

    wall: from the first start of a queued job to the last commit. busy: the share of ``wall`` in which the device was busy, 0..1. cpu: the
    processor time of the daemon and its workers in ``wall``. codec: to read and to write the files of ``edit``.
    """

    cold: float
    warm: float
    wall: float
    busy: float
    cpu: float
    swap: float = 0.0
    back: float = 0.0
    edit: float = 0.0
    codec: float = 0.0


def measure(plan: Plan, place: Path) -> list[Row]:
    """Measure the bare loop, the daemon, and on a CPU the bare loop again, so that other load affects both; the faster bare loop counts."""
    place.mkdir(parents=True, exist_ok=True)
    before = bare(_loop_settings(plan, place, plan.fills if plan.edit else 0))
    daemon = _time_daemon(plan, place / "studio")
    after = bare(_loop_settings(plan, place, 0)) if plan.device == "cpu" else before
    fastest = {batch: min(before.picture[batch], after.picture[batch]) for batch in before.picture}
    return [*_throughput(plan, daemon, before, fastest), *_single(plan, daemon, before)]


def note_of(loop: LoopTimes) -> str:
    return f"{1000 * loop.encode:.1f} ms of encoding and writing taken off; saving it as PNG costs the bare loop {1000 * loop.png:.1f} ms"


def _loop_settings(plan: Plan, place: Path, fills: int) -> LoopSettings:
    return LoopSettings(
        folder=str(plan.model),
        family=plan.family,
        device=plan.device,
        precision=plan.precision,
        threads=plan.threads,
        steps=plan.steps,
        guidance=plan.guidance,
        side=plan.side,
        jobs=plan.bare_jobs,
        batches=(1, plan.batch) if plan.batch > 1 else (1,),
        fills=fills,
        scratch=str(place),
    )


def _throughput(plan: Plan, daemon: DaemonTimes, loop: LoopTimes, loops: dict[int, float]) -> list[Row]:
    each = daemon.wall / plan.jobs
    rows = [
        Row(
            plan.bench,
            f"a picture, {plan.jobs} queued",
            1000 * each,
            "ms",
            1 / THROUGHPUT if batch == max(loops) and plan.device != "cpu" else None,
            beside=f"bare, {batch} a call" if plan.batch > 1 else "bare loop",
            peer=1000 * seconds,
            as_ratio=True,
        )
        for batch, seconds in loops.items()
    ]
    own = each - min(loops.values()) - loop.encode
    goal = OVERHEAD_MS if plan.device == "cpu" else None
    used, bare_cpu = daemon.cpu / plan.jobs, loop.cpu + loop.encode
    busy = "the device was busy" if plan.device != "cpu" else "the worker's threads were busy"
    return [
        *rows,
        Row(plan.bench, "the daemon's own time a job", 1000 * own, "ms", goal, note=note_of(loop)),
        Row(plan.bench, "processor time a job, daemon and worker", 1000 * used, "ms", beside="bare and encoding", peer=1000 * bare_cpu),
        Row(plan.bench, busy, 100 * daemon.busy, "%"),
    ]


def _single(plan: Plan, daemon: DaemonTimes, loop: LoopTimes) -> list[Row]:
    rows = [
        Row(plan.bench, "first picture, cold", daemon.cold, "s", beside="bare: load and draw", peer=loop.load + loop.first),
        Row(plan.bench, "first picture, warm", daemon.warm, "s", beside="bare", peer=loop.picture[1]),
    ]
    if plan.other is not None:
        kept = "one had to make room for the other" if plan.total_mb else "both stay in memory"
        rows.append(Row(plan.bench, f"the first picture of another model ({plan.other[0]})", daemon.swap, "s", note=kept))
        rows.append(Row(plan.bench, f"and of the one before it again ({plan.family})", daemon.back, "s", note=kept))
    if plan.edit is not None:
        size = f"{plan.edit[0] * plan.edit[1] / 1e6:.0f} MP"
        rest = daemon.edit - daemon.codec
        rows += [
            Row(
                plan.bench, f"a hole of 512 px in {size}", daemon.edit, "s", note=f"{daemon.codec:.2f} s of it to read and write the files"
            ),
            Row(plan.bench, "the same without reading and writing", rest, "s", beside="the crop, bare", peer=loop.fill),
        ]
    return rows


# ---------------------------------------------------------------------- the daemon


def _time_daemon(plan: Plan, place: Path) -> DaemonTimes:
    root = fresh_root(place)
    (root / "config" / "models.toml").write_text(_models(plan))
    device = '"auto"' if plan.device != "cpu" else '"cpu"'
    (root / "config" / "goldsmith.toml").write_text(
        f"devices = {device}\nthreads = {plan.threads}\ncpu_workers = 1\ntogether = {plan.batch}\n"
    )
    daemon = Daemon(root, level="debug")
    try:
        client = _Client(daemon, root, plan)
        cold, warm = client.picture("cold", "model"), client.picture("warm", "model")
        wall, busy, cpu = min(client.queue(number) for number in range(plan.rounds))
        edit, codec = client.edit(*plan.edit) if plan.edit is not None else (0.0, 0.0)
        swap = back = 0.0
        if plan.other is not None:
            client.picture("one", "one")
            swap, back = client.picture("two", "two"), client.picture("again", "one")
        return DaemonTimes(cold, warm, wall, busy, cpu, swap, back, edit, codec)
    finally:
        daemon.end()
        shutil.rmtree(place, ignore_errors=True)


def _models(plan: Plan) -> str:
    """Return a models.toml with the model, and two models to swap between.

    If one of the two must make room for the other, both entries claim nearly the whole memory of the device: the daemon measures the free
    memory, so the two never fit together.
    """
    crowded = plan.total_mb - plan.picture_mb - _BESIDE_MB if plan.total_mb else plan.memory_mb
    entries = [_entry(plan, "model", plan.family, plan.model, plan.memory_mb)]
    if plan.other is not None:
        entries += [_entry(plan, "one", plan.family, plan.model, crowded), _entry(plan, "two", *plan.other, crowded)]
    return '[defaults]\ninpaint = []\ninpaint_words = ["model"]\ngenerate = ["model"]\n' + "".join(entries)


def _entry(plan: Plan, name: str, family: str, folder: Path, memory_mb: int) -> str:
    return f"""
[models.{name}]
kind = "generate"
driver = "diffusers"
licence = "CC0-1.0"
folder = {json.dumps(str(folder))}
[models.{name}.diffusion]
family = "{family}"
can = ["text", "image", "inpaint"]
pixels = {plan.side**2}
multiple = 16
precision = "{plan.precision}"
steps = {plan.steps}
guidance = {plan.guidance}
memory_mb = {memory_mb}
picture_mb = {plan.picture_mb}
seconds = 600
"""


class _Client:
    """Drops assets into the daemon's folders and reads from the log when their work begins and ends."""

    def __init__(self, daemon: Daemon, root: Path, plan: Plan) -> None:
        self._daemon = daemon
        self._root = root
        self._plan = plan

    def picture(self, stem: str, model: str) -> float:
        """Return the seconds from the start of the work to the commit of a picture from a prompt."""
        self._brief(stem, model)
        began, ended = self._times([f"inbox/{stem}.toml"])
        return ended - began

    def queue(self, number: int) -> tuple[float, float, float]:
        """Return (seconds from the first start to the last commit, share in which the device was busy, processor seconds) of a queue."""
        stems = [f"queued{number}-{job:03}" for job in range(self._plan.jobs)]
        used = self._used()
        with _busy(self._daemon, self._plan) as busy:
            for stem in stems:
                self._brief(stem, "model")
            began, ended = self._times([f"inbox/{stem}.toml" for stem in stems])
        return ended - began, busy.share(began, ended), self._used() - used

    def _used(self) -> float:
        return sum(map(cpu_used, [self._daemon.process.pid, *self._daemon.children]))

    def edit(self, width: int, height: int) -> tuple[float, float]:
        """Return the least seconds for a hole of 512 px with a prompt in a picture of that size, and for its files alone."""
        from bench.hole import write_picture

        source_folder = self._root.parent / "aside"
        source_folder.mkdir(exist_ok=True)
        picture, mask = write_picture(source_folder, width, height)
        edit_seconds, codec_seconds = [], []
        for number in range(self._plan.fills):
            stem = self._root / "selected" / f"edit{number}"
            shutil.copy(source_folder / mask, f"{stem}.mask.png")
            Path(f"{stem}.toml").write_text(f'prompt = "{PROMPT}"\nseed = {number}\n[[edit]]\nop = "inpaint"\nprompt = "{PROMPT}"\n')
            shutil.copy(source_folder / picture, f"{stem}.png")
            began, ended = self._times([f"selected/edit{number}.png"])
            edit_seconds.append(ended - began)
            codec_seconds.append(sum(_codec(source_folder / picture, source_folder / mask)))
        return min(edit_seconds), min(codec_seconds)

    def _brief(self, stem: str, model: str) -> None:
        seed = sum(map(ord, stem))
        brief = f'prompt = "{PROMPT}"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "{model}"\n'
        (self._root / "inbox" / f"{stem}.toml").write_text(brief)

    def _times(self, pictures: list[str]) -> tuple[float, float]:
        """Return the moments of the first start and of the last commit of these pictures."""
        expected = set(pictures)

        def done(_: object) -> bool:
            notes = [self._root / f"{picture}.problem.txt" for picture in pictures]
            committed = {str(facts["picture"]) for _, facts in self._daemon.events("committed")}
            return any(note.exists() for note in notes) or expected <= committed

        if not self._daemon.wait_for(done, _PATIENCE):
            raise RuntimeError(f"not within {_PATIENCE:.0f} s: {self._daemon.lines[-3:]}")
        for picture in pictures:
            note = self._root / f"{picture}.problem.txt"
            if note.exists():
                raise RuntimeError(note.read_text().splitlines()[0])
        began = min(moment for moment, facts in self._daemon.events("progress") if facts["picture"] in expected)
        ended = max(moment for moment, facts in self._daemon.events("committed") if facts["picture"] in expected)
        return began, ended


def _codec(picture: Path, mask: Path) -> tuple[float, float]:
    """Return the seconds to read, hash and decode both files and release the memory, and to encode, hash and durably write the picture."""
    from goldsmith.picture.codec import EncodingOptions, decode, decode_mask, encode

    limit = 200_000_000
    written = picture.with_suffix(".out")
    written.unlink(missing_ok=True)
    began = time.perf_counter()
    files = [path.read_bytes() for path in (picture, mask)]
    for data in files:
        hashlib.sha256(data).hexdigest()
    pictures = [decode(files[0], picture.name, limit), decode_mask(files[1], mask.name, limit)]
    del files, data, pictures
    decoded = time.perf_counter() - began
    result = decode(picture.read_bytes(), picture.name, limit)
    began = time.perf_counter()
    data = encode(result, EncodingOptions(format="png", depth=result.depth))
    hashlib.sha256(data).hexdigest()
    with open(written, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return decoded, time.perf_counter() - began


# ---------------------------------------------------------------------- the load of the device


class _Samples:
    """Samples of the load: (moment, 0..1)."""

    def __init__(self) -> None:
        self.values: list[tuple[float, float]] = []

    def share(self, began: float, ended: float) -> float:
        within = [share for moment, share in self.values if began <= moment <= ended]
        return sum(within) / len(within) if within else 0.0


@contextlib.contextmanager
def _busy(daemon: Daemon, plan: Plan) -> Iterator[_Samples]:
    samples = _Samples()
    over = threading.Event()
    watch = _watch_cpu if plan.device == "cpu" else _watch_gpu
    thread = threading.Thread(target=watch, args=(samples, over, daemon, plan), daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join(5)


def _watch_cpu(samples: _Samples, over: threading.Event, daemon: Daemon, plan: Plan) -> None:
    """Sample the CPU time of the worker processes, as a share of the time of their threads."""
    moment, used = time.monotonic(), sum(map(cpu_seconds, daemon.children))
    while not over.wait(0.2):
        now, spent = time.monotonic(), sum(map(cpu_seconds, daemon.children))
        samples.values.append((now, min(1.0, (spent - used) / (now - moment) / plan.threads)))
        moment, used = now, spent


def _watch_gpu(samples: _Samples, over: threading.Event, daemon: Daemon, plan: Plan) -> None:
    """Sample the driver's figure: the share of the last moments in which a kernel ran."""
    number = plan.device.partition(":")[2] or "0"
    command = ["nvidia-smi", "-i", number, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            with contextlib.suppress(ValueError):
                samples.values.append((time.monotonic(), float(line) / 100))
            if over.is_set():
                break
        driver.kill()


# ---------------------------------------------------------------------- on the CPU


def on_cpu(place: Path, jobs: int = 32, edit: tuple[int, int] = (6000, 4000)) -> list[Row]:
    """Measure the whole table with tiny models, so that the daemon's own cost remains."""
    models = place / "models"
    plan = Plan(
        bench="worker",
        family="sdxl",
        model=sized.write_once("sdxl", models / "sdxl", ""),
        device="cpu",
        precision="float32",
        threads=1,
        side=64,
        steps=2,
        guidance=2.0,
        jobs=jobs,
        bare_jobs=jobs,
        batch=1,
        memory_mb=8,
        picture_mb=8,
        other=("flux", sized.write_once("flux", models / "flux", "")),
        edit=edit,
        rounds=3,
    )
    return measure(plan, place)
