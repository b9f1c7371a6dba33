"""Tiny ONNX networks, written as protobuf bytes, for drivers whose real weights may not be distributed."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

FLOAT = 1


def _number(value: int) -> bytes:
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(data)) + data


def _value(name: str, sides: Sequence[int | str]) -> bytes:
    """Return a float tensor; a side that is a word is left open in the file."""
    shape = b"".join(_field(1, _field(1 if isinstance(side, int) else 2, side)) for side in sides)
    tensor = _field(1, FLOAT) + _field(2, shape)
    return _field(1, name) + _field(2, _field(1, tensor))


def _node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(_field(1, name) for name in inputs) + _field(2, output) + _field(3, output) + _field(4, kind)


def _constant(name: str, value: float) -> bytes:
    return _field(2, FLOAT) + _field(8, name) + _field(9, struct.pack("<f", value))


def write_net(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], str]],
    inputs: Mapping[str, Sequence[int | str]],
    output: tuple[str, Sequence[int | str]],
    constants: Mapping[str, float],
) -> Path:
    """Write a network of these nodes (kind, inputs, output) in the ONNX format, and return its path."""
    graph = b"".join(_field(1, _node(*node)) for node in nodes) + _field(2, "tiny")
    graph += b"".join(_field(5, _constant(*each)) for each in constants.items())
    graph += b"".join(_field(11, _value(*each)) for each in inputs.items()) + _field(12, _value(*output))
    path.write_bytes(_field(1, 8) + _field(7, graph) + _field(8, _field(1, "") + _field(2, 13)))
    return path


def swap_net(path: Path, side: int = 32, person: Sequence[int | str] = (1, 3), *, answers: int = 0) -> Path:
    """Write a network that adds half of the face and the mean of the person's input."""
    nodes = [("Mul", ["target", "half"], "dim"), ("ReduceMean", ["source"], "who"), ("Add", ["dim", "who"], "made")]
    face = (1, 3, side, side)
    if answers:
        nodes.append(("GlobalAveragePool", ["made"], "small"))
    return write_net(path, nodes, {"target": face, "source": person}, ("small" if answers else "made", face), {"half": 0.5})


def embedding_net(path: Path) -> Path:
    """Write a network that embeds a face as its mean colour: 1 x 3 x 112 x 112 to 1 x 3."""
    nodes = [("GlobalAveragePool", ["face"], "mean"), ("Flatten", ["mean"], "who")]
    return write_net(path, nodes, {"face": (1, 3, 112, 112)}, ("who", (1, 3)), {})
