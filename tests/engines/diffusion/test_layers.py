"""Qwen-Image-Layered splits a picture into layers with alpha, with tiny random weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from doubles.tiny_engines import HEIGHT, WIDTH, WISH, engine, picture, request, small_qwen_inputs
from goldsmith.engines.protocols import GenerationRequest
from goldsmith.errors import InputError


@pytest.fixture(autouse=True)
def _use_small_inputs() -> Iterator[None]:
    with small_qwen_inputs():
        yield


def split(count: int = 3, seed: int = 1, source: int = 0) -> GenerationRequest:
    return GenerationRequest(WISH, (seed,), WIDTH, HEIGHT, picture(source), layer_count=count)


def test_a_picture_becomes_as_many_layers_as_asked() -> None:
    """Check their size and their alpha, that seed and picture matter, that the same seed gives the same layers, and the record."""
    result = engine("qwen-image-layered").generate(split())
    assert [layer.shape for layer in result.pictures] == [(HEIGHT, WIDTH, 4)] * 3
    assert all(layer.min() >= 0 and layer.max() <= 1 for layer in result.pictures)
    assert (result.facts["layers"], result.facts["seeds"], result.facts["ability"]) == (3, [1], "layers")
    others = [engine("qwen-image-layered").generate(each).pictures[0] for each in (split(), split(seed=2), split(source=5))]
    assert [np.array_equal(result.pictures[0], other) for other in others] == [True, False, False]
    assert len(engine("qwen-image-layered").generate(split(2)).pictures) == 2


def test_other_models_and_other_work_are_refused() -> None:
    """Check a model that cannot split, and this one for a picture from words."""
    with pytest.raises(InputError, match="'qwen-image' cannot split a picture into layers"):
        engine("qwen-image").generate(split())
    with pytest.raises(InputError, match="cannot make pictures from words alone; it can split a picture into layers"):
        engine("qwen-image-layered").generate(request("text"))
