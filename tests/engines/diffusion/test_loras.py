"""LoRAs are put on for one request and taken off again, and the model is then bit for bit what it was."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny
from doubles.tiny_engines import WISH, engine, opened, request
from doubles.tiny_loras import TARGETS, lora
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import GenerationOptions
from goldsmith.errors import InputError, JobCancelled


def wish(*loras: tuple[Path, float]) -> GenerationOptions:
    return replace(WISH, loras=loras)


def words(engine_: Any, *loras: tuple[Path, float]) -> bytes:
    """What comes of the same words and seed with these LoRAs on."""
    return bytes(engine_.generate(request("text", wish=wish(*loras))).pictures[0].tobytes())


@pytest.mark.parametrize("family", list(TARGETS))
def test_a_lora_changes_the_picture_and_leaves_no_trace(tmp_path: Path, family: str) -> None:
    """On, off, on again: the second and the first with it are the same bytes, and so are those without it before and after."""
    own, path = opened(family), lora(tmp_path / "brand.safetensors", family)
    before = words(own)
    worn = words(own, (path, 1.0))
    assert worn != before
    assert words(own) == before
    assert words(own, (path, 1.0)) == worn
    assert before == words(engine(family))


def test_the_weight_says_how_much(tmp_path: Path) -> None:
    """Half as much is another picture, none at all is the picture without it."""
    own, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")
    full, half, none = (words(own, (path, weight)) for weight in (1.0, 0.5, 0.0))
    assert len({full, half, none}) == 3
    np.testing.assert_allclose(np.frombuffer(none, np.float32), np.frombuffer(words(own), np.float32), atol=1e-5)


def test_it_is_worn_in_every_way_a_model_works(tmp_path: Path) -> None:
    """All pipelines share the weights, so all of them wear it."""
    own, path = opened("sdxl"), lora(tmp_path / "brand.safetensors", "sdxl")
    for ability in ("image", "inpaint"):
        asked = request(ability)  # type: ignore[arg-type]
        worn = own.generate(replace(asked, options=replace(asked.options, loras=((path, 1.0),))))
        assert not np.array_equal(worn.pictures[0], own.generate(asked).pictures[0])


def test_several_are_worn_together_and_are_on_record(tmp_path: Path) -> None:
    """With their names, weights and hashes."""
    own = opened("flux")
    one, two = lora(tmp_path / "one.safetensors", "flux"), lora(tmp_path / "two.safetensors", "flux", seed=1)
    both = own.generate(request("text", wish=wish((one, 0.5), (two, 1.0))))
    assert both.pictures[0].tobytes() not in (words(own, (one, 0.5)), words(own, (two, 1.0)))
    assert both.facts["loras"] == [
        {"lora": path.stem, "weight": weight, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path, weight in ((one, 0.5), (two, 1.0))
    ]


def test_a_file_that_was_saved_over_is_read_anew(tmp_path: Path) -> None:
    """It is known by what is in it, not by its name."""
    own, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")
    first = words(own, (path, 1.0))
    assert words(own, (lora(path, "flux", seed=5), 1.0)) != first
    assert words(own, (lora(path, "flux"), 1.0)) == first


def test_one_that_fits_partly_is_worn_and_the_record_says_so(tmp_path: Path) -> None:
    """One of its layers is another model's; one that fits wholly has no such word on record."""
    import torch
    from safetensors.torch import load_file, save_file

    own, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")

    def told() -> dict[str, Any]:
        (found,) = own.generate(request("text", wish=wish((path, 1.0)))).facts["loras"]  # type: ignore[misc]
        return dict(found)

    assert "matched_layers" not in told()
    weights = load_file(path)
    foreign = {f"transformer.elsewhere.{half}.weight": torch.ones(4, 4) for half in ("lora_A", "lora_B")}
    save_file({**weights, **foreign}, path)
    assert told()["matched_layers"] == f"{len(weights) // 2} of {len(weights) // 2 + 1}"


def test_only_a_few_stay_loaded(tmp_path: Path) -> None:
    """The least recently used goes, and comes back when it is asked for."""
    own = opened("flux")
    paths = [lora(tmp_path / f"{seed}.safetensors", "flux", seed=seed) for seed in range(6)]
    made = [words(own, (path, 1.0)) for path in paths]
    assert own._loaded is not None
    base = own._loaded.pipeline(own._family.calls["text"], use_tiling=False)
    assert len(base.get_list_adapters()["transformer"]) == 4
    assert words(own, (paths[0], 1.0)) == made[0]


def test_it_is_worn_by_a_model_that_is_laid_out_by_groups(tmp_path: Path) -> None:
    """Laid out so from the start, or with the LoRA already loaded when memory ran out: the same bytes."""
    path = lora(tmp_path / "brand.safetensors", "flux")
    own = opened("flux")
    whole = words(own, (path, 1.0))
    assert words(opened("flux", MemoryLayout("float32", "group", 1)), (path, 1.0)) == whole
    assert own._loaded is not None
    own._loaded.switch_to_group_offload()
    assert words(own, (path, 1.0)) == whole
    assert words(own) == words(engine("flux"))


def test_it_comes_off_when_the_work_is_called_off(tmp_path: Path) -> None:
    """Whatever ends the call."""
    own, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")

    def call_off(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    before = words(own)
    with pytest.raises(JobCancelled):
        own.generate(request("text", wish=wish((path, 1.0))), call_off)
    assert words(own) == before


@pytest.mark.parametrize(("made_for", "worn_by"), [("sdxl", "flux"), ("flux", "sdxl"), ("z-image", "qwen-image")])
def test_a_lora_of_another_family_is_a_sentence(tmp_path: Path, made_for: str, worn_by: str) -> None:
    """Which file, which model, and the model is as it was."""
    own, path = opened(worn_by), lora(tmp_path / "brand.safetensors", made_for)
    with pytest.raises(InputError, match=rf"brand\.safetensors: this LoRA does not fit the model '{worn_by}'"):
        words(own, (path, 1.0))
    assert words(own) == words(engine(worn_by))


def test_what_is_no_lora_is_a_sentence(tmp_path: Path) -> None:
    """Missing, cut short, or safetensors of something else."""
    own = opened("flux")
    with pytest.raises(InputError, match=r"gone\.safetensors: cannot be read: No such file"):
        words(own, (tmp_path / "gone.safetensors", 1.0))
    path = lora(tmp_path / "brand.safetensors", "flux")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"brand\.safetensors: it has .* truncated or damaged"):
        words(own, (path, 1.0))
    other = tiny.folder("flux") / "vae/diffusion_pytorch_model.safetensors"
    with pytest.raises(InputError, match="this LoRA does not fit the model 'flux'"):
        words(own, (other, 1.0))
    assert words(own) == words(engine("flux"))
