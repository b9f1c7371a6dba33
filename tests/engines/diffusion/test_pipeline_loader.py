"""Pipelines around one set of weights, loaded offline from folders and single files, and the messages if that fails."""

from __future__ import annotations

import json
import shutil
import socket
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from doubles import tiny, tiny_single
from doubles.tiny_engines import ONE, WAYS, engine, model, opened, request
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.diffusion.families import AUTO_FAMILY, FAMILIES
from goldsmith.engines.diffusion.pipeline_loader import silence_libraries
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.errors import InputError


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if code opens a socket or resolves an address."""
    import urllib3  # noqa: F401 - its first import looks whether IPv6 works, which no later one does

    def refuse(*args: Any, **kwargs: Any) -> Any:
        pytest.fail("the code opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_loading_uses_no_network(family: str) -> None:
    """Check that hub access stays off for the whole process."""
    import huggingface_hub.constants

    opened(family)
    assert huggingface_hub.constants.HF_HUB_OFFLINE is True


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_all_pipelines_of_a_model_share_one_set_of_weights(family: str) -> None:
    """Check that text, image and inpaint use the same components."""
    loaded = engine(family)._loaded
    assert loaded is not None
    pipes = [loaded.pipeline(call, use_tiling=False) for call in FAMILIES[family].calls.values()]
    for pipe in pipes:
        assert pipe.vae is pipes[0].vae
        assert pipe.text_encoder is pipes[0].text_encoder


def test_warnings_about_intended_behaviour_are_hidden() -> None:
    """Check that other warnings stay visible."""
    with warnings.catch_warnings(record=True) as warning_records:
        warnings.simplefilter("always")
        silence_libraries()
        for text in ("Already found a `peft_config` attribute in the model.", "The following rank_pattern keys did not match any", "Mind!"):
            warnings.warn(text, stacklevel=1)
    assert [str(each.message) for each in warning_records] == ["Mind!"]


def test_settings_of_a_model_reach_its_other_pipelines(tmp_path: Path) -> None:
    """Check a setting that the index lists beside the parts."""
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    index = json.loads((folder / "model_index.json").read_bytes())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    loaded = opened("sdxl", folder=folder)._loaded
    assert loaded is not None
    for call in FAMILIES["sdxl"].calls.values():
        assert loaded.pipeline(call, use_tiling=False).config.force_zeros_for_empty_prompt is False


def test_an_unknown_family_is_loaded_with_autopipeline() -> None:
    """Check text, image and inpaint: the same weights give the same pixels."""
    auto_engine = opened("sdxl", entry=model("sdxl-of-tomorrow", can=("text", "image", "inpaint")))
    for ability in AUTO_FAMILY.calls:
        result = auto_engine.generate(request(ability))
        assert result.pictures[0].tobytes() == engine("sdxl").generate(request(ability)).pictures[0].tobytes()
    assert result.facts["pipeline"] == "StableDiffusionXLInpaintPipeline"


def test_an_entry_with_too_many_abilities_is_refused_at_opening() -> None:
    """Check that the message lists the abilities of the family."""
    with pytest.raises(InputError, match=r"models\.krea2\.diffusion\.can: a model of the family 'krea2' cannot 'inpaint'\. It can: text\."):
        opened("krea2", entry=model("krea2", can=("text", "inpaint")))


@pytest.mark.parametrize(("family", "folder"), [("flux", "sdxl"), ("sd3", "z-image"), ("qwen-image-edit", "qwen-image")])
def test_a_folder_of_another_family_is_refused(family: str, folder: str) -> None:
    """Check that the message has the folder, the family and the setting that names the family."""
    with pytest.raises(InputError, match=f"{folder}: diffusers cannot open this as a model of the family '{family}'") as refused:
        opened(family, folder=tiny.folder(folder))
    assert refused.value.remedy.startswith(f"Check models.{family}.diffusion.family")


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    """Check a configuration that contradicts its weights."""
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    shutil.copy(tiny.folder("sdxl-inpaint") / "unet/diffusion_pytorch_model.safetensors", folder / "unet")
    with pytest.raises(InputError, match="diffusers cannot open this as a model of the family 'sdxl'"):
        opened("sdxl", folder=folder)


@pytest.mark.usefixtures("no_sockets")
def test_a_single_file_is_opened_with_the_configuration_beside_it(tmp_path: Path) -> None:
    """Check a checkpoint with network, decoder and text encoders; the tree gives only configuration.

    The weights are the same, but their layout in memory differs, which changes pixels by rounding.
    """
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    own_engine = opened("sdxl", folder=folder, single=tiny_single.sdxl(tmp_path / "own.safetensors"))
    for name, ability in WAYS:
        if name == "sdxl":
            expected = engine("sdxl").generate(request(ability)).pictures[0]
            np.testing.assert_allclose(own_engine.generate(request(ability)).pictures[0], expected, atol=1e-5)


def _tree_of_other_weights(family: str, folder: Path) -> Path:
    """Return a complete tree of a family in which every weight is 0.6 of the tiny model's."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny.folder(family), folder)
    for path in folder.rglob("*.safetensors"):
        save_file({name: (tensor * 0.6).contiguous() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    return folder


@pytest.mark.usefixtures("no_sockets")
def test_a_single_file_is_used_beside_a_complete_tree_of_other_weights(tmp_path: Path) -> None:
    """Check that nothing of what the file has is taken from the tree, neither for the pictures nor for the record."""
    folder = _tree_of_other_weights("sdxl", tmp_path / "sdxl")
    single = tiny_single.sdxl(tmp_path / "own.safetensors")
    files = ModelFiles({}, folder, single_file=single, weights=((single.name, "1" * 64), ("unet/a.safetensors", "2" * 64)))
    own_engine = DiffusionEngine("own", model("sdxl"), files, Device(), lambda largest: ONE)
    tree_engine = opened("sdxl", folder=folder)
    for ability in ("text", "image", "inpaint"):
        expected = engine("sdxl").generate(request(ability)).pictures[0]
        result = own_engine.generate(request(ability))
        np.testing.assert_allclose(result.pictures[0], expected, atol=1e-5)
        assert np.abs(tree_engine.generate(request(ability)).pictures[0] - expected).max() > 0.05
        assert result.facts["parts_in_file"] == ["text_encoder", "text_encoder_2", "unet", "vae"]
    assert own_engine.descriptor.weights == ((single.name, "1" * 64),)


@pytest.mark.usefixtures("no_sockets")
def test_only_what_a_single_file_lacks_is_taken_from_a_complete_tree(tmp_path: Path) -> None:
    """Check a file with the network alone: decoder and text encoder are those of the tree."""
    folder = Path(shutil.copytree(tiny.folder("z-image"), tmp_path / "z-image"))
    other = _tree_of_other_weights("z-image", tmp_path / "other")
    shutil.copy(other / "transformer/diffusion_pytorch_model.safetensors", folder / "transformer")
    single = tiny_single.z_image(tmp_path / "z_image.safetensors")
    result = opened("z-image", folder=folder, single=single).generate(request("text"))
    assert result.pictures[0].tobytes() == engine("z-image").generate(request("text")).pictures[0].tobytes()
    assert result.facts["parts_in_file"] == ["transformer"]


def test_a_single_file_that_lacks_weights_of_its_network_is_refused(tmp_path: Path) -> None:
    """Check that a layer is not filled up from the tree."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(tiny_single.sdxl(tmp_path / "all.safetensors"))
    single = tmp_path / "part.safetensors"
    save_file({name: tensor for name, tensor in tensors.items() if ".middle_block.1.proj_in." not in name}, single)
    with pytest.raises(InputError, match=r"part\.safetensors: diffusers cannot open this"):
        opened("sdxl", single=single)


@pytest.mark.usefixtures("no_sockets")
def test_a_single_file_may_hold_only_a_part_of_a_model(tmp_path: Path) -> None:
    """Check that other parts are loaded from the tree and that the pictures equal those of the whole tree."""
    folder = Path(shutil.copytree(tiny.folder("z-image"), tmp_path / "z-image"))
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    own_engine = opened("z-image", folder=folder, single=tiny_single.z_image(tmp_path / "z_image.safetensors"))
    assert own_engine.generate(request("text")).pictures[0].tobytes() == engine("z-image").generate(request("text")).pictures[0].tobytes()


def test_a_single_file_of_something_else_is_refused(tmp_path: Path) -> None:
    """Check a safetensors file with a single foreign tensor."""
    import torch
    from safetensors.torch import save_file

    single = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, single)
    folder = Path(shutil.copytree(tiny.folder("z-image"), tmp_path / "z-image"))
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"other\.safetensors: diffusers cannot open this as a model of the family 'z-image'"):
        opened("z-image", folder=folder, single=single)


def test_the_hash_of_a_scheduler_covers_only_its_settings(tmp_path: Path) -> None:
    """Check that the path of the model does not change it and that another setting does."""
    moved = Path(shutil.copytree(tiny.folder("flux"), tmp_path / "elsewhere"))
    original_hash = engine("flux").generate(request("text")).facts["scheduler_sha256"]
    assert opened("flux", folder=moved).generate(request("text")).facts["scheduler_sha256"] == original_hash
    path = moved / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "base_shift": 0.6}))
    assert opened("flux", folder=moved).generate(request("text")).facts["scheduler_sha256"] != original_hash


def test_the_named_variant_is_loaded(tmp_path: Path) -> None:
    """Check a tree with two precisions."""
    folder = Path(shutil.copytree(tiny.folder("flux"), tmp_path / "flux"))
    for path in folder.rglob("*.safetensors"):
        shutil.copy(path, path.with_suffix(".fp16.safetensors"))
        path.write_bytes(b"")
    result = opened("flux", folder=folder, entry=model("flux", variant="fp16")).generate(request("text"))
    assert result.pictures[0].tobytes() == engine("flux").generate(request("text")).pictures[0].tobytes()
