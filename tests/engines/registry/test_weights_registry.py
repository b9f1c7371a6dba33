"""The choice of a model for a step, and the verification of its weights."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from doubles.fenced import run_fenced
from doubles.weights import change_in_place
from goldsmith.cli.models import model_rows
from goldsmith.engines.kinds import INPAINTER, UPSCALER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.hash_notes import HashNote, HashNotes
from goldsmith.engines.registry.models import DefaultModels, DiffusionSettings, Model, Models
from goldsmith.engines.registry.weights_registry import WeightsRegistry, default_models_folder
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.errors import HostError, InputError
from goldsmith.jobs.protocol import WorkerFolders
from goldsmith.worker.landlock import landlock_version

BYTES = b"weights"


def _file(name: str, data: bytes = BYTES) -> WeightsFile:
    return WeightsFile(name=name, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _weights(folder: Path, notes: HashNotes | None = None) -> WeightsRegistry:
    models = {
        "good": Model(kind="inpaint", driver="migan", licence="MIT", files=(_file("good.onnx"),)),
        "plain": Model(kind="inpaint", driver="migan", licence="MIT"),
        "big": Model(kind="upscale", driver="migan", licence="BSD-3-Clause", scale=4, files=(_file("big.param"), _file("big.bin"))),
    }
    defaults = DefaultModels(inpaint=("good", "plain"), upscale={"x4": ("big",)})
    return WeightsRegistry(Models(models=models, defaults=defaults), folder, notes=notes)


def test_the_first_default_with_weights_is_chosen(tmp_path: Path) -> None:
    """Check that the record has the reason."""
    (tmp_path / "good.onnx").write_bytes(BYTES)
    choice = _weights(tmp_path).choose(EngineNeed(INPAINTER))
    assert (choice.name, choice.why) == ("good", "the first default")


def test_extending_the_canvas_has_its_own_defaults(tmp_path: Path) -> None:
    """Check their order, and that the defaults for holes are used if the list is empty."""
    (tmp_path / "good.onnx").write_bytes(BYTES)
    weights = _weights(tmp_path)
    assert weights.choose(EngineNeed(INPAINTER, extends_canvas=True)).name == "good"
    models = weights.models.model_copy(update={"defaults": DefaultModels(inpaint=("good", "plain"), inpaint_beyond=("plain", "good"))})
    with_own_list = WeightsRegistry(models, tmp_path)
    assert with_own_list.choose(EngineNeed(INPAINTER, extends_canvas=True)).name == "plain"
    assert with_own_list.choose(EngineNeed(INPAINTER)).name == "good"


def test_a_generating_model_comes_first_for_extending_the_canvas(tmp_path: Path) -> None:
    """Check a step without a prompt: if its weights are missing, the record says which model is used instead."""
    diffusion = DiffusionSettings(family="sdxl", can=("inpaint",), pixels=4096, multiple=8, steps=2, guidance=1, memory_mb=1, picture_mb=1)
    generator = Model(kind="generate", driver="diffusers", licence="MIT", folder=tmp_path / "paints", diffusion=diffusion)
    models = _weights(tmp_path).models
    defaults = DefaultModels(inpaint=("plain",), inpaint_words=("paints",), inpaint_beyond=("plain",))
    weights = WeightsRegistry(models.model_copy(update={"models": {**models.models, "paints": generator}, "defaults": defaults}), tmp_path)
    choice = weights.choose(EngineNeed(INPAINTER, extends_canvas=True))
    assert choice.name == "plain"
    assert "the weights of paints are not on this machine" in choice.why
    assert weights.choose(EngineNeed(INPAINTER)).why == "the first default"


def test_the_record_explains_a_choice_other_than_the_first_default(tmp_path: Path) -> None:
    """Check that the record names the skipped model and the command that fetches it."""
    choice = _weights(tmp_path).choose(EngineNeed(INPAINTER))
    assert choice.name == "plain"
    assert choice.why == ("default number 2: the weights of good are not on this machine (goldsmith models fetch good)")


def test_many_skipped_models_are_counted(tmp_path: Path) -> None:
    """Check that the record names the first skipped model with its command and counts the others."""
    models = _weights(tmp_path).models
    more = {f"good{number}": models.models["good"] for number in range(4)}
    defaults = DefaultModels(inpaint=(*more, "plain"))
    weights = WeightsRegistry(models.model_copy(update={"models": {**models.models, **more}, "defaults": defaults}), tmp_path)
    assert weights.choose(EngineNeed(INPAINTER)).why == (
        "default number 5: the weights of good0 and 3 others are not on this machine (goldsmith models fetch good0)"
    )


def test_missing_weights_are_reported_with_a_remedy(tmp_path: Path) -> None:
    """Check that the message has the command."""
    with pytest.raises(InputError, match=r"No model for enlarging x4 has its weights on this machine\. Run: goldsmith models fetch big"):
        _weights(tmp_path).choose(EngineNeed(UPSCALER, factor=4))
    with pytest.raises(InputError, match=r"No model for enlarging photographs x4 has its weights"):
        _weights(tmp_path).choose(EngineNeed(UPSCALER, factor=4, is_drawing=False))


def test_a_factor_without_a_default_lists_the_other_factors(tmp_path: Path) -> None:
    """Check x3 with a default only for x4."""
    with pytest.raises(InputError, match=r"no default model for enlarging x3\. Name a model; the factors with a default are: x4"):
        _weights(tmp_path).choose(EngineNeed(UPSCALER, factor=3))


def test_a_named_model_is_never_replaced_by_another(tmp_path: Path) -> None:
    """Check that missing weights are an error although another model is suitable."""
    weights = _weights(tmp_path)
    with pytest.raises(InputError, match=r"'good' are not on this machine \(good.onnx\). Run: goldsmith models fetch good"):
        weights.choose(EngineNeed(INPAINTER, "good"))
    (tmp_path / "good.onnx").write_bytes(BYTES)
    assert weights.choose(EngineNeed(INPAINTER, "good")).why == "named by the step"


def test_a_model_of_the_wrong_kind_is_refused(tmp_path: Path) -> None:
    """Check that an inpainter cannot enlarge, and that the message lists the upscalers."""
    with pytest.raises(InputError, match=r"'plain' is for inpaint, not for upscale\. Models for upscale: big"):
        _weights(tmp_path).choose(EngineNeed(UPSCALER, "plain", factor=4))


def test_a_model_needs_all_its_files(tmp_path: Path) -> None:
    """Check that each file must have its size."""
    weights = _weights(tmp_path)
    (tmp_path / "big.param").write_bytes(BYTES)
    assert not weights.is_available("big")
    (tmp_path / "big.bin").write_bytes(BYTES[:-1])
    assert not weights.is_available("big")
    (tmp_path / "big.bin").write_bytes(BYTES)
    assert weights.is_available("big")


def test_wrong_bytes_are_never_opened(tmp_path: Path) -> None:
    """Check a file of the right size: its hash is compared before the first use."""
    (tmp_path / "good.onnx").write_bytes(BYTES[::-1])
    with pytest.raises(InputError, match=r"good.onnx: its sha256 is .*, but models.toml has .*\. Run: goldsmith models fetch good"):
        _weights(tmp_path).verified_files("good")


def test_a_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that a later opening costs one stat, and that a changed file is hashed again."""
    weights, path = _weights(tmp_path), tmp_path / "good.onnx"
    path.write_bytes(BYTES)
    assert weights.verified_files("good").files == {"good.onnx": path}
    with monkeypatch.context() as patched:
        patched.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: pytest.fail("read again"))
        weights.verified_files("good")
    change_in_place(path, BYTES[::-1])
    with pytest.raises(InputError):
        weights.verified_files("good")


