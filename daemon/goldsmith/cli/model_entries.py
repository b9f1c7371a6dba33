"""The faults and remarks of entries in ``models.toml`` that only the drivers, the model families and the disk can tell."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from goldsmith.engines.diffusion.control import CONTROLLED_FAMILIES
from goldsmith.engines.diffusion.families import FAMILIES, check_abilities
from goldsmith.engines.engine_loader import driver_names
from goldsmith.engines.registry.family_additions import REFERENCED
from goldsmith.engines.registry.models import Model
from goldsmith.errors import InputError

# The driver of the families in ``FAMILIES``.
_DIFFUSERS = "diffusers"


def model_faults(name: str, model: Model) -> Iterator[str]:
    """Yield every fault of an entry: an unknown driver, an ability that its family lacks, a folder or file that does not exist."""
    place, drivers = f"models.{name}", driver_names()
    if model.driver not in drivers:
        yield f"{place}.driver: there is no driver {model.driver!r}{_nearest(model.driver, drivers)}; the drivers are: {', '.join(drivers)}"
    if model.diffusion is not None and model.driver == _DIFFUSERS:
        family = model.diffusion.family
        if family not in FAMILIES and _nearest(family, FAMILIES):
            yield f"{place}.diffusion.family: there is no family {family!r}{_nearest(family, FAMILIES)}; they are: {', '.join(FAMILIES)}"
        else:
            try:
                check_abilities(family, place, model.diffusion.can)
            except InputError as problem:
                yield str(problem).rstrip(".")
    if model.control is not None and model.control.family not in CONTROLLED_FAMILIES:
        known = ", ".join(CONTROLLED_FAMILIES)
        yield f"{place}.control.family: models of the family {model.control.family!r} follow no control pictures; these do: {known}"
    if model.reference is not None and model.reference.family in {*FAMILIES} - {*REFERENCED}:
        known = ", ".join(REFERENCED)
        yield f"{place}.reference.family: models of the family {model.reference.family!r} have no adapters; these have: {known}"
    if model.folder is not None and not model.folder.is_dir():
        yield f"{place}.folder: {model.folder} is no folder on this machine, or this user may not enter it"
    if model.file is not None and not model.file.is_file():
        yield f"{place}.file: {model.file} is no file on this machine, or this user may not read it"


def model_remarks(name: str, model: Model) -> Iterator[str]:
    """Yield remarks about a valid entry: a family that no row of the table has, and a licence about which it says nothing."""
    if model.diffusion is not None and model.driver == _DIFFUSERS and model.diffusion.family not in FAMILIES:
        yield (
            f"models.{name}: the family {model.diffusion.family!r} is not known, so diffusers chooses its pipelines for text, image and "
            f"inpaint; the known families are: {', '.join(FAMILIES)}."
        )
    if model.commercial == "not said":
        yield f'models.{name}: it does not say whether {model.licence} allows paid work: add commercial = "yes", "limited" or "no".'


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence with the nearest known word; "" if none is near."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""
