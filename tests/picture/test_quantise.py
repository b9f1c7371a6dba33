"""Every conversion from floats to integer codes rounds half up, checked against exact integer arithmetic at every code boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from goldsmith.picture import codec, colour, profiles
from goldsmith.picture.dither import dither
from goldsmith.picture.picture import Picture, freeze, quantise

Codes = NDArray[Any]
Converter = Callable[[NDArray[np.float32], int], Codes]

# In codes. A value is rounded to float32 three times before it becomes a code; at 16 bits the errors add up to less than this.
_FLOAT_ERROR = 0.01


def _exact_codes(values: NDArray[np.float32], depth: int) -> list[int]:
    """Return floor(value * (2**depth - 1) + 1/2), computed with Python's integers."""
    codes = []
    for value in values.tolist():
        numerator, denominator = float(value).as_integer_ratio()
        codes.append((2 * numerator * (2**depth - 1) + denominator) // (2 * denominator))
    return codes


def _boundaries(depth: int, offset: float) -> NDArray[np.float32]:
    """Return the values at ``offset`` codes from every boundary between two codes, (2**depth - 1,), 0..1."""
    levels = 2**depth - 1
    return ((np.arange(levels) + 0.5 + offset) / levels).astype(np.float32)


def _row(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return freeze(values.reshape(1, -1, 1))


def _by_quantise(values: NDArray[np.float32], depth: int) -> Codes:
    return quantise(values, depth)


def _by_picture(values: NDArray[np.float32], depth: int) -> Codes:
    return Picture(_row(values), depth=8 if depth == 8 else 16).to_codes().ravel()


def _by_patch(values: NDArray[np.float32], depth: int) -> Codes:
    base = Picture(_row(np.zeros_like(values)), depth=8 if depth == 8 else 16)
    return base.with_patches([((slice(0, 1), slice(0, len(values))), _row(values))]).to_codes().ravel()


def _by_codec(values: NDArray[np.float32], depth: int) -> Codes:
    return codec.to_codes(Picture(_row(values)), depth).ravel()


def _by_codec_alpha(values: NDArray[np.float32], depth: int) -> Codes:
    picture = Picture(_row(np.zeros_like(values)), alpha=freeze(values.reshape(1, -1)))
    return codec.to_codes(picture, depth)[:, :, 1].ravel()


def _by_png(values: NDArray[np.float32], depth: int) -> Codes:
    picture = Picture(_row(values), depth=8 if depth == 8 else 16)
    return codec.decode(codec.encode(picture, codec.EncodingOptions("png", depth=depth)), "a.png", 10**6).to_codes().ravel()


CONVERTERS = [
    *((converter, depth) for converter in (_by_quantise, _by_codec, _by_codec_alpha) for depth in (8, 10, 12, 16)),
    *((converter, depth) for converter in (_by_picture, _by_patch, _by_png) for depth in (8, 16)),
]


@pytest.mark.parametrize("offset", [-_FLOAT_ERROR, _FLOAT_ERROR])
@pytest.mark.parametrize(("convert", "depth"), CONVERTERS)
def test_every_code_boundary_is_in_the_middle_between_two_codes(convert: Converter, depth: int, offset: float) -> None:
    """Just below a boundary the lower code results, just above it the higher one, for all codes."""
    values = _boundaries(depth, offset)
    codes = convert(values, depth)
    assert codes.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert codes.tolist() == _exact_codes(values, depth)
    assert codes.tolist() == list(range(2**depth - 1) if offset < 0 else range(1, 2**depth))


@pytest.mark.parametrize(("convert", "depth"), CONVERTERS)
def test_a_value_in_the_middle_rounds_up_and_values_out_of_range_are_clipped(convert: Converter, depth: int) -> None:
    """The value 0.5 is exactly between two codes at every depth."""
    values = np.asarray([-0.1, 0.0, 0.5, 1.0, 1.1], np.float32)
    assert convert(values, depth).tolist() == [0, 0, 2 ** (depth - 1), 2**depth - 1, 2**depth - 1]


@settings(max_examples=500, deadline=None)
@given(value=st.floats(0, 1, width=32), depth=st.sampled_from([8, 10, 12, 16]))
def test_any_value_becomes_its_nearest_code(value: float, depth: int) -> None:
    """If float32 can tell on which side of a boundary a value is, the code is the exact one."""
    levels = 2**depth - 1
    (code,) = quantise(np.asarray([value], np.float32), depth).tolist()
    assert abs(value * levels - code) <= 0.5 + _FLOAT_ERROR
    if abs((value * levels) % 1 - 0.5) > _FLOAT_ERROR:
        assert [code] == _exact_codes(np.asarray([value], np.float32), depth)


@pytest.mark.parametrize("depth", [8, 16])
def test_each_code_survives_conversion_to_float_and_back(depth: int) -> None:
    """Untouched values v are float32(v / (2**depth - 1)) and become v again."""
    codes = np.arange(2**depth)
    assert np.array_equal(quantise(codes.astype(np.float32) / np.float32(2**depth - 1), depth), codes)


def test_large_pictures_are_rounded_like_small_ones() -> None:
    """Blocks of a large array are converted one after the other, the last one shorter."""
    values = np.tile(_boundaries(8, _FLOAT_ERROR), 3001)[: 3000 * 255 + 7]
    assert quantise(values, 8).tolist() == (list(range(1, 256)) * 3001)[: len(values)]
    square = _boundaries(16, _FLOAT_ERROR).reshape(-1, 3, 1)
    assert quantise(square, 16).ravel().tolist() == list(range(1, 2**16))


def test_colour_conversion_by_lcms_gets_the_nearest_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of 16 bits for lcms are those of ``quantise``."""
    received: list[Codes] = []

    def record_codes(codes: Codes, source: bytes, target: bytes) -> NDArray[np.float32]:
        received.append(codes)
        return codes.astype(np.float32) / np.float32(65535)

    monkeypatch.setattr(colour, "transform_codes", record_codes)
    values = _boundaries(16, _FLOAT_ERROR).reshape(1, -1, 3)
    colour._convert_by_lcms(values, profiles.builtin_profile("srgb"), profiles.builtin_profile("adobe-rgb"))
    assert received[0].ravel().tolist() == list(range(1, 2**16))


@pytest.mark.parametrize("position", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_dither_has_no_bias_between_two_codes(position: float) -> None:
    """Means of flat areas are kept to a hundredth of a code, wherever the value is between two codes."""
    value = (100 + position) / 255
    codes = dither(np.full((1024, 1024, 1), value, np.float32), 8, seed=3).astype(np.float64) * 255
    # The standard deviation of the mean is at most 0.87 / 1024 codes.
    assert abs(float(codes.mean()) - (100 + position)) < 0.01


def test_dither_takes_the_nearest_code_of_a_value_on_a_code() -> None:
    """Within a fiftieth of a step, above or below, the value becomes that code without noise."""
    codes = np.arange(1, 255)
    for offset in (-0.015, 0.0, 0.015):
        values = ((codes + offset) / 255).astype(np.float32).reshape(1, -1, 1)
        assert np.array_equal(quantise(dither(values, 8, seed=1), 8).ravel(), codes)
