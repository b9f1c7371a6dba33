"""A pin records the files of a model; nothing else is opened under its name afterwards."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.hub import COMMIT, HubDouble, hub_double
from goldsmith.engines.fetching.fetch import fetch
from goldsmith.engines.fetching.pin_model import PinFault, pin_model
from goldsmith.engines.registry.models import DiffusionSettings, Model, Models
from goldsmith.engines.registry.pins import PINS_FILE_NAME, pins_path_for, read_pins
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.engines.registry.weights_sources import HubRepository, WeightsFile
from goldsmith.errors import HostError, InputError, UsageError
from goldsmith.files import resource_path

INDEX = b'{"_class_name": "XPipeline", "vae": ["diffusers", "VAE"]}'
FILES = {"model_index.json": INDEX, "vae/config.json": b"{}", "vae/model.safetensors": b"weights"}
DIFFUSION = DiffusionSettings(family="sdxl", can=("text",), pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    with hub_double(FILES, monkeypatch) as double:
        yield double


def _weights(models_dir: Path, /, **place: object) -> WeightsRegistry:
    model = Model(kind="generate", driver="diffusers", licence="MIT", diffusion=DIFFUSION, **place)  # type: ignore[arg-type]
    return WeightsRegistry(Models(models={"one": model}, names={"premium": "one"}), models_dir, models_dir / PINS_FILE_NAME)


def _repository(folder: Path, revision: str = "main") -> WeightsRegistry:
    return _weights(folder, repository=HubRepository(hub="org/model", revision=revision))


def _local_folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mine"


def test_a_repository_is_pinned_to_its_current_commit(tmp_path: Path, hub: HubDouble) -> None:
    """Check the sha256 of every file, also without a sha256 from the hub, and that an alias is accepted."""
    pin = pin_model(_repository(tmp_path), "premium")
    assert pin.revision == COMMIT
    assert {name: file.sha256 for name, file in pin.files.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }
    assert read_pins(tmp_path / PINS_FILE_NAME) == {"one": pin}
    assert [name for name, _ in hub.requests] == ["model_index.json", "vae/config.json"]


def test_local_files_of_the_commit_are_not_downloaded_for_their_hash(tmp_path: Path, hub: HubDouble) -> None:
    """Check that pinning after a fetch requests only the list."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    hub.requests.clear()
    pin_model(weights, "one")
    assert not hub.requests
    assert weights.verified_files("one").revision == COMMIT


def test_an_unpinned_tree_is_recorded_as_unpinned(tmp_path: Path, hub: HubDouble) -> None:
    """Check that the record has the commit and the weights' hashes from the hub; after pinning, the commit alone."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    store = weights.verified_files("one")
    weights_hashes = (("vae/model.safetensors", hashlib.sha256(b"weights").hexdigest()),)
    assert (store.revision, store.weights) == (f"unpinned, fetched at {COMMIT}", weights_hashes)
    assert store.folder == tmp_path / "one"
    pin_model(weights, "one")
    assert (weights.verified_files("one").revision, weights.verified_files("one").weights) == (COMMIT, weights_hashes)


def test_an_unpinned_tree_is_compared_with_the_record_of_its_fetch(tmp_path: Path, hub: HubDouble) -> None:
    """Check that later damage to the weights is reported and repaired by a fetch."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    assert [verdict.file for verdict in weights.verify("one")] == ["vae/model.safetensors"]
    (tmp_path / "one/vae/model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(
        InputError, match=r"vae/model\.safetensors: its sha256 is .*, but it was fetched with .*\. Run: goldsmith models fetch one"
    ):
        weights.verified_files("one")
    assert fetch(weights, "one") == [tmp_path / "one/vae/model.safetensors"]
    assert weights.verified_files("one")


