"""``goldsmith models``: list, fetch, pin and verify. The source is a file, so no network is needed."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from doubles import tiny
from doubles.commandline import Goldsmith
from doubles.model_entries import generator_entry
from goldsmith.engines.fetching.sources import OnFetchProgress
from goldsmith.engines.registry.hash_notes import HashNotes
from goldsmith.engines.registry.weights_registry import WeightsRegistry
from goldsmith.files import resource_path

BYTES = b"weights" * 100


@pytest.fixture(autouse=True)
def _models(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configure one model with a weights file, which a stand-in for pip fetches, and one model without weights."""
    (root / "config" / "models.toml").write_text(
        f"""
[defaults]
inpaint = ["tiny", "bare"]
[models.tiny]
kind = "inpaint"
driver = "migan"
licence = "MIT"
about = "A model of nothing."
[[models.tiny.files]]
name = "tiny.onnx"
sha256 = "{hashlib.sha256(BYTES).hexdigest()}"
bytes = {len(BYTES)}
sources = [{{ pip = "tiny==1", member = "tiny.onnx" }}]
[models.bare]
kind = "inpaint"
driver = "patchmatch"
licence = "MIT"
"""
    )
    (tmp_path / "tiny.onnx").write_bytes(BYTES)

    def fetch(weights: WeightsRegistry, name: str, progress: OnFetchProgress) -> list[Path]:
        """Fetch without a package index."""
        paths = []
        for file in weights.models.get(name).files:
            if weights.find_fault(file, read_again=True):
                progress(1, 2, "downloading")
                weights.folder.mkdir(parents=True, exist_ok=True)
                weights.path_of(file).write_bytes(BYTES)
                progress(2, 2, "checking")
                paths.append(weights.path_of(file))
        return paths

    monkeypatch.setattr("goldsmith.engines.fetching.fetch.fetch", fetch)


