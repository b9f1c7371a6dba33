"""Networks that generate a face with another person's features, from onnx files that the user supplies.

``[models.NAME.swap]`` in models.toml describes the network.

The common form has two inputs. One is the target face, upright, 1 x 3 x N x N. The other is the person: a vector 1 x n, or the person's
face, 1 x 3 x M x M. The output is the new face, 1 x 3 x N x N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines.drivers._face_alignment import align_square, aligned_crop
from goldsmith.engines.drivers._onnx import describe_threads, open_session, weights_hashes
from goldsmith.engines.protocols import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.registry.face_swap_settings import FaceSwapSettings
from goldsmith.engines.registry.models import Model
from goldsmith.engines.vision import DrawnFace, Face, FaceSwapper, normalise
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels

if TYPE_CHECKING:
    import onnxruntime

_IDENTITY_SIDE = 112
# Maximum side in px that a network may take.
_MAX_SIDE = 2048


@dataclass(frozen=True, slots=True)
class _NetInputs:
    """The names of the network's inputs and the sides of their squares, in px.

    source_side: 0 if the network takes a vector of ``vector_length`` numbers instead of the person's face.
    """

    face: str
    source: str
    side: int
    source_side: int
    vector_length: int


class OnnxFaceSwapper:
    """A face swapper that gives the network the face and the person, and returns the face it generates."""

    def __init__(
        self, descriptor: EngineDescriptor, settings: FaceSwapSettings, net: onnxruntime.InferenceSession, inputs: _NetInputs
    ) -> None:
        self.descriptor = descriptor
        self._settings = settings
        self._net = net
        self._inputs = inputs
        self.embedding_net: onnxruntime.InferenceSession | None = None
        self.matrix: NDArray[np.float32] | None = None

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        """Return the generated face, (side, side, 3), 0..1, sRGB, and its corners in the picture, in px."""
        inputs = self._inputs
        square = align_square(face.landmarks, inputs.side, wide=True)
        tensors = {
            inputs.face: self._to_tensor(square.crop(pixels, inputs.side)),
            inputs.source: self._source_tensor(source_pixels, source_face),
        }
        output = np.asarray(self._net.run([self._net.get_outputs()[0].name], tensors)[0], np.float32)
        if output.shape != (1, 3, inputs.side, inputs.side) or not np.isfinite(output).all():
            raise InputError(
                f"The model {self.descriptor.name} returned no face of 3 x {inputs.side} x {inputs.side} numbers.",
                "Use another model.",
            )
        face_pixels = output[0].transpose(1, 2, 0)
        face_pixels = face_pixels / 2 + np.float32(0.5) if self._settings.range == "-1..1" else face_pixels
        corners = square.to_picture(np.array([(0, 0), (inputs.side, 0), (0, inputs.side)], np.float32), inputs.side)
        return DrawnFace(np.ascontiguousarray(np.clip(face_pixels, 0, 1)), corners)

    def _to_tensor(self, square: Pixels) -> NDArray[np.float32]:
        values = square * 2 - 1 if self._settings.range == "-1..1" else square
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)

    def _source_tensor(self, source: Pixels, person: Face) -> NDArray[np.float32]:
        if self._inputs.source_side:
            return self._to_tensor(aligned_crop(source, person.landmarks, self._inputs.source_side, wide=True))
        assert self.embedding_net is not None  # noqa: S101 - open_engine opens it for every network that takes a vector
        [entry] = self.embedding_net.get_inputs()
        square = aligned_crop(source, person.landmarks, _IDENTITY_SIDE) * 2 - 1
        blob = np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32)
        vector = normalise(self.embedding_net.run([self.embedding_net.get_outputs()[0].name], {entry.name: blob})[0].reshape(-1))
        vector = vector if self.matrix is None else normalise(vector @ self.matrix)
        if vector.shape != (self._inputs.vector_length,):
            takes = f"The model {self.descriptor.name} takes a vector of {self._inputs.vector_length} numbers"
            raise InputError(
                f"{takes}, but {self._settings.identity} returns {len(vector)}.",
                "Name the matching network as swap.identity in models.toml.",
            )
        return vector[None]


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> FaceSwapper:
    settings = model.swap
    assert settings is not None  # noqa: S101 - read_models checks it
    path = next(path for file, path in model_files.files.items() if file not in (settings.identity, settings.matrix))
    net = open_session(path, device.threads)
    inputs = _net_inputs(path, net, by_vector=bool(settings.identity))
    device_label = f"cpu float32, {describe_threads(device.threads)}"
    descriptor = EngineDescriptor(
        name=name, kind="swap", licence=model.licence, side=inputs.side, weights=weights_hashes(model), device=device_label
    )
    swapper = OnnxFaceSwapper(descriptor, settings, net, inputs)
    swapper.embedding_net = open_session(model_files.files[settings.identity], device.threads) if settings.identity else None
    swapper.matrix = _load_matrix(settings.matrix, model_files.files) if settings.matrix else None
    return swapper


def _net_inputs(file: Path, net: onnxruntime.InferenceSession, *, by_vector: bool) -> _NetInputs:
    """Return which input is the face and which the person. Raises InputError if they do not have the common form."""
    inputs = {entry.name: entry.shape for entry in net.get_inputs()}
    vectors = [name for name, sides in inputs.items() if len(sides) == 2]
    squares = [name for name, sides in inputs.items() if len(sides) == 4 and _square_side(sides)]
    if len(inputs) != 2 or len(vectors) != int(by_vector) or len(vectors) + len(squares) != 2:
        expected = "a face 1 x 3 x N x N and a vector 1 x n" if by_vector else "two faces 1 x 3 x N x N, and no vector"
        shapes = "; ".join(f"{name} {' x '.join(map(str, sides))}" for name, sides in inputs.items())
        raise InputError(
            f"{file}: this network takes {shapes}; a face swap network takes {expected}.", "Correct its [swap] table in models.toml."
        )
    if by_vector:
        return _NetInputs(squares[0], vectors[0], _square_side(inputs[squares[0]]), 0, _vector_length(inputs[vectors[0]][1]))
    first, second = sorted(squares, key=lambda name: "source" in name.lower())
    return _NetInputs(first, second, _square_side(inputs[first]), _square_side(inputs[second]), 0)


def _square_side(sides: list[Any]) -> int:
    """Return the side of the square that an input 1 x 3 x N x N takes, or 0 if it has another form."""
    fits = sides[1] == 3 and sides[2] == sides[3] and isinstance(sides[2], int) and 16 <= sides[2] <= _MAX_SIDE
    return int(sides[2]) if fits else 0


def _vector_length(number: Any) -> int:
    return int(number) if isinstance(number, int) else 512


def _load_matrix(name: str, files: Mapping[str, Path]) -> NDArray[np.float32]:
    try:
        matrix = np.load(files[name], allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{files[name]}: this is not a NumPy array: {error}.", "Write it with numpy.save.") from error
    if getattr(matrix, "ndim", 0) != 2 or matrix.dtype.kind != "f":
        raise InputError(f"{files[name]}: this is not a matrix of floating-point numbers.", "Write it with numpy.save.")
    return np.asarray(matrix, np.float32)
