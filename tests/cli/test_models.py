"""``goldsmith models``: what there is, getting it, and reading it again. No network: the source is a file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from doubles.commandline import Goldsmith
from goldsmith.engines.fetching.sources import OnFetchProgress
from goldsmith.engines.registry.weights_registry import WeightsRegistry

BYTES = b"weights" * 100


@pytest.fixture(autouse=True)
def _models(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model with a weights file that a stand-in for pip brings; one with none."""
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

    def bring(weights: WeightsRegistry, name: str, progress: OnFetchProgress) -> list[Path]:
        """As ``fetch`` does, without a package index."""
        made = []
        for file in weights.models.get(name).files:
            if weights.find_fault(file, ignore_cache=True):
                progress(1, 2, "downloading")
                weights.folder.mkdir(parents=True, exist_ok=True)
                weights.path_of(file).write_bytes(BYTES)
                progress(2, 2, "checking")
                made.append(weights.path_of(file))
        return made

    monkeypatch.setattr("goldsmith.engines.fetching.fetch.fetch", bring)


def test_models_are_listed_with_licence_size_and_whether_they_are_here(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """What is missing shows the command that gets it."""
    told = goldsmith("models", "list", "-r", root)
    rows = {row[0]: row[1:] for row in told.rows[2:]}
    assert rows["tiny"] == ["inpaint", "MIT", "yes", "700 B", "-", "A model of nothing."]
    assert rows["bare"][3:5] == ["none", "yes"]
    assert "What is not here is brought by: goldsmith models fetch NAME" in told.out
    seen = json.loads(goldsmith("models", "list", "--json", "-r", root).out)
    assert seen["folder"] == str(tmp_path / "models")
    assert [(model["name"], model["present"]) for model in seen["models"]] == [("tiny", False), ("bare", True)]


def test_weights_are_fetched_once(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Where they lie now and how large they are; the second time nothing is to be done."""
    told = goldsmith("models", "fetch", "tiny", "bare", "-r", root)
    assert told.out.splitlines() == ["tiny: done", f"tiny: {tmp_path}/models/tiny.onnx (700 B)", "bare: needs no weights."]
    assert goldsmith("models", "fetch", "tiny", "-r", root).out.strip() == "tiny: all of it is here and right."


def test_a_progress_bar_is_for_terminals(goldsmith: Goldsmith, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at a hundred."""
    monkeypatch.setattr("goldsmith.cli.output.is_terminal", lambda: True)
    assert "100 %" in goldsmith("models", "fetch", "tiny", "-r", root).out


def test_what_lies_here_is_read_again(goldsmith: Goldsmith, root: Path, tmp_path: Path) -> None:
    """Right, changed, gone: exit code 4 where it is not what was promised, with the command that mends it."""
    assert "No weights lie in" in goldsmith("models", "verify", "-r", root).out
    goldsmith("models", "fetch", "tiny", "-r", root)
    told = goldsmith("models", "verify", "-r", root)
    assert (told.code, told.out.strip()) == (0, "tiny: tiny.onnx is right")
    (tmp_path / "models" / "tiny.onnx").write_bytes(BYTES[:-1] + b"!")
    told = goldsmith("models", "verify", "tiny", "-r", root)
    assert told.code == 4
    assert "its sha256 is" in told.out
    assert "goldsmith models fetch tiny" in told.err
    assert goldsmith("models", "verify", "bare", "-r", root).out.strip() == "bare: needs no weights."


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_model_gets_the_nearest(goldsmith: Goldsmith, root: Path, command: str) -> None:
    """Before anything is fetched."""
    told = goldsmith("models", command, "tinny", "-r", root)
    assert told.code == 2
    assert "did you mean tiny?" in told.err


TREE = """
[names]
premium = "mine"
[models.mine]
kind = "generate"
driver = "diffusers"
licence = "LicenseRef-House"
commercial = "limited"
terms = "House licence: only for the house"
folder = "{folder}"
[models.mine.diffusion]
family = "sdxl"
can = ["text", "image"]
pixels = 1_048_576
multiple = 8
steps = 20
guidance = 7.5
memory_mb = 7000
picture_mb = 4000
"""


@pytest.fixture
def mine(root: Path, tmp_path: Path) -> Path:
    """A model of the house that is a folder of this machine; the folder is not there yet."""
    (root / "config" / "models.toml").write_text(TREE.format(folder=tmp_path / "mine"))
    return tmp_path / "mine"


def _bring(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "unet/model.safetensors").write_bytes(BYTES)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet"]}')


def test_a_model_that_generates_is_listed_with_what_it_can_and_may(goldsmith: Goldsmith, root: Path, mine: Path) -> None:
    """Its abilities, its licence without SPDX's mark, whether paid work is allowed, its names, and that it is not pinned."""
    told = goldsmith("models", "list", "-r", root)
    rows = {row[0]: row[1:] for row in told.rows[2:] if len(row) > 1}
    assert rows["mine"][:5] == ["text image", "House", "limited", "~7.0 GB", "-"]
    assert "premium stands for mine." in told.out
    assert "Not pinned" not in told.out
    _bring(mine)
    told = goldsmith("models", "list", "-r", root)
    assert "Not pinned, so what they are is not on record: mine. Run: goldsmith models pin NAME" in told.out
    (seen,) = json.loads(goldsmith("models", "list", "--json", "-r", root).out)["models"]
    assert (seen["present"], seen["pinned"], seen["called"], seen["size"]) == (True, False, ["premium"], len(BYTES) + 31)


def test_pinning_and_verifying_a_folder(goldsmith: Goldsmith, root: Path, mine: Path) -> None:
    """By the house's name; from then on another byte is told, with exit code 4 and what to do."""
    _bring(mine)
    assert "it is not pinned, so nothing can be compared" in goldsmith("models", "verify", "mine", "-r", root).out
    told = goldsmith("models", "pin", "premium", "-r", root)
    assert told.code == 0
    assert "premium: pinned to " in told.out
    assert f"2 files, 731 B), in {root}/config/models.pins.toml" in told.out
    told = goldsmith("models", "verify", "-r", root)
    assert (told.code, told.out.splitlines()) == (0, ["mine: model_index.json is right", "mine: unet/model.safetensors is right"])
    (mine / "unet/model.safetensors").write_bytes(BYTES[:-1] + b"!")
    told = goldsmith("models", "verify", "premium", "-r", root)
    assert told.code == 4
    assert "its pin says" in told.out
    assert told.err.rstrip().endswith("If it is meant to be so: goldsmith models pin mine")


def test_what_cannot_be_pinned_is_said(goldsmith: Goldsmith, root: Path, mine: Path) -> None:
    """A folder that is not there, and a model that is no tree."""
    told = goldsmith("models", "pin", "mine", "-r", root)
    assert told.code == 3
    assert "model_index.json" in told.err
    assert goldsmith("models", "pin", "mino", "-r", root).code == 2


def test_a_model_with_terms_of_its_own_says_them_as_it_is_fetched(goldsmith: Goldsmith, root: Path, mine: Path) -> None:
    """And that it is not pinned yet."""
    _bring(mine)
    told = goldsmith("models", "fetch", "premium", "-r", root)
    assert "premium: House licence: only for the house." in told.out
    assert "to write down what it is: goldsmith models pin premium" in told.out
