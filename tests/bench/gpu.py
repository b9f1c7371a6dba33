"""``make bench-gpu``: models of the sizes of SDXL and FLUX through the daemon on a GPU, beside the same pipelines in a bare loop.

``python -m bench.gpu [--only sdxl flux] [--device cuda:0] [--models DIR] …``; ``--device cpu --tiny`` runs every line of it anywhere.
The weights are random: 7 GB for SDXL and 34 GB for FLUX, built on the device, written once and kept in ``--models``. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import sized
from bench.generating import Plan, measure
from bench.row import Row, as_json, table

FAMILIES = ("sdxl", "flux")
_STEPS = {"sdxl": 30, "flux": 20}
_GUIDANCE = {"sdxl": 5.0, "flux": 3.5}
_MEMORY_MB = {"sdxl": 7000, "flux": 33_800}
# The values of config/models.toml.
_PICTURE_MB = {"sdxl": 6000, "flux": 5000}
# The default of the setting ``together``.
_TOGETHER = 4


def main(arguments: list[str]) -> int:
    """Measure, and print the table and the figures as JSON. On an unsuitable machine, print the reason; that is no failure."""
    options = _parse(arguments)
    reason = _reason_to_skip(options)
    if reason:
        print(f"skipped: {reason}\nmake bench-gpu DEVICE=cpu TINY=1 runs the same with tiny models on the processor.")
        return 0
    place = Path(tempfile.mkdtemp(prefix="goldsmith-bench-gpu-", dir=options.folder))
    rows: list[Row] = []
    try:
        models = Path(options.models) if options.models else place / "models"
        for family in options.only:
            print(f"{family} …", file=sys.stderr, flush=True)
            rows += _family(family, options, models, place / family)
        facts = _machine_facts(options, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if options.json:
        Path(options.json).write_text(as_json(rows, facts) + "\n")
    print(f"{', '.join(f'{name} {fact}' for name, fact in facts.items())}\n\n{table(rows)}\n")
    if not options.json:
        print(as_json(rows, facts))
    return 0


def _family(family: str, options: argparse.Namespace, models: Path, place: Path) -> list[Row]:
    """Return the rows of a family's model. An error becomes a row, so that the other family is still measured."""
    try:
        return measure(_plan(family, options, models), place)
    except (OSError, RuntimeError) as error:
        return [Row(family, f"failed: {error}", 0.0, "")]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _plan(family: str, options: argparse.Namespace, models: Path) -> Plan:
    """Return the plan of a family. The other model is that of the other family if both are measured, else the same under another name."""
    on = "" if options.tiny else options.device
    size = "tiny" if options.tiny else "random"
    other = next((name for name in options.only if name != family), family)
    folders = {name: sized.write_once(name, models / f"{name}-{size}", on) for name in {family, other}}
    total = 0 if options.device == "cpu" else _total_mb(options.device)
    return Plan(
        bench=f"{family}, tiny" if options.tiny else family,
        family=family,
        model=folders[family],
        device=options.device,
        precision="float32" if options.device == "cpu" else "bfloat16",
        threads=1 if options.device == "cpu" else 4,
        side=64 if options.tiny else 1024,
        steps=options.steps or (2 if options.tiny else _STEPS[family]),
        guidance=_GUIDANCE[family],
        jobs=options.jobs,
        bare_jobs=options.bare or max(_TOGETHER, options.jobs // 2),
        batch=1 if options.device == "cpu" else _TOGETHER,
        memory_mb=8 if options.tiny else _MEMORY_MB[family],
        picture_mb=8 if options.tiny else _PICTURE_MB[family],
        other=(other, folders[other]),
        total_mb=0 if options.tiny else total,
        edit=(6000, 4000),
    )


def _reason_to_skip(options: argparse.Namespace) -> str:
    """Return why this machine cannot measure, or "" if it can."""
    from goldsmith.engines.devices import find_devices, torch_backend

    if options.device == "cpu":
        return "" if options.tiny else "models of these sizes are not for a processor."
    detection = find_devices()
    if not detection.devices:
        return detection.warning or "there is no GPU here that its driver tells of."
    if torch_backend() not in ("cuda", "hip"):
        return f"the torch installed here is for {torch_backend() or 'nothing: it is missing'}, not for a GPU."
    if options.device not in [device.name for device in detection.devices]:
        return f"there is no {options.device} here."
    return ""


def _total_mb(device: str) -> int:
    from goldsmith.engines.devices import find_devices

    return next(candidate.total_mb for candidate in find_devices().devices if candidate.name == device)


def _machine_facts(options: argparse.Namespace, place: Path) -> dict[str, str]:
    """Return the conditions of the figures: the device and its driver, the versions, the date."""
    from goldsmith.engines.devices import find_devices
    from goldsmith.mounts import kind_at

    device = next((candidate for candidate in find_devices().devices if candidate.name == options.device), None)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{options.device} {device.title}, {device.total_mb} MiB" if device else options.device,
        "driver": device.driver if device else "none",
        "disk": kind_at(place.parent).name,
        **{name: _version(name) for name in ("torch", "diffusers", "transformers", "goldsmith")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from its checkout"


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.gpu", description="What the daemon costs beside a bare pipeline, on a GPU.")
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), help="these sizes only")
    parser.add_argument("--device", default="cuda:0", help="cuda:0, … or cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny models: nothing is learnt of a GPU, but everything is run")
    parser.add_argument("--jobs", type=int, default=32, help="queued jobs")
    parser.add_argument("--bare", type=int, default=0, help="pictures in each bare loop (default: half of the jobs)")
    parser.add_argument("--steps", type=int, default=0, help="steps of a picture (default: 30 for SDXL, 20 for FLUX)")
    parser.add_argument("--models", help="a folder that keeps the random weights between runs (7 GB and 34 GB)")
    parser.add_argument("--folder", help="where to work")
    parser.add_argument("--json", help="write the figures there instead of printing them")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
