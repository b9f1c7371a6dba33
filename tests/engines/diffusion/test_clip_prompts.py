"""Long and weighted prompts for models that read them with CLIP: chunks of 75 tokens, joined, as in A1111."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from doubles.tiny_engines import WAYS, WISH, engine, opened, request
from goldsmith.engines.diffusion.clip_prompts import encode_prompt, needs_encoding, reads_with_clip, split_into_chunks
from goldsmith.engines.diffusion.memory_layout import MemoryLayout
from goldsmith.engines.diffusion.prompt_weights import PromptPart
from goldsmith.engines.protocols import GenerationOptions

CLIP_FAMILIES = ["sdxl", "sd3"]


def pipe_of(family: str) -> Any:
    """Return the text pipeline of a family's shared engine."""
    with_words = engine(family)
    return with_words._load().pipeline(with_words._family.calls["text"], use_tiling=False)


def spoken(letters: int) -> str:
    """Return a prompt of that many tokens: the tiny tokenizers have one token for each letter."""
    return " ".join("ab"[number % 2] for number in range(letters))


def lengths(parts: Sequence[PromptPart]) -> list[int]:
    return [len(chunk.ids) for chunk in split_into_chunks(pipe_of("sdxl").tokenizer, parts)]


@pytest.mark.parametrize("family", CLIP_FAMILIES)
@pytest.mark.parametrize("words", ["a cat", spoken(75), ""])
def test_a_short_prompt_is_encoded_as_the_pipeline_does(family: str, words: str) -> None:
    """Check bytes of words, negative words and pooled embeddings against diffusers' own encode_prompt."""
    pipe = pipe_of(family)
    extra = {"prompt_3": None} if family == "sd3" else {}
    with torch.no_grad():
        expected = pipe.encode_prompt(prompt=words, prompt_2=None, negative_prompt="blur", do_classifier_free_guidance=True, **extra)
    arguments = encode_prompt(pipe, words, "blur", 1).arguments
    names = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
    for name, tensor in zip(names, expected, strict=True):
        assert arguments[name].numpy().tobytes() == tensor.numpy().tobytes(), name


def test_a_prompt_is_cut_after_75_tokens_or_at_a_comma_shortly_before() -> None:
    """Check the last comma among the 20 last tokens, one further away, and BREAK."""
    assert lengths([PromptPart(spoken(75))]) == [75]
    assert lengths([PromptPart(spoken(76))]) == [75, 1]
    assert lengths([PromptPart(spoken(60) + ", " + spoken(30))]) == [61, 30]
    assert lengths([PromptPart(spoken(40) + ", " + spoken(50))]) == [75, 16]
    assert lengths([PromptPart(spoken(10)), PromptPart(spoken(5), starts_chunk=True)]) == [10, 5]
    assert lengths([]) == [0]


def test_a_token_keeps_the_weight_of_its_part() -> None:
    """Check a part without a weight and one with 1.3."""
    (chunk,) = split_into_chunks(pipe_of("sdxl").tokenizer, [PromptPart("a a"), PromptPart("b", 1.3)])
    assert chunk.weights == [1.0, 1.0, 1.3]


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_chunks_are_encoded_alone_and_joined(family: str) -> None:
    """Check that BREAK joins the embeddings of its sides, the pooled one is the first one's, and the negative prompt is filled up."""
    pipe = pipe_of(family)
    first, second, empty, both = (encode_prompt(pipe, words, "", 1).arguments for words in ("a cat", "the sea", "", "a cat BREAK the sea"))
    embeds = {name: arguments["prompt_embeds"].numpy() for name, arguments in (("1", first), ("2", second), ("both", both))}
    assert np.array_equal(embeds["both"][:, :77], embeds["1"][:, :77])
    assert np.array_equal(embeds["both"][:, 77:154], embeds["2"][:, :77])
    assert np.array_equal(both["pooled_prompt_embeds"].numpy(), first["pooled_prompt_embeds"].numpy())
    negative = both["negative_prompt_embeds"].numpy()
    assert negative.shape == embeds["both"].shape
    for start in (0, 77):
        assert np.array_equal(negative[:, start : start + 77], empty["prompt_embeds"].numpy()[:, :77])


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_a_weight_scales_its_tokens_and_keeps_the_mean(family: str) -> None:
    """Check against numpy: each encoder's embeddings times 1.3 at the token, then scaled to their old mean."""
    pipe = pipe_of(family)
    plain, weighted = (encode_prompt(pipe, words, "", 1).arguments["prompt_embeds"].numpy()[0, :77] for words in ("a b", "a (b:1.3)"))
    start = 0
    for encoder in (pipe.text_encoder, pipe.text_encoder_2):
        width = encoder.config.hidden_size
        part = plain[:, start : start + width].astype(np.float64)
        factors = np.ones((77, 1))
        factors[2] = 1.3
        expected = part * factors
        np.testing.assert_allclose(weighted[:, start : start + width], expected * part.mean() / expected.mean(), rtol=2e-3, atol=1e-5)
        start += width


