"""What makes the same seed give the same bytes holds while a request is worked on, and no longer."""

from __future__ import annotations

import os

import numpy as np
import pytest

from doubles.tiny_engines import ONE, engine, opened, request
from goldsmith.engines.diffusion.determinism import configure_cublas, deterministic, environment_facts, seeded_generators
from goldsmith.engines.protocols import Device


def test_threads_and_switches_are_set_and_put_back() -> None:
    """Another engine in the same process finds them as they were, also where the work failed."""
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32
    during = []

    def work() -> None:
        with deterministic(Device("cpu", before[0] + 1)):
            during.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32))
            assert torch.is_deterministic_algorithms_warn_only_enabled()
            assert not torch.backends.cuda.matmul.allow_tf32
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        work()
    assert during == [(before[0] + 1, True, False)]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.allow_tf32) == before


def test_cublas_is_told_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the admin has told it something."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    configure_cublas()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    configure_cublas()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_every_seed_has_dice_of_its_own_on_the_cpu() -> None:
    """Any whole number is a seed, and each its own, also where they differ only above 32 bits; short ones are torch's own."""
    import torch

    seeds = (0, 1, 2**32, 2**62, 2**63 - 1, -1)
    thrown = [tuple(torch.rand(3, generator=each).tolist()) for each in seeded_generators(seeds)]
    assert thrown == [tuple(torch.rand(3, generator=each).tolist()) for each in seeded_generators(seeds)]
    assert len(set(thrown)) == len(seeds)
    assert thrown[1] == tuple(torch.rand(3, generator=torch.Generator().manual_seed(1)).tolist())
    assert all(each.device.type == "cpu" for each in seeded_generators(seeds))


def test_the_state_of_the_process_does_not_reach_a_picture() -> None:
    """Neither torch's own dice nor numpy's, nor what was made before."""
    import torch

    torch.manual_seed(123)
    np.random.seed(5)
    first = engine("sdxl").generate(request("inpaint", (3,))).pictures[0]
    torch.rand(100)
    engine("sdxl").generate(request("text", (8,)))
    assert engine("sdxl").generate(request("inpaint", (3,))).pictures[0].tobytes() == first.tobytes()
    assert opened("sdxl", ONE).generate(request("inpaint", (3,))).pictures[0].tobytes() == first.tobytes()


def test_the_record_names_what_pixels_depend_on() -> None:
    """Versions, device, threads."""
    said = environment_facts(Device("cpu", 2))
    assert (said["device"], said["threads"], said["tf32"]) == ("cpu", 2, False)
    assert {"torch", "diffusers", "transformers"} <= set(said)
