"""The sentence and the remedy for a commit that its own names, folders or permissions prevent."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

from goldsmith.files import display_name
from goldsmith.journal.records import Plan
from goldsmith.pipeline.commit.naming import MAX_NAME_BYTES
from goldsmith.root_folder import RootFolder

_DENIED = (errno.EACCES, errno.EPERM)


def explain_refusal(root: RootFolder, plan: Plan, cause: OSError) -> tuple[str, str]:
    """Return what prevents the commit, as a sentence that names the folder or file, and what to do about it."""
    start = f"{display_name(plan.history_row.path)} cannot be moved on: "
    for folder in _folders(plan):
        kind = _kind_of(root, folder)
        if kind:
            return f"{start}{display_name(folder)} is {kind}, and a folder of that name is needed.", _rename_remedy(folder)
    if cause.errno in _DENIED:
        denied = next((folder for folder in _folders(plan) if root.exists(folder) and not root.can_write(folder)), "")
        where = f"write to {display_name(denied)}/" if denied else "move its files"
        return f"{start}Goldsmith may not {where}.", "Let Goldsmith's user write there (chmod g+w, and the right group)."
    longest = max((os.path.basename(path) for path in plan.destinations), key=lambda name: len(os.fsencode(name)))
    if cause.errno == errno.ENAMETOOLONG:
        size = len(os.fsencode(longest))
        sentence = f"the name {display_name(longest)} has {size} bytes; that disk takes at most {MAX_NAME_BYTES}, or fewer."
        return start + sentence, "Give the picture a shorter name."
    if cause.errno in (errno.EILSEQ, errno.EINVAL) and cause.strerror == os.strerror(cause.errno):
        sentence = f"that disk does not take a name such as {display_name(longest)}."
        return start + sentence, "Give the picture and its campaign plain names: letters, digits, - and _."
    return f"{start}{error_text(cause)}.", "Check the names and permissions of its folder and of the folder that it goes to."


def error_text(error: OSError) -> str:
    """Return the system's own words for an error."""
    return f"{error.strerror or error}" + (f" ({error.errno})" if error.strerror is None else "")


def _folders(plan: Plan) -> Iterator[str]:
    """Yield each folder of the plan's destinations and inputs, with those above it, the outermost first."""
    paths = [*plan.destinations, *(move.path for move in plan.consumes)]
    folders: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        folders.update({"/".join(parts[: depth + 1]): None for depth in range(len(parts))})
    yield from folders


def _kind_of(root: RootFolder, folder: str) -> str:
    """Return what lies in the place of a folder: "a file" or "a link"; "" for a folder or nothing."""
    try:
        mode = root.lstat(folder).st_mode
    except OSError:
        return ""
    return "" if stat.S_ISDIR(mode) else "a link" if stat.S_ISLNK(mode) else "a file"


def _rename_remedy(folder: str) -> str:
    return f"Move or rename {display_name(folder)}; Goldsmith makes the folder itself."
