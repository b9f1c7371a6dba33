"""What only a GPU can show; on a machine without one every test here is skipped with the reason.

``GOLDSMITH_GPU_TESTS_ON=cpu`` runs them on the processor instead: nothing is learnt of a GPU by it, but each line has been executed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from doubles import tiny
from doubles.families import ASSETS, drop_all, record
from doubles.studio import Studio, studio_at
from doubles.tiny_engines import opened, request
from goldsmith.engines.devices import find_devices, torch_backend
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, Offload
from goldsmith.engines.memory import free_mb
from goldsmith.engines.protocols import Device

pytestmark = pytest.mark.gpu
ELSEWHERE = os.environ.get("GOLDSMITH_GPU_TESTS_ON", "")
BRIEF = 'prompt = "a red chair"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "sdxl"\n'


@pytest.fixture(scope="module")
def device() -> str:
    """The first GPU. Its driver is asked, not torch: that would wake it in this process."""
    seen = find_devices()
    if ELSEWHERE:
        return ELSEWHERE
    if not seen.devices:
        pytest.skip(seen.warning or "there is no GPU here that its driver tells of")
    if torch_backend() not in ("cuda", "hip"):
        pytest.skip(f"the torch installed here is for {torch_backend() or 'nothing'}")
    return seen.devices[0].name


@pytest.fixture
def studio(tmp_path: Path, device: str) -> Iterator[Studio]:
    with studio_at(tmp_path, devices="cpu" if device == "cpu" else (device,)) as made:
        yield made


def name_sdxl(studio: Studio) -> None:
    """The house has the tiny SDXL and nothing else."""
    studio.put("config/models.toml", tiny.models_toml({"sdxl": "sdxl"}))


def test_every_family_does_on_the_gpu_what_it_can(studio: Studio, device: str) -> None:
    """Through the folders, in the precision of a GPU; law 4 holds there as well, and no picture is held."""
    drop_all(studio)
    studio.until_idle()
    notes = {name: studio.note(name.removesuffix(".problem.txt")) for name in studio.folder("inbox") if name.endswith(".problem.txt")}
    assert notes == {}
    for family, kind in ASSETS:
        told = record(studio, family, kind)
        assert told["engine"]["device"].startswith(device)
        assert told["findings"].get("outside_changed", 0) == told["findings"].get("old_changed", 0) == 0


def test_the_same_seed_gives_the_same_bytes_when_it_is_alone(tmp_path: Path, device: str) -> None:
    """On one device with one setting, from a process that has just begun and from one that is warm."""
    with studio_at(tmp_path, devices="cpu" if device == "cpu" else (device,), together=1) as studio:
        name_sdxl(studio)
        made = []
        for stem in ("one", "two"):
            studio.put(f"inbox/{stem}.toml", BRIEF.format(seed=7))
            studio.until_idle()
            made.append(studio.read(f"selected/{stem}.png"))
            studio.restart()
        assert made[0] == made[1]


def test_jobs_that_are_alike_are_made_together(studio: Studio, device: str) -> None:
    """Eight wait while the model is loaded; some of them go through it as one, and the record says how many."""
    name_sdxl(studio)
    works = studio.start()
    works.workers.pause("gpu", "The test is not ready.")
    for number in range(8):
        studio.put(f"inbox/{number}.toml", BRIEF.format(seed=number))
    studio.until(lambda: works.workers.queue_length("gpu") == 8, "that all stand in line")
    works.workers.resume("gpu")
    studio.until_idle()
    rows = [row for row in studio.history() if row.record.get("steps")]
    batches = [row.record["steps"][0]["findings"]["made"]["batch"] for row in rows]  # type: ignore[index,call-overload]
    assert len(batches) == 8
    assert max(batches) > 1 or device == "cpu"


@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_a_model_whose_weights_wait_elsewhere_draws_the_same_picture(device: str, offload: Offload) -> None:
    """On the device, part by part, block by block: the same picture but for rounding, and the memory is given back."""
    if device == "cpu" and offload == "model":
        pytest.skip("on the processor weights are where they are")
    on = Device(device, 1)
    free = free_mb(on)
    whole = opened("sdxl", device=device).generate(request("text")).pictures[0]
    engine = opened("sdxl", MemoryLayout("float32", offload, 1), device=device)
    made = engine.generate(request("text"))
    assert made.facts["offload"] == offload
    assert np.allclose(made.pictures[0], whole, atol=2e-2)
    engine.close()
    assert device == "cpu" or free_mb(on) > free - 512
