"""Tests that need a GPU; on a machine without one, each is skipped with the reason.

``GOLDSMITH_GPU_TESTS_ON=cpu`` runs them on the CPU: this executes every line but says nothing about a GPU.
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
from doubles.worker_queues import pause_queue, resume_queue
from goldsmith.engines.devices import find_devices, torch_backend
from goldsmith.engines.diffusion.memory_layout import MemoryLayout, Offload
from goldsmith.engines.memory import free_mb
from goldsmith.engines.protocols import Device

pytestmark = pytest.mark.gpu
FORCED_DEVICE = os.environ.get("GOLDSMITH_GPU_TESTS_ON", "")
BRIEF = 'prompt = "a red chair"\nseed = {seed}\n[[generate]]\nop = "regenerate"\nmodel = "sdxl"\n'


@pytest.fixture(scope="module")
def device() -> str:
    """Return the first GPU that a driver reports, found without torch, which would initialise the GPU in this process."""
    scan = find_devices()
    if FORCED_DEVICE:
        return FORCED_DEVICE
    if not scan.devices:
        pytest.skip(scan.warning or "no driver reports a GPU")
    if torch_backend() not in ("cuda", "hip"):
        pytest.skip(f"the torch installed here is for {torch_backend() or 'nothing'}")
    return scan.devices[0].name


@pytest.fixture
def studio(tmp_path: Path, device: str) -> Iterator[Studio]:
    with studio_at(tmp_path, devices="cpu" if device == "cpu" else (device,)) as new_studio:
        yield new_studio


def use_sdxl(studio: Studio) -> None:
    """Write a models.toml with only the tiny SDXL."""
    studio.put("config/models.toml", tiny.models_toml({"sdxl": "sdxl"}))


def test_every_family_works_on_the_gpu(studio: Studio, device: str) -> None:
    """Check all assets in the precision of a GPU: no held picture and no changed pixel outside a mask."""
    drop_all(studio)
    studio.until_idle()
    notes = {name: studio.note(name.removesuffix(".problem.txt")) for name in studio.folder("inbox") if name.endswith(".problem.txt")}
    assert notes == {}
    for family, kind in ASSETS:
        step = record(studio, family, kind)
        assert step["engine"]["device"].startswith(device)
        assert step["findings"].get("outside_changed", 0) == step["findings"].get("old_changed", 0) == 0


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, device: str) -> None:
    """Check one device and one setting, in a new process and in a warm one."""
    with studio_at(tmp_path, devices="cpu" if device == "cpu" else (device,), together=1) as studio:
        use_sdxl(studio)
        pictures = []
        for stem in ("one", "two"):
            studio.put(f"inbox/{stem}.toml", BRIEF.format(seed=7))
            studio.until_idle()
            pictures.append(studio.read(f"selected/{stem}.png"))
            studio.restart()
        assert pictures[0] == pictures[1]


def test_similar_jobs_share_a_call(studio: Studio, device: str) -> None:
    """Check eight jobs that wait while the model is loaded: the record has the size of each call."""
    use_sdxl(studio)
    works = studio.start()
    pause_queue(works.workers, "gpu")
    for number in range(8):
        studio.put(f"inbox/{number}.toml", BRIEF.format(seed=number))
    studio.until(lambda: works.workers.queue_length("gpu") == 8, "all jobs in the queue")
    resume_queue(works.workers, "gpu")
    studio.until_idle()
    rows = [row for row in studio.history() if row.record.get("steps")]
    batches = [row.record["steps"][0]["findings"]["made"]["batch"] for row in rows]  # type: ignore[index,call-overload]
    assert len(batches) == 8
    assert max(batches) > 1 or device == "cpu"


@pytest.mark.parametrize("offload", ["none", "model", "group"])
def test_every_layout_gives_the_same_picture(device: str, offload: Offload) -> None:
    """Check a model on the device, part by part, and block by block: equal except for rounding; the memory is released."""
    if device == "cpu" and offload == "model":
        pytest.skip("the CPU has no offload")
    measured_device = Device(device, 1)
    free = free_mb(measured_device)
    expected = opened("sdxl", device=device).generate(request("text")).pictures[0]
    engine = opened("sdxl", MemoryLayout("float32", offload, 1), device=device)
    result = engine.generate(request("text"))
    assert result.facts["offload"] == offload
    assert np.allclose(result.pictures[0], expected, atol=2e-2)
    engine.close()
    assert device == "cpu" or free_mb(measured_device) > free - 512
