"""The masks that a person can paint while a picture waits in review/."""

from __future__ import annotations

import posixpath

from goldsmith.pipeline.intake.bundle import Bundle
from goldsmith.pipeline.intake.file_names import FileRole, classify
from goldsmith.pipeline.scheduler.review_decisions import is_original_picture


def names_of_waiting_masks(bundle: Bundle) -> tuple[str, list[str]]:
    """Return the picture for which masks can be painted while a bundle waits in review/, and the names of the masks; "" for none.

    Masks that wait themselves are those of the picture. Those of a result are painted for the next try, over the copy of its original.
    """
    if bundle.masks:
        return bundle.picture or "", sorted(bundle.masks)
    original = next(filter(is_original_picture, bundle.reviews), "")
    copies = map(copied_role, bundle.reviews)
    return original, sorted({label for role, label in copies if role == "mask"})


def copied_role(path: str) -> tuple[FileRole, str]:
    """Return the role and the name of the mask that a file beside a result is the copy of."""
    parsed = classify(f"copy{classify(posixpath.basename(path)).label}")
    return parsed.role, parsed.label
