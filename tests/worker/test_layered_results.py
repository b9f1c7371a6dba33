"""Jobs whose results have layers: what each stage hands on, what the next one makes of it, and what is exported."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from psd_tools import PSDImage

from doubles.jobs import Share, picture, png
from goldsmith.jobs.job import Outcome
from goldsmith.jobs.protocol import WorkerConfig, WorkerSpec
from goldsmith.picture.codec import decode
from goldsmith.worker.engine_provider import EngineProvider
from goldsmith.worker.job_runner import run_job

LIMIT = 10**6
SHARPEN = ("sharpen", {"where": "mask", "amount": 300})
GRADE = ("grade", {"saturation": 0.4})


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    share = Share(tmp_path)
    share.put("models.toml", b"")
    share.put("selected/hero.png", png(picture(48, 64)))
    share.put("selected/hero.mask.png", png(box_mask(48, 64)))
    return share


def box_mask(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    mask[10:20, 15:30] = 1
    return mask


PAIR = ("selected/hero.png", "selected/hero.mask.png")


def run(share: Share, *steps: tuple[str, dict[str, Any]], inputs: tuple[str, ...] = PAIR, **job: Any) -> Outcome:
    config = WorkerConfig(models_file=str(share.root / "models.toml"), weights_folder=str(share.root))
    provider = EngineProvider(config, WorkerSpec(queue="cpu", threads=1))
    roles = [share.job_input(name, "mask" if ".mask." in name else "picture") for name in inputs]
    outcome = run_job(share.job(*steps, inputs=roles, **{"working": "psd", **job}), provider, lambda progress: None, lambda: False)
    assert outcome.fault is None, outcome.fault
    return outcome


def file_of(outcome: Outcome, role: str = "picture") -> bytes:
    (output,) = [output for output in outcome.outputs if output.role == role]
    return Path(output.path).read_bytes()


def tree(data: bytes) -> list[tuple[str, str]]:
    return [(layer.name, layer.kind) for layer in PSDImage.open(io.BytesIO(data)).descendants()]


def test_a_stage_hands_on_the_original_with_its_steps_over_it(share: Share) -> None:
    outcome = run(share, SHARPEN, GRADE)
    assert [output.tail for output in outcome.outputs] == [".psd"]
    assert tree(file_of(outcome)) == [("Original", "pixel"), ("edit", "group"), ("Sharpen", "pixel"), ("Grade", "pixel")]


def test_the_flat_picture_is_that_of_a_png(share: Share) -> None:
    flat = [decode(file_of(run(share, SHARPEN, GRADE, working=working)), "hero", LIMIT).pixels for working in ("png", "psd", "ora")]
    assert np.array_equal(flat[0], flat[1])
    assert np.array_equal(flat[0], flat[2])


def test_the_next_stage_lays_its_group_over_the_layers_that_it_got(share: Share) -> None:
    share.put("masked/hero.psd", file_of(run(share, SHARPEN)))
    data = file_of(run(share, GRADE, inputs=("masked/hero.psd",), stage="grade"))
    assert [name for name, _ in tree(data)] == ["Original", "edit", "Sharpen", "grade", "Grade"]
    again = file_of(run(share, ("sharpen", {}), inputs=("masked/hero.psd",)))
    assert [name for name, _ in tree(again)] == ["Original", "edit", "Sharpen", "edit 2", "Sharpen"]
