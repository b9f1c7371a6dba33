"""Change numbers of one entry in the text of a ``models.toml``; comments and everything else stay as they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from copy import deepcopy

from goldsmith.errors import UsageError

# A line that begins a table; the name may have quotes and spaces.
_TABLE = re.compile(r"^\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")


def change_diffusion_numbers(text: str, name: str, numbers: Mapping[str, int]) -> str:
    """Return the text with these settings of ``[models.NAME.diffusion]`` changed, or added at the end of the table.

    Raises UsageError if the entry is not written as a table of its own, or if anything else would change.
    """
    lines = text.splitlines(keepends=True)
    start, end = _table_range(lines, name)
    for setting, value in numbers.items():
        pattern = re.compile(rf"^(\s*{re.escape(setting)}\s*=\s*)[0-9_.eE+]+")
        for index in range(start, end):
            if pattern.match(lines[index]):
                lines[index] = pattern.sub(rf"\g<1>{value}", lines[index], count=1)
                break
        else:
            last = max((index for index in range(start, end) if lines[index].split("#")[0].strip()), default=start - 1)
            if not lines[last].endswith("\n"):
                lines[last] += "\n"
            lines.insert(last + 1, f"{setting} = {value}\n")
            end += 1
    changed = "".join(lines)
    _check_rest(text, changed, name, numbers)
    return changed


def _table_range(lines: list[str], name: str) -> tuple[int, int]:
    """Return the lines of ``[models.NAME.diffusion]`` after its heading, as a range."""
    headings = {f"models.{name}.diffusion", f'models."{name}".diffusion', f"models.'{name}'.diffusion"}
    start = next((index + 1 for index, line in enumerate(lines) if (heading := _TABLE.match(line)) and heading.group(1) in headings), None)
    if start is None:
        raise UsageError(f"models.toml has no table [models.{name}.diffusion], so nothing was written.")
    end = next((index for index in range(start, len(lines)) if lines[index].lstrip().startswith("[")), len(lines))
    return start, end


def _check_rest(before: str, after: str, name: str, numbers: Mapping[str, int]) -> None:
    """Raise UsageError unless exactly these numbers differ: a text may only look like a setting."""
    expected = deepcopy(tomllib.loads(before))
    expected["models"][name]["diffusion"] |= numbers
    try:
        is_right = tomllib.loads(after) == expected
    except tomllib.TOMLDecodeError:
        is_right = False
    if not is_right:
        raise UsageError(f"models.toml: [models.{name}.diffusion] is written in an unusual way, so nothing was written.")
