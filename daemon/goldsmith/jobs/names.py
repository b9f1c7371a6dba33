"""The names of the folders and files in which jobs leave what they make."""

from __future__ import annotations

# The service's own folder in the root. Nobody else may enter it.
PRIVATE_FOLDER = ".goldsmith"
# The folder of all scratch folders, on the root's own filesystem. A worker process has one that holds those of its jobs; the daemon writes
# its own files of a job into another, named after the job, which no worker may write.
SCRATCH_FOLDER = f"{PRIVATE_FOLDER}/work"
# The folder of finished parts of steps that are not done yet. The daemon moves them there, and every worker process may read them.
KEPT_FOLDER = f"{PRIVATE_FOLDER}/kept"
# The end of the name of the sheet that shows a result to the person who decides about it.
REVIEW_SHEET_TAIL = ".review.jpg"
# That of the sheet with all pictures among which a person picks.
CANDIDATES_SHEET_TAIL = ".candidates.jpg"


def mask_tail(name: str) -> str:
    """Return the end of the name of the file of a mask: ``.mask.png``, or ``.mask.sky.png``."""
    return ".mask.png" if name == "mask" else f".mask.{name}.png"
