"""Families of models: for each thing a family can do, the diffusers pipeline that does it and what its call is given.

One explicit table, because the names do not follow from each other and AutoPipeline knows only three tasks and not every family.
A family that the table lacks falls back on AutoPipeline. Argument names: diffusers 0.42, each pipeline's ``__call__``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from goldsmith.engines import Ability, Request
from goldsmith.engines.diffusion.material import Arguments, Material
from goldsmith.errors import Problem


@dataclass(frozen=True, slots=True)
class Way:
    """One thing a family can do.

    batch:     False where the pipeline makes one picture a call.
    eight_bit: it takes pictures as PIL only, and those of one call belong to each of its results.
    strong:    how far it may go from the picture where nobody says; None where it knows no strength.
    """

    pipeline: str
    arguments: Callable[[Material], Arguments]
    batch: bool = True
    eight_bit: bool = False
    strong: float | None = None


def _text(given: Material) -> Arguments:
    return given.size


def _image(given: Material) -> Arguments:
    return {"image": given.image(), "strength": given.strength, **given.size}


def _hole(given: Material) -> Arguments:
    return {"image": given.image(), "mask_image": given.mask(), "strength": given.strength, **given.size}


def _kontext(given: Material) -> Arguments:
    """At the size asked for, rather than the nearest of Kontext's own."""
    return {"image": given.image(), "max_area": given.width * given.height, "_auto_resize": False, **given.size}


def _kontext_text(given: Material) -> Arguments:
    return {"max_area": given.width * given.height, **given.size}


def _kontext_hole(given: Material) -> Arguments:
    return {**_kontext(given), "mask_image": given.mask(), "strength": given.strength}


def _shown(given: Material) -> Arguments:
    return {"image": given.shown(), **given.size}


def _shown_first(given: Material) -> Arguments:
    return {"image": given.shown()[0], **given.size}


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    ways:     what it can do; the first one's pipeline is the one that is loaded.
    guidance: the name of its call's argument for guidance.
    negative: what stands for "no words to keep away from"; None where it takes no such words at all.
    """

    ways: Mapping[Ability, Way]
    guidance: str = "guidance_scale"
    negative: str | None = None
    auto: bool = False


def _three(stem: str) -> dict[Ability, Way]:
    """Text, image and inpaint under the names that most families have."""
    return {
        "text": Way(f"{stem}Pipeline", _text),
        "image": Way(f"{stem}Img2ImgPipeline", _image, strong=0.6),
        "inpaint": Way(f"{stem}InpaintPipeline", _hole, strong=1.0),
    }


FAMILIES: Mapping[str, Family] = {
    "sdxl": Family(_three("StableDiffusionXL"), negative=""),
    # below 1, as its makers ask: at 1 it begins from noise alone, which it was not trained to do
    "sdxl-inpaint": Family({"inpaint": Way("StableDiffusionXLInpaintPipeline", _hole, strong=0.99)}, negative=""),
    "sd3": Family(_three("StableDiffusion3"), negative=""),
    "flux": Family(_three("Flux")),
    "flux-fill": Family({"inpaint": Way("FluxFillPipeline", _hole, strong=1.0)}),
    "flux-kontext": Family(
        {
            "edit": Way("FluxKontextPipeline", _kontext),
            "text": Way("FluxKontextPipeline", _kontext_text),
            "inpaint": Way("FluxKontextInpaintPipeline", _kontext_hole, strong=1.0),
        }
    ),
    "flux2-klein": Family(
        {
            "text": Way("Flux2KleinPipeline", _text),
            # it has no image to image: filling a hole that is the whole picture is that
            "image": Way("Flux2KleinInpaintPipeline", _hole, strong=0.6),
            "inpaint": Way("Flux2KleinInpaintPipeline", _hole, strong=1.0),
            "edit": Way("Flux2KleinPipeline", _shown, eight_bit=True),
            "references": Way("Flux2KleinPipeline", _shown, eight_bit=True),
        }
    ),
    "qwen-image": Family(_three("QwenImage"), guidance="true_cfg_scale", negative=" "),
    "qwen-image-edit": Family(
        {
            "edit": Way("QwenImageEditPipeline", _shown_first, batch=False, eight_bit=True),
            "inpaint": Way("QwenImageEditPipeline", _shown_first, batch=False, eight_bit=True),
        },
        guidance="true_cfg_scale",
        negative=" ",
    ),
    "qwen-image-edit-plus": Family(
        {
            "edit": Way("QwenImageEditPlusPipeline", _shown, batch=False, eight_bit=True),
            "inpaint": Way("QwenImageEditPlusPipeline", _shown, batch=False, eight_bit=True),
            "references": Way("QwenImageEditPlusPipeline", _shown, batch=False, eight_bit=True),
        },
        guidance="true_cfg_scale",
        negative=" ",
    ),
    "z-image": Family(_three("ZImage"), negative=""),
    "krea2": Family({"text": Way("Krea2Pipeline", _text)}, negative=""),
}

AUTO = Family(
    {
        "text": Way("AutoPipelineForText2Image", _text),
        "image": Way("AutoPipelineForImage2Image", _image, strong=0.6),
        "inpaint": Way("AutoPipelineForInpainting", _hole, strong=1.0),
    },
    negative="",
    auto=True,
)
"""For families that the table lacks: diffusers finds the class by the folder's own."""


def family_of(name: str) -> Family:
    return FAMILIES.get(name, AUTO)


def abilities(name: str, place: str, claimed: tuple[Ability, ...]) -> tuple[Ability, ...]:
    """What the entry says its model can do. Raises Problem where its family has no way to do that."""
    ways = family_of(name).ways
    beyond = [ability for ability in claimed if ability not in ways]
    if beyond:
        raise Problem(f"{place}.diffusion.can: a model of the family {name!r} cannot {beyond[0]!r}.", f"It can: {', '.join(ways)}.")
    return claimed


_ASKED: Mapping[Ability, str] = {
    "text": "make a picture from words alone",
    "image": "start from a picture",
    "inpaint": "fill a hole",
    "edit": "edit by instruction",
    "references": "look at reference pictures",
}


def ability_for(name: str, can: tuple[Ability, ...], request: Request) -> Ability:
    """What the request asks of the model: a hole is filled, references are looked at, a picture is started from, or words alone.

    A picture with no strength is an instruction to a model that edits; with one, or to a model that only starts from pictures, it
    is a beginning. A hole is left to image to image or to editing where the model has nothing better: the caller composites.
    Raises Problem where the model can do none of that.
    """
    wanted: tuple[Ability, ...]
    if request.hole is not None:
        if request.references:
            raise Problem(f"The model {name!r} cannot look at reference pictures while it fills a hole.", "Leave them out.")
        wanted = ("inpaint", "image", "edit")
    elif request.references:
        wanted = ("references",)
    elif request.picture is not None:
        wanted = ("edit", "image") if request.wish.strength is None else ("image", "edit")
    else:
        wanted = ("text",)
    for ability in wanted:
        if ability in can:
            return ability
    does = ", ".join(_ASKED[ability] for ability in can)
    raise Problem(f"The model {name!r} cannot {_ASKED[wanted[0]]}; it can {does}.", "Name another model: goldsmith models list.")
