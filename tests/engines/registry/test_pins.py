"""A pin writes down what a model's tree is; from then on nothing else is opened under its name."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.hub import COMMIT, HubDouble, hub_double
from goldsmith.engines.fetching.fetch import fetch
from goldsmith.engines.fetching.pinning import PinFault, pin
from goldsmith.engines.registry.models import Diffusion, Model, Models
from goldsmith.engines.registry.origins import Repository, WeightsFile
from goldsmith.engines.registry.pins import PINS, pins_file, read_pins
from goldsmith.engines.registry.weights import Weights
from goldsmith.errors import MachineFault, Problem, UsageFault
from goldsmith.files import shipped

INDEX = b'{"_class_name": "XPipeline", "vae": ["diffusers", "VAE"]}'
FILES = {"model_index.json": INDEX, "vae/config.json": b"{}", "vae/model.safetensors": b"weights"}
DIFFUSION = Diffusion(family="sdxl", can=("text",), pixels=65536, multiple=8, steps=1, guidance=1, memory_mb=1, picture_mb=1)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubDouble]:
    with hub_double(FILES, monkeypatch) as made:
        yield made


def _weights(models_dir: Path, /, **place: object) -> Weights:
    model = Model(kind="generate", driver="diffusers", licence="MIT", diffusion=DIFFUSION, **place)  # type: ignore[arg-type]
    return Weights(Models(models={"one": model}, names={"premium": "one"}), models_dir, models_dir / PINS)


def _repository(folder: Path, revision: str = "main") -> Weights:
    return _weights(folder, repository=Repository(hub="org/model", revision=revision))


def _mine(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "mine"


def test_a_repository_is_pinned_to_the_commit_it_is_at_now(tmp_path: Path, hub: HubDouble) -> None:
    """Every file with its size and sha256, also those whose sha256 the hub does not tell; the name of the house will do."""
    made = pin(_repository(tmp_path), "premium")
    assert made.revision == COMMIT
    assert {name: file.sha256 for name, file in made.files.items()} == {
        name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()
    }
    assert read_pins(tmp_path / PINS) == {"one": made}
    assert [name for name, _ in hub.asked] == ["model_index.json", "vae/config.json"]


def test_what_lies_here_at_that_commit_is_not_brought_for_its_hash(tmp_path: Path, hub: HubDouble) -> None:
    """Pinning after a fetch asks for the list alone."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    hub.asked.clear()
    pin(weights, "one")
    assert not hub.asked
    assert weights.opened("one").revision == COMMIT


