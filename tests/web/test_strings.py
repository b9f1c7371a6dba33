"""The words of the page are in one file, for whoever translates it."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest

from goldsmith.jobs.job import JobInput
from goldsmith.journal.person_notes import Act
from goldsmith.web import strings

_WEB = Path(str(files("goldsmith.web")))
# A text in quotes with a capital, a space and a full stop, or several words and nothing else: something that a person reads.
_SENTENCE = re.compile(r"""["'`](?:[A-Z][^"'`\n]* [^"'`\n]*\.|[A-Za-z]+,?(?: [A-Za-z]+,?){2,})["'`]""")


@pytest.mark.parametrize("script", sorted((_WEB / "static").rglob("*.js")), ids=lambda path: path.name)
def test_no_script_has_a_sentence_of_its_own(script: Path) -> None:
    """A page hands its sentences over in attributes."""
    assert _SENTENCE.findall(script.read_text()) == []


@pytest.mark.parametrize("template", sorted((_WEB / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_template_has_a_word_of_its_own(template: Path) -> None:
    """Between the tags is nothing but what comes from ``strings`` and from the folders."""
    text = re.sub(r"{%.*?%}|{{.*?}}|{#.*?#}|<[^>]*>|&#?\w+;", " ", template.read_text(), flags=re.DOTALL)
    assert re.findall(r"[A-Za-z]{2,}", text) == []


def test_who_has_put_down_what_is_said_in_words() -> None:
    """Of every kind of file that lies beside a picture; the record's own words are not shown."""
    assert strings.handled_by("picture", "", "dropped", "anna") == "dropped by anna"
    assert strings.handled_by("mask", "mask", "painted", "anna") == "mask painted by anna"
    assert strings.handled_by("mask", "sky", "painted", "anna") == "mask sky painted by anna"
    assert strings.handled_by("prompt", "", "dropped", "anna") == "text dropped by anna"
    assert set(get_args(Act)) - {"moved"} == strings.ACTS.keys()
    inner = {"picture", "review", "before", "unsigned", "ingredient"}
    assert set(get_args(JobInput.model_fields["role"].annotation)) - inner == strings.ROLES_OF_FILES.keys()
