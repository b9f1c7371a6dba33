"""A 12 MP delivery: decode JPEG, CDL and a 33^3 look, fit to 1920 px, sharpen, encode JPEG; the warm worker beside well-known programs.

Each program does the same work in its own way and has to start; the worker is warm, as it is in the service. libvips has no 3-D LUT, so
it is compared with the worker without the look.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.row import Row

_BENCHMARK = "chain"
_SIZE = (4000, 3000)
_BOX = 1920
# Each measurement is repeated so often, and the least time counts, because other load on the machine can only add time.
_TIMES = 5
_SLOPE, _OFFSET, _POWER, _SATURATION = 1.05, -0.01, 1.1, 1.1
_LUT = 33
_WITHOUT_LOOK = "both without the look"
# oiiotool's own --ociofiletransform fails in the release of Debian 12; a colour space made of the look works.
_OCIO = """ocio_profile_version: 1
search_path: ""
strictparsing: true
roles: {{default: raw}}
displays:
  d:
    - !<View> {{name: v, colorspace: raw}}
active_displays: []
active_views: []
colorspaces:
  - !<ColorSpace> {{name: raw, isdata: false}}
  - !<ColorSpace>
    name: look
    from_reference: !<FileTransform> {{src: {look}, interpolation: tetrahedral}}
"""

# (wall seconds, CPU seconds).
Cost = tuple[float, float]


def measure(place: Path, size: tuple[int, int] = _SIZE) -> list[Row]:
    """Measure the worker, then each installed peer. The goals in wall and CPU time: a third of ImageMagick's, half of libvips's."""
    root = place / "root"
    (root / "library" / "looks").mkdir(parents=True)
    picture = _photograph(root / "picture.jpg", size)
    _cube(root / "library" / "looks" / "look.cube")
    _hald(place / "hald.ppm")
    ours, bare = _least_cost(_worker(root, picture)), _least_cost(_worker(root, picture, look=""))
    rows = [_row(f"{size[0] * size[1] / 1e6:.0f} MP delivery in the warm worker, {what}", value) for what, value in _labelled(ours)]
    for peer, goal, note, run in _peers(place, picture):
        if run is None:
            rows.append(Row(_BENCHMARK, f"{peer}: skipped, it is not installed", 0.0, ""))
            continue
        theirs = _least_cost(run)
        for (what, value), (_, other) in zip(_labelled(bare if note == _WITHOUT_LOOK else ours), _labelled(theirs), strict=True):
            label = f"{what}, beside {peer}"
            rows.append(Row(_BENCHMARK, label, 1000 * value, "ms", goal, beside=peer, peer=1000 * other, as_ratio=True, note=note))
    return rows


def _row(what: str, seconds: float) -> Row:
    return Row(_BENCHMARK, what, 1000 * seconds, "ms")


def _labelled(cost: Cost) -> tuple[tuple[str, float], tuple[str, float]]:
    return ("wall", cost[0]), ("CPU", cost[1])


def _least_cost(run: Callable[[], None]) -> Cost:
    """Return the least wall time and the least CPU time of several runs, after a first run that only warms up."""
    run()
    costs = [_time_run(run) for _ in range(_TIMES)]
    return min(wall for wall, _ in costs), min(cpu for _, cpu in costs)


def _time_run(run: Callable[[], None]) -> Cost:
    began, used = time.perf_counter(), _cpu()
    run()
    return time.perf_counter() - began, _cpu() - used


def _cpu() -> float:
    """Return the CPU seconds of this process and of the children that it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _worker(root: Path, picture: Path, look: str = "look") -> Callable[[], None]:
    """Return a function that runs the deliver stage as a worker does, from hashing the input to the durable deliverable in scratch.

    ``look``: the name of a look in the library; "" = none.
    """
    from goldsmith.files import FileSignature
    from goldsmith.jobs.job import Job, JobInput, ResourceLimits, StepSpec
    from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
    from goldsmith.worker.engine_provider import EngineProvider
    from goldsmith.worker.job_runner import run_job

    provider = EngineProvider(WorkerConfig(), WorkerSpec(queue="cpu", threads=len(os.sched_getaffinity(0))))
    grade = {"slope": _SLOPE, "offset": _OFFSET, "power": _POWER, "saturation": _SATURATION, **({"look": look} if look else {})}
    steps = (
        StepSpec(op="grade", settings=grade),
        StepSpec(op="resize", settings={"size": [_BOX, _BOX]}),
        StepSpec(op="sharpen", settings={}),
        StepSpec(op="export", settings={"format": "jpeg", "quality": 90}),
    )
    job = Job(
        id="bench",
        root=str(root),
        stage="deliver",
        queue="cpu",
        stem="bench",
        inputs=(JobInput(role="picture", path=picture.name, sig=FileSignature.from_stat(os.stat(picture))),),
        steps=steps,
        deliver=True,
        scratch=str(root / "scratch"),
        limits=ResourceLimits(timeout_seconds=900, max_memory_bytes=8 * 2**30, max_pixels=200_000_000),
    )

    def run() -> None:
        outcome = run_job(job, provider, lambda progress: None, lambda: False)
        if outcome.fault is not None:
            raise RuntimeError(outcome.fault.sentence)

    return run


