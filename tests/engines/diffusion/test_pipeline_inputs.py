"""Pictures, holes and prompts in the forms that pipelines take, without needless quantisation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from doubles.tiny_engines import HEIGHT, WIDTH, hole, picture, request
from goldsmith.engines.diffusion.pipeline_inputs import prepare_inputs


def test_a_picture_becomes_a_tensor_with_the_same_values() -> None:
    """Check float32 with channels first, one picture for each result."""
    first, second = request("inpaint"), replace(request("inpaint"), picture=1 - picture())
    tensor = prepare_inputs([first, second], WIDTH, HEIGHT, 1.0).image_tensor().numpy()
    assert (tensor.shape, tensor.dtype) == ((2, 3, HEIGHT, WIDTH), np.float32)
    assert np.array_equal(tensor[0].transpose(1, 2, 0), picture())
    assert np.array_equal(tensor[1].transpose(1, 2, 0), 1 - picture())


def test_a_hole_is_1_where_pixels_are_generated() -> None:
    """Check that for a picture without a hole the mask is 1 everywhere."""
    tensor = prepare_inputs([request("inpaint")], WIDTH, HEIGHT, 1.0).mask_tensor().numpy()
    assert (tensor.shape, tensor.dtype) == ((1, 1, HEIGHT, WIDTH), np.float32)
    assert np.array_equal(tensor[0, 0], hole())
    assert prepare_inputs([request("image")], WIDTH, HEIGHT, 1.0).mask_tensor().numpy().min() == 1


def test_a_reduced_hole_loses_no_pixel() -> None:
    """Check that a reduced pixel belongs to the hole if the hole touches it."""
    thin = np.zeros((HEIGHT, WIDTH), np.float32)
    thin[10] = 1
    inputs = prepare_inputs([replace(request("inpaint"), hole=thin)], WIDTH // 2, HEIGHT // 2, 1.0)
    assert inputs.pictures[0].shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert np.flatnonzero(inputs.holes[0].any(axis=1)).tolist() == [5]
    assert set(np.unique(inputs.holes[0])) == {0.0, 1.0}


def test_a_shared_prompt_is_encoded_once() -> None:
    """Check that different prompts are encoded separately, one for each picture."""
    cat = request("text")
    assert prepare_inputs([cat, cat], WIDTH, HEIGHT, 0.0).prompt_arguments == {"prompt": "a cat", "num_images_per_prompt": 2}
    sea = replace(cat, options=replace(cat.options, prompt="the sea"))
    assert prepare_inputs([cat, sea], WIDTH, HEIGHT, 0.0).prompt_arguments == {
        "prompt": ["a cat", "the sea"],
        "num_images_per_prompt": 1,
    }


def test_an_editing_model_gets_the_picture_and_then_the_references() -> None:
    """Check 8-bit PIL images; a reference smaller than FLUX.2 accepts is enlarged."""
    images = prepare_inputs([request("references")], WIDTH, HEIGHT, 0.0).reference_images()
    assert [(each.mode, each.size) for each in images] == [("RGB", (WIDTH, HEIGHT)), ("RGB", (64, 77))]
    assert np.abs(np.asarray(images[0]) / 255 - picture()).max() <= 0.5 / 255 + 1e-6