def test_a_file_that_differs_from_its_pin_is_not_opened(tmp_path: Path, hub: HubDouble) -> None:
    """Check other content of the same size, and that the remedy repairs it."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin_model(weights, "one")
    (tmp_path / "one/vae/model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(InputError, match=r"vae/model\.safetensors: its sha256 is .*, but its pin has .*\. Run: goldsmith models fetch one"):
        weights.verified_files("one")
    fetch(weights, "one")
    assert weights.verified_files("one")


def test_a_tree_is_hashed_once(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that later openings cost one stat per file."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin_model(weights, "one")
    weights.verified_files("one")
    monkeypatch.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: pytest.fail("read again"))
    assert weights.verified_files("one").revision == COMMIT


def test_a_local_folder_is_pinned_to_its_content(tmp_path: Path) -> None:
    """Check without a network that its revision is a digest of its content and that a changed byte is noticed."""
    local_folder = _local_folder(tmp_path)
    weights = _weights(tmp_path / "models", folder=local_folder)
    assert weights.verified_files("one").revision.startswith("unpinned, content ")
    pin = pin_model(weights, "one")
    assert set(pin.files) == set(FILES)
    assert weights.verified_files("one").revision == pin.revision
    assert len(pin.revision) == 64
    (local_folder / "vae/config.json").write_bytes(b"[]")
    with pytest.raises(InputError, match=r"vae/config\.json: its sha256 .* If the change is intended, run: goldsmith models pin one"):
        weights.verified_files("one")
    with pytest.raises(InputError, match="its pin has"):
        fetch(weights, "one")
    (local_folder / "vae/config.json").write_bytes(b"[1]")
    assert not weights.is_available("one")
    with pytest.raises(InputError, match=r"differ from their pin: .*/vae/config\.json\. If the change is intended"):
        weights.verified_files("one")
    assert pin_model(weights, "one").revision != pin.revision
    assert weights.verified_files("one")
    local_folder.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"are not there: .*/mine does not exist, or may not be entered\. Put them there"):
        weights.verified_files("one")


def test_a_local_single_file_can_be_pinned(tmp_path: Path) -> None:
    """Check that the pin uses the name of the file and not its path."""
    single = tmp_path / "mine.safetensors"
    single.write_bytes(b"all of it")
    weights = _weights(tmp_path / "models", file=single)
    pin = pin_model(weights, "one")
    assert set(pin.files) == {"mine.safetensors"}
    store = weights.verified_files("one")
    assert store.single_file == single
    assert store.weights == (("mine.safetensors", hashlib.sha256(b"all of it").hexdigest()),)
    single.write_bytes(b"all of IT")
    with pytest.raises(InputError, match=r"mine\.safetensors: its sha256"):
        weights.verified_files("one")


def test_a_single_file_may_take_its_configuration_from_a_repository(tmp_path: Path, hub: HubDouble) -> None:
    """Check that the small files are fetched and pinned without weights, and that the file stays in place."""
    single = tmp_path / "mine.safetensors"
    weights = _weights(tmp_path / "models", file=single, repository=HubRepository(hub="org/model", include=("*.json",)))
    single.write_bytes(b"all of it")
    pin_model(weights, "one")
    assert not weights.is_available("one")
    fetch(weights, "one")
    assert {name for name, _ in hub.requests} == {"model_index.json", "vae/config.json"}
    store = weights.verified_files("one")
    assert (store.single_file, store.folder, store.revision) == (single, tmp_path / "models" / "one", COMMIT)
    assert set(store.files) == {"mine.safetensors", "model_index.json", "vae/config.json"}


def test_a_stale_pin_is_not_trusted(tmp_path: Path, hub: HubDouble) -> None:
    """Check that a model with another revision in models.toml counts as missing until it is pinned again."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin_model(weights, "one")
    moved = _repository(tmp_path, revision=COMMIT)
    assert not moved.is_available("one")
    with pytest.raises(
        InputError, match=r"'one' is pinned to hub org/model at main, but models\.toml names other weights now\. Run: .* pin one"
    ):
        moved.verified_files("one")
    pin_model(moved, "one")
    fetch(moved, "one")
    assert moved.verified_files("one").revision == COMMIT


def test_a_new_pin_takes_effect_at_once(tmp_path: Path, hub: HubDouble) -> None:
    """Check two registries: the second uses the pin that the first writes."""
    daemon_registry, command_registry = _repository(tmp_path), _repository(tmp_path)
    fetch(command_registry, "one")
    assert daemon_registry.verified_files("one").revision.startswith("unpinned")
    pin_model(command_registry, "one")
    assert daemon_registry.verified_files("one").revision == COMMIT


