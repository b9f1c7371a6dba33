"""Read ncnn models without ncnn (.param is text, .bin holds weight arrays): with size limits, and without running any code from them.

The format: https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goldsmith.errors import InputError

_MAGIC = "7767517"
_FLOAT16_TAG = 0x01306B47
_FLOAT32_TAG = 0
_MAX_PARAM_BYTES = 1 << 20
_MAX_LAYERS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class NcnnLayer:
    """One layer of the graph; ``settings``: ncnn's numbered parameters. ``weight``, ``bias``: float32, None if the layer has none."""

    kind: str
    name: str
    settings: dict[int, str]
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None

    def int_setting(self, key: int, default: int = 0) -> int:
        """Return the numbered setting as a whole number. Raises InputError if it is not one."""
        try:
            return int(self.settings.get(key, default))
        except ValueError:
            raise InputError(f"The layer {self.name} has {key}={self.settings[key]}, which is not a whole number.") from None

    def float_setting(self, key: int, default: float) -> float:
        """Return the numbered setting as a finite number. Raises InputError if it is not one."""
        try:
            number = float(self.settings.get(key, default))
        except ValueError:
            number = float("nan")
        if not np.isfinite(number):
            raise InputError(f"The layer {self.name} has {key}={self.settings.get(key)}, which is not a number.")
        return number


def read_ncnn(param: Path, weights: Path) -> list[NcnnLayer]:
    """Return the layers in the graph's order, with the weights of convolutions and PReLUs. Raises InputError if the files are malformed."""
    if param.stat().st_size > _MAX_PARAM_BYTES:
        raise InputError(f"{param}: this file is too long for an ncnn .param file.")
    try:
        text = param.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise InputError(f"{param}: this is not an ncnn .param file in text form.") from error
    reader = _WeightsReader(weights.read_bytes())
    try:
        layers = [_read_weights(layer, reader) for layer in _parse_layers(text)]
        reader.require_end()
    except InputError as problem:
        raise InputError(f"{param.name}, {weights.name}: {problem.sentence}", "Run: goldsmith models verify") from problem
    return layers


def _parse_layers(text: str) -> Iterator[NcnnLayer]:
    lines = text.splitlines()
    if len(lines) < 3 or lines[0].strip() != _MAGIC:
        raise InputError("The file does not start like an ncnn .param file.")
    if len(lines) > _MAX_LAYERS:
        raise InputError(f"The file lists more than {_MAX_LAYERS} layers.")
    for number, line in enumerate(lines[2:], 3):
        words = line.split()
        if not words:
            continue
        try:
            kind, name, input_count, output_count = words[0], words[1], int(words[2]), int(words[3])
            if min(input_count, output_count) < 0 or 4 + input_count + output_count > len(words):
                raise ValueError("blob count")
            pairs = [word.split("=", 1) for word in words[4 + input_count + output_count :]]
            settings = {int(key): value for key, value in pairs}
        except (ValueError, IndexError):
            raise InputError(f"Line {number} is not a layer: {line[:60]!r}.") from None
        yield NcnnLayer(kind, name, settings)


def _read_weights(layer: NcnnLayer, reader: _WeightsReader) -> NcnnLayer:
    if layer.kind == "Convolution":
        outputs, side, count = layer.int_setting(0), layer.int_setting(1), layer.int_setting(6)
        if outputs < 1 or side < 1 or count < 1 or count % (outputs * side * side):
            raise InputError(f"The layer {layer.name} has {count} weights, which do not make {outputs} kernels of {side} x {side}.")
        weight = reader.read_tagged(count, layer.name).reshape(outputs, -1, side, side)
        bias = reader.read_float32(outputs, layer.name) if layer.int_setting(5) else np.zeros(outputs, np.float32)
        return NcnnLayer(layer.kind, layer.name, layer.settings, weight, bias)
    if layer.kind == "PReLU":
        return NcnnLayer(layer.kind, layer.name, layer.settings, reader.read_float32(layer.int_setting(0), layer.name))
    return layer


class _WeightsReader:
    """Read the .bin in order, never beyond its end. A count that exceeds the file is refused before memory is allocated for it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_float32(self, count: int, layer: str) -> NDArray[np.float32]:
        return self._array("<f4", count, count * 4, layer)

    def read_tagged(self, count: int, layer: str) -> NDArray[np.float32]:
        """Return the array (n,) after a four-byte tag, unbounded, as float32; the file has float32, or float16 padded to four bytes."""
        (tag,) = struct.unpack("<I", self._array("u1", 4, 4, layer, as_float=False).tobytes())
        if tag == _FLOAT32_TAG:
            return self.read_float32(count, layer)
        if tag == _FLOAT16_TAG:
            return self._array("<f2", count, (count * 2 + 3) // 4 * 4, layer)
        raise InputError(f"The weights of layer {layer} have a storage format that is not supported (tag {tag:#010x}).")

    def _array(self, dtype: str, count: int, size: int, layer: str, *, as_float: bool = True) -> NDArray[np.float32]:
        if count < 1 or self._at + size > len(self._data):
            raise InputError(f"The weights end before layer {layer} has its {count} values.")
        values = np.frombuffer(self._data, dtype, count, self._at)
        self._at += size
        if not as_float:
            return values
        if not np.isfinite(values).all():
            raise InputError(f"The weights of layer {layer} contain values that are not finite numbers.")
        return values.astype(np.float32)

    def require_end(self) -> None:
        """Raise InputError unless all bytes are read."""
        if self._at != len(self._data):
            raise InputError(f"{len(self._data) - self._at} bytes remain after the last weights.")
