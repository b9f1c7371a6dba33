"""Textual inversions: a word of the prompt is read as learned vectors, and the model stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from doubles.tiny_engines import WISH, engine, request
from goldsmith.engines.diffusion.clip_prompts import PromptReading, encode_prompt
from goldsmith.engines.diffusion.embeddings import LearnedWord, split_at_words
from goldsmith.errors import InputError

WIDTHS = {"sdxl": (16, 48), "sd3": (32, 32)}


def learned(folder: Path, family: str, count: int = 2, seed: int = 0) -> Path:
    """Write a textual inversion of random vectors."""
    random = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(count, width, generator=random) for name, width in zip(("clip_l", "clip_g"), WIDTHS[family], strict=True)}
    path = folder / "film-look.safetensors"
    save_file(tensors, path)
    return path


def draw(family: str, prompt: str, *embeddings: Path, **options: Any) -> bytes:
    wish = replace(WISH, prompt=prompt, embeddings=embeddings, **options)
    return engine(family).generate(request("text", (1,), wish)).pictures[0].tobytes()


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_a_learned_word_changes_the_picture_and_not_the_model(tmp_path: Path, family: str) -> None:
    """Check the word in the prompt, with a weight, in the negative prompt, in a prompt without it, and the model afterwards."""
    path = learned(tmp_path, family)
    plain = draw(family, "a cat, film-look")
    used = draw(family, "a cat, film-look", path)
    weighted = draw(family, "a cat, (film-look:1.5)", path)
    avoided = draw(family, "a cat", path, negative="film-look")
    assert len({plain, used, weighted, avoided}) == 4
    if family == "sdxl":  # T5, which SD3 has beside CLIP, reads the word as it is written
        assert draw(family, "a cat, Film-Look", path) == used
    assert draw(family, "a cat, film-look") == plain
    facts = engine(family).generate(request("text", (1,), replace(WISH, embeddings=(path,)))).facts
    assert facts["embeddings"] == ["film-look"]


def test_a_learned_word_means_the_same_as_in_diffusers(tmp_path: Path) -> None:
    """Check the embeddings of a prompt against a pipeline into which diffusers itself has loaded the vectors."""
    from diffusers import StableDiffusionXLPipeline

    from doubles import tiny

    path = learned(tmp_path, "sdxl", count=1)
    theirs = StableDiffusionXLPipeline.from_pretrained(tiny.folder("sdxl"))
    vectors = load_file(path)
    for name, suffix in (("clip_l", ""), ("clip_g", "_2")):
        encoder, tokenizer = getattr(theirs, f"text_encoder{suffix}"), getattr(theirs, f"tokenizer{suffix}")
        theirs.load_textual_inversion({"filmlook": vectors[name]}, token="filmlook", text_encoder=encoder, tokenizer=tokenizer)  # noqa: S106 - a word
    own_path = path.rename(tmp_path / "filmlook.safetensors")
    with torch.no_grad():
        expected, *_ = theirs.encode_prompt(prompt="a filmlook b", do_classifier_free_guidance=False)
    pipe = engine("sdxl")._load().base
    actual = encode_prompt(pipe, "a filmlook b", "", 1, PromptReading(embeddings=(own_path,))).arguments["prompt_embeds"]
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_a_learned_word_stands_alone() -> None:
    """Check that it is found in capitals and beside a comma, and not within other words."""
    word = LearnedWord("film", ())
    assert split_at_words("a FILM, films film-look", [word]) == ["a ", word, ", films film-look"]
    assert split_at_words("a cat", []) == ["a cat"]


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Check one for another family, one that is no safetensors file, and a model that does not read with CLIP."""
    path = learned(tmp_path, "sd3")
    with pytest.raises(
        InputError, match=r"does not fit the model: it has clip_g \(2, 32\), clip_l \(2, 32\), and the model takes n x 16 and n x 48"
    ):
        draw("sdxl", "film-look", path)
    with pytest.raises(InputError, match="has no embeddings here"):
        draw("flux", "film-look", path)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="this is not a safetensors file"):
        draw("sd3", "film-look", path)