def test_pinning_keeps_the_other_pins(tmp_path: Path, hub: HubDouble) -> None:
    """Check that the file still has the pins of the other models."""
    local_folder = _local_folder(tmp_path)
    models = {
        name: Model(kind="generate", driver="diffusers", licence="MIT", diffusion=DIFFUSION, **place)  # type: ignore[arg-type]
        for name, place in {"one": {"repository": HubRepository(hub="org/model")}, "two": {"folder": local_folder}}.items()
    }
    weights = WeightsRegistry(Models(models=models), tmp_path / "models", tmp_path / PINS_FILE_NAME)
    first, second = pin_model(weights, "one"), pin_model(weights, "two")
    assert read_pins(tmp_path / PINS_FILE_NAME) == {"one": first, "two": second}
    assert (tmp_path / PINS_FILE_NAME).read_text().startswith("# Written by `goldsmith models pin`")
    assert list(tomllib.loads((tmp_path / PINS_FILE_NAME).read_text())) == ["one", "two"]


def test_a_failing_hub_leaves_the_pins_unchanged(tmp_path: Path, hub: HubDouble) -> None:
    """Check a missing list, and a list with a missing file."""
    pin_model(_repository(tmp_path), "one")
    before = (tmp_path / PINS_FILE_NAME).read_bytes()
    hub.replaced_bytes["vae/config.json"] = b"too long"
    with pytest.raises(PinFault, match=r"org/model: returned 8 bytes of vae/config\.json, but its listing has 2"):
        pin_model(_repository(tmp_path), "one")
    hub.refusal = (403, "GatedRepo")
    with pytest.raises(PinFault, match="its licence must be accepted first"):
        pin_model(_repository(tmp_path), "one")
    assert (tmp_path / PINS_FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [PINS_FILE_NAME]


def test_files_with_hashes_need_no_pin(tmp_path: Path) -> None:
    """Check that pinning such a model is refused."""
    file = WeightsFile.model_validate({"name": "a.onnx", "sha256": "0" * 64, "bytes": 1})
    models = Models(models={"one": Model(kind="inpaint", driver="migan", licence="MIT", files=(file,))})
    with pytest.raises(InputError, match=r"lists the files of 'one' with their hashes\. There is nothing to pin"):
        pin_model(WeightsRegistry(models, tmp_path, tmp_path / PINS_FILE_NAME), "one")


def test_an_incomplete_folder_is_not_pinned(tmp_path: Path) -> None:
    """Check that the missing part is reported."""
    local_folder = _local_folder(tmp_path)
    (local_folder / "vae/model.safetensors").unlink()
    with pytest.raises(InputError, match=r"incomplete; missing: .*contains no safetensors"):
        pin_model(_weights(tmp_path / "models", folder=local_folder), "one")


def test_pins_are_beside_the_models_file_in_use(tmp_path: Path) -> None:
    """Check that the pins of the packaged models.toml are in the models folder."""
    assert pins_path_for(tmp_path / "models.toml", tmp_path / "weights") == tmp_path / PINS_FILE_NAME
    assert pins_path_for(resource_path("config", "models.toml"), tmp_path / "weights") == tmp_path / "weights" / PINS_FILE_NAME


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[one\n", r"not TOML"),
        ('[one]\norigin = "hub a/b at main"\nrevision = "main"\nfiles = {}\n', r"one\.revision"),
        (
            f'[one]\norigin = "x"\nrevision = "{COMMIT}"\n[one.files]\n"../a.safetensors" = {{ bytes = 1, sha256 = "{"0" * 64}" }}\n',
            "is not an allowed file name",
        ),
        (f'[one]\norigin = "x"\nrevision = "{COMMIT}"\n[one.files]\n"a/b.bin" = {{ bytes = 1, sha256 = "{"0" * 64}" }}\n', "are a pickle"),
    ],
    ids=["toml", "revision", "outside", "pickle"],
)
def test_invalid_pins_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Check that the message has the position and the command that writes valid pins."""
    (tmp_path / PINS_FILE_NAME).write_text(text)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_pins(tmp_path / PINS_FILE_NAME)
    assert "goldsmith models pin" in caught.value.remedy


def test_an_unwritable_pins_file_is_a_host_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the message has the path."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("goldsmith.engines.registry.pins.write_atomically", refuse)
    with pytest.raises(HostError, match=r"models\.pins\.toml: cannot be written: Permission denied"):
        pin_model(_weights(tmp_path / "models", folder=_local_folder(tmp_path)), "one")
