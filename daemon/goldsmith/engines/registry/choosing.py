"""Why a step cannot have the model it asks for, in words: what the model can do, which ones could, what to fetch or to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from goldsmith.engines import EngineKind, EngineNeed
from goldsmith.engines.registry.models import Model, Models, does
from goldsmith.errors import Problem

_SEEING: Mapping[EngineKind, str] = {
    "matte": "finding the subject",
    "faces": "finding faces",
    "mesh": "meshing faces",
    "hands": "finding hands",
    "reader": "reading text",
    "identity": "telling faces apart",
    "swap": "swapping faces",
}
_MOST = 6
"""So many names stand in a sentence; the rest are counted."""


def task(need: EngineNeed) -> str:
    """What is asked, as the end of "a model for …"."""
    if need.kind == "upscale":
        return f"enlarging x{need.factor}"
    if need.kind == "inpaint":
        return "inpainting with words" if need.words else "inpainting"
    if need.kind in _SEEING:
        return _SEEING[need.kind]
    return "generating pictures" + (f" that can {does(sorted(need.can))}" if need.can else "")


def nothing_here(need: EngineNeed, others: Sequence[str] = ()) -> str:
    """The sentence where none of the defaults has its weights on this machine; ``others`` could do it and are here."""
    if others:
        return f"No default for {task(need)} has its weights on this machine; it may name one that has: {', '.join(others)}."
    if need.words:
        return "This asks for words of its own, and no model that takes words is on this machine."
    return f"No model for {task(need)} has its weights on this machine."


def handiest(models: Models, names: Sequence[str]) -> str:
    """What to fetch: the first of these models that the house has a name of its own for, by that name; else the first of them."""
    return next((alias for name in names for alias in models.called(name)), names[0])


def no_default(models: Models, need: EngineNeed) -> Problem:
    """models.toml has no default that could do it, whatever lies here."""
    sentence = f"models.toml has no default model for {task(need)}."
    if need.kind == "upscale":
        factors = ", ".join(sorted(models.defaults.upscale)) or "none"
        return Problem(sentence, f"Name a model; the factors with a default are: {factors}.")
    others = those_able(models, need)
    return Problem(sentence, f"Name one: {others}." if others != "none" else "Add one to models.toml; docs/models.md tells how.")


def unable(models: Models, need: EngineNeed, model: Model, called: str) -> Problem:
    """The named model is of another kind, takes no words, or cannot do all that is asked."""
    able = those_able(models, need)
    if model.diffusion is None and model.kind == need.kind:
        return Problem(f"The model {called} takes no words.", f"Leave the prompt out, or name one that takes words: {able}.")
    if model.diffusion is None or need.kind == "upscale":
        return Problem(f"The model {called} is for {model.kind}, not for {need.kind}.", f"For {need.kind} there are: {able}.")
    lacks = does(sorted(need.can - set(model.diffusion.can))) or "fill a hole"
    return Problem(f"The model {called} can {does(model.diffusion.can)}; it cannot {lacks}.", f"Those that can: {able}.")


def those_able(models: Models, need: EngineNeed) -> str:
    """The names that can serve the need, the house's own first, as many as a sentence bears; null models only where there is no other."""
    every = sorted(models.serving(need), key=lambda name: name in models.models)
    able = [name for name in every if models.named(name).driver != "null"] or every
    more = f" and {len(able) - _MOST} more (goldsmith models list)" if len(able) > _MOST + 1 else ""
    return (", ".join(able[:_MOST] if more else able) or "none") + more
