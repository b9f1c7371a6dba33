"""The command ``goldsmith why``: one plain sentence about a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, open_location, resolve_file
from goldsmith.cli.output import print_sentence


def why(
    file: Annotated[Path, typer.Argument(help="A picture, mask, brief or anything else in the folders.", metavar="FILE")],
    root: RootOption = None,
    config: ConfigOption = None,
) -> None:
    """Say in one plain sentence why a file waits, which step works on it, or where it went.

    Example: goldsmith why inbox/spring/hero.png
    """
    from goldsmith.service.location import read_with_journal

    with open_location(root, config, near=file) as opened:
        location, sentence = read_with_journal(opened, lambda location: location.explain().explain_file(resolve_file(location, file)))
        print_sentence(sentence)
        if location.journal_problem:
            print_sentence(f"This is what the folders alone say, without the journal. {location.journal_problem}")
