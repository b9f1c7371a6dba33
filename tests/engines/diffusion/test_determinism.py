"""The same seed gives the same bytes, and the settings that this needs are restored after each request."""

from __future__ import annotations

import os

import numpy as np
import pytest

from doubles.tiny_engines import ONE, engine, opened, request
from goldsmith.engines.diffusion.determinism import configure_cublas, deterministic, environment_facts, seeded_generators
from goldsmith.engines.protocols import Device


def test_threads_and_switches_are_set_and_restored() -> None:
    """Check this after an error: other engines in the process see the old values."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32
    inside = []

    def fail_inside() -> None:
        with deterministic(Device("cpu", before[0] + 1)):
            inside.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32))
            assert torch.is_deterministic_algorithms_warn_only_enabled()
            assert not torch.backends.cuda.matmul.allow_tf32
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail_inside()
    assert inside == [(before[0] + 1, True, False)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32) == before


def test_cublas_is_configured_before_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a value in the environment stays."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    configure_cublas()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    configure_cublas()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_every_seed_has_its_own_generator_on_the_cpu() -> None:
    """Check seeds that differ only above bit 32; seeds below that are used unchanged."""
    import torch

    seeds = (0, 1, 2**32, 2**62, 2**63 - 1, -1)
    numbers = [tuple(torch.rand(3, generator=each).tolist()) for each in seeded_generators(seeds)]
    assert numbers == [tuple(torch.rand(3, generator=each).tolist()) for each in seeded_generators(seeds)]
    assert len(set(numbers)) == len(seeds)
    assert numbers[1] == tuple(torch.rand(3, generator=torch.Generator().manual_seed(1)).tolist())
    assert all(each.device.type == "cpu" for each in seeded_generators(seeds))


def test_a_picture_does_not_depend_on_the_state_of_the_process() -> None:
    """Check the global generators of torch and NumPy, and an earlier picture."""
    import torch

    torch.manual_seed(123)
    np.random.seed(5)
    first = engine("sdxl").generate(request("inpaint", (3,))).pictures[0]
    torch.rand(100)
    engine("sdxl").generate(request("text", (8,)))
    assert engine("sdxl").generate(request("inpaint", (3,))).pictures[0].tobytes() == first.tobytes()
    assert opened("sdxl", ONE).generate(request("inpaint", (3,))).pictures[0].tobytes() == first.tobytes()


def test_the_record_has_versions_device_and_threads() -> None:
    """Check every fact of the environment that can change a pixel."""
    facts = environment_facts(Device("cpu", 2))
    assert (facts["device"], facts["threads"], facts["tf32"]) == ("cpu", 2, False)
    assert {"torch", "diffusers", "transformers"} <= set(facts)