def test_the_notes_of_another_process_are_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check a second registry with the same file of notes, and a worker's registry with a copy of them."""
    (tmp_path / "good.onnx").write_bytes(BYTES)
    notes = HashNotes(tmp_path / "state" / "weights.json")
    assert _weights(tmp_path, notes).verified_files("good").files
    monkeypatch.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: pytest.fail("read again"))
    assert _weights(tmp_path, HashNotes(tmp_path / "state" / "weights.json")).verified_files("good").files
    assert _weights(tmp_path, HashNotes(known=notes.stored())).verified_files("good").files


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_a_fenced_worker_process_believes_the_daemons_notes_and_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the state folder, which it can neither read nor write: with notes it reads no weights, without them it reads them itself."""
    models, state, scratch = (tmp_path / name for name in ("models", "state", "scratch"))
    for folder in (models, scratch):
        folder.mkdir()
    (models / "good.onnx").write_bytes(BYTES)
    notes = HashNotes(state / "weights.json")
    _weights(models, notes).verified_files("good")
    folders = WorkerFolders(work=str(scratch), models=(str(models),))
    assert run_fenced(HashNotes(state / "weights.json").stored, scratch, folders) == {}

    def load(worker_notes: HashNotes) -> bytes:
        files = _weights(models, worker_notes).verified_files("good")
        with files.unchanged():
            return files.files["good.onnx"].read_bytes()

    before = (state / "weights.json").stat()
    assert run_fenced(lambda: load(HashNotes(state / "weights.json")), scratch, folders) == BYTES
    assert run_fenced(lambda: load(HashNotes()), scratch, folders) == BYTES
    monkeypatch.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: pytest.fail("read again"))
    received = HashNotes(known=notes.stored())
    assert run_fenced(lambda: load(received), scratch, folders) == BYTES
    assert (state / "weights.json").stat().st_ino == before.st_ino
    assert [list(folder.iterdir()) for folder in (state, models, scratch)] == [[state / "weights.json"], [models / "good.onnx"], []]


def test_a_file_that_was_found_wrong_stays_refused(tmp_path: Path) -> None:
    """Check decay on the disk, which changes no time: ``verify`` notes the wrong hash, and the file is not opened any more."""
    path = tmp_path / "good.onnx"
    path.write_bytes(BYTES)
    notes = HashNotes(tmp_path / "state" / "weights.json")
    weights = _weights(tmp_path, notes)
    weights.verified_files("good")
    decayed = HashNote(hashlib.sha256(b"decayed").hexdigest(), notes.read(path).stamp, 1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("goldsmith.engines.registry.hash_notes._read_file", lambda path, **_: decayed)
        assert "its sha256 is" in next(weights.verify("good")).sentence
    with pytest.raises(InputError, match="its sha256 is"):
        _weights(tmp_path, HashNotes(tmp_path / "state" / "weights.json")).verified_files("good")


def test_a_note_in_the_models_folder_is_not_believed(tmp_path: Path) -> None:
    """Check the dot-file of an earlier version beside a wrong file: it names the expected hash, the size and the time."""
    path = tmp_path / "good.onnx"
    path.write_bytes(BYTES[::-1])
    status = path.stat()
    row = [hashlib.sha256(BYTES).hexdigest(), status.st_size, status.st_mtime_ns]
    (tmp_path / ".good.onnx.checked").write_text(json.dumps(row))
    with pytest.raises(InputError, match="its sha256 is"):
        _weights(tmp_path).verified_files("good")


def test_nothing_is_written_into_the_models_folder(tmp_path: Path) -> None:
    """Check this because the folder is read-only for the service."""
    (tmp_path / "good.onnx").write_bytes(BYTES)
    assert _weights(tmp_path).verified_files("good").files
    assert [path.name for path in tmp_path.iterdir()] == ["good.onnx"]


def test_an_unreadable_file_is_a_host_error(tmp_path: Path) -> None:
    """Check a folder in the place of the file."""
    folder = tmp_path / "good.onnx"
    folder.mkdir()
    size = folder.stat().st_size
    weights = _weights(tmp_path)
    file = weights.models.models["good"].files[0].model_copy(update={"size": size})
    with pytest.raises(HostError, match="cannot be read"):
        weights.find_fault(file, read_again=True)


def test_verify_hashes_again_and_returns_a_verdict_for_each_file(tmp_path: Path) -> None:
    """Check one verdict per file: without a name, for all models with any file on this machine."""
    weights = _weights(tmp_path)
    (tmp_path / "good.onnx").write_bytes(BYTES)
    (tmp_path / "big.bin").write_bytes(BYTES[::-1])
    weights.verified_files("good")
    verdicts = {verdict.file: verdict.sentence for verdict in weights.verify()}
    assert verdicts["good.onnx"] == ""
    assert "is missing" in verdicts["big.param"]
    assert "its sha256 is" in verdicts["big.bin"]
    assert [verdict.file for verdict in weights.verify("good")] == ["good.onnx"]


def test_verify_reads_the_other_files_if_one_cannot_be_read(tmp_path: Path) -> None:
    """Check a FIFO in the place of a file: its verdict says so, and the next model is read."""
    models = _weights(tmp_path).models.models
    empty = models["big"].model_copy(update={"files": (_file("pipe").model_copy(update={"size": 0}), _file("big.bin"))})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big.bin").write_bytes(BYTES)
    weights = WeightsRegistry(Models(models={"big": empty}), tmp_path)
    first, second = weights.verify()
    assert "pipe: cannot be read: it is not a regular file" in first.sentence
    assert second.sentence == ""


def test_verify_reads_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the kernel is told to drop what it has of the file, which an ordinary opening does not do."""
    advice = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, offset, length, kind: advice.append((offset, length, kind)))
    (tmp_path / "good.onnx").write_bytes(BYTES)
    weights = _weights(tmp_path)
    weights.verified_files("good")
    assert advice == []
    assert [verdict.sentence for verdict in weights.verify("good")] == [""]
    assert advice == [(0, 0, os.POSIX_FADV_DONTNEED)]


def test_rows_have_the_columns_of_the_list(tmp_path: Path) -> None:
    """Check the order of the file, the sum of the sizes, and the paths of existing and missing files."""
    (tmp_path / "good.onnx").write_bytes(BYTES)
    rows = model_rows(_weights(tmp_path))
    assert [(row.name, row.present, row.size) for row in rows] == [("good", True, 7), ("plain", True, 0), ("big", False, 14)]
    assert rows[2].paths == (tmp_path / "big.param", tmp_path / "big.bin")
    assert (rows[2].kind, rows[2].scale, rows[2].licence) == ("upscale", 4, "BSD-3-Clause")


def test_the_default_folder_is_in_the_user_s_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check an absolute XDG_DATA_HOME, and ~/.local/share otherwise."""
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_models_folder() == Path("/data/goldsmith/models")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_models_folder() == Path("/home/ann/.local/share/goldsmith/models")
