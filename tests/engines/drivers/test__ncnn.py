"""The ncnn reader reads the files of ncnn and refuses other files."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from doubles import ncnn as files
from goldsmith.engines.drivers._ncnn import read_ncnn
from goldsmith.errors import InputError


def test_the_reader_returns_the_written_weights(tmp_path: Path) -> None:
    """Check the kernels and the bias of every convolution, in the order of the graph."""
    writer = files.residual()
    convolutions = [layer for layer in read_ncnn(*writer.save(tmp_path)) if layer.kind == "Convolution"]
    assert len(convolutions) == len(writer.weights) == 21
    for layer, (weight, bias) in zip(convolutions, writer.weights, strict=True):
        assert np.array_equal(layer.weight, weight)
        assert np.array_equal(layer.bias, bias)


def test_16_bit_weights_are_read_with_their_padding(tmp_path: Path) -> None:
    """Check that an odd number of 16-bit floats is padded to four bytes."""
    writer = files.ModelWriter(half=True)
    weight = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3) / 8
    writer.plain("Input")
    writer.convolution(weight, np.array([0.5], np.float32))
    writer.prelu(np.array([0.25], np.float32))
    convolution, prelu = read_ncnn(*writer.save(tmp_path))[1:]
    assert np.array_equal(convolution.weight, weight)
    assert prelu.weight is not None
    assert prelu.weight[0] == 0.25


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "does not start like an ncnn .param"),
        ("7767518\n1 1\nInput a 0 0\n", "does not start like an ncnn .param"),
        ("7767517\n1 1\nInput a zero 0\n", "Line 3 is not a layer"),
        ("7767517\n1 1\nInput a -1 0\n", "Line 3 is not a layer"),
        ("7767517\n1 1\nInput a 99999999999 1 b\n", "Line 3 is not a layer"),
        ("7767517\n1 1\nInput a 0 0 0=\n0\n", "Line 4 is not a layer"),
        ("7767517\n1 1\nConvolution c 0 0 0=64 1=3 4=1 5=1 6=1728000000000\n", "The weights end before layer c"),
        ("7767517\n1 1\nConvolution c 0 0 0=-1 1=3 6=27\n", "do not make -1 kernels"),
        ("7767517\n1 1\nConvolution c 0 0 0=2 1=3 6=27\n", "27 weights, which do not make 2 kernels of 3 x 3"),
        ("7767517\n1 1\nConvolution c 0 0 0=x 1=3 6=27\n", "0=x, which is not a whole number"),
        ("7767517\n1 1\nPReLU p 0 0 0=-5\n", "The weights end before layer p has its -5 values"),
        ("7767517\n1 1\nInput a 0 0\n" + "Split s 0 0\n" * 10_001, "more than 10000 layers"),
        ("7767517\n1 1\nInput a 0 0\n", "12 bytes remain after the last weights"),
    ],
    ids=lambda value: repr(value)[-24:],
)
def test_invalid_files_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Check that wrong counts never allocate more memory than the file has."""
    (tmp_path / "a.param").write_text(text)
    (tmp_path / "a.bin").write_bytes(bytes(12))
    with pytest.raises(InputError) as caught:
        read_ncnn(tmp_path / "a.param", tmp_path / "a.bin")
    assert sentence in caught.value.sentence
    assert caught.value.sentence.startswith("a.param, a.bin: ")


def test_other_storage_formats_are_refused(tmp_path: Path) -> None:
    """Check the tag of quantised weights."""
    writer = files.compact()
    writer.data = struct.pack("<I", 0x000D4B38) + writer.data[4:]
    with pytest.raises(InputError, match="storage format that is not supported"):
        read_ncnn(*writer.save(tmp_path))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """Check this because a single NaN would make every pixel NaN."""
    writer = files.compact()
    writer.data = writer.data[:4] + struct.pack("<f", float("nan")) + writer.data[8:]
    with pytest.raises(InputError, match="contain values that are not finite numbers"):
        read_ncnn(*writer.save(tmp_path))


def test_a_binary_or_very_long_param_is_refused(tmp_path: Path) -> None:
    """Check this because a .param file is short ASCII text."""
    (tmp_path / "a.bin").write_bytes(b"")
    (tmp_path / "a.param").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"not an ncnn \.param file in text form"):
        read_ncnn(tmp_path / "a.param", tmp_path / "a.bin")
    (tmp_path / "a.param").write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(InputError, match="too long"):
        read_ncnn(tmp_path / "a.param", tmp_path / "a.bin")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 2000), damage=st.binary(min_size=1, max_size=6), in_param=st.booleans())
def test_damage_gives_other_weights_or_an_input_error(tmp_path: Path, position: int, damage: bytes, in_param: bool) -> None:
    """Check that overwritten bytes never cause another exception."""
    param, weights = files.compact().save(tmp_path)
    path = param if in_param else weights
    data = path.read_bytes()
    position %= len(data)
    path.write_bytes(data[:position] + damage + data[position + len(damage) :])
    with contextlib.suppress(InputError):
        assert read_ncnn(param, weights)
