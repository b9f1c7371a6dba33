"""A model that is a tree: its entry in models.toml, its completeness, and the files that are never read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import pytest

from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.models import DiffusionSettings, Model, Models, read_models
from goldsmith.engines.registry.pins import content_digest
from goldsmith.engines.registry.weights_registry import WeightsMissing, WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository, WeightsFile, refusal_reason
from goldsmith.errors import InputError, UsageError

DIFFUSION = DiffusionSettings(family="sdxl", can=("text",), pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)
TABLE = """
[models.one.diffusion]
family = "sdxl"
can = ["text"]
pixels = 1_048_576
multiple = 8
steps = 20
guidance = 7.5
memory_mb = 7000
picture_mb = 4000
"""
ONE = '[models.one]\nkind = "generate"\ndriver = "diffusers"\nlicence = "MIT"\n'
HUB = '[models.one.repository]\nhub = "org/model"\n'
INDEX = {"_class_name": "XPipeline", "unet": ["diffusers", "UNet"], "vae": ["diffusers", "VAE"], "safety_checker": [None, None]}


def _faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "models.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_models(path)
    return [line.removeprefix(f"{path}: ") for line in caught.value.sentence.splitlines()]


def _read(tmp_path: Path, text: str) -> Model:
    path = tmp_path / "models.toml"
    path.write_text(text)
    return read_models(path).models["one"]


def _create_model(top: Path, files: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """Create a complete model with ``files`` added."""
    usual = {"model_index.json": json.dumps(INDEX).encode(), "unet/model.safetensors": b"u", "vae/model.safetensors": b"v"}
    for name, data in {**usual, **files}.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    return top


def _weights(models_dir: Path, /, **place: object) -> WeightsRegistry:
    model = Model.model_validate({"kind": "generate", "driver": "diffusers", "licence": "MIT", "diffusion": DIFFUSION, **place})
    return WeightsRegistry(Models(models={"one": model}), models_dir)


# ---------------------------------------------------------------------- the entry in models.toml


def test_a_repository_is_a_diffusers_folder_by_default(tmp_path: Path) -> None:
    """Check that other files at its top are left out, that the revision is main, and that a pattern can exclude files."""
    repository = _read(tmp_path, ONE + HUB + TABLE).repository
    assert repository is not None
    assert repository.revision == "main"
    file_names = ["model_index.json", "all.safetensors", "unet/a.safetensors", "unet/a.fp16.safetensors", "unet/a.onnx", "README.md"]
    assert repository.select_files(file_names) == ["model_index.json", "unet/a.fp16.safetensors", "unet/a.safetensors"]
    without_fp16 = repository.model_copy(update={"exclude": ("*fp16*",)})
    assert without_fp16.select_files(file_names) == ["model_index.json", "unet/a.safetensors"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("*/*.bin", "selects pickles, which may run code when read"),
        ("unet/model.ckpt", "selects pickles"),
        ("*.PTH", "selects pickles"),
        ("pipeline.py", "selects code, and code of a model is never run"),
    ],
)
def test_patterns_for_pickles_and_code_are_refused(tmp_path: Path, pattern: str, sentence: str) -> None:
    """Check that the message has the position of the pattern."""
    (fault,) = _faults(tmp_path, ONE + HUB + f'include = ["{pattern}"]\n' + TABLE)
    assert fault.startswith("models.one.repository.include.0: ")
    assert sentence in fault


@pytest.mark.parametrize("hub", ["only-one", "../../etc", "https://hub/org/model", "org/model/more", "-x/y"])
def test_a_repository_is_an_organisation_and_a_name(tmp_path: Path, hub: str) -> None:
    """Check that paths, addresses and options are refused."""
    (fault,) = _faults(tmp_path, ONE + HUB.replace("org/model", hub) + TABLE)
    assert fault.startswith("models.one.repository.hub: ")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('folder = "models/flux"\n', "must be an absolute path, starting with /"),
        ('folder = "/srv/../etc"\n', "must be an absolute path"),
        ('file = "x.safetensors"\n', "must be an absolute path"),
        ('file = "/srv/model.ckpt"\n', "one .safetensors file or a tree"),
        ('folder = "/srv/a"\n' + HUB, "have one source"),
        ('file = "/srv/a.safetensors"\nfiles = [{ name = "a.safetensors", sha256 = "' + "0" * 64 + '", bytes = 1 }]\n', "have one source"),
    ],
)
def test_a_local_path_is_absolute_and_the_only_source(tmp_path: Path, lines: str, sentence: str) -> None:
    """Check that relative paths, parent folders, other formats and two sources are refused."""
    assert any(sentence in fault for fault in _faults(tmp_path, ONE + lines + TABLE))


def test_only_models_that_generate_are_trees(tmp_path: Path) -> None:
    """Check that an inpainting model must list its files with their hashes."""
    text = '[models.one]\nkind = "inpaint"\ndriver = "migan"\nlicence = "MIT"\nfolder = "/srv/x"\n'
    assert _faults(tmp_path, text) == [
        "models.one: only a model of kind generate, control or reference has a repository, a folder or a file; others list [[files]] with "
        "their hashes"
    ]


def test_an_alias_must_name_a_model(tmp_path: Path) -> None:
    """Check that an alias of an alias, of an unknown model, or with the name of a model is refused."""
    names = '[names]\npremium = "one"\nbest = "premium"\nfast = "on"\none = "one"\n'
    assert _faults(tmp_path, names + ONE + HUB + TABLE) == [
        "names.best: 'premium' is itself an alias in [names]; name the model",
        "names.fast: there is no model 'on'; the nearest is 'one'",
        "names.one: a model has that name already",
    ]


def test_a_default_for_prompts_takes_a_prompt_and_can_fill(tmp_path: Path) -> None:
    """Check that a model which only generates from words is no default for holes, and a model without a prompt none for prompts."""
    plain = '[models.two]\nkind = "inpaint"\ndriver = "migan"\nlicence = "MIT"\n'
    text = '[defaults]\ninpaint_words = ["one", "two"]\ngenerate = ["two"]\n' + ONE + HUB + TABLE + plain
    assert _faults(tmp_path, text) == [
        "defaults.inpaint_words: 'one' is a model for generate and takes no prompt",
        "defaults.inpaint_words: 'two' is a model for inpaint and takes no prompt",
        "defaults.generate: 'two' is a model for inpaint",
    ]


# ---------------------------------------------------------------------- the files on the disk


def test_a_local_folder_is_used_in_place(tmp_path: Path) -> None:
    """Check the paths of its files, its root and the revision "unpinned"; hidden folders and read-me files are left out."""
    top = _create_model(tmp_path / "mine", {"README.md": b"x", "unet/config.json": b"{}"})
    (top / ".git").mkdir()
    (top / ".git/config.json").write_bytes(b"{}")
    store = _weights(tmp_path / "models", folder=top).verified_files("one")
    assert set(store.files) == {"model_index.json", "unet/config.json", "unet/model.safetensors", "vae/model.safetensors"}
    hashes = {name: hashlib.sha256((top / name).read_bytes()).hexdigest() for name in store.files}
    assert (store.folder, store.single_file, store.revision) == (top, None, f"unpinned, content {content_digest(hashes)[:16]}")
    assert dict(store.weights) == {name: hashes[name] for name in ("unet/model.safetensors", "vae/model.safetensors")}
    assert store.is_tree


def test_a_change_of_unpinned_weights_shows_in_the_record(tmp_path: Path) -> None:
    """Check the hash of a changed file and the digest of a changed configuration, and that a file is read only once for its hash."""
    top = _create_model(tmp_path / "mine", {"vae/config.json": b"{}"})
    weights = _weights(tmp_path / "models", folder=top)
    before = weights.verified_files("one")
    with mock.patch("goldsmith.engines.registry.hash_notes._read_file", side_effect=AssertionError("read again")):
        assert weights.verified_files("one") == before
    (top / "vae/model.safetensors").write_bytes(b"other weights")
    changed = weights.verified_files("one")
    assert {name for name, _ in set(changed.weights) ^ set(before.weights)} == {"vae/model.safetensors"}
    (top / "vae/config.json").write_bytes(b'{"scaling_factor": 1}')
    assert weights.verified_files("one").revision != changed.revision != before.revision


@pytest.mark.parametrize(
    ("variant", "loaded"),
    [("", {"unet/a.safetensors", "vae/model.safetensors"}), ("fp16", {"unet/a.fp16-00001-of-00001.safetensors", "vae/model.safetensors"})],
)
def test_weights_in_a_precision_that_is_not_loaded_are_not_hashed(tmp_path: Path, variant: str, loaded: set[str]) -> None:
    """Check a part in two precisions, and a part that has only the plain one."""
    top = _create_model(tmp_path / "mine", {"unet/a.safetensors": b"1", "unet/a.fp16-00001-of-00001.safetensors": b"2"})
    (top / "unet/model.safetensors").unlink()
    diffusion = DIFFUSION.model_copy(update={"variant": variant})
    assert {name for name, _ in _weights(tmp_path / "models", folder=top, diffusion=diffusion).verified_files("one").weights} == loaded


def test_verifying_unpinned_weights_notes_their_hashes(tmp_path: Path) -> None:
    """Check that a worker process, which gets these notes, need not read the weights again."""
    top = _create_model(tmp_path / "mine")
    weights = _weights(tmp_path / "models", folder=top)
    weights.notes = HashNotes(tmp_path / "notes.json")
    assert [verdict.sentence for verdict in weights.verify("one")] == [""]
    assert str(top / "vae/model.safetensors") in HashNotes(tmp_path / "notes.json").stored()


@pytest.mark.parametrize("missing", ["model_index.json", "vae", "unet/model.safetensors"])
def test_an_incomplete_folder_is_no_model(tmp_path: Path, missing: str) -> None:
    """Check that a missing part is reported with its path and that nothing is opened."""
    top = _create_model(tmp_path / "mine")
    for name in ("unet", "vae"):
        index = {"weight_map": {"a": "model.safetensors"}}
        (top / name / "model.safetensors.index.json").write_text(json.dumps(index))
    path = top / missing
    if path.is_dir():
        for each in path.iterdir():
            each.unlink()
        path.rmdir()
    else:
        path.unlink()
    weights = _weights(tmp_path / "models", folder=top)
    assert not weights.is_available("one")
    with pytest.raises(WeightsMissing, match=r"not where models\.toml says: "):
        weights.verified_files("one")


def test_listed_shards_must_exist(tmp_path: Path) -> None:
    """Check that an index without any of its shards is a precision that was left out on purpose."""
    top = _create_model(tmp_path / "mine")
    shards = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (top / "unet/model.safetensors.index.json").write_text(json.dumps(shards))
    assert _weights(tmp_path / "models", folder=top).is_available("one")
    (top / "unet/model-1.safetensors").write_bytes(b"1")
    assert _weights(tmp_path / "models", folder=top).first_missing("one") == str(top / "unet/model-2.safetensors")


def test_a_folder_with_code_is_refused(tmp_path: Path) -> None:
    """Check a complete folder with one Python file."""
    top = _create_model(tmp_path / "mine")
    (top / "unet/custom.py").write_bytes(b"import os")
    with pytest.raises(InputError, match=r"it contains code \(unet/custom\.py\), and code of a model is never run"):
        _weights(tmp_path / "models", folder=top).verified_files("one")


def test_weights_only_as_pickles_are_refused(tmp_path: Path) -> None:
    """Check that pickles beside safetensors of the same part are ignored."""
    top = _create_model(tmp_path / "mine")
    (top / "vae/model.bin").write_bytes(b"pickle")
    assert "vae/model.bin" not in _weights(tmp_path / "models", folder=top).verified_files("one").files
    (top / "vae/model.safetensors").unlink()
    with pytest.raises(InputError, match=r"the weights vae/model\.bin are a pickle"):
        _weights(tmp_path / "models", folder=top).verified_files("one")


def test_a_repository_copied_by_hand_is_used(tmp_path: Path) -> None:
    """Check a folder with the name of the model: it works without a network and is unpinned."""
    weights = _weights(tmp_path / "models", repository=HubRepository(hub="org/model"))
    assert weights.first_missing("one") == str(tmp_path / "models/one/model_index.json")
    _create_model(tmp_path / "models" / "one")
    assert weights.verified_files("one").revision.startswith("unpinned, content ")


def test_a_local_single_file_takes_its_configuration_from_a_folder(tmp_path: Path) -> None:
    """Check that the folder needs no weights and that both are in the model files."""
    single = tmp_path / "whole.safetensors"
    weights = _weights(tmp_path / "models", file=single, folder=tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model_index.json").write_text(json.dumps(INDEX))
    assert weights.first_missing("one") == str(single)
    single.write_bytes(b"weights")
    store = weights.verified_files("one")
    assert (store.single_file, store.folder, store.is_tree) == (single, tmp_path / "mine", True)
    assert set(store.files) == {"model_index.json", "whole.safetensors"}


def test_a_listed_single_file_is_the_whole_model(tmp_path: Path) -> None:
    """Check that the file is in the models folder and that the driver gets it as the single file."""
    file = WeightsFile.model_validate(
        {"name": "whole.safetensors", "sha256": "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c", "bytes": 7}
    )
    weights = _weights(tmp_path, files=(file,))
    (tmp_path / "whole.safetensors").write_bytes(b"weights")
    store = weights.verified_files("one")
    assert (store.single_file, store.folder, store.is_tree) == (tmp_path / "whole.safetensors", tmp_path, False)
    assert store.weights == (("whole.safetensors", file.sha256),)


def test_the_change_token_changes_when_weights_appear(tmp_path: Path) -> None:
    """Check that the token stays the same during a fetch, which writes only hidden names."""
    weights = _weights(tmp_path / "models", repository=HubRepository(hub="org/model"))
    before = weights.change_token()
    (tmp_path / "models" / ".one.incoming").mkdir(parents=True)
    assert weights.change_token() == before
    os.rename(tmp_path / "models" / ".one.incoming", tmp_path / "models" / "one")
    assert weights.change_token() != before


@pytest.mark.parametrize("path", ["../a.json", "/etc/a.json", "a//b.json", "a/.b.json", "a/b c.json", "a\\b.json"])
def test_paths_outside_a_tree_are_refused(path: str) -> None:
    """Check paths that leave the tree, are hidden, or have unusual characters."""
    assert "is not an allowed file name" in refusal_reason(["a/model.safetensors", path])


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({"config.json": b"{}", "diffusion_pytorch_model.safetensors": b"w"}, ""),
        ({"diffusion_pytorch_model.safetensors": b"w"}, "config.json"),
        ({"config.json": b"{}"}, "safetensors"),
        ({"config.json": b"{}", "a.safetensors": b"w", "net.py": b""}, "it contains code (net.py)"),
    ],
)
def test_a_control_model_is_one_part(tmp_path: Path, files: Mapping[str, bytes], missing: str) -> None:
    """Check that its folder needs a configuration and weights, and no index; code is refused."""
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    control = {"family": "sdxl", "controls": ("depth",)}
    model = Model.model_validate({"kind": "control", "driver": "controlnet", "licence": "MIT", "folder": tmp_path, "control": control})
    reason = WeightsRegistry(Models(models={"one": model}), tmp_path / "models").first_missing("one")
    assert (missing in reason) if missing else (reason == "")
