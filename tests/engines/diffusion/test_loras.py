"""LoRAs are applied for one request; afterwards the model is unchanged, bit for bit."""

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
from doubles.weights import change_in_place
from goldsmith.engines.diffusion.loras import LoraAdapters
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.protocols import GenerationOptions
from goldsmith.engines.registry.hash_notes import HANDED_OUT
from goldsmith.errors import HostError, InputError, JobCancelled


def wish(*loras: tuple[Path, float]) -> GenerationOptions:
    return replace(WISH, loras=loras)


def picture_bytes(engine_: Any, *loras: tuple[Path, float]) -> bytes:
    """Return the picture of fixed words and a fixed seed with these LoRAs."""
    return bytes(engine_.generate(request("text", wish=wish(*loras))).pictures[0].tobytes())


@pytest.mark.parametrize("family", list(TARGETS))
def test_a_lora_applies_to_one_request_only(tmp_path: Path, family: str) -> None:
    """Check off, on, off, on: the same picture with the LoRA, and the same without it.

    On some processors, MKL adds in another order where a tensor lies elsewhere in memory: that is 3e-6 at most, and a LoRA is hundreds
    of times that.
    """
    own_engine, path = opened(family), lora(tmp_path / "brand.safetensors", family)
    pictures = [picture_bytes(own_engine, *loras) for loras in ((), ((path, 1.0),), (), ((path, 1.0),))]
    pictures.append(picture_bytes(engine(family)))
    before, with_lora, after, with_lora_again, fresh = (np.frombuffer(picture, np.float32) for picture in pictures)
    assert np.abs(with_lora - before).max() > 1e-3
    for first, second in ((before, after), (before, fresh), (with_lora, with_lora_again)):
        np.testing.assert_allclose(first, second, rtol=0, atol=1e-5)


def test_the_weight_scales_a_lora(tmp_path: Path) -> None:
    """Check that half the weight gives another picture, and weight 0 the picture without the LoRA."""
    own_engine, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")
    full, half, none = (picture_bytes(own_engine, (path, weight)) for weight in (1.0, 0.5, 0.0))
    assert len({full, half, none}) == 3
    np.testing.assert_allclose(np.frombuffer(none, np.float32), np.frombuffer(picture_bytes(own_engine), np.float32), atol=1e-5)


def test_a_lora_applies_to_every_ability(tmp_path: Path) -> None:
    """Check two pipelines that share the weights."""
    own_engine, path = opened("sdxl"), lora(tmp_path / "brand.safetensors", "sdxl")
    for ability in ("image", "inpaint"):
        plain_request = request(ability)  # type: ignore[arg-type]
        with_lora = own_engine.generate(replace(plain_request, options=replace(plain_request.options, loras=((path, 1.0),))))
        assert not np.array_equal(with_lora.pictures[0], own_engine.generate(plain_request).pictures[0])


def test_several_loras_apply_together_and_are_recorded(tmp_path: Path) -> None:
    """Check names, weights and hashes in the record."""
    own_engine = opened("flux")
    first, second = lora(tmp_path / "one.safetensors", "flux"), lora(tmp_path / "two.safetensors", "flux", seed=1)
    both = own_engine.generate(request("text", wish=wish((first, 0.5), (second, 1.0))))
    assert both.pictures[0].tobytes() not in (picture_bytes(own_engine, (first, 0.5)), picture_bytes(own_engine, (second, 1.0)))
    assert both.facts["loras"] == [
        {"lora": path.stem, "weight": weight, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path, weight in ((first, 0.5), (second, 1.0))
    ]


def test_a_changed_lora_is_loaded_again(tmp_path: Path) -> None:
    """Check that the content of a LoRA identifies it, not its name."""
    own_engine, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")
    first = picture_bytes(own_engine, (path, 1.0))
    assert picture_bytes(own_engine, (lora(path, "flux", seed=5), 1.0)) != first
    assert picture_bytes(own_engine, (lora(path, "flux"), 1.0)) == first


def test_the_lora_that_is_recorded_is_the_one_that_is_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a folder that is exchanged between the hash and the load: no picture is made."""
    (tmp_path / "loras").mkdir()
    path = lora(tmp_path / "loras" / "brand.safetensors", "sdxl")
    load = LoraAdapters._load

    def exchange_and_load(self: LoraAdapters, loaded: Path, adapter: str) -> None:
        path.parent.rename(tmp_path / "aside")
        path.parent.mkdir()
        lora(path, "sdxl", seed=7)
        load(self, loaded, adapter)

    monkeypatch.setattr(LoraAdapters, "_load", exchange_and_load)
    with pytest.raises(InputError, match=r"brand\.safetensors: this file of weights changed while it was loaded"):
        picture_bytes(opened("sdxl"), (path, 1.0))


def test_a_lora_that_changes_while_it_is_loaded_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that what was loaded is not used for the next request with the same hash."""
    path, other = lora(tmp_path / "brand.safetensors", "sdxl"), lora(tmp_path / "other.safetensors", "sdxl", seed=7)
    right = path.read_bytes()
    expected = picture_bytes(opened("sdxl"), (path, 1.0))
    load = LoraAdapters._load

    def change_and_load(self: LoraAdapters, loaded: Path, adapter: str) -> None:
        change_in_place(path, other.read_bytes())
        load(self, loaded, adapter)

    own_engine = opened("sdxl")
    with monkeypatch.context() as patched:
        patched.setattr(LoraAdapters, "_load", change_and_load)
        with pytest.raises(InputError, match=r"brand\.safetensors: this file of weights changed while it was loaded"):
            picture_bytes(own_engine, (path, 1.0))
    path.write_bytes(right)
    assert picture_bytes(own_engine, (path, 1.0)) == expected


def test_a_lora_that_changes_after_it_was_handed_out_is_refused(tmp_path: Path) -> None:
    """The step context has recorded the hash of one file: another in its place is not applied, also through a link to it."""
    (tmp_path / "loras").mkdir()
    path, own_engine = lora(tmp_path / "loras" / "brand.safetensors", "sdxl"), opened("sdxl")
    with path.open("rb") as file:
        HANDED_OUT.hand_out(path, file.fileno())
    expected = picture_bytes(own_engine, (path, 1.0))
    (tmp_path / "loras").rename(tmp_path / "aside")
    (tmp_path / "elsewhere").mkdir()
    lora(tmp_path / "elsewhere" / "brand.safetensors", "sdxl", seed=7)
    (tmp_path / "loras").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"brand\.safetensors: this file of weights changed while it was loaded"):
        picture_bytes(own_engine, (path, 1.0))
    (tmp_path / "loras").unlink()
    (tmp_path / "aside").rename(tmp_path / "loras")
    assert picture_bytes(own_engine, (path, 1.0)) == expected