def _peers(place: Path, picture: Path) -> list[tuple[str, float | None, str, Callable[[], None] | None]]:
    """Return (name, goal as a ratio, note, function that runs it or None if it is not installed) of each peer."""
    return [
        ("ImageMagick", 1 / 3, "", _command(_imagemagick(place, picture)) if shutil.which("convert") else None),
        ("libvips", 0.5, _WITHOUT_LOOK, _command(_vips(place, picture)) if find_spec("pyvips") else None),
        ("oiiotool", None, "", _command(_oiio(place, picture)) if shutil.which("oiiotool") else None),
    ]


def _command(command: list[str]) -> Callable[[], None]:
    def run() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return run


def _imagemagick(place: Path, picture: Path) -> list[str]:
    """Return the command: the CDL in its three parts, the saturation as a matrix on Rec.709 luma, the look as a HALD image."""
    cdl = ["-evaluate", "multiply", f"{_SLOPE}", "-evaluate", "add", f"{100 * _OFFSET}%", "-evaluate", "pow", f"{_POWER}"]
    matrix = " ".join(f"{value:.6f}" for value in _saturation().ravel())
    rest = ["-color-matrix", matrix, str(place / "hald.ppm"), "-hald-clut", "-filter", "Lanczos", "-resize", f"{_BOX}x{_BOX}"]
    return ["convert", str(picture), *cdl, *rest, "-unsharp", "0x0.8+0.6+0.008", "-quality", "90", str(place / "im.jpg")]


def _vips(place: Path, picture: Path) -> list[str]:
    """Return the command: one streaming pipeline of linear and power on float, the saturation as a matrix, Lanczos, its own sharpening."""
    matrix = _saturation().tolist()
    script = (
        "import pyvips\n"
        f"p = pyvips.Image.new_from_file({str(picture)!r}, access='sequential')\n"
        f"p = p.linear([{_SLOPE} / 255] * 3, [{_OFFSET}] * 3)\n"
        f"p = (p > 0).ifthenelse(p, 0).math2_const('pow', [{_POWER}])\n"
        f"p = (p.recomb(pyvips.Image.new_from_array({matrix!r})) * 255).cast('uchar').copy(interpretation='srgb')\n"
        f"p = p.resize({_BOX} / p.width, kernel='lanczos3').sharpen(sigma=0.8)\n"
        f"p.jpegsave({str(place / 'vips.jpg')!r}, Q=90)\n"
    )
    return [sys.executable, "-c", script]


def _oiio(place: Path, picture: Path) -> list[str]:
    """Return the command: the CDL in its parts, the look through its OpenColorIO."""
    config = place / "config.ocio"
    config.write_text(_OCIO.format(look=place / "root" / "library" / "looks" / "look.cube"))
    matrix = ",".join(f"{value:.6f}" for value in _saturation().T.ravel())
    cdl = ["--mulc", f"{_SLOPE}", "--addc", f"{_OFFSET}", "--clamp:min=0:max=1", "--powc", f"{_POWER}", "--ccmatrix", matrix]
    fit = ["--resize", f"{_BOX}x0", "--unsharp:width=2.4:contrast=0.6", "--compression", "jpeg:90", "-o", str(place / "oiio.jpg")]
    return ["oiiotool", "--colorconfig", str(config), str(picture), *cdl, "--colorconvert", "raw", "look", *fit]


def _saturation() -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the matrix (3, 3) of ASC CDL 1.2, which scales the distance from Rec.709 luma."""
    luma = np.array([0.2126, 0.7152, 0.0722])
    return _SATURATION * np.eye(3) + (1 - _SATURATION) * np.tile(luma, (3, 1))


def _look(red: np.ndarray, green: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Return the colours, (..., 3), 0..1, with a warm look."""
    return np.clip(np.stack([red**0.95, green * 0.98 + 0.02 * red, blue**1.08 * 0.97], axis=-1), 0, 1)


def _cube(path: Path) -> None:
    steps = np.linspace(0, 1, _LUT)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    values = _look(red, green, blue).reshape(-1, 3)
    path.write_text(f"LUT_3D_SIZE {_LUT}\n" + "\n".join(" ".join(f"{value:.6f}" for value in row) for row in values) + "\n")


def _hald(path: Path) -> None:
    """Write the look as a HALD image of level 6: 36^3 nodes, the nearest possible number to 33^3."""
    steps = np.linspace(0, 1, 36)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    codes = (_look(red, green, blue).reshape(216, 216, 3) * 255 + 0.5).astype(np.uint8)
    path.write_bytes(b"P6\n216 216\n255\n" + codes.tobytes())


def _photograph(path: Path, size: tuple[int, int]) -> Path:
    """Write a photograph, enlarged to the size, with grain, so that it decodes as a photograph of that size does."""
    import cv2
    from skimage.data import coffee

    enlarged = cv2.resize(coffee()[:, :, ::-1], size, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    enlarged += np.random.default_rng(7).normal(0, 4, enlarged.shape)
    cv2.imwrite(str(path), np.clip(enlarged, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
    return path
