"""Messages for a step whose model cannot be chosen: the reason, the alternatives, and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from goldsmith.engines.kinds import CONTROL_NET, GENERATOR, INPAINTER, REFERENCE_ADAPTER, UPSCALER
from goldsmith.engines.protocols import EngineNeed
from goldsmith.engines.registry.models import Model, Models, ability_phrase
from goldsmith.errors import InputError

# Returns whether the weights of the model of that name or alias are on this machine.
IsAvailable = Callable[[str], bool]
# Maximum number of names in a sentence; the others are counted.
_MAX_NAMES = 6


def task_phrase(need: EngineNeed[Any]) -> str:
    """Return the need in words, as the end of "a model for …"."""
    if need.kind is UPSCALER:
        content = "" if need.is_drawing is None else " drawings" if need.is_drawing else " photographs"
        return f"{need.kind.task}{content} x{need.factor}"
    guided = _guide_phrase(need)
    if need.kind is INPAINTER and (need.needs_prompt or guided):
        return f"{need.kind.task} with {guided or 'a prompt'}"
    if need.kind is CONTROL_NET:
        return need.kind.task + (f" of {need.control}" if need.control else "") + (f" with {need.family}" if need.family else "")
    if need.kind is REFERENCE_ADAPTER:
        return need.kind.task + (f" for the family {need.family}" if need.family else "")
    if need.kind is GENERATOR and need.can:
        return f"{need.kind.task} that can {ability_phrase(sorted(need.can))}" + (f" with {guided}" if guided else "")
    return need.kind.task


def _guide_phrase(need: EngineNeed[Any]) -> str:
    """Return what the model has to follow besides words, such as "a control picture"; "" if nothing."""
    phrases = ["a control picture"] if need.controlled else []
    phrases += ["reference pictures with a strength"] if need.referenced else []
    return " and ".join(phrases)


def no_weights_sentence(need: EngineNeed[Any], alternatives: Sequence[str] = ()) -> str:
    """Return the sentence for a need of which no default has its weights here; ``alternatives``: suitable models that have."""
    if alternatives:
        return f"No default for {task_phrase(need)} has its weights on this machine; these models have: {', '.join(alternatives)}."
    if need.needs_prompt and not _guide_phrase(need):
        return "This step has a prompt, and no model that takes a prompt has its weights on this machine."
    return f"No model for {task_phrase(need)} has its weights on this machine."


def preferred_name(models: Models, names: Sequence[str]) -> str:
    """Return the name to fetch: of the models that allow the most, the alias of the first one with an alias, else the first name."""
    freest = min(_freedom_rank(models, name) for name in names)
    free = [name for name in names if _freedom_rank(models, name) == freest]
    return next((alias for name in free for alias in models.aliases_of(name)), free[0])


def _freedom_rank(models: Models, name: str) -> int:
    """Return 0 for a model that may be used for paid work, more for one with limits, and the most for one that may not."""
    return ("yes", "limited", "not said", "no").index(models.get(name).commercial)


def forbidden_problem(models: Models, need: EngineNeed[Any], model: Model, label: str, is_available: IsAvailable) -> InputError:
    """Return the problem for a named model that the rule about paid work forbids."""
    reason = {
        "limited": f"its licence ({model.licence}) allows paid work only within limits",
        "no": f"its licence ({model.licence}) does not allow paid work",
    }.get(model.commercial, f"its entry does not say whether its licence ({model.licence}) allows paid work")
    return InputError(
        f"The model {label} may not be used here: {reason}, and models.toml has only_commercial = true.",
        f"Models that may: {list_capable_models(models, need, is_available)}.",
    )


class NoDefaultModel(InputError):
    """No default in models.toml can serve a need."""


def no_default_problem(models: Models, need: EngineNeed[Any], is_available: IsAvailable) -> NoDefaultModel:
    """Return the problem for a need that no default in models.toml can serve."""
    sentence = f"models.toml has no default model for {task_phrase(need)}."
    if need.kind is UPSCALER:
        factors = ", ".join(sorted({*models.defaults.upscale, *models.defaults.upscale_drawings})) or "none"
        return NoDefaultModel(sentence, f"Name a model; the factors with a default are: {factors}.")
    others = list_capable_models(models, need, is_available)
    return NoDefaultModel(sentence, f"Name one: {others}." if others != "none" else "Add one to models.toml; docs/models.md explains how.")


def unsuitable_problem(models: Models, need: EngineNeed[Any], model: Model, label: str, is_available: IsAvailable) -> InputError:
    """Return the problem for a named model of another kind, without a prompt, or without a needed ability."""
    able = list_capable_models(models, need, is_available)
    if model.control is not None and need.kind is CONTROL_NET:
        reads = f"reads {', '.join(model.control.controls)} and guides models of the family {model.control.family}"
        return InputError(f"The model {label} {reads}; it is not for {task_phrase(need)}.", f"Models that are: {able}.")
    if model.reference is not None and need.kind is REFERENCE_ADAPTER:
        guides = f"guides models of the family {model.reference.family}"
        return InputError(f"The model {label} {guides}; it is not for {task_phrase(need)}.", f"Models that are: {able}.")
    if model.diffusion is None and model.kind == need.kind.name:
        return InputError(f"The model {label} takes no prompt.", f"Remove the prompt, or name a model that takes one: {able}.")
    if model.diffusion is None or need.kind is UPSCALER:
        return InputError(f"The model {label} is for {model.kind}, not for {need.kind.name}.", f"Models for {need.kind.name}: {able}.")
    guided = model.guided_abilities(need)
    unguided = (need.controlled | need.referenced) - guided
    if unguided and (not guided or unguided <= set(model.diffusion.can)):
        return _unguided_problem(need, model, label, able)
    missing = ability_phrase(sorted(need.can - set(model.diffusion.can)))
    if not missing and need.can_any:
        missing = " or ".join(ability_phrase([ability]) for ability in sorted(need.can_any, reverse=True))
    missing = missing or "fill a hole"
    return InputError(f"The model {label} can {ability_phrase(model.diffusion.can)}; it cannot {missing}.", f"Models that can: {able}.")


def _unguided_problem(need: EngineNeed[Any], model: Model, label: str, able: str) -> InputError:
    """Return the problem for a model that can do what the step asks, but not while it follows a control picture or references."""
    guided, what = model.guided_abilities(need), _guide_phrase(need)
    unguided = ability_phrase(sorted((need.controlled | need.referenced) - guided))
    rest = f"with that, it can {ability_phrase(sorted(guided))}" if guided else "models of its family have no way to do so"
    return InputError(f"The model {label} cannot follow {what} to {unguided}; {rest}.", f"Models that can: {able}.")


def list_capable_models(models: Models, need: EngineNeed[Any], is_available: IsAvailable) -> str:
    """Return names that can serve the need, for a sentence; null models only if there are no others.

    Models with weights on this machine come first, then those that may be used for paid work; aliases come before names.
    """
    names = sorted(
        models.names_serving(need),
        key=lambda name: (not is_available(name), _freedom_rank(models, name), name in models.models),
    )
    able = [name for name in names if models.get(name).driver != "null"] or names
    more = f" and {len(able) - _MAX_NAMES} more (goldsmith models list)" if len(able) > _MAX_NAMES + 1 else ""
    return (", ".join(able[:_MAX_NAMES] if more else able) or "none") + more
