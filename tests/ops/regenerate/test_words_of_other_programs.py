"""Somebody who comes from another program finds its words in the manual's page, and a brief with such a word is told the right one."""

from __future__ import annotations

import re

import pytest

from goldsmith.brief.brief import read_brief
from goldsmith.brief.parsing import BriefError
from goldsmith.brief.pipeline import read_pipeline
from goldsmith.files import resource_path
from goldsmith.ops.regenerate.operation import Regenerate

PIPELINE = read_pipeline(resource_path("config", "pipeline.toml").read_bytes(), "config/pipeline.toml")
PAGE = (resource_path("config", "models.toml").parents[1] / "docs" / "operations" / "regenerate.md").read_text(encoding="utf-8")
_TABLE = PAGE.split("**What it is called elsewhere.**")[1].split("\n\n")[1]
# Each word of another program -> the line for it.
ROWS = dict(line.strip("| ").split(" | ", 1) for line in _TABLE.splitlines()[2:])


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("CFG", "guidance"),
        ("sampler", "scheduler"),
        ("hires fix", "refine"),
        ("denoising strength", "strength"),
        ("ControlNet", "control"),
        ("IP-Adapter", "reference_strength"),
        ("LoRA", "loras"),
        ("embeddings", "embeddings"),
        ("X/Y plot", "prompts"),
        ("batch count", "candidates"),
        ("Clip skip", "clip_skip"),
        ("seed", "seeds"),
    ],
)
def test_a_word_of_another_program_leads_to_its_setting(word: str, setting: str) -> None:
    """Check that one line of the table has the word, and that its setting exists."""
    lines = [line for other_words, line in ROWS.items() if word in re.split(", ", other_words)]
    assert len(lines) == 1, word
    assert f"`{setting}`" in lines[0]
    assert setting in Regenerate.model_fields


@pytest.mark.parametrize(
    ("word", "paragraph"), [("img2img", "From a picture and a prompt"), ("wildcards", "Wildcards"), ("txt2img", "From a prompt")]
)
def test_a_word_without_a_setting_leads_to_its_paragraph(word: str, paragraph: str) -> None:
    """Check the word's own line."""
    assert [paragraph in line for other_words, line in ROWS.items() if word in re.split(", ", other_words)] == [True]


def test_every_paragraph_that_the_table_names_is_on_the_page() -> None:
    """Check all names in bold: each begins a paragraph."""
    names = {name for line in ROWS.values() for name in re.findall(r"\*\*(.+?)\*\*", line)}
    assert len(names) > 8
    assert [name for name in names if f"\n**{name}.**" not in PAGE] == []


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("cfg_scale", "guidance"),
        ("sampler", "scheduler"),
        ("denoising_strength", "strength"),
        ("batch_count", "candidates"),
        ("hires_fix", "refine"),
        ("controlnet", "control"),
        ("ip_adapter", "reference_strength"),
        ("checkpoint", "model"),
        ("textual_inversion", "embeddings"),
    ],
)
def test_a_brief_with_a_word_of_another_program_is_told_the_right_one(word: str, setting: str) -> None:
    """Check the note's sentence."""
    text = f'prompt = "a chair"\n[[generate]]\nop = "regenerate"\n{word} = 1\n'
    with pytest.raises(BriefError) as caught:
        read_brief(text.encode(), "hero.toml", PIPELINE)
    assert word in str(caught.value)
    assert setting in str(caught.value).split(word, 1)[1]
