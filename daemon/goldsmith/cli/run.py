"""The command ``goldsmith run``: the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root

if TYPE_CHECKING:
    from goldsmith.service.setup import Setup


def run(
    root: RootOption = None,
    config: ConfigOption = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Exit as soon as no job is running or ready.")] = False,
) -> None:
    """Watch the folders and process pictures until Ctrl-C or SIGTERM; running jobs may finish.

    Example: goldsmith run --root ~/hotfolders
    """
    from goldsmith.cli.output import configure_logging
    from goldsmith.service.service import Service
    from goldsmith.service.setup import load_setup

    root_folder = find_root(root, config)

    def read_setup() -> Setup:
        setup = load_setup(root_folder, config)
        configure_logging(setup.settings)
        return setup

    Service(read_setup).run(until_idle=until_idle)
