"""Fixtures for pictures, and the profiles of property tests.

Property tests draw the same examples in every run, so that a commit that passed keeps passing. Another profile draws more:
``HYPOTHESIS_PROFILE=explore make tests``.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before numpy is imported: as in the worker processes, whose pixels are worked on by threads of their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

from goldsmith.picture.picture import BitDepth, Metadata, Picture, freeze

# A busy machine draws slowly, which is no fault of the test.
_PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", _PATIENT, derandomize=True)
settings.register_profile("explore", _PATIENT, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# After how many newly imported modules their objects are exempted from garbage collection.
_FREEZE_STEP = 100
_module_count = 0

# The files that take longest, the longest first. Each runs in one process: begun last, it would keep that one busy alone.
_LONG_FILES = (
    *("faults/test_commit_faults.py", "faults/test_mounts.py", "faults/test_machine.py", "engines/diffusion/test_diffusion_engine.py"),
    *("pipeline/test_families.py", "clients/test_floods.py", "clients/test_layered_editors.py", "cli/test_demo.py"),
    *("faults/test_two_users.py", "faults/test_service_user.py", "faults/test_every_call.py", "faults/test_generating_faults.py"),
    *("pipeline/replay/test_generated.py", "picture/layered/test_real_programs.py", "faults/test_kill.py", "pipeline/test_control.py"),
    *(
        "pipeline/scheduler/test_scheduler.py",
        "engines/drivers/test_diffusers.py",
        "faults/test_hostile_share.py",
        "clients/test_saving.py",
    ),
    *("pipeline/test_series.py", "faults/test_pretended_gpu.py", "faults/test_review_kill.py", "faults/test_worker_kill.py"),
    *("faults/test_dead_workers.py", "ops/regenerate/test_regenerate.py", "web/painting/test_painting_in_browser.py"),
    *("faults/test_refused_permissions.py", "pipeline/test_second_pass.py", "supply/test_sbom.py", "clients/test_copying.py"),
    *("test_docs_adding.py", "cli/test_docs_adding.py", "pipeline/test_generating.py", "contracts/test_memory.py"),
)

PictureMaker = Callable[..., Picture]
Saver = Callable[..., bytes]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the longest files where several processes share the tests, then those with the most tests."""
    if not hasattr(config, "workerinput"):
        return
    places = {Path(__file__).parent / name: place for place, name in enumerate(_LONG_FILES)}
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (places.get(item.path, len(places)), -counts[item.path], item.path))


def pytest_runtest_teardown() -> None:
    """Exempt imported libraries from garbage collection: with torch, diffusers and all tests, one collection takes half a second.

    The engines collect garbage whenever they release a model, which their tests do hundreds of times.
    """
    global _module_count
    if len(sys.modules) > _module_count + _FREEZE_STEP:
        _module_count = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture
def saved() -> Saver:
    """Return a function that encodes codes, (height, width) or (height, width, channels), with Pillow: format, then its options."""
    from PIL import Image

    def save(picture: NDArray[Any], kind: str, **options: Any) -> bytes:
        out = io.BytesIO()
        Image.fromarray(picture).save(out, kind, **options)
        return out.getvalue()

    return save


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """Return a smooth picture with a little noise, (48, 64, 3), codes 0..255."""
    down, across = np.mgrid[0:48, 0:64]
    noise = np.random.default_rng(3).integers(0, 9, (48, 64, 3))
    return (np.stack([across * 3, down * 4, across + down], axis=2) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def make_picture() -> PictureMaker:
    """Return a function that makes a picture from codes, (height, width, channels), and optional alpha codes, (height, width)."""

    def make(
        codes: NDArray[np.uint8] | NDArray[np.uint16],
        alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None,
        icc: bytes | None = None,
        ppi: tuple[float, float] | None = None,
        metadata: Metadata | None = None,
    ) -> Picture:
        depth: BitDepth = 8 if codes.dtype == np.uint8 else 16
        levels = np.float32(2**depth - 1)
        pixels = codes.reshape(*codes.shape[:2], -1).astype(np.float32) / levels
        cover = None if alpha is None else freeze(alpha.astype(np.float32) / levels)
        return Picture(freeze(pixels), cover, depth, icc, ppi, metadata or Metadata())

    return make
