"""Pictures from words through the real daemon, a worker and a real driver, beside the same pipeline in a bare loop in the same run."""

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
from bench.bare import PROMPT, Asked, Told, bare
from bench.rig import Daemon, cpu_seconds, cpu_used, fresh_root
from bench.row import Row

# The goal for all that the daemon adds to a job.
OVERHEAD_MS = 30.0
# The goal: so much of the bare loop's.
THROUGHPUT = 0.98
_PATIENCE = 580.0
# What a device's driver and others may hold; less than any model of these sizes.
_BESIDE_MB = 3000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    model: a folder with the family's weights; other: (family, folder) of a second model, to swap to. total_mb: the device's memory, 0 = no
    model need make room for another. rounds: the queue is dropped so often, and the quickest counts. batch: pictures in one call of the
    bare loop, as many as the daemon may put together. edit: the size of the picture in which a hole is filled; None = none.
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
class Served:
    """Seconds.

    wall: from the first of the queued jobs that begins to the last commit; busy: the device's share of that, 0..1; cpu: what the daemon
    and its workers used of the processor meanwhile. codec: to read and to write the files of ``edit``.
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
    """Bare, daemon, and bare once more: what else goes on in the machine falls on both; of the two bare loops the faster counts."""
    place.mkdir(parents=True, exist_ok=True)
    before = bare(_asked(plan, place, plan.fills if plan.edit else 0))
    served = _served(plan, place / "studio")
    after = bare(_asked(plan, place, 0)) if plan.device == "cpu" else before
    alone = {batch: min(before.picture[batch], after.picture[batch]) for batch in before.picture}
    return [*_throughput(plan, served, before, alone), *_single(plan, served, before)]


def note_of(alone: Told) -> str:
    return f"{1000 * alone.encode:.1f} ms of encoding and writing taken off; saving it as PNG costs the bare loop {1000 * alone.png:.1f} ms"


def _asked(plan: Plan, place: Path, fills: int) -> Asked:
    return Asked(
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


def _throughput(plan: Plan, served: Served, alone: Told, loops: dict[int, float]) -> list[Row]:
    each = served.wall / plan.jobs
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
    own = each - min(loops.values()) - alone.encode
    goal = OVERHEAD_MS if plan.device == "cpu" else None
    used, bare_cpu = served.cpu / plan.jobs, alone.cpu + alone.encode
    busy = "the device was busy" if plan.device != "cpu" else "the worker's threads were busy"
    return [
        *rows,
        Row(plan.bench, "the daemon's own time a job", 1000 * own, "ms", goal, note=note_of(alone)),
        Row(plan.bench, "processor time a job, daemon and worker", 1000 * used, "ms", beside="bare and encoding", peer=1000 * bare_cpu),
        Row(plan.bench, busy, 100 * served.busy, "%"),
    ]


def _single(plan: Plan, served: Served, alone: Told) -> list[Row]:
    rows = [
        Row(plan.bench, "first picture, cold", served.cold, "s", beside="bare: load and draw", peer=alone.load + alone.first),
        Row(plan.bench, "first picture, warm", served.warm, "s", beside="bare", peer=alone.picture[1]),
    ]
    if plan.other is not None:
        kept = "one had to make room for the other" if plan.total_mb else "both stay in memory"
        rows.append(Row(plan.bench, f"the first picture of another model ({plan.other[0]})", served.swap, "s", note=kept))
        rows.append(Row(plan.bench, f"and of the one before it again ({plan.family})", served.back, "s", note=kept))
    if plan.edit is not None:
        size = f"{plan.edit[0] * plan.edit[1] / 1e6:.0f} MP"
        rest = served.edit - served.codec
        rows += [
            Row(
                plan.bench, f"a hole of 512 px in {size}", served.edit, "s", note=f"{served.codec:.2f} s of it to read and write the files"
            ),
            Row(plan.bench, "the same without reading and writing", rest, "s", beside="the crop, bare", peer=alone.fill),
        ]
    return rows


# ---------------------------------------------------------------------- the daemon


def _served(plan: Plan, place: Path) -> Served:
    root = fresh_root(place)
    (root / "config" / "models.toml").write_text(_models(plan))
    device = '"auto"' if plan.device != "cpu" else '"cpu"'
    (root / "config" / "goldsmith.toml").write_text(
        f"devices = {device}\nthreads = {plan.threads}\ncpu_workers = 1\ntogether = {plan.batch}\n"
    )
    daemon = Daemon(root, level="debug")
    try:
        talk = _Talk(daemon, root, plan)
        cold, warm = talk.picture("cold", "model"), talk.picture("warm", "model")
        wall, busy, cpu = min(talk.queue(number) for number in range(plan.rounds))
        edit, codec = talk.edit(*plan.edit) if plan.edit is not None else (0.0, 0.0)
        swap = back = 0.0
        if plan.other is not None:
            talk.picture("one", "one")
            swap, back = talk.picture("two", "two"), talk.picture("again", "one")
        return Served(cold, warm, wall, busy, cpu, swap, back, edit, codec)
    finally:
        daemon.end()
        shutil.rmtree(place, ignore_errors=True)


def _models(plan: Plan) -> str:
    """A models.toml with the model, and two between which is swapped. Where one is to make room for the other, both are written down as
    nearly as large as the device: what is free is measured, and so there is never enough beside the other."""
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


class _Talk:
    """Drops things into the daemon's folders and listens for when they begin and end."""

    def __init__(self, daemon: Daemon, root: Path, plan: Plan) -> None:
        self._daemon = daemon
        self._root = root
        self._plan = plan

    def picture(self, stem: str, model: str) -> float:
        """Seconds from the beginning of the work to the commit of one picture from words."""
        self._brief(stem, model)
        began, ended = self._times([f"inbox/{stem}.toml"])
        return ended - began

    def queue(self, number: int) -> tuple[float, float, float]:
        """(seconds from the first to begin to the last commit, the share of them in which the device was busy, processor seconds)."""
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
        """The least of several: seconds for a hole of 512 px with words in a picture of that size, and for its files alone."""
        from bench.hole import _picture

        aside = self._root.parent / "aside"
        aside.mkdir(exist_ok=True)
        picture, mask = _picture(aside, width, height)
        taken, codec = [], []
        for number in range(self._plan.fills):
            stem = self._root / "selected" / f"edit{number}"
            shutil.copy(aside / mask, f"{stem}.mask.png")
            Path(f"{stem}.toml").write_text(f'prompt = "{PROMPT}"\nseed = {number}\n[[edit]]\nop = "inpaint"\nprompt = "{PROMPT}"\n')
            shutil.copy(aside / picture, f"{stem}.png")
            began, ended = self._times([f"selected/edit{number}.png"])
            taken.append(ended - began)
            codec.append(sum(_codec(aside / picture, aside / mask)))
        return min(taken), min(codec)

    def _brief(self, stem: str, model: str) -> None:
        seed = sum(map(ord, stem))
        brief = f'prompt = "{PROMPT}"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "{model}"\n'
        (self._root / "inbox" / f"{stem}.toml").write_text(brief)

    def _times(self, pictures: list[str]) -> tuple[float, float]:
        """When the first of them began and the last of them was put down."""
        wanted = set(pictures)

        def done(heard: object) -> bool:
            notes = [self._root / f"{picture}.problem.txt" for picture in pictures]
            return any(note.exists() for note in notes) or wanted <= {str(told["picture"]) for _, told in self._daemon.events("committed")}

        if not self._daemon.wait_for(done, _PATIENCE):
            raise RuntimeError(f"not within {_PATIENCE:.0f} s: {self._daemon.heard[-3:]}")
        for picture in pictures:
            note = self._root / f"{picture}.problem.txt"
            if note.exists():
                raise RuntimeError(note.read_text().splitlines()[0])
        began = min(moment for moment, told in self._daemon.events("progress") if told["picture"] in wanted)
        ended = max(moment for moment, told in self._daemon.events("committed") if told["picture"] in wanted)
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


