"""The command ``goldsmith report``: what a campaign has delivered and what it took, as one HTML file."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from goldsmith.cli.location import ConfigOption, RootOption, find_root
from goldsmith.cli.output import print_sentence, print_text, sanitise
from goldsmith.errors import UsageError


def report(
    campaign: Annotated[str, typer.Argument(help="The campaign: the folders of its pictures below inbox/.", metavar="CAMPAIGN")],
    root: RootOption = None,
    config: ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="The file to write (default: report-CAMPAIGN.html here).")
    ] = None,
) -> None:
    """Write a campaign's report as one HTML file: contact sheet, deliveries, times, models, GPU seconds, drift of the series.

    The file has no script and loads nothing, so that it can be mailed. A report that is there already is replaced; another file is not.

    Example: goldsmith report acme/spring --out spring.html
    """
    from goldsmith.files import Filesystem, write_atomically
    from goldsmith.service.one_off import build_report
    from goldsmith.service.setup import load_setup

    name = "/".join(part for part in campaign.split("/") if part not in ("", "."))
    if not name or ".." in name.split("/"):
        raise UsageError(f"{campaign} is not a campaign.", "Name the folder of its pictures below inbox/, like acme/spring.")
    file = Path(f"report-{_plain_name(name)}.html") if out is None else out
    _require_replaceable(file)
    campaign_report = build_report(load_setup(find_root(root, config), config), name, time.time())
    try:
        write_atomically(Filesystem(), file.absolute(), campaign_report.html.encode("utf-8", "replace"), replace=True)
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", "Name another file with --out.") from error
    plural = "delivery" if campaign_report.delivery_count == 1 else "deliveries"
    megabytes = len(campaign_report.html.encode("utf-8", "replace")) / 1e6
    print_text(f"{sanitise(str(file))}: {campaign_report.delivery_count} {plural}, {megabytes:.1f} MB.")
    for path, reason in campaign_report.without_picture.items():
        print_sentence(f"{sanitise(path)} is shown without its picture: {reason}")


def _plain_name(campaign: str) -> str:
    """Return a campaign's name as a part of a file name."""
    return re.sub(r"[^\w.-]+", "-", campaign).strip("-.")[:100] or "campaign"


def _require_replaceable(file: Path) -> None:
    """Raise UsageError if there is a file that is no report, or no folder for the file."""
    from goldsmith.pipeline.campaign_report.page import FIRST_LINE

    start = FIRST_LINE.encode()
    try:
        with file.open("rb") as opened:
            is_report = opened.read(len(start)) == start
    except FileNotFoundError as error:
        if not file.absolute().parent.is_dir():
            raise UsageError(f"{file} cannot be written: {error.strerror}.", "Name a file in a folder that is there with --out.") from None
        return
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", "Name another file with --out.") from error
    if not is_report:
        raise UsageError(f"{file} is there already, and it is not a report.", "Name another file with --out.")
