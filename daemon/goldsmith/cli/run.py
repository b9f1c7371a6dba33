"""``goldsmith run``: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root

if TYPE_CHECKING:
    from goldsmith.service import Setup


def run(
    root: RootOption = None,
    config: ConfigOption = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End as soon as nothing is left that could be done.")] = False,
) -> None:
    """Watch the folders and work, until stopped (Ctrl-C or SIGTERM: what runs may finish).

    Example: goldsmith run --root ~/hotfolders
    """
    from goldsmith.cli.output import configure_logging
    from goldsmith.service import Service, load_setup

    place = find_root(root, config)

    def read_setup() -> Setup:
        setup = load_setup(place, config)
        configure_logging(setup.settings)
        return setup

    Service(read_setup).run(until_idle=until_idle)
