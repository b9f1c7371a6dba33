"""Networks that generate a face with another person's features, from onnx files that the user supplies.

``[models.NAME.swap]`` in models.toml describes the network.

The common form: one input is the target face, upright, 1 x 3 x N x N; the other is the person, as a vector 1 x n or as that person's face,
1 x 3 x M x M. The output is the new face, 1 x 3 x N x N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goldsmith.engines import Device, EngineDescriptor, ModelFiles
from goldsmith.engines.drivers._face_alignment import align_square, aligned_crop
from goldsmith.engines.drivers._onnx import describe_threads, open_session, weights_hashes
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
    """The names of the network's inputs, and the sides of their squares; ``person_side`` 0 = it takes a vector of ``numbers``."""

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
        self._takes = settings
        self._net = net
        self._shape = inputs
        self.embedding_net: onnxruntime.InferenceSession | None = None
        self.matrix: NDArray[np.float32] | None = None

    def swap(self, pixels: Pixels, face: Face, source_pixels: Pixels, source_face: Face) -> DrawnFace:
        """Return the generated face, (side, side, 3), 0..1, sRGB, and its corners in the picture, in px."""
        shape = self._shape
        square = align_square(face.landmarks, shape.side, wide=True)
        given = {
            shape.face: self._to_tensor(square.crop(pixels, shape.side)),
            shape.source: self._source_tensor(source_pixels, source_face),
        }
        made = np.asarray(self._net.run([self._net.get_outputs()[0].name], given)[0], np.float32)
        if made.shape != (1, 3, shape.side, shape.side) or not np.isfinite(made).all():
            raise InputError(
                f"The model {self.descriptor.name} drew no face of 3 x {shape.side} x {shape.side} numbers.", "Use another one."
            )
        drawn = made[0].transpose(1, 2, 0)
        drawn = drawn / 2 + np.float32(0.5) if self._takes.range == "-1..1" else drawn
        corners = square.to_picture(np.array([(0, 0), (shape.side, 0), (0, shape.side)], np.float32), shape.side)
        return DrawnFace(np.ascontiguousarray(np.clip(drawn, 0, 1)), corners)

    def _to_tensor(self, square: Pixels) -> NDArray[np.float32]:
        values = square * 2 - 1 if self._takes.range == "-1..1" else square
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], dtype=np.float32)

    def _source_tensor(self, source: Pixels, person: Face) -> NDArray[np.float32]:
        if self._shape.source_side:
            return self._to_tensor(aligned_crop(source, person.landmarks, self._shape.source_side, wide=True))
        assert self.embedding_net is not None  # noqa: S101 - a vector is only taken where its maker was opened
        [entry] = self.embedding_net.get_inputs()
        square = aligned_crop(source, person.landmarks, _IDENTITY_SIDE) * 2 - 1
        blob = np.ascontiguousarray(square.transpose(2, 0, 1)[None], dtype=np.float32)
        vector = normalise(self.embedding_net.run([self.embedding_net.get_outputs()[0].name], {entry.name: blob})[0].reshape(-1))
        vector = vector if self.matrix is None else normalise(vector @ self.matrix)
        if vector.shape != (self._shape.vector_length,):
            told = f"The model {self.descriptor.name} takes {self._shape.vector_length} numbers for a person"
            raise InputError(
                f"{told}; {self._takes.identity} gives {len(vector)}.",
                "Name the net that belongs to it as swap.identity in models.toml.",
            )
        return vector[None]


def open_engine(name: str, model: Model, model_files: ModelFiles, device: Device) -> FaceSwapper:
    takes = model.swap
    assert takes is not None  # noqa: S101 - models.toml is checked as it is read
    drawing = next(path for file, path in model_files.files.items() if file not in (takes.identity, takes.matrix))
    net = open_session(drawing, device.threads)
    shape = _net_inputs(drawing, net, by_vector=bool(takes.identity))
    on = f"cpu float32, {describe_threads(device.threads)}"
    told = EngineDescriptor(name=name, kind="swap", licence=model.licence, side=shape.side, weights=weights_hashes(model), device=on)
    made = OnnxFaceSwapper(told, takes, net, shape)
    made.embedding_net = open_session(model_files.files[takes.identity], device.threads) if takes.identity else None
    made.matrix = _load_matrix(takes.matrix, model_files.files) if takes.matrix else None
    return made


def _net_inputs(file: Path, net: onnxruntime.InferenceSession, *, by_vector: bool) -> _NetInputs:
    """Return which input is which. Raises InputError if they do not have the common form."""
    inputs = {entry.name: entry.shape for entry in net.get_inputs()}
    vectors = [name for name, sides in inputs.items() if len(sides) == 2]
    squares = [name for name, sides in inputs.items() if len(sides) == 4 and _square_side(sides)]
    if len(inputs) != 2 or len(vectors) != int(by_vector) or len(vectors) + len(squares) != 2:
        wanted = "a face 1 x 3 x N x N and a vector 1 x n" if by_vector else "two faces 1 x 3 x N x N, and no vector"
        told = "; ".join(f"{name} {' x '.join(map(str, sides))}" for name, sides in inputs.items())
        raise InputError(
            f"{file}: this net takes {told}; a model that swaps faces takes {wanted}.", "Correct its [swap] table in models.toml."
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
        made = np.load(files[name], allow_pickle=False)
    except (ValueError, OSError) as error:
        raise InputError(f"{files[name]}: this is no array of numpy: {error}.", "Write it with numpy.save.") from error
    if getattr(made, "ndim", 0) != 2 or made.dtype.kind != "f":
        raise InputError(f"{files[name]}: this is no matrix of floating-point numbers.", "Write it with numpy.save.")
    return np.asarray(made, np.float32)
