"""A folder is looked through before anything is loaded from it: whole, safetensors only, no code of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from doubles import tiny
from goldsmith.engines.diffusion.diffusers_tree import check_safetensors, inspect_tree
from goldsmith.errors import InputError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of tiny SDXL to do damage to."""
    return Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))


def _index(tree: Path, **parts: Any) -> None:
    path = tree / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **parts}), encoding="utf-8")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_every_family_s_folder_passes(family: str) -> None:
    """And its largest part's share of the weights is known before they are read."""
    found = inspect_tree("one", tiny.folder(family))
    assert {"vae", "scheduler"} & set(found.parts) == {"vae"}
    assert 0.3 < found.largest_share < 1
    assert sum(found.parts.values()) == sum(path.stat().st_size for path in tiny.folder(family).rglob("*.safetensors"))


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda tree: shutil.rmtree(tree), r"sdxl/model_index\.json: cannot be read: No such file"),
        (lambda tree: (tree / "model_index.json").write_text("{"), r"model_index\.json: this is not JSON"),
        (lambda tree: (tree / "model_index.json").write_text("[]"), r"model_index\.json: this is not a JSON object"),
        (lambda tree: shutil.rmtree(tree / "vae"), r"sdxl/vae/config\.json: cannot be read: No such file"),
        (lambda tree: (tree / "unet/config.json").unlink(), r"unet/config\.json: cannot be read: No such file"),
        (lambda tree: (tree / "text_encoder/model.safetensors").unlink(), r"text_encoder: it contains no weights"),
        (lambda tree: (tree / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"x" * 90), r"this is not a safetensors file"),
        (lambda tree: (tree / "unet/diffusion_pytorch_model.safetensors").write_bytes(b""), r"this is not a safetensors file"),
        (lambda tree: (tree / "unet/diffusion_pytorch_model.safetensors").write_bytes(bytes(8)), r"this is not a safetensors file"),
    ],
)
def test_what_is_missing_or_damaged_is_told_by_its_file(tree: Path, damage: Damage, sentence: str) -> None:
    """diffusers would speak of hubs and connections; the remedy is the command that fetches the model."""
    damage(tree)
    with pytest.raises(InputError, match=sentence) as refused:
        inspect_tree("one", tree)
    assert refused.value.remedy == "Fetch the model again: goldsmith models fetch one"


def test_a_file_that_ends_early_is_told_by_how_much(tree: Path) -> None:
    """Only its header is read for that."""
    path = tree / "vae/diffusion_pytorch_model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(InputError, match=rf"has {len(data) - 100} bytes and should have {len(data)}; it is truncated or damaged"):
        inspect_tree("one", tree)


def test_a_missing_shard_is_named(tree: Path) -> None:
    """The index asks for it."""
    part = tree / "unet"
    (part / "diffusion_pytorch_model.safetensors").rename(part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    names = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match=r"00002-of-00002\.safetensors: this file does not exist, but .*index\.json lists it"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("ending", ["bin", "ckpt", "pt"])
def test_pickles_are_never_weights(tree: Path, ending: str) -> None:
    """A pickle runs what its maker wants; where there is nothing else the model is refused."""
    path = tree / "unet/diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(f".{ending}"))
    with pytest.raises(InputError, match=rf"model\.{ending}: weights are read from safetensors only, never from pickles"):
        inspect_tree("one", tree)


def test_code_of_its_own_is_refused(tree: Path) -> None:
    """A .py anywhere, a part that asks for one, a class of another library."""
    (tree / "unet/thief.py").write_text("raise SystemExit")
    with pytest.raises(InputError, match=r"thief\.py: this model contains custom code, which is never run"):
        inspect_tree("one", tree)
    (tree / "unet/thief.py").unlink()
    config = json.loads((tree / "text_encoder/config.json").read_bytes())
    (tree / "text_encoder/config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "thief.Model"}}))
    with pytest.raises(InputError, match=r"text_encoder/config\.json: this part asks for custom code \(auto_map\)"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("said", [["os", "system"], ["thief", "Model"], ["transformers", "x.y"], ["diffusers"]])
def test_only_classes_of_diffusers_and_transformers_are_loaded(tree: Path, said: list[str]) -> None:
    """The index of a model from anywhere can name anything."""
    _index(tree, unet=said)
    with pytest.raises(InputError, match=r"its part 'unet' is a .*, which is not a class of diffusers or transformers"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("named", [["thief", "Pipeline"], "thief.Pipeline", 7])
def test_a_pipeline_of_its_own_is_refused(tree: Path, named: object) -> None:
    """diffusers' way of naming one is a module and a class."""
    _index(tree, _class_name=named)
    with pytest.raises(InputError, match=r"model_index\.json: its pipeline is custom code \(.*\), which is never run"):
        inspect_tree("one", tree)


def test_settings_and_parts_left_out_are_no_parts(tree: Path) -> None:
    """A list of numbers is a setting; [null, null] is a part that is left out; a safety checker is never loaded, whatever it is."""
    _index(tree, select=[1, 2], image_encoder=[None, None], safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert set(inspect_tree("one", tree).parts) == {"vae", "text_encoder", "text_encoder_2", "unet"}


def test_a_variant_is_read_where_a_part_has_it(tree: Path) -> None:
    """Parts that have only the plain weights give those."""
    path = tree / "unet/diffusion_pytorch_model.safetensors"
    path.rename(tree / "unet/diffusion_pytorch_model.fp16.safetensors")
    found = inspect_tree("one", tree, variant="fp16")
    assert found.variant == "fp16"
    assert set(found.parts) == {"vae", "text_encoder", "text_encoder_2", "unet"}
    with pytest.raises(InputError, match="unet: it contains no weights"):
        inspect_tree("one", tree)


def test_beside_a_single_file_only_the_configuration_is_needed(tree: Path, tmp_path: Path) -> None:
    """Weights that lie in the tree all the same are for parts that the file lacks."""
    single = tmp_path / "all.safetensors"
    shutil.move(tree / "unet/diffusion_pytorch_model.safetensors", single)
    (tree / "vae/diffusion_pytorch_model.safetensors").unlink()
    found = inspect_tree("one", tree, single=single)
    assert set(found.parts) == {"text_encoder", "text_encoder_2", "all.safetensors"}


def test_a_header_that_says_nonsense_is_no_safetensors(tmp_path: Path) -> None:
    """Not a crash: its length, its JSON, its tables and its offsets are all checked."""
    for number, header in enumerate((b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}', b'{"a": {}}', b"\xff\xfe")):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(InputError, match="this is not a safetensors file"):
            check_safetensors(path, "")
