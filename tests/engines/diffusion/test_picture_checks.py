"""A failed picture is an error with a message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doubles.tiny_engines import ONE, engine, opened, picture, request
from goldsmith.engines.diffusion.picture_checks import check_picture, is_flat, resize
from goldsmith.errors import InputError
from goldsmith.picture.picture import Pixels

FLAT = np.full((8, 8, 3), 0.5, np.float32)
BLACK = np.zeros((8, 8, 3), np.float32)
WITH_NAN = np.where(np.eye(8, dtype=bool)[..., None], np.float32("nan"), picture(height=8, width=8))


@pytest.mark.parametrize(
    ("pixels", "sentence"),
    [
        (WITH_NAN, r"The model 'one' generated a picture with values that are not numbers \(NaN\) with seed 7"),
        (BLACK, "The model 'one' generated a black picture with seed 7"),
        (BLACK + np.float32(1 / 300), "generated a black picture"),
        (FLAT, "The model 'one' generated a picture of one flat colour with seed 7"),
        (FLAT * np.array([1, 0.2, 0.4], np.float32), "one flat colour"),
        (np.full((8, 8, 3), np.inf, np.float32), "NaN"),
    ],
)
def test_a_failed_picture_is_refused(pixels: Pixels, sentence: str) -> None:
    """Check pictures (8, 8, 3), 0..1, that are NaN, infinite, black or flat: the message has the seed and a remedy."""
    with pytest.raises(InputError, match=sentence) as refused:
        check_picture("one", pixels, 7, "float16", None)
    assert refused.value.remedy == "Try another seed, or a precision other than float16 in models.toml."
    with pytest.raises(InputError) as refused:
        check_picture("one", pixels, 7, "float32", picture())
    assert refused.value.remedy == "Try another seed."


def test_the_result_of_a_flat_picture_may_be_flat() -> None:
    """Check a hole in an empty backdrop and in a black frame."""
    assert np.array_equal(check_picture("one", FLAT, 7, "float32", FLAT), FLAT)
    assert np.array_equal(check_picture("one", BLACK, 7, "float32", BLACK), BLACK)
    with pytest.raises(InputError, match="NaN"):
        check_picture("one", FLAT * np.float32("nan"), 7, "float32", FLAT)


def test_a_dark_picture_is_accepted() -> None:
    """Check a night scene; values outside 0..1 are clipped."""
    night = picture(height=16, width=16) * np.float32(0.02)
    assert np.array_equal(check_picture("one", night, 7, "float32", None), night)
    assert check_picture("one", picture() * np.float32(1.5), 7, "float32", None).max() == 1
    assert is_flat(FLAT)
    assert not is_flat(night)
    assert not is_flat(None)


def test_a_picture_is_resized_to_the_requested_size() -> None:
    """Check that an array of the requested size is returned unchanged, and that no value overshoots."""
    original = picture()
    assert resize(original, original.shape[1], original.shape[0]) is original
    for width, height in ((48, 32), (200, 100)):
        resized = resize(original, width, height)
        assert (resized.shape, resized.dtype) == ((height, width, 3), np.float32)
        assert resized.min() >= 0
        assert resized.max() <= 1
        assert abs(float(resized.mean() - original.mean())) < 0.01


@pytest.mark.parametrize(("value", "sentence"), [(float("nan"), "NaN"), (-1.0, "a black picture"), (0.0, "one flat colour")])
def test_a_failing_decoder_fails_the_attempt(monkeypatch: pytest.MonkeyPatch, value: float, sentence: str) -> None:
    """Check the message of the whole engine, and that the next request works."""
    from diffusers import AutoencoderKL

    own_engine = opened("sdxl", ONE)
    decode: Any = AutoencoderKL.decode

    def decode_wrongly(self: Any, *args: Any, **kwargs: Any) -> Any:
        decoded = decode(self, *args, **kwargs)
        decoded[0].fill_(value)
        return decoded

    with monkeypatch.context() as patched:
        patched.setattr(AutoencoderKL, "decode", decode_wrongly)
        with pytest.raises(InputError, match=sentence):
            own_engine.generate(request("text", (4,)))
    assert (
        own_engine.generate(request("text", (4,))).pictures[0].tobytes()
        == engine("sdxl").generate(request("text", (4,))).pictures[0].tobytes()
    )