# ---------------------------------------------------------------------- how busy


class _Samples:
    """(moment, 0..1) as time goes by."""

    def __init__(self) -> None:
        self.taken: list[tuple[float, float]] = []

    def share(self, began: float, ended: float) -> float:
        within = [share for moment, share in self.taken if began <= moment <= ended]
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
    """The CPU time of the worker processes beside what their threads could have had."""
    moment, used = time.monotonic(), sum(map(cpu_seconds, daemon.children))
    while not over.wait(0.2):
        now, spent = time.monotonic(), sum(map(cpu_seconds, daemon.children))
        samples.taken.append((now, min(1.0, (spent - used) / (now - moment) / plan.threads)))
        moment, used = now, spent


def _watch_gpu(samples: _Samples, over: threading.Event, daemon: Daemon, plan: Plan) -> None:
    """What the driver says: the share of the last moments in which any kernel ran."""
    number = plan.device.partition(":")[2] or "0"
    asked = ["nvidia-smi", "-i", number, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "100"]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        for line in driver.stdout:
            with contextlib.suppress(ValueError):
                samples.taken.append((time.monotonic(), float(line) / 100))
            if over.is_set():
                break
        driver.kill()


# ---------------------------------------------------------------------- on the CPU


def on_cpu(place: Path, jobs: int = 32, edit: tuple[int, int] = (6000, 4000)) -> list[Row]:
    """The whole table with tiny models, so that what is left is what the daemon itself costs."""
    models = place / "models"
    plan = Plan(
        bench="worker",
        family="sdxl",
        model=sized.written("sdxl", models / "sdxl", ""),
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
        other=("flux", sized.written("flux", models / "flux", "")),
        edit=edit,
        rounds=3,
    )
    return measure(plan, place)
