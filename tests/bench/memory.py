"""The peak memory of a worker process on a picture of 100 megapixels, by step, beside the memory that the steps state."""

from __future__ import annotations

import os
import select
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.row import Row

_BENCHMARK = "memory"
_SIZE = (11600, 8700)
_EVERY = 0.02
Steps = tuple[dict[str, Any], ...]
_GRADE = {"op": "grade", "slope": [1.05, 1.0, 0.97], "exposure": 0.3, "vignette": {"amount": 20}, "grain": {"amount": 20}}
_EXPORTS = tuple({"op": "export", "name": word, "format": word} for word in ("jpeg", "avif", "tiff"))
_INKS = {"op": "export", "format": "jpeg", "cmyk": "press", "grey": "black", "coverage": 300, "soft_proof": "paper"}
_CASES: dict[str, tuple[str, Steps]] = {
    "JPEG, nothing asked": ("hero.jpg", ()),
    "JPEG, select": ("hero.jpg", ({"op": "select"},)),
    "JPEG, grade": ("hero.jpg", (_GRADE,)),
    "JPEG, resize to 95 %": ("hero.jpg", ({"op": "resize", "percent": 95},)),
    "JPEG, sharpen": ("hero.jpg", ({"op": "sharpen"},)),
    "JPEG, denoise": ("hero.jpg", ({"op": "denoise"},)),
    "JPEG, erase a hole of 512 px": ("hero.jpg", ({"op": "erase", "where": "mask"},)),
    "JPEG, grade, resize, sharpen, three exports": (
        "hero.jpg",
        (_GRADE, {"op": "resize", "size": [3840, 2160]}, {"op": "sharpen"}, *_EXPORTS),
    ),
    "JPEG, the same at its own size": ("hero.jpg", (_GRADE, {"op": "sharpen"}, *_EXPORTS)),
    "JPEG, haze laid over it": ("hero.jpg", ({"op": "composite", "layers": [{"element": "haze", "opacity": 0.5}]},)),
    "JPEG, text": ("hero.jpg", ({"op": "text", "string": "GOLD"},)),
    "JPEG, correct": ("hero.jpg", ({"op": "correct"},)),
    "JPEG, cut out by a region": (
        "hero.jpg",
        ({"op": "cutout", "where": "box(0.2, 0.1, 0.6, 0.8)", "max_unsure": 1, "max_holes": 1, "max_cut": 1},),
    ),
    "JPEG, inks with greys in black and a proof": ("hero.jpg", (_INKS,)),
    "PNG with alpha, sharpen": ("alpha.png", ({"op": "sharpen"},)),
    "TIFF of 16 bits, grade": ("deep.tif", (_GRADE,)),
}


def measure(place: Path, size: tuple[int, int] = _SIZE) -> list[Row]:
    """Measure each case in a new worker process, started as the daemon starts it, whose memory limit is the stated memory."""
    place.mkdir(parents=True, exist_ok=True)
    _pictures(place, *size)
    rows = []
    for name, (picture, steps) in _CASES.items():
        resident, data, seconds, stated, fault = _run(place, picture, steps, size)
        rows.append(
            Row(
                _BENCHMARK,
                f"{size[0] * size[1] / 1e6:.0f} MP, {name}",
                resident / 2**20,
                "MiB",
                target=1.0,
                as_ratio=True,
                beside="stated",
                peer=stated / 2**20,
                note=fault or f"{resident / (size[0] * size[1]):.1f} bytes a pixel; {data / 2**20:.0f} MiB laid out; {seconds:.0f} s",
            )
        )
    return rows


def _run(place: Path, picture: str, steps: Steps, size: tuple[int, int]) -> tuple[int, int, float, int, str]:
    """Return the peaks of resident and of data memory in bytes, the seconds, the stated bytes, and the fault or ""."""
    from goldsmith.files import FileSignature
    from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
    from goldsmith.ops import catalogue
    from goldsmith.picture.memory_budget import BYTES_PER_PIXEL, OVERHEAD_BYTES

    def job_input(role: Any, name: str) -> JobInput:
        return JobInput(role=role, name="mask" if role == "mask" else "", path=name, sig=FileSignature.from_stat(os.stat(place / name)))

    step_settings = [({name: value for name, value in step.items() if name != "op"}, step["op"]) for step in steps]
    heaviest = max([BYTES_PER_PIXEL, *(catalogue()[op].model_validate(values).bytes_per_pixel() for values, op in step_settings)])
    stated = size[0] * size[1] * heaviest * (4 if picture == "alpha.png" else 3) // 3 + OVERHEAD_BYTES
    masked = [job_input("mask", "hero.mask.png")] if any(step.get("where") == "mask" for step in steps) else []
    job = Job(
        id="bench",
        root=str(place),
        stage="edit",
        queue="cpu",
        stem="hero",
        inputs=(job_input("picture", picture), *masked),
        steps=tuple(StepSpec(op=op, settings=values) for values, op in step_settings),
        seed=1,
        scratch=str(place / "worker" / "scratch"),
        deliver=any(op == "export" for _, op in step_settings),
        limits=ResourceLimits(timeout_seconds=900, max_memory_bytes=stated, max_pixels=200_000_000),
    )
    return _in_a_worker(job, stated)


