"""``make bench-gpu``: models of SDXL's and FLUX's size through the daemon on a GPU, beside the same pipelines in a bare loop.

``python -m bench.gpu [--only sdxl flux] [--device cuda:0] [--models DIR] …``; ``--device cpu --tiny`` runs every line of it anywhere.
Weights are random: 7 GB for SDXL and 34 GB for FLUX, built on the device, written once and kept in ``--models``. Nothing is fetched.
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
from bench.row import Row, as_json, shown

FAMILIES = ("sdxl", "flux")
_STEPS = {"sdxl": 30, "flux": 20}
_GUIDANCE = {"sdxl": 5.0, "flux": 3.5}
_MEMORY_MB = {"sdxl": 7000, "flux": 33_800}
# As config/models.toml has them.
_PICTURE_MB = {"sdxl": 6000, "flux": 5000}
# As the default has it.
_TOGETHER = 4


def main(arguments: list[str]) -> int:
    """Measure, and print the table and the figures as JSON. A machine that cannot is told why, and that is no failure."""
    asked = _asked(arguments)
    why = _lacks(asked)
    if why:
        print(f"skipped: {why}\nmake bench-gpu DEVICE=cpu TINY=1 runs the same with tiny models on the processor.")
        return 0
    place = Path(tempfile.mkdtemp(prefix="goldsmith-bench-gpu-", dir=asked.folder))
    rows: list[Row] = []
    try:
        models = Path(asked.models) if asked.models else place / "models"
        for family in asked.only:
            print(f"{family} …", file=sys.stderr, flush=True)
            rows += _family(family, asked, models, place / family)
        facts = _machine(asked, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if asked.json:
        Path(asked.json).write_text(as_json(rows, facts) + "\n")
    print(f"{', '.join(f'{name} {fact}' for name, fact in facts.items())}\n\n{shown(rows)}\n")
    if not asked.json:
        print(as_json(rows, facts))
    return 0


def _family(family: str, asked: argparse.Namespace, models: Path, place: Path) -> list[Row]:
    """What one family's model costs; what went wrong is a row as well, so that the other one is still measured."""
    try:
        return measure(_plan(family, asked, models), place)
    except (OSError, RuntimeError) as error:
        return [Row(family, f"failed: {error}", 0.0, "")]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _plan(family: str, asked: argparse.Namespace, models: Path) -> Plan:
    """The other model is the other family's where both are asked for, else the same once more under another name."""
    on = "" if asked.tiny else asked.device
    size = "tiny" if asked.tiny else "random"
    other = next((name for name in asked.only if name != family), family)
    folders = {name: sized.written(name, models / f"{name}-{size}", on) for name in {family, other}}
    total = 0 if asked.device == "cpu" else _total_mb(asked.device)
    return Plan(
        bench=f"{family}, tiny" if asked.tiny else family,
        family=family,
        model=folders[family],
        device=asked.device,
        precision="float32" if asked.device == "cpu" else "bfloat16",
        threads=1 if asked.device == "cpu" else 4,
        side=64 if asked.tiny else 1024,
        steps=asked.steps or (2 if asked.tiny else _STEPS[family]),
        guidance=_GUIDANCE[family],
        jobs=asked.jobs,
        bare_jobs=asked.bare or max(_TOGETHER, asked.jobs // 2),
        batch=1 if asked.device == "cpu" else _TOGETHER,
        memory_mb=8 if asked.tiny else _MEMORY_MB[family],
        picture_mb=8 if asked.tiny else _PICTURE_MB[family],
        other=(other, folders[other]),
        total_mb=0 if asked.tiny else total,
        edit=(6000, 4000),
    )


def _lacks(asked: argparse.Namespace) -> str:
    """Why it cannot be measured here; "" where it can."""
    from goldsmith.engines.devices import find_devices, torch_backend

    if asked.device == "cpu":
        return "" if asked.tiny else "models of these sizes are not for a processor."
    seen = find_devices()
    if not seen.devices:
        return seen.warning or "there is no GPU here that its driver tells of."
    if torch_backend() not in ("cuda", "hip"):
        return f"the torch installed here is for {torch_backend() or 'nothing: it is missing'}, not for a GPU."
    if asked.device not in [found.name for found in seen.devices]:
        return f"there is no {asked.device} here."
    return ""


def _total_mb(device: str) -> int:
    from goldsmith.engines.devices import find_devices

    return next(found.total_mb for found in find_devices().devices if found.name == device)


def _machine(asked: argparse.Namespace, place: Path) -> dict[str, str]:
    """Of what the figures are: the device and its driver, the versions, the date."""
    from goldsmith.engines.devices import find_devices
    from goldsmith.files import filesystem_type

    found = next((each for each in find_devices().devices if each.name == asked.device), None)
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": f"{asked.device} {found.title}, {found.total_mb} MiB" if found else asked.device,
        "driver": found.driver if found else "none",
        "disk": filesystem_type(place.parent),
        **{name: _version(name) for name in ("torch", "diffusers", "transformers", "goldsmith")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "from its checkout"


def _asked(arguments: list[str]) -> argparse.Namespace:
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
