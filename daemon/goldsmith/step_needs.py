"""What a step needs before it can start, and what lies beside its brief: known from texts and names, before a picture is opened.

It is the part of the contract of an operation (``goldsmith.operation``) that needs no pixels. A program that only looks at the folders
reads it without numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from goldsmith.engines.protocols import EngineNeed
from goldsmith.picture.formats.table import layer_suffixes

# The folders of the library that are searched for a layer, in this order.
LAYER_FOLDERS = ("plates", "logos")
# The suffixes of a layer's file; the first that exists is used.
LAYER_SUFFIXES = layer_suffixes()

# The longest prompt, and the longest text of a brief. Models read a few hundred words at most.
MAX_PROMPT_CHARS = 4000
# A word for other programs in the text of a prompt: an addition to the model.
_MODEL_TAG = re.compile(r"<(lora|lyco|hypernet):([^:<>]{1,200})(?::([^<>]{0,50}))?>", re.IGNORECASE)


def check_prompt(prompt: str) -> str:
    """Return the prompt. Raises ValueError if it has words that another program obeys, with what to write instead."""
    tag = _MODEL_TAG.search(prompt)
    if tag is not None:
        weight = f", weight = {tag[3]}" if re.fullmatch(r"-?\d{1,3}(\.\d{1,4})?", tag[3] or "") else ""
        remedy = (
            f'write loras = [{{ name = "{tag[2]}"{weight} }}] into the step'
            if tag[1].lower() != "hypernet"
            else "there is no hypernet here"
        )
        raise ValueError(f"{tag[0]} has no meaning in a prompt: take it out, and {remedy}")
    return prompt


# What a picture shows, or does not show, in words for a generating model.
PromptText = Annotated[str, Field(max_length=MAX_PROMPT_CHARS), AfterValidator(check_prompt)]


@dataclass(frozen=True, slots=True)
class StepNeeds:
    """What a step needs before it can start, known from its settings alone: no file is opened for it."""

    # Names of the masks that it consumes; ``mask`` is the unnamed one.
    masks: frozenset[str] = frozenset()
    # (folder, name, suffixes) as for ``LibraryFacet.file``, e.g. ("looks", "warm-amber", (".cube", ".cdl")).
    library_files: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    # The engines that it uses; the engine that its ``model`` names comes first.
    engines: tuple[EngineNeed[Any], ...] = ()
    # False if it can start without a picture, from the brief's prompt.
    needs_picture: bool = True
    # True if it has no prompt of its own: without a picture it needs the brief's prompt.
    needs_prompt: bool = False
    # Names of pictures that it lays over this one, as for ``LibraryFacet.layer``.
    layers: frozenset[str] = frozenset()
    # Names of faces in the library that need a person's consent, as for ``LibraryFacet.portrait``.
    consents: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StepInputs:
    """What lies beside the brief of a step: known from the names of the files, before any of them is opened."""

    has_picture: bool = True
    has_references: bool = False
    # The names of the control pictures: ``depth`` for ``hero.control.depth.png``, "" for ``hero.control.png``.
    controls: frozenset[str] = frozenset()