def test_models_are_listed_with_licence_size_and_presence(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """For missing weights, the output has the command that fetches them."""
    result = goldsmith("models", "list", "-r", root)
    rows = {row[0]: row[1:] for row in result.rows[2:]}
    assert rows["tiny"] == ["inpaint", "MIT", "yes", "700 B", "-", "A model of nothing."]
    assert rows["bare"][3:5] == ["none", "yes"]
    assert "To fetch missing weights: goldsmith models fetch NAME" in result.out
    status = json.loads(goldsmith("models", "list", "--json", "-r", root).out)
    assert status["folder"] == str(tmp_path / "models")
    assert [(model["name"], model["present"]) for model in status["models"]] == [("tiny", False), ("bare", True)]


def test_weights_are_fetched_once(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """The output gives path and size. The second time, there is nothing to fetch."""
    result = goldsmith("models", "fetch", "tiny", "bare", "-r", root)
    assert result.out.splitlines() == ["tiny: done", f"tiny: {tmp_path}/models/tiny.onnx (700 B)", "bare: needs no weights."]
    assert goldsmith("models", "fetch", "tiny", "-r", root).out.strip() == "tiny: complete and correct."


def test_a_terminal_shows_a_progress_bar(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar ends at 100 %."""
    monkeypatch.setattr("goldsmith.cli.output.is_terminal", lambda: True)
    assert "100 %" in goldsmith("models", "fetch", "tiny", "-r", root).out


def test_verify_reads_the_weights_again(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Changed weights give exit code 4 and the command that fetches them again."""
    assert "There are no weights in" in goldsmith("models", "verify", "-r", root).out
    goldsmith("models", "fetch", "tiny", "-r", root)
    result = goldsmith("models", "verify", "-r", root)
    assert (result.code, result.out.strip()) == (0, "tiny: tiny.onnx is correct")
    (tmp_path / "models" / "tiny.onnx").write_bytes(BYTES[:-1] + b"!")
    result = goldsmith("models", "verify", "tiny", "-r", root)
    assert result.code == 4
    assert "its sha256 is" in result.out
    assert "goldsmith models fetch tiny" in result.err
    assert goldsmith("models", "verify", "bare", "-r", root).out.strip() == "bare: needs no weights."


def test_hashes_are_noted_in_the_state_folder(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """The notes are in the state folder of the settings, and the models folder has the weights only."""
    goldsmith("models", "fetch", "tiny", "-r", root)
    goldsmith("models", "verify", "-r", root)
    weights = tmp_path / "models" / "tiny.onnx"
    note = HashNotes(tmp_path / "state" / "weights.json").find(weights)
    assert note is not None
    assert note.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert list(weights.parent.iterdir()) == [weights]


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_model_is_an_error_with_the_nearest_name(goldsmith: Goldsmith, root: Path, command: str) -> None:
    """Nothing is fetched."""
    result = goldsmith("models", command, "tinny", "-r", root)
    assert result.code == 2
    assert "did you mean tiny?" in result.err


LICENCE = 'licence = "LicenseRef-Studio"\ncommercial = "limited"\nterms = "Studio licence: only for the studio"\n'


@pytest.fixture
def model_folder(root: Path, tmp_path: Path) -> Path:
    """Configure a model that is a folder on this computer, and return the folder, which does not exist yet."""
    (root / "config" / "models.toml").write_text(
        '[names]\npremium = "mine"\n'
        + generator_entry(
            "mine", folder=tmp_path / "mine", lines=LICENCE, pixels=1_048_576, multiple=8, steps=20, guidance=7.5, memory_mb=7000
        )
    )
    return tmp_path / "mine"


def _create_model(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/model.safetensors").write_bytes(BYTES)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet"]}')


def test_a_generating_model_is_listed_with_abilities_and_licence(goldsmith: Goldsmith, root: Path, model_folder: Path) -> None:
    """The list also says whether paid work is allowed, and whether the model is pinned."""
    result = goldsmith("models", "list", "-r", root)
    rows = {row[0]: row[1:] for row in result.rows[2:] if len(row) > 1}
    assert rows["mine"][:5] == ["text image", "Studio", "limited", "~7.0 GB", "-"]
    assert "premium is an alias of mine." in result.out
    assert "Not pinned" not in result.out
    _create_model(model_folder)
    result = goldsmith("models", "list", "-r", root)
    assert "Not pinned, so changed files are recorded but not refused: mine. Run: goldsmith models pin NAME" in result.out
    (status,) = json.loads(goldsmith("models", "list", "--json", "-r", root).out)["models"]
    assert (status["present"], status["pinned"], status["aliases"], status["size"]) == (True, False, ["premium"], len(BYTES) + 31)


def test_pinning_and_verifying_a_folder(goldsmith: Goldsmith, root: Path, model_folder: Path) -> None:
    """An alias names the model. After pinning, a changed byte gives exit code 4 and the remedy."""
    _create_model(model_folder)
    assert "not pinned, so it cannot be compared" in goldsmith("models", "verify", "mine", "-r", root).out
    result = goldsmith("models", "pin", "premium", "-r", root)
    assert result.code == 0
    assert "premium: pinned to " in result.out
    assert f"2 files, 731 B), in {root}/config/models.pins.toml" in result.out
    result = goldsmith("models", "verify", "-r", root)
    assert (result.code, result.out.splitlines()) == (0, ["mine: model_index.json is correct", "mine: unet/model.safetensors is correct"])
    (model_folder / "unet/model.safetensors").write_bytes(BYTES[:-1] + b"!")
    result = goldsmith("models", "verify", "premium", "-r", root)
    assert result.code == 4
    assert "its pin has" in result.out
    assert result.err.rstrip().endswith("If the change is intended, run: goldsmith models pin mine")


def test_a_model_that_cannot_be_pinned_is_an_error(goldsmith: Goldsmith, root: Path, model_folder: Path) -> None:
    """The model's folder is missing, or its name is unknown."""
    result = goldsmith("models", "pin", "mine", "-r", root)
    assert result.code == 3
    assert "model_index.json" in result.err
    assert goldsmith("models", "pin", "mino", "-r", root).code == 2


def test_fetch_prints_the_terms_of_the_licence(goldsmith: Goldsmith, root: Path, model_folder: Path) -> None:
    """The output also has the command that pins the model."""
    _create_model(model_folder)
    result = goldsmith("models", "fetch", "premium", "-r", root)
    assert "premium: Studio licence: only for the studio." in result.out
    assert "To record its commit and files: goldsmith models pin premium" in result.out


def _own_model(root: Path, tail: str = "") -> Path:
    file = root / "config" / "models.toml"
    file.write_text("# ours\n" + tiny.models_toml({"own": "sdxl"}, memory_mb=1).replace("memory_mb = 1", "memory_mb = 1  # a guess") + tail)
    return file


def test_a_model_is_measured_and_the_numbers_are_written(goldsmith: Goldsmith, root: Path) -> None:
    """Check the numbers in the file against the sentences, and that comments and all else stay."""
    file = _own_model(root)
    before = tomllib.loads(file.read_text())
    result = goldsmith("models", "measure", "own", "-r", root)
    assert result.code == 0, result.err
    text = file.read_text()
    assert text.startswith("# ours\n")
    assert "  # a guess\n" in text
    after = tomllib.loads(text)
    numbers = after["models"]["own"]["diffusion"]
    assert f"memory_mb = {numbers['memory_mb']} (was 1), picture_mb = {numbers['picture_mb']} (was 8), seconds = 60 (was 60)" in result.out
    assert "own: a picture of 64 x 64 px with 2 steps took" in result.out
    before["models"]["own"]["diffusion"] |= {name: numbers[name] for name in ("memory_mb", "picture_mb")}
    assert after == before


def test_only_generating_models_of_an_own_file_are_measured(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Check a model of another kind, a name that does not exist, and the file that comes with the program."""
    assert "only generating models are measured" in goldsmith("models", "measure", "bare", "-r", root).err
    assert "no model called" in goldsmith("models", "measure", "owned", "-r", root).err
    supplied = resource_path("config", "models.toml").read_bytes()
    result = goldsmith("models", "measure", "sdxl", "-c", resource_path("config"))
    assert "goldsmith models fetch sdxl" in result.err
    assert resource_path("config", "models.toml").read_bytes() == supplied
