"""Face swap networks get the inputs that models.toml describes; other networks are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.nets import embedding_net, swap_net, write_net
from goldsmith.engines.drivers._face_alignment import _LANDMARK_TEMPLATE
from goldsmith.engines.drivers.swapper import open_engine
from goldsmith.engines.protocols import Device, ModelFiles
from goldsmith.engines.registry.face_swap_settings import FaceSwapSettings
from goldsmith.engines.registry.models import Model
from goldsmith.engines.registry.weights_sources import WeightsFile
from goldsmith.engines.vision import Face, FaceSwapper
from goldsmith.errors import InputError

# The left and top edge of the square of 128 px in the picture.
CORNER = 20.0
FACE = Face((0, 0, 90, 100), (_LANDMARK_TEMPLATE + np.array([8 + CORNER, CORNER])).astype(np.float32), 1.0)
PERSON = Face((0, 0, 90, 100), (_LANDMARK_TEMPLATE + np.array([8 + CORNER, CORNER])).astype(np.float32), 1.0)


def _file(path: Path) -> WeightsFile:
    data = path.read_bytes()
    return WeightsFile.model_validate({"name": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})


def _open(files: list[Path], **swap: str) -> FaceSwapper:
    model = Model(
        kind="swap", driver="swapper", licence="LicenseRef-ours", files=tuple(map(_file, files)), swap=FaceSwapSettings.model_validate(swap)
    )
    return open_engine("ours", model, ModelFiles({path.name: path for path in files}, files[0].parent), Device(threads=1))


def _flat(colour: tuple[float, float, float], side: int = 200) -> np.ndarray:
    return np.broadcast_to(np.float32(colour), (side, side, 3)).copy()


def test_a_net_that_takes_a_face_gets_both_faces(tmp_path: Path) -> None:
    """Check half the face plus the mean of the person's face: 0.5 x 0.2 + 0.6; the landmarks give the square."""
    swapper = _open([swap_net(tmp_path / "draw.onnx", 64, (1, 3, 48, 48))])
    result = swapper.swap(_flat((0.2, 0.2, 0.2)), FACE, _flat((0.6, 0.6, 0.6)), PERSON)
    assert result.pixels.shape == (64, 64, 3)
    assert result.pixels == pytest.approx(0.7, abs=1e-5)
    assert result.corners == pytest.approx(np.array([(CORNER, CORNER), (CORNER + 128, CORNER), (CORNER, CORNER + 128)]), abs=0.01)


def test_a_net_that_takes_a_vector_gets_it_from_its_embedding_net(tmp_path: Path) -> None:
    """Check the vector of the person's face, from -1 to 1, at length 1."""
    files = [swap_net(tmp_path / "draw.onnx"), embedding_net(tmp_path / "who.onnx")]
    result = _open(files, identity="who.onnx").swap(_flat((0.2, 0.2, 0.2)), FACE, _flat((0.75, 0.5, 0.5)), PERSON)
    assert result.pixels == pytest.approx(0.1 + 1 / 3, abs=1e-5)


def test_a_matrix_is_applied_to_the_vector(tmp_path: Path) -> None:
    """Check that (1, 0, 0) through a matrix of twos is (1, 1, 1) / sqrt(3)."""
    files = [swap_net(tmp_path / "draw.onnx"), embedding_net(tmp_path / "who.onnx"), tmp_path / "turn.npy"]
    np.save(files[2], np.full((3, 3), 2, np.float32))
    result = _open(files, identity="who.onnx", matrix="turn.npy").swap(_flat((0, 0, 0)), FACE, _flat((0.75, 0.5, 0.5)), PERSON)
    assert result.pixels == pytest.approx(1 / np.sqrt(3), abs=1e-5)


def test_pixels_have_the_range_of_the_settings(tmp_path: Path) -> None:
    """Check -1..1: 0.2 is -0.6; half of it and the person's 0.2 is -0.1, which is 0.45."""
    swapper = _open([swap_net(tmp_path / "draw.onnx", 64, (1, 3, 48, 48))], range="-1..1")
    assert swapper.swap(_flat((0.2,) * 3), FACE, _flat((0.6,) * 3), PERSON).pixels == pytest.approx(0.45, abs=1e-5)


def test_the_descriptor_has_the_side_and_all_files(tmp_path: Path) -> None:
    """Check the side of the input and the hash of every file."""
    descriptor = _open([swap_net(tmp_path / "draw.onnx", 96), embedding_net(tmp_path / "who.onnx")], identity="who.onnx").descriptor
    assert (descriptor.name, descriptor.kind, descriptor.side, descriptor.licence) == ("ours", "swap", 96, "LicenseRef-ours")
    assert {name for name, _ in descriptor.weights} == {"draw.onnx", "who.onnx"}