def test_only_models_that_read_with_clip_are_encoded_here() -> None:
    """Check FLUX, whose words come from T5, and the lengths that need it."""
    assert [family for family in ("sdxl", "sd3", "flux", "qwen-image", "z-image") if reads_with_clip(pipe_of(family))] == ["sdxl", "sd3"]
    plain, others = ("a cat", spoken(75)), (spoken(76), "(a)", r"\(a")
    assert [words for words in (*plain, *others) if needs_encoding(pipe_of("sdxl"), [words])] == [*others]


def test_a_model_with_one_clip_encoder_reads_long_prompts_too() -> None:
    """Check Stable Diffusion 1: the words as its own pipeline encodes them, and a long prompt in two chunks."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel

    from doubles import tiny_parts

    unet = UNet2DConditionModel(
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=16,
    )
    parts = {"vae": tiny_parts.vae(), "text_encoder": tiny_parts.clip_encoder(16), "tokenizer": tiny_parts.clip_tokenizer(), "unet": unet}
    pipe = StableDiffusionPipeline(**parts, scheduler=EulerDiscreteScheduler(steps_offset=1), safety_checker=None, feature_extractor=None)
    assert reads_with_clip(pipe)
    expected, _ = pipe.encode_prompt("a cat", "cpu", 1, False)
    assert np.array_equal(encode_prompt(pipe, "a cat", "", 1).arguments["prompt_embeds"].numpy(), expected.detach().numpy())
    assert encode_prompt(pipe, spoken(80), "", 2).arguments["negative_prompt_embeds"].shape == (2, 154, 16)


@pytest.mark.parametrize(("family", "ability"), [way for way in WAYS if way[0] in ("sdxl", "sdxl-inpaint", "sd3")])
def test_the_end_of_a_long_prompt_changes_the_picture(family: str, ability: Any) -> None:
    """Check every way of the families that read with CLIP: nothing is cut, and the record has the number of chunks."""
    long = spoken(80)
    results = [engine(family).generate(request(ability, wish=replace(WISH, prompt=words))) for words in (long + " c", long + " d")]
    assert not np.array_equal(results[0].pictures[0], results[1].pictures[0])
    assert [(result.facts["prompt_truncated"], result.facts["prompt_chunks"]) for result in results] == [(False, 2), (False, 2)]


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_a_weight_changes_the_picture(family: str) -> None:
    """Check the prompt and the negative prompt; a weight of 1 changes nothing."""

    def draw(prompt: str, negative: str = "") -> bytes:
        return engine(family).generate(request("text", wish=replace(WISH, prompt=prompt, negative=negative))).pictures[0].tobytes()

    assert len({draw("a cat"), draw("a (cat:1.5)"), draw("a [cat]"), draw("a cat", "(blur:1.5)"), draw("a cat", "blur")}) == 5
    assert draw("a (cat:1)") == draw("a cat")


@pytest.mark.parametrize("family", CLIP_FAMILIES)
def test_a_long_prompt_does_not_depend_on_the_batch(family: str) -> None:
    """Check that two seeds in one call give the pictures of single calls, and that other words are never filled up to these."""
    pairs = opened(family, MemoryLayout("float32", "none", 2))
    long = request("text", (1, 2), replace(WISH, prompt=spoken(80)))
    together = pairs.generate(long)
    assert together.facts["batch"] == 2
    for seed, pixels in zip((1, 2), together.pictures, strict=True):
        np.testing.assert_allclose(pixels, engine(family).generate(replace(long, seeds=(seed,))).pictures[0], atol=1e-4)
    short = replace(long, seeds=(3,), options=WISH)
    results = pairs.generate_many([replace(long, seeds=(1,)), short])
    assert [result.facts["batch"] for result in results] == [1, 1]
    assert results[1].pictures[0].tobytes() == engine(family).generate(short).pictures[0].tobytes()


def test_a_model_without_clip_reads_weights_as_words_and_the_record_says_so() -> None:
    """Check FLUX with a number; brackets alone may be meant as words."""

    def facts(prompt: str) -> object:
        options = GenerationOptions(prompt, steps=2, guidance=2.0)
        return engine("flux").generate(request("text", wish=options)).facts.get("weights_read_as_words", False)

    assert [facts("a (cat:1.3)"), facts("a (cat)")] == [True, False]
