"""``goldsmith run``: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.places import Config, Root, root_of

if TYPE_CHECKING:
    from goldsmith.service import Setup


def run(
    root: Root = None,
    config: Config = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End as soon as nothing is left that could be done.")] = False,
) -> None:
    """Watch the folders and work, until stopped (Ctrl-C or SIGTERM: what runs may finish).

    Example: goldsmith run --root ~/hotfolders
    """
    from goldsmith.cli.screen import log_to_stderr
    from goldsmith.service import Service, set_up

    place = root_of(root, config)

    def read_setup() -> Setup:
        setup = set_up(place, config)
        log_to_stderr(setup.house)
        return setup

    Service(read_setup).run(until_idle=until_idle)
