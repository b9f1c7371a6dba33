"""Words for UMT5 are encoded as the pipeline of ChronoEdit does it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from doubles import tiny
from doubles.tiny_engines import engine, opened, request
from goldsmith.engines.diffusion.umt5_prompts import encode_with_umt5


@pytest.mark.parametrize("text", ["a cat", "", "  two   spaces ", "word " * 300])
def test_a_text_is_encoded_as_the_pipeline_does_it(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Check a short text, none, one with spaces, and one that is cut off; the pipeline's own library for repairs does nothing here."""
    from diffusers.pipelines.chronoedit import pipeline_chronoedit

    monkeypatch.setattr(pipeline_chronoedit, "ftfy", SimpleNamespace(fix_text=lambda words: words), raising=False)
    pipe = engine("chronoedit")._load().base
    expected, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False, device="cpu", max_sequence_length=512)
    encoded = encode_with_umt5(pipe, text, "cpu")
    assert encoded.shape == (1, 512, 32)
    np.testing.assert_allclose(encoded.numpy(), expected.detach().numpy(), atol=1e-4)


def test_words_change_the_picture() -> None:
    """Check another prompt and another negative prompt."""

    wishes = [request("edit"), request("edit"), request("edit")]
    wishes[1] = replace(wishes[1], options=replace(wishes[1].options, prompt="a dog"))
    wishes[2] = replace(wishes[2], options=replace(wishes[2].options, negative="fur"))
    assert len({engine("chronoedit").generate(wish).pictures[0].tobytes() for wish in wishes}) == 3


def test_a_folder_that_names_the_transformer_of_the_base_is_opened_as_chronoedit(tmp_path: Path) -> None:
    """Check the index of the published folder, which names the transformer of Wan: the picture is the same."""
    shutil.copytree(tiny.folder("chronoedit"), tmp_path / "model")
    index = tmp_path / "model" / "model_index.json"
    parts = json.loads(index.read_text(encoding="utf-8"))
    index.write_text(json.dumps({**parts, "transformer": ["diffusers", "WanTransformer3DModel"]}), encoding="utf-8")
    wish = request("edit")
    own = opened("chronoedit", folder=tmp_path / "model").generate(wish).pictures[0]
    assert np.array_equal(own, engine("chronoedit").generate(wish).pictures[0])
