"""Why a step cannot have the model it asks for, in words: what the model can do, which ones could, what to fetch or to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldsmith.engines import EngineNeed
from goldsmith.engines.kinds import GENERATOR, INPAINTER, UPSCALER
from goldsmith.engines.registry.models import Model, Models, ability_phrase
from goldsmith.errors import InputError

# So many names stand in a sentence; the rest are counted.
_MAX_NAMES = 6


def task_phrase(need: EngineNeed[Any]) -> str:
    """What is asked, as the end of "a model for …"."""
    if need.kind is UPSCALER:
        return f"{need.kind.task} x{need.factor}"
    if need.kind is INPAINTER and need.needs_prompt:
        return f"{need.kind.task} with words"
    if need.kind is GENERATOR and need.can:
        return f"{need.kind.task} that can {ability_phrase(sorted(need.can))}"
    return need.kind.task


def no_weights_sentence(need: EngineNeed[Any], alternatives: Sequence[str] = ()) -> str:
    """The sentence where none of the defaults has its weights on this machine; ``others`` could do it and are here."""
    if alternatives:
        return f"No default for {task_phrase(need)} has its weights on this machine; it may name one that has: {', '.join(alternatives)}."
    if need.needs_prompt:
        return "This asks for words of its own, and no model that takes words is on this machine."
    return f"No model for {task_phrase(need)} has its weights on this machine."


def preferred_name(models: Models, names: Sequence[str]) -> str:
    """What to fetch: the first of these models that the house has a name of its own for, by that name; else the first of them."""
    return next((alias for name in names for alias in models.aliases_of(name)), names[0])


def no_default_problem(models: Models, need: EngineNeed[Any]) -> InputError:
    """models.toml has no default that could do it, whatever lies here."""
    sentence = f"models.toml has no default model for {task_phrase(need)}."
    if need.kind is UPSCALER:
        factors = ", ".join(sorted(models.defaults.upscale)) or "none"
        return InputError(sentence, f"Name a model; the factors with a default are: {factors}.")
    others = list_capable_models(models, need)
    return InputError(sentence, f"Name one: {others}." if others != "none" else "Add one to models.toml; docs/models.md tells how.")


def unsuitable_problem(models: Models, need: EngineNeed[Any], model: Model, label: str) -> InputError:
    """The named model is of another kind, takes no words, or cannot do all that is asked."""
    able = list_capable_models(models, need)
    if model.diffusion is None and model.kind == need.kind.name:
        return InputError(f"The model {label} takes no words.", f"Leave the prompt out, or name one that takes words: {able}.")
    if model.diffusion is None or need.kind is UPSCALER:
        return InputError(f"The model {label} is for {model.kind}, not for {need.kind.name}.", f"For {need.kind.name} there are: {able}.")
    lacks = ability_phrase(sorted(need.can - set(model.diffusion.can))) or "fill a hole"
    return InputError(f"The model {label} can {ability_phrase(model.diffusion.can)}; it cannot {lacks}.", f"Those that can: {able}.")


def list_capable_models(models: Models, need: EngineNeed[Any]) -> str:
    """The names that can serve the need, the house's own first, as many as a sentence bears; null models only where there is no other."""
    every = sorted(models.names_serving(need), key=lambda name: name in models.models)
    able = [name for name in every if models.get(name).driver != "null"] or every
    more = f" and {len(able) - _MAX_NAMES} more (goldsmith models list)" if len(able) > _MAX_NAMES + 1 else ""
    return (", ".join(able[:_MAX_NAMES] if more else able) or "none") + more