@pytest.mark.parametrize(("person", "identity"), [((1, 3), ""), ((1, 3, 48, 48), "who.onnx"), ((1, 4, 48, 48), "")])
def test_a_net_of_another_form_is_refused_with_its_inputs(person: tuple[int, ...], identity: str, tmp_path: Path) -> None:
    """Check a vector without an embedding network, a face instead of a vector, and four channels."""
    files = [swap_net(tmp_path / "draw.onnx", 32, person), *([embedding_net(tmp_path / "who.onnx")] if identity else [])]
    with pytest.raises(InputError, match=rf"draw\.onnx: this network takes .*source {' x '.join(map(str, person))}.* takes "):
        _open(files, identity=identity)


def test_a_vector_of_another_length_is_refused(tmp_path: Path) -> None:
    """Check that the message has both lengths."""
    files = [swap_net(tmp_path / "draw.onnx", 32, (1, 512)), embedding_net(tmp_path / "who.onnx")]
    with pytest.raises(InputError, match=r"takes a vector of 512 numbers, but who\.onnx returns 3"):
        _open(files, identity="who.onnx").swap(_flat((0.2,) * 3), FACE, _flat((0.6,) * 3), PERSON)


def test_an_output_that_is_no_face_is_refused(tmp_path: Path) -> None:
    """Check another shape and values that are not finite."""
    swapper = _open([swap_net(tmp_path / "draw.onnx", 64, (1, 3, 48, 48), answers=1)])
    with pytest.raises(InputError, match="The model ours returned no face of 3 x 64 x 64"):
        swapper.swap(_flat((0.2,) * 3), FACE, _flat((0.6,) * 3), PERSON)
    layers = [("Div", ["target", "none"], "many"), ("Add", ["many", "source"], "face")]
    path = write_net(
        tmp_path / "nan.onnx", layers, {"target": (1, 3, 32, 32), "source": (1, 3, 32, 32)}, ("face", (1, 3, 32, 32)), {"none": 0.0}
    )
    with pytest.raises(InputError, match="returned no face"):
        _open([path]).swap(_flat((0.2,) * 3), FACE, _flat((0.6,) * 3), PERSON)


@pytest.mark.parametrize("data", [b"no array", b""])
def test_an_invalid_matrix_is_refused(data: bytes, tmp_path: Path) -> None:
    """Check that the driver unpickles nothing."""
    files = [swap_net(tmp_path / "draw.onnx"), embedding_net(tmp_path / "who.onnx"), tmp_path / "turn.npy"]
    files[2].write_bytes(data + b"x")
    with pytest.raises(InputError, match=r"turn\.npy: this is not a NumPy array"):
        _open(files, identity="who.onnx", matrix="turn.npy")


def test_a_matrix_has_rows_and_columns_of_numbers(tmp_path: Path) -> None:
    """Check that a vector is refused."""
    files = [swap_net(tmp_path / "draw.onnx"), embedding_net(tmp_path / "who.onnx"), tmp_path / "turn.npy"]
    np.save(files[2], np.zeros(3, np.float32))
    with pytest.raises(InputError, match="not a matrix of floating-point numbers"):
        _open(files, identity="who.onnx", matrix="turn.npy")


@pytest.mark.parametrize(
    ("swap", "files", "sentence"),
    [
        (None, ["a.onnx"], "has a \\[swap\\] table"),
        ({"identity": "b.onnx"}, ["a.onnx"], "swap names b.onnx, which is not one of its files"),
        ({}, ["a.onnx", "b.onnx"], "exactly one file"),
        ({"identity": "a.onnx"}, ["a.onnx"], "exactly one file"),
        ({"matrix": "b.npy"}, ["a.onnx", "b.npy"], "swap.matrix needs a vector"),
    ],
)
def test_an_inconsistent_entry_is_refused(swap: dict[str, str] | None, files: list[str], sentence: str) -> None:
    """Check the message when models.toml is read."""
    entries = [{"name": name, "sha256": "0" * 64, "bytes": 3} for name in files]
    with pytest.raises(ValidationError, match=sentence):
        Model.model_validate({"kind": "swap", "driver": "swapper", "licence": "MIT", "files": entries, "swap": swap})


def test_only_a_swap_model_has_a_swap_table() -> None:
    """Check a detector with a [swap] table."""
    with pytest.raises(ValidationError, match="only such a model, has a \\[swap\\] table"):
        Model.model_validate({"kind": "faces", "driver": "yunet", "licence": "MIT", "swap": {}})
