"""The command ``goldsmith brief``: writes the brief that makes a picture again, from what its generator has left in the file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root
from goldsmith.cli.output import print_text, sanitise
from goldsmith.errors import HostError, InputError, UsageError
from goldsmith.files import open_input

if TYPE_CHECKING:
    from goldsmith.picture.metadata.generation_settings import GenerationSettings
    from goldsmith.service.setup import Setup

# The largest picture whose metadata are read, and the pixels that it may have.
_MAX_BYTES, _MAX_PIXELS = 2**30, 2**31
# What is added to the picture's name. A brief with the picture's own name would start from the picture, and not from the words.
_NAME_ADDED = "_again"
_MIN_SIDE = 16
_CHOICES = re.compile(r"\{[^{}]*\|[^{}]*\}|__[^\W_].*?__")


def brief(
    file: Annotated[Path, typer.Argument(help="A picture of A1111, ComfyUI, InvokeAI, Fooocus or SwarmUI.", metavar="PICTURE")],
    root: RootOption = None,
    config: ConfigOption = None,
    is_written: Annotated[bool, typer.Option("--write", help=f"Write it beside the picture, as NAME{_NAME_ADDED}.toml.")] = False,
) -> None:
    """Print the brief that makes a picture again, from the settings that its generator has left in the file.

    A brief without a picture is made from its words, so put it into the first folder. Comments say what cannot be repeated here.

    Example: goldsmith brief ~/Downloads/ComfyUI_00042_.png > inbox/chair.toml
    """
    from goldsmith.picture.codec import read_metadata
    from goldsmith.picture.metadata.generation_settings import read_generation_settings

    settings = read_generation_settings(read_metadata(_read_picture(file), sanitise(file.name), _MAX_PIXELS))
    if settings is None:
        raise InputError(
            f"{sanitise(file.name)} does not say how it was made.",
            "A1111, ComfyUI, InvokeAI, Fooocus and SwarmUI write it into their files; an editor or a messenger may have removed it.",
        )
    text = brief_text(settings, sanitise(file.name), _find_setup(root, config, file))
    if not is_written:
        print_text(text.rstrip("\n"))
        return
    target = file.with_name(f"{file.stem}{_NAME_ADDED}.toml")
    try:
        with open(target, "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise UsageError(f"{target} is there already.", "Move it away, or leave out --write to print the brief.") from None
    except OSError as error:
        raise HostError(f"{target} cannot be written: {error.strerror}.", "Run this as a user who may write there.") from error
    print_text(f"{target} is written. Put it into the first folder of a root to make the picture again.")


def _read_picture(file: Path) -> bytes:
    try:
        with os.fdopen(open_input(file), "rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", "Name a picture that you may read.") from None
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{file} has more than {_MAX_BYTES >> 30} GiB.", "Name a smaller picture.")
    return data


def _find_setup(root: Path | None, config: Path | None, file: Path) -> Setup | None:
    """Return the setup whose models and library the brief may name; None if no root is named and none is near."""
    from goldsmith.service.setup import load_setup

    try:
        return load_setup(find_root(root, config, near=file), config)
    except UsageError:
        if root is not None or config is not None:
            raise
        return None


def brief_text(settings: GenerationSettings, name: str, setup: Setup | None) -> str:
    """Return the brief, with comments on what is not in it. ``name`` is the picture's."""
    import tomli_w

    step, comments = _step_settings(settings, setup)
    lines = [f"# How {settings.tool} made {name}.", *(f"# {comment}" for comment in comments)]
    head = {"prompt": settings.prompt} if settings.prompt else {}
    table = {"op": "regenerate", **step}
    return "\n".join([*lines, tomli_w.dumps(head), "[[generate]]", tomli_w.dumps(table)])


def _step_settings(settings: GenerationSettings, setup: Setup | None) -> tuple[dict[str, Any], list[str]]:
    """Return the settings of the step, and a sentence about each thing that cannot be repeated."""
    values: dict[str, Any] = {"negative": settings.negative, "steps": settings.steps, "guidance": settings.guidance}
    comments = list(_general_comments(settings))
    model = _find_model(settings.model, setup)
    if model:
        values["model"] = model
    elif settings.model:
        place = "config/models.toml has no such model" if setup is not None else "no root is known here"
        comments.append(f"Its model is “{sanitise(settings.model)}”; {place}, so the step takes the default.")
    if settings.seed is not None:
        values["seeds"] = [settings.seed]
    if settings.size is not None and min(settings.size) >= _MIN_SIDE:
        values["size"] = list(settings.size)
    loras = []
    for name, weight in settings.loras:
        if _has_lora(name, setup):
            loras.append({"name": name, "weight": weight})
        else:
            comments.append(f"It used the LoRA “{sanitise(name)}” with the weight {weight:g}, which is not in library/loras/.")
    if loras:
        values["loras"] = loras
    return {name: value for name, value in values.items() if value not in (None, "")}, comments


def _general_comments(settings: GenerationSettings) -> Iterator[str]:
    if settings.is_from_picture:
        yield f"It was made from another picture, with strength = {settings.strength:g}: put that beside this brief, and set strength."
    if _CHOICES.search(settings.prompt):
        yield "Here, {red|blue} and __name__ in a prompt stand for choices: write other words if the picture shows these signs."
    if settings.seed is None:
        yield "The file does not say its seed, so the picture will be another one."
    if settings.sampler:
        yield f"Its sampler is “{sanitise(settings.sampler)}”; here, the model's entry in config/models.toml decides."
    yield "Another program draws other pixels from the same seed: expect a sibling of the picture, not a copy."


def _find_model(name: str, setup: Setup | None) -> str:
    """Return the model of models.toml that has this name, file or repository; "" if there is none."""
    from goldsmith.engines.kinds import GENERATOR

    folded = _folded(name)
    if setup is None or not folded:
        return ""
    for model_name, model in setup.weights.models.models.items():
        if model.kind != GENERATOR.name:
            continue
        places = [place.name for place in (model.file, model.folder) if place is not None]
        hub = [model.repository.hub.rpartition("/")[2]] if model.repository is not None else []
        if folded in {_folded(each) for each in (model_name, *places, *hub)}:
            return model_name
    return ""


def _folded(name: str) -> str:
    """Return the letters and digits of a model's name: its folders, its suffix and punctuation do not matter."""
    from goldsmith.picture.metadata.generation_settings import bare_model_name

    return "".join(character for character in bare_model_name(name).casefold() if character.isalnum())


def _has_lora(name: str, setup: Setup | None) -> bool:
    from goldsmith.operation import LORA_SUFFIXES

    return setup is not None and setup.library.find("loras", name, LORA_SUFFIXES) is not None