def test_an_unpinned_tree_says_so_in_the_record(tmp_path: Path, hub: HubDouble) -> None:
    """With the commit it was fetched at, and the weights' hashes as the hub told them; once pinned, with the commit alone."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    store = weights.opened("one")
    told = (("vae/model.safetensors", hashlib.sha256(b"weights").hexdigest()),)
    assert (store.revision, store.weights) == (f"unpinned, fetched at {COMMIT}", told)
    assert store.folder == tmp_path / "one"
    pin(weights, "one")
    assert (weights.opened("one").revision, weights.opened("one").weights) == (COMMIT, told)


def test_an_unpinned_tree_is_held_to_what_the_hub_said_as_it_came(tmp_path: Path, hub: HubDouble) -> None:
    """The weights' hashes are kept by the fetch: what a bad disk or a hand does to them later is told, and fetched again."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    assert [verdict.file for verdict in weights.verify("one")] == ["vae/model.safetensors"]
    (tmp_path / "one/vae/model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(Problem, match=r"vae/model\.safetensors: its sha256 is .*, it was fetched as .*\. Run: goldsmith models fetch one"):
        weights.opened("one")
    assert fetch(weights, "one") == [tmp_path / "one/vae/model.safetensors"]
    assert weights.opened("one")


def test_what_does_not_match_its_pin_is_not_opened(tmp_path: Path, hub: HubDouble) -> None:
    """Right size, other content; and the remedy brings the right one again."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin(weights, "one")
    (tmp_path / "one/vae/model.safetensors").write_bytes(b"WEIGHTS")
    with pytest.raises(Problem, match=r"vae/model\.safetensors: its sha256 is .*, its pin says .*\. Run: goldsmith models fetch one"):
        weights.opened("one")
    fetch(weights, "one")
    assert weights.opened("one")


def test_a_tree_is_hashed_once(tmp_path: Path, hub: HubDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later opening, in another process too, costs a stat a file."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin(weights, "one")
    weights.opened("one")
    monkeypatch.setattr("goldsmith.engines.registry.trees.file_sha256", lambda path: pytest.fail("read again"))
    assert _repository(tmp_path).opened("one").revision == COMMIT


def test_a_folder_is_pinned_to_what_lies_in_it(tmp_path: Path) -> None:
    """Without any network; its revision is a digest of all of it, and another byte is noticed."""
    mine = _mine(tmp_path)
    weights = _weights(tmp_path / "models", folder=mine)
    assert weights.opened("one").revision == "unpinned"
    made = pin(weights, "one")
    assert set(made.files) == set(FILES)
    assert weights.opened("one").revision == made.revision
    assert len(made.revision) == 64
    (mine / "vae/config.json").write_bytes(b"[]")
    with pytest.raises(Problem, match=r"vae/config\.json: its sha256 .* If it is meant to be so: goldsmith models pin one"):
        weights.opened("one")
    with pytest.raises(Problem, match="its pin says"):
        fetch(weights, "one")
    (mine / "vae/config.json").write_bytes(b"[1]")
    assert not weights.available("one")
    with pytest.raises(Problem, match=r"are not as they are pinned: .*/vae/config\.json\. If it is meant"):
        weights.opened("one")
    assert pin(weights, "one").revision != made.revision
    assert weights.opened("one")


def test_a_single_file_of_this_machine_is_pinned_too(tmp_path: Path) -> None:
    """By its own name, wherever it lies."""
    single = tmp_path / "mine.safetensors"
    single.write_bytes(b"all of it")
    weights = _weights(tmp_path / "models", file=single)
    made = pin(weights, "one")
    assert set(made.files) == {"mine.safetensors"}
    store = weights.opened("one")
    assert store.single == single
    assert store.weights == (("mine.safetensors", hashlib.sha256(b"all of it").hexdigest()),)
    single.write_bytes(b"all of IT")
    with pytest.raises(Problem, match=r"mine\.safetensors: its sha256"):
        weights.opened("one")


def test_a_single_file_may_take_its_configuration_from_a_repository(tmp_path: Path, hub: HubDouble) -> None:
    """The small files are fetched and pinned without any weights; the file stays where it is."""
    single = tmp_path / "mine.safetensors"
    weights = _weights(tmp_path / "models", file=single, repository=Repository(hub="org/model", include=("*.json",)))
    single.write_bytes(b"all of it")
    pin(weights, "one")
    assert not weights.available("one")
    fetch(weights, "one")
    assert {name for name, _ in hub.asked} == {"model_index.json", "vae/config.json"}
    store = weights.opened("one")
    assert (store.single, store.folder, store.revision) == (single, tmp_path / "models" / "one", COMMIT)
    assert set(store.files) == {"mine.safetensors", "model_index.json", "vae/config.json"}


def test_a_pin_of_something_else_is_not_believed(tmp_path: Path, hub: HubDouble) -> None:
    """models.toml was moved to another revision: the model counts as not there until it is pinned again."""
    weights = _repository(tmp_path)
    fetch(weights, "one")
    pin(weights, "one")
    moved = _repository(tmp_path, revision=COMMIT)
    assert not moved.available("one")
    with pytest.raises(
        Problem, match=r"'one' is pinned to hub org/model at main, but models\.toml names other weights now\. Run: .* pin one"
    ):
        moved.opened("one")
    pin(moved, "one")
    fetch(moved, "one")
    assert moved.opened("one").revision == COMMIT


def test_a_pin_that_is_written_while_the_daemon_runs_counts_at_once(tmp_path: Path, hub: HubDouble) -> None:
    """Two views of one house: what the command line pins, the daemon's own view holds to."""
    daemon, line = _repository(tmp_path), _repository(tmp_path)
    fetch(line, "one")
    assert daemon.opened("one").revision.startswith("unpinned")
    pin(line, "one")
    assert daemon.opened("one").revision == COMMIT


def test_the_other_pins_stay(tmp_path: Path, hub: HubDouble) -> None:
    """Pinning one model rewrites the file whole, with all the others as they were."""
    mine = _mine(tmp_path)
    models = {
        name: Model(kind="generate", driver="diffusers", licence="MIT", diffusion=DIFFUSION, **place)  # type: ignore[arg-type]
        for name, place in {"one": {"repository": Repository(hub="org/model")}, "two": {"folder": mine}}.items()
    }
    weights = Weights(Models(models=models), tmp_path / "models", tmp_path / PINS)
    first, second = pin(weights, "one"), pin(weights, "two")
    assert read_pins(tmp_path / PINS) == {"one": first, "two": second}
    assert (tmp_path / PINS).read_text().startswith("# Written by `goldsmith models pin`")
    assert list(tomllib.loads((tmp_path / PINS).read_text())) == ["one", "two"]


def test_a_hub_that_does_not_answer_leaves_the_pins_as_they_were(tmp_path: Path, hub: HubDouble) -> None:
    """Whole or not at all, also where the listing came and a file did not."""
    pin(_repository(tmp_path), "one")
    before = (tmp_path / PINS).read_bytes()
    hub.lies["vae/config.json"] = b"too long"
    with pytest.raises(PinFault, match=r"org/model: gives 8 bytes of vae/config\.json and promises 2"):
        pin(_repository(tmp_path), "one")
    hub.says = (403, "GatedRepo")
    with pytest.raises(PinFault, match="its licence must be accepted first"):
        pin(_repository(tmp_path), "one")
    assert (tmp_path / PINS).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [PINS]


def test_what_is_named_by_hash_needs_no_pin(tmp_path: Path) -> None:
    """Said as it is."""
    file = WeightsFile.model_validate({"name": "a.onnx", "sha256": "0" * 64, "bytes": 1})
    models = Models(models={"one": Model(kind="inpaint", driver="migan", licence="MIT", files=(file,))})
    with pytest.raises(Problem, match=r"'one' are named by hash in models\.toml\. There is nothing to pin"):
        pin(Weights(models, tmp_path, tmp_path / PINS), "one")


def test_half_a_folder_is_not_pinned(tmp_path: Path) -> None:
    """What lacks a part is no model to hold to."""
    mine = _mine(tmp_path)
    (mine / "vae/model.safetensors").unlink()
    with pytest.raises(Problem, match=r"not whole: .*holds no safetensors"):
        pin(_weights(tmp_path / "models", folder=mine), "one")


def test_pins_lie_beside_the_models_file_that_is_in_use(tmp_path: Path) -> None:
    """The one that travels with the program belongs to the package: its pins lie with the weights."""
    assert pins_file(tmp_path / "models.toml", tmp_path / "weights") == tmp_path / PINS
    assert pins_file(shipped("config", "models.toml"), tmp_path / "weights") == tmp_path / "weights" / PINS


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[one\n", r"not TOML"),
        ('[one]\nof = "hub a/b at main"\nrevision = "main"\nfiles = {}\n', r"one\.revision"),
        (
            f'[one]\nof = "x"\nrevision = "{COMMIT}"\n[one.files]\n"../a.safetensors" = {{ bytes = 1, sha256 = "{"0" * 64}" }}\n',
            "is no name",
        ),
        (f'[one]\nof = "x"\nrevision = "{COMMIT}"\n[one.files]\n"a/b.bin" = {{ bytes = 1, sha256 = "{"0" * 64}" }}\n', "are a pickle"),
    ],
    ids=["toml", "revision", "outside", "pickle"],
)
def test_pins_that_nobody_but_a_person_could_have_written_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """With the place and the command that writes them right."""
    (tmp_path / PINS).write_text(text)
    with pytest.raises(UsageFault, match=sentence) as caught:
        read_pins(tmp_path / PINS)
    assert "goldsmith models pin" in caught.value.remedy


def test_a_place_nobody_may_write_to_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said with the path."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("goldsmith.engines.registry.pins.publish", refuse)
    with pytest.raises(MachineFault, match=r"models\.pins\.toml: cannot be written: Permission denied"):
        pin(_weights(tmp_path / "models", folder=_mine(tmp_path)), "one")
