"""A folder is checked before loading: complete, safetensors only, no custom code."""

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
    """Return a copy of tiny SDXL for a test to damage."""
    return Path(shutil.copytree(tiny.folder("sdxl"), tmp_path / "sdxl"))


def _change_index(tree: Path, **parts: Any) -> None:
    path = tree / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **parts}), encoding="utf-8")


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_folders_of_all_families_pass(family: str) -> None:
    """Check that the largest part's share of the weights is known before loading."""
    tree_facts = inspect_tree("one", tiny.folder(family))
    assert {"vae", "scheduler"} & set(tree_facts.parts) == {"vae"}
    assert 0.3 < tree_facts.largest_share < 1
    assert sum(tree_facts.parts.values()) == sum(path.stat().st_size for path in tiny.folder(family).rglob("*.safetensors"))


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
def test_a_missing_or_damaged_file_is_named(tree: Path, damage: Damage, sentence: str) -> None:
    """Check that the message has the file and the command that fetches the model, and says nothing about hubs."""
    damage(tree)
    with pytest.raises(InputError, match=sentence) as refused:
        inspect_tree("one", tree)
    assert refused.value.remedy == "Fetch the model again: goldsmith models fetch one"


def test_a_truncated_file_is_reported_with_both_sizes(tree: Path) -> None:
    """Check that reading the header is enough."""
    path = tree / "vae/diffusion_pytorch_model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(InputError, match=rf"has {len(data) - 100} bytes and should have {len(data)}; it is truncated or damaged"):
        inspect_tree("one", tree)


def test_a_missing_shard_is_named(tree: Path) -> None:
    """Check that the message has the index that lists the shard."""
    part = tree / "unet"
    (part / "diffusion_pytorch_model.safetensors").rename(part / "diffusion_pytorch_model-00001-of-00002.safetensors")
    names = {"a": "diffusion_pytorch_model-00001-of-00002.safetensors", "b": "diffusion_pytorch_model-00002-of-00002.safetensors"}
    (part / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(InputError, match=r"00002-of-00002\.safetensors: this file does not exist, but .*index\.json lists it"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("ending", ["bin", "ckpt", "pt"])
def test_weights_in_pickles_are_refused(tree: Path, ending: str) -> None:
    """Check a model with weights only in pickles, which can run code."""
    path = tree / "unet/diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(f".{ending}"))
    with pytest.raises(InputError, match=rf"model\.{ending}: weights are read from safetensors only, never from pickles"):
        inspect_tree("one", tree)


def test_custom_code_is_refused(tree: Path) -> None:
    """Check a Python file anywhere, a part that asks for code, and a class of another library."""
    (tree / "unet/thief.py").write_text("raise SystemExit")
    with pytest.raises(InputError, match=r"thief\.py: this model contains custom code, which is never run"):
        inspect_tree("one", tree)
    (tree / "unet/thief.py").unlink()
    config = json.loads((tree / "text_encoder/config.json").read_bytes())
    (tree / "text_encoder/config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "thief.Model"}}))
    with pytest.raises(InputError, match=r"text_encoder/config\.json: this part asks for custom code \(auto_map\)"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("class_path", [["os", "system"], ["thief", "Model"], ["transformers", "x.y"], ["diffusers"]])
def test_only_classes_of_diffusers_and_transformers_are_loaded(tree: Path, class_path: list[str]) -> None:
    """Check classes that an index from an untrusted source may name."""
    _change_index(tree, unet=class_path)
    with pytest.raises(InputError, match=r"its part 'unet' is a .*, which is not a class of diffusers or transformers"):
        inspect_tree("one", tree)


@pytest.mark.parametrize("class_name", [["thief", "Pipeline"], "thief.Pipeline", 7])
def test_a_custom_pipeline_is_refused(tree: Path, class_name: object) -> None:
    """Check a module with a class, which is how diffusers names a custom pipeline, and other values."""
    _change_index(tree, _class_name=class_name)
    with pytest.raises(InputError, match=r"model_index\.json: its pipeline is custom code \(.*\), which is never run"):
        inspect_tree("one", tree)


def test_settings_and_omitted_parts_are_not_loaded(tree: Path) -> None:
    """Check a list of numbers, [null, null] and a safety checker."""
    _change_index(tree, select=[1, 2], image_encoder=[None, None], safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert set(inspect_tree("one", tree).parts) == {"vae", "text_encoder", "text_encoder_2", "unet"}


def test_a_variant_is_used_if_a_part_has_it(tree: Path) -> None:
    """Check that other parts use their plain weights."""
    path = tree / "unet/diffusion_pytorch_model.safetensors"
    path.rename(tree / "unet/diffusion_pytorch_model.fp16.safetensors")
    tree_facts = inspect_tree("one", tree, variant="fp16")
    assert tree_facts.variant == "fp16"
    assert set(tree_facts.parts) == {"vae", "text_encoder", "text_encoder_2", "unet"}
    with pytest.raises(InputError, match="unet: it contains no weights"):
        inspect_tree("one", tree)


def test_a_tree_beside_a_single_file_gives_only_what_the_file_lacks(tree: Path, tmp_path: Path) -> None:
    """Check a file with the network alone, with and without the same part in the tree."""
    single = Path(shutil.copy(tree / "unet/diffusion_pytorch_model.safetensors", tmp_path / "net.safetensors"))
    for _ in range(2):
        tree_facts = inspect_tree("one", tree, single=single)
        assert set(tree_facts.parts) == {"text_encoder", "text_encoder_2", "vae", "net.safetensors"}
        assert tree_facts.in_file == {"unet"}
        (tree / "unet/diffusion_pytorch_model.safetensors").unlink(missing_ok=True)


def test_a_part_that_neither_the_file_nor_the_tree_has_is_named(tree: Path, tmp_path: Path) -> None:
    """Check a network without a decoder."""
    single = Path(shutil.copy(tree / "unet/diffusion_pytorch_model.safetensors", tmp_path / "net.safetensors"))
    (tree / "vae/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"net\.safetensors: it has no vae, and .*sdxl/vae has no weights for it either"):
        inspect_tree("one", tree, single=single)


def test_an_invalid_header_is_refused(tmp_path: Path) -> None:
    """Check its length, JSON, tables and offsets."""
    for number, header in enumerate((b"[]", b'{"a": 1}', b'{"a": {"data_offsets": [0]}}', b'{"a": {}}', b"\xff\xfe")):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(InputError, match="this is not a safetensors file"):
            check_safetensors(path, "")
