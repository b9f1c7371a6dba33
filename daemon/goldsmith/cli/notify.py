"""The command ``goldsmith notify``: tells people on their phones and in their chats what waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root
from goldsmith.cli.output import print_records
from goldsmith.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldsmith.pipeline.notices.channels import Channel


def notify(
    root: RootOption = None,
    config: ConfigOption = None,
    test: Annotated[bool, typer.Option("--test", help="Send a test message on each channel and exit.")] = False,
) -> None:
    """Tell people what waits for their eye, problems, campaigns that are done, and when the machine stops; until Ctrl-C or SIGTERM.

    The channels are the tables [[notify]] of goldsmith.toml. It changes nothing in the folders, and the service does not depend on it.

    Example: goldsmith notify --test
    """
    from goldsmith.cli.output import configure_logging
    from goldsmith.pipeline.notices.channels import read_channels
    from goldsmith.service.notify_service import NotifyService
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config), config)
    if not setup.settings.notify:
        raise UsageError("goldsmith.toml has no table [[notify]], so there is nobody to tell.", "Add one: docs/notices.md shows how.")
    channels = read_channels(setup.settings.notify)
    if test:
        _send_trial(channels)
        return
    configure_logging(setup.settings)
    NotifyService(setup, channels).run()


def _send_trial(channels: Sequence[Channel]) -> None:
    """Send a test message on each channel and print what became of it. Raises HostError if one was not taken."""
    from goldsmith.pipeline.notices.message import trial_message
    from goldsmith.pipeline.notices.sender_launcher import SenderLauncher

    sender = SenderLauncher()
    failures = [sender.send("", channel.url, trial_message(), ()) for channel in channels]
    rows = [
        ("fault" if failure else "ok", channel.title, failure or "The test message was taken.", ", ".join(channel.kinds), _scope(channel))
        for channel, failure in zip(channels, failures, strict=True)
    ]
    print_records(("", "channel", "result", "tells of", "campaigns"), rows, headline=("", "channel"))
    failed = sum(map(bool, failures))
    if failed:
        raise HostError(
            f"{failed} of {len(channels)} channel{'s' * (len(channels) > 1)} did not take the message.",
            "Check the addresses in goldsmith.toml, and whether this computer reaches the services.",
        )


def _scope(channel: Channel) -> str:
    return ", ".join(channel.campaigns) or "all"
