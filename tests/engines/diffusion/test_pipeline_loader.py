"""From folders and single files to pipelines around one set of weights, offline, and what is said where that cannot be."""

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
from doubles.tiny_engines import WAYS, engine, model, opened, request
from goldsmith.engines.diffusion.families import AUTO_FAMILY, FAMILIES
from goldsmith.engines.diffusion.pipeline_loader import silence_libraries
from goldsmith.errors import InputError


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a socket, or asks for an address, fails the test."""

    def refuse(*given: Any, **named: Any) -> Any:
        pytest.fail("a socket was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.usefixtures("no_sockets")
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_offline_means_offline(family: str) -> None:
    """Loading asks nobody, and leaves the hub switched off for everything in the process."""
    import huggingface_hub.constants

    opened(family)
    assert huggingface_hub.constants.HF_HUB_OFFLINE is True


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_all_pipelines_of_a_model_share_one_set_of_weights(family: str) -> None:
    """Text, image and inpaint cost the memory of one."""
    mounted = engine(family)._loaded
    assert mounted is not None
    pipes = [mounted.pipeline(way, use_tiling=False) for way in FAMILIES[family].calls.values()]
    for pipe in pipes:
        assert pipe.vae is pipes[0].vae
        assert pipe.text_encoder is pipes[0].text_encoder


def test_what_libraries_say_of_things_that_are_meant_is_not_heard() -> None:
    """It would stand before a crash's last words; anything else is heard."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        silence_libraries()
        for said in ("Already found a `peft_config` attribute in the model.", "The following rank_pattern keys did not match any", "Mind!"):
            warnings.warn(said, stacklevel=1)
    assert [str(each.message) for each in heard] == ["Mind!"]


def test_settings_of_a_model_reach_its_other_pipelines(tmp_path: Path) -> None:
    """What the index says beside its parts is true of all of them."""
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    index = json.loads((folder / "model_index.json").read_bytes())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": False}))
    mounted = opened("sdxl", folder=folder)._loaded
    assert mounted is not None
    for way in FAMILIES["sdxl"].calls.values():
        assert mounted.pipeline(way, use_tiling=False).config.force_zeros_for_empty_prompt is False


def test_a_family_that_the_table_lacks_is_left_to_autopipeline() -> None:
    """By the folder's own class; words, pictures and holes are then to be had, and the same pixels come of the same weights."""
    other = opened("sdxl", entry=model("sdxl-of-tomorrow", can=("text", "image", "inpaint")))
    for ability in AUTO_FAMILY.calls:
        made = other.generate(request(ability))
        assert made.pictures[0].tobytes() == engine("sdxl").generate(request(ability)).pictures[0].tobytes()
    assert made.facts["pipeline"] == "StableDiffusionXLInpaintPipeline"


def test_an_entry_that_promises_too_much_is_refused_when_it_is_opened() -> None:
    """With what its family can do."""
    with pytest.raises(InputError, match=r"models\.krea2\.diffusion\.can: a model of the family 'krea2' cannot 'inpaint'\. It can: text\."):
        opened("krea2", entry=model("krea2", can=("text", "inpaint")))


@pytest.mark.parametrize(("family", "folder"), [("flux", "sdxl"), ("sd3", "z-image"), ("qwen-image-edit", "qwen-image")])
def test_a_folder_of_another_family_is_a_sentence(family: str, folder: str) -> None:
    """Which folder, as what it was to be opened, and where that is said."""
    with pytest.raises(InputError, match=f"{folder}: diffusers cannot open this as a model of the family '{family}'") as refused:
        opened(family, folder=tiny.folder(folder))
    assert refused.value.remedy.startswith(f"Check models.{family}.diffusion.family")


def test_weights_of_another_shape_are_a_sentence(tmp_path: Path) -> None:
    """The configuration says one thing and the file another."""
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    shutil.copy(tiny.folder("sdxl-inpaint") / "unet/diffusion_pytorch_model.safetensors", folder / "unet")
    with pytest.raises(InputError, match="diffusers cannot open this as a model of the family 'sdxl'"):
        opened("sdxl", folder=folder)


@pytest.mark.usefixtures("no_sockets")
def test_a_single_file_is_opened_with_the_configuration_beside_it(tmp_path: Path) -> None:
    """A whole checkpoint: net, decoder and text encoders from the file, nothing but configuration from the tree, nothing from a hub.

    The weights are the same; the tree's and the file's lie differently in memory, which is worth a rounding.
    """
    folder = Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    own = opened("sdxl", folder=folder, single=tiny_single.sdxl(tmp_path / "house.safetensors"))
    for name, ability in WAYS:
        if name == "sdxl":
            whole = engine("sdxl").generate(request(ability)).pictures[0]
            np.testing.assert_allclose(own.generate(request(ability)).pictures[0], whole, atol=1e-5)


@pytest.mark.usefixtures("no_sockets")
def test_a_single_file_may_hold_only_a_part_of_a_model(tmp_path: Path) -> None:
    """The parts that it lacks come from the tree, and the pictures are the very ones of the whole tree."""
    folder = Path(shutil.copytree(tiny.folder("z-image"), tmp_path / "z-image"))
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    own = opened("z-image", folder=folder, single=tiny_single.z_image(tmp_path / "z_image.safetensors"))
    assert own.generate(request("text")).pictures[0].tobytes() == engine("z-image").generate(request("text")).pictures[0].tobytes()


def test_a_single_file_of_something_else_is_a_sentence(tmp_path: Path) -> None:
    """A LoRA, an upscaler: safetensors, and no such model."""
    import torch
    from safetensors.torch import save_file

    single = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, single)
    folder = Path(shutil.copytree(tiny.folder("z-image"), tmp_path / "z-image"))
    (folder / "transformer/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"other\.safetensors: diffusers cannot open this as a model of the family 'z-image'"):
        opened("z-image", folder=folder, single=single)


def test_the_scheduler_s_hash_is_of_its_settings_and_not_of_its_place(tmp_path: Path) -> None:
    """The same model elsewhere has the same one; another setting has another."""
    moved = Path(shutil.copytree(tiny.folder("flux"), tmp_path / "elsewhere"))
    here = engine("flux").generate(request("text")).facts["scheduler_sha256"]
    assert opened("flux", folder=moved).generate(request("text")).facts["scheduler_sha256"] == here
    path = moved / "scheduler/scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "base_shift": 0.6}))
    assert opened("flux", folder=moved).generate(request("text")).facts["scheduler_sha256"] != here


def test_a_variant_is_what_is_loaded(tmp_path: Path) -> None:
    """Where a tree has its weights twice, the entry says which."""
    folder = Path(shutil.copytree(tiny.folder("flux"), tmp_path / "flux"))
    for path in folder.rglob("*.safetensors"):
        shutil.copy(path, path.with_suffix(".fp16.safetensors"))
        path.write_bytes(b"")
    made = opened("flux", folder=folder, entry=model("flux", variant="fp16")).generate(request("text"))
    assert made.pictures[0].tobytes() == engine("flux").generate(request("text")).pictures[0].tobytes()