def _in_a_worker(job: Any, stated: int) -> tuple[int, int, float, int, str]:
    from goldsmith.engines.registry.weights_registry import default_models_folder
    from goldsmith.files import resource_path
    from goldsmith.jobs.job import Outcome
    from goldsmith.jobs.protocol import (
        HelloMessage,
        MessageType,
        WorkerConfig,
        WorkerFolders,
        WorkerSpec,
        decode_message,
        encode_message,
        frame_message,
    )
    from goldsmith.jobs.worker_start import spawn_worker

    spec = WorkerSpec(queue="cpu", threads=len(os.sched_getaffinity(0)))
    ours, theirs = socket.socketpair()
    with open(os.devnull, "wb") as nowhere:
        worker = spawn_worker(spec, theirs.fileno(), nowhere.fileno())
    theirs.close()
    try:
        config = WorkerConfig(models_file=str(resource_path("config", "models.toml")))
        folder = Path(job.scratch).parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        models = (str(Path(config.models_file).parent), str(default_models_folder()))
        folders = WorkerFolders(work=job.root, inputs=(job.root,), models=models)
        hello = HelloMessage(spec=spec, config=config, folders=folders, scratch=str(folder))
        ours.sendall(frame_message(MessageType.HELLO, encode_message(hello)))
        _receive(ours, worker.pid, MessageType.READY)
        before, began = _memory(worker.pid)["VmData"], time.monotonic()
        ours.sendall(frame_message(MessageType.JOB, encode_message(job)))
        payload, data = _receive(ours, worker.pid, MessageType.OUTCOME)
        fault = decode_message(Outcome, payload).fault
        failure = "" if fault is None else f"failed: {fault.sentence}"
        return _memory(worker.pid)["VmHWM"], data - before, time.monotonic() - began, stated, failure
    finally:
        ours.close()
        worker.kill()
        worker.wait()


def _receive(wire: socket.socket, pid: int, message_type: int) -> tuple[bytes, int]:
    """Return the next message of that type, and the peak of data memory up to then."""
    from goldsmith.jobs.protocol import FrameDecoder

    frames, most = FrameDecoder(), 0
    while True:
        most = max(most, _memory(pid).get("VmData", 0))
        if not select.select([wire], [], [], _EVERY)[0]:
            continue
        data = wire.recv(1 << 16)
        if not data:
            raise RuntimeError("the worker process died")
        for kind, payload in frames.feed(data):
            if kind == message_type:
                return payload, most


def _memory(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.partition(":") for line in lines if line.startswith("Vm"))
    return {name: int(value.split()[0]) * 1024 for name, _, value in pairs}


def _pictures(place: Path, width: int, height: int) -> None:
    """Write gradients with some noise as JPEG, as PNG with alpha and as TIFF of 16 bits; a mask with one hole; and a press profile."""
    from doubles.press import press_profile
    from goldsmith.picture.formats import jpeg_write, png_write, tiff_write
    from goldsmith.picture.formats.table import WriterOptions

    profiles = place / "library" / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    (profiles / "press.icc").write_bytes(press_profile())
    random = np.random.default_rng(7)
    deep = np.empty((height, width, 3), np.uint16)
    across = np.linspace(4000, 56000, width, dtype=np.float32)[None, :, None]
    for top in range(0, height, 512):
        part = deep[top : top + 512]
        down = np.linspace(0, 4000, len(part), dtype=np.float32)[:, None, None] * np.array([1, 0.5, 0.2], np.float32)
        part[:] = across + down + random.normal(0, 600, (len(part), width, 1)).astype(np.float32)
    plain, clear, grey = (_bare(channels, alpha) for channels, alpha in ((3, False), (3, True), (1, False)))
    (place / "deep.tif").write_bytes(tiff_write.write(deep, plain, WriterOptions(depth=16)))
    codes = (deep >> 8).astype(np.uint8)
    del deep
    (place / "hero.jpg").write_bytes(jpeg_write.write(codes, plain, WriterOptions()))
    cover = np.full((height, width, 1), 255, np.uint8)
    cover[: height // 10] = 0
    (place / "alpha.png").write_bytes(png_write.write(np.concatenate([codes, cover], axis=2), clear, WriterOptions()))
    cover[:] = 0
    cover[height // 2 - 256 : height // 2 + 256, width // 2 - 256 : width // 2 + 256] = 255
    (place / "hero.mask.png").write_bytes(png_write.write(cover, grey, WriterOptions()))


def _bare(channels: int, alpha: bool) -> Any:
    """Return a picture of one pixel that only gives the channels, for writers that take the codes separately."""
    from goldsmith.picture.picture import Picture, freeze

    cover = freeze(np.ones((1, 1), np.float32)) if alpha else None
    return Picture(freeze(np.zeros((1, 1, channels), np.float32)), alpha=cover)