def test_a_fault_of_the_machine_while_a_lora_is_loaded_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that nobody is told to replace the LoRA."""
    path = lora(tmp_path / "brand.safetensors", "sdxl")

    def fail(self: LoraAdapters, loaded: Path, adapter: str) -> None:
        raise HostError("The disk failed.")

    monkeypatch.setattr(LoraAdapters, "_load", fail)
    with pytest.raises(HostError, match="The disk failed"):
        picture_bytes(opened("sdxl"), (path, 1.0))


def test_a_partly_matching_lora_is_applied_and_recorded(tmp_path: Path) -> None:
    """Check a LoRA with one layer of another model; the record counts layers only then."""
    import torch
    from safetensors.torch import load_file, save_file

    own_engine, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")

    def lora_facts() -> dict[str, Any]:
        (facts,) = own_engine.generate(request("text", wish=wish((path, 1.0)))).facts["loras"]  # type: ignore[misc]
        return dict(facts)

    assert "matched_layers" not in lora_facts()
    weights = load_file(path)
    foreign = {f"transformer.elsewhere.{half}.weight": torch.ones(4, 4) for half in ("lora_A", "lora_B")}
    save_file({**weights, **foreign}, path)
    assert lora_facts()["matched_layers"] == f"{len(weights) // 2} of {len(weights) // 2 + 1}"


def test_only_a_few_loras_stay_loaded(tmp_path: Path) -> None:
    """Check that the least recently used LoRA is removed and can be loaded again."""
    own_engine = opened("flux")
    paths = [lora(tmp_path / f"{seed}.safetensors", "flux", seed=seed) for seed in range(6)]
    pictures = [picture_bytes(own_engine, (path, 1.0)) for path in paths]
    assert own_engine._loaded is not None
    base = own_engine._loaded.pipeline(own_engine._family.calls["text"], use_tiling=False)
    assert len(base.get_list_adapters()["transformer"]) == 4
    assert picture_bytes(own_engine, (paths[0], 1.0)) == pictures[0]


def test_a_lora_works_with_group_offload(tmp_path: Path) -> None:
    """Check the layout from the start, and a switch with the LoRA loaded: the same bytes."""
    path = lora(tmp_path / "brand.safetensors", "flux")
    own_engine = opened("flux")
    expected = picture_bytes(own_engine, (path, 1.0))
    assert picture_bytes(opened("flux", MemoryLayout("float32", "group", 1)), (path, 1.0)) == expected
    assert own_engine._loaded is not None
    own_engine._loaded.switch_to_group_offload()
    assert picture_bytes(own_engine, (path, 1.0)) == expected
    assert picture_bytes(own_engine) == picture_bytes(engine("flux"))


def test_a_cancelled_call_removes_its_loras(tmp_path: Path) -> None:
    """Check that the next picture is unchanged."""
    own_engine, path = opened("flux"), lora(tmp_path / "brand.safetensors", "flux")

    def cancel(fraction: float) -> None:
        if fraction > 0:
            raise JobCancelled

    before = picture_bytes(own_engine)
    with pytest.raises(JobCancelled):
        own_engine.generate(request("text", wish=wish((path, 1.0))), cancel)
    assert picture_bytes(own_engine) == before


@pytest.mark.parametrize(("lora_family", "model_family"), [("sdxl", "flux"), ("flux", "sdxl"), ("z-image", "qwen-image")])
def test_a_lora_of_another_family_is_refused(tmp_path: Path, lora_family: str, model_family: str) -> None:
    """Check that the message has the file and the model, and that the model is unchanged."""
    own_engine, path = opened(model_family), lora(tmp_path / "brand.safetensors", lora_family)
    with pytest.raises(InputError, match=rf"brand\.safetensors: this LoRA does not fit the model '{model_family}'"):
        picture_bytes(own_engine, (path, 1.0))
    assert picture_bytes(own_engine) == picture_bytes(engine(model_family))


def test_a_file_that_is_no_lora_is_refused(tmp_path: Path) -> None:
    """Check missing and truncated files, and the safetensors file of a decoder."""
    own_engine = opened("flux")
    with pytest.raises(InputError, match=r"absent\.safetensors: cannot be read: No such file"):
        picture_bytes(own_engine, (tmp_path / "absent.safetensors", 1.0))
    path = lora(tmp_path / "brand.safetensors", "flux")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"brand\.safetensors: it has .* truncated or damaged"):
        picture_bytes(own_engine, (path, 1.0))
    other = tiny.folder("flux") / "vae/diffusion_pytorch_model.safetensors"
    with pytest.raises(InputError, match="this LoRA does not fit the model 'flux'"):
        picture_bytes(own_engine, (other, 1.0))
    assert picture_bytes(own_engine) == picture_bytes(engine("flux"))
