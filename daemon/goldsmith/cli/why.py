"""``goldsmith why``: one plain sentence about a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.places import Config, Root, file_in, looking_at
from goldsmith.cli.screen import say


def why(
    file: Annotated[Path, typer.Argument(help="A picture, mask, brief or anything else in the folders.", metavar="FILE")],
    root: Root = None,
    config: Config = None,
) -> None:
    """Say in one plain sentence why a file waits, what is being done to it, or where it went.

    Example: goldsmith why inbox/spring/hero.png
    """
    with looking_at(root, config, near=file) as place:
        say(place.explain().why(file_in(place, file)))
