"""Options of a call that only some models know: negative words with guidance built in, schedulers, rescaled guidance, skipped layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from doubles.tiny_engines import WISH, engine, model, opened, request
from goldsmith.engines.diffusion.diffusion_engine import DiffusionEngine
from goldsmith.engines.protocols import Ability, GenerationResult
from goldsmith.errors import InputError

SCHEDULERS = {
    "euler-a": {"class": "EulerAncestralDiscreteScheduler"},
    "karras": {"class": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
    "pipeline": {"class": "NoSuchScheduler"},
    "odd": {"class": "EulerDiscreteScheduler", "prediction_type": "no-such-type", "timestep_spacing": "nowhere"},
}


def draw(drawer: DiffusionEngine, ability: Ability = "text", **options: Any) -> GenerationResult:
    return drawer.generate(request(ability, (1,), replace(WISH, **options)))


def pixels(result: GenerationResult) -> bytes:
    return result.pictures[0].tobytes()


@pytest.mark.parametrize(
    ("family", "ability"), [("flux", "text"), ("flux", "image"), ("flux", "inpaint"), ("flux-kontext", "edit"), ("flux-kontext", "inpaint")]
)
def test_negative_words_act_on_a_model_with_built_in_guidance(family: str, ability: Ability) -> None:
    """Check that they change the picture and are on record, and that without them nothing is recorded."""
    plain, other = draw(engine(family), ability), draw(engine(family), ability, negative="blur")
    assert pixels(plain) != pixels(other)
    assert (other.facts["negative_prompt_used"], other.facts["negative_guidance"]) == (True, 3.0)
    assert plain.facts["negative_prompt_used"] is False
    assert "negative_guidance" not in plain.facts


def test_the_entry_says_how_strongly_negative_words_act() -> None:
    """Check two values of the entry, and a model that has no way for negative words."""
    strong = opened("flux", entry=model("flux", negative_guidance=8.0))
    assert pixels(draw(strong, negative="blur")) != pixels(draw(engine("flux"), negative="blur"))
    assert draw(engine("flux-fill"), "inpaint", negative="blur").facts["negative_prompt_used"] is False


def test_a_scheduler_is_taken_from_the_entry_by_its_name() -> None:
    """Check that each gives another picture, that the record has its class, and that the next call has the model's own again."""
    own = opened("sdxl", entry=model("sdxl", schedulers=SCHEDULERS))
    plain = draw(own)
    results = [draw(own, scheduler=name, steps=4) for name in ("euler-a", "karras")]
    assert len({pixels(plain), *map(pixels, results)}) == 3
    assert [result.facts["scheduler"] for result in results] == ["EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]
    assert results[0].facts["scheduler_sha256"] != results[1].facts["scheduler_sha256"]
    assert pixels(draw(own)) == pixels(plain) == pixels(draw(engine("sdxl")))


@pytest.mark.parametrize(
    ("name", "sentence"), [("euler", "has no scheduler 'euler' in models.toml; it has: euler-a, karras"), ("pipeline", "NoSuchScheduler")]
)
def test_a_scheduler_that_does_not_exist_is_refused(name: str, sentence: str) -> None:
    """Check a name that the entry lacks, and a class that diffusers lacks."""
    with pytest.raises(InputError, match=sentence):
        draw(opened("sdxl", entry=model("sdxl", schedulers=SCHEDULERS)), scheduler=name)


def test_guidance_is_rescaled_and_layers_are_skipped_where_the_model_knows_it() -> None:
    """Check that both change the picture of SDXL and are on record, that 0 changes nothing, and that others refuse them."""
    plain = draw(engine("sdxl"))
    rescaled, skipped = draw(engine("sdxl"), rescale=0.7, guidance=7.0), draw(engine("sdxl"), clip_skip=1)
    assert len({pixels(plain), pixels(rescaled), pixels(skipped), pixels(draw(engine("sdxl"), guidance=7.0))}) == 4
    assert (rescaled.facts["guidance_rescale"], skipped.facts["clip_skip"]) == (0.7, 1)
    assert pixels(draw(engine("sdxl"), rescale=0.0, clip_skip=0)) == pixels(plain)
    with pytest.raises(InputError, match="has no guidance_rescale here"):
        draw(engine("sd3"), rescale=0.7)
    with pytest.raises(InputError, match="has no clip_skip here"):
        draw(engine("flux"), clip_skip=1)
    with pytest.raises(InputError, match="clip_skip leaves no layer of 2 to read the words with"):
        draw(engine("sdxl"), clip_skip=2)


def test_a_skipped_layer_is_the_one_that_diffusers_takes() -> None:
    """Check the embeddings against diffusers' own encode_prompt with clip_skip."""
    import torch

    from goldsmith.engines.diffusion.clip_prompts import PromptReading, encode_prompt

    pipe = engine("sdxl")._load().base
    with torch.no_grad():
        expected, *_ = pipe.encode_prompt(prompt="a cat", do_classifier_free_guidance=False, clip_skip=1)
    assert torch.equal(encode_prompt(pipe, "a cat", "", 1, PromptReading(clip_skip=1)).arguments["prompt_embeds"], expected)
