"""``goldsmith replay``: a delivery done again, and laid beside what was delivered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.places import AsJson, Config, Root, root_of
from goldsmith.cli.screen import bars, say, say_json, terminal
from goldsmith.errors import UsageFault

if TYPE_CHECKING:
    from goldsmith.pipeline.replay.report import Deliverable, Report

DIFFERS = 6
"""The exit code where a deliverable came out with other pixels."""


def replay(
    manifest: Annotated[Path, typer.Argument(help="The manifest of the delivery (NAME.manifest.json).", metavar="MANIFEST")],
    root: Root = None,
    config: Config = None,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep what was made now in this new folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Do a delivery again from its manifest and the archive, and say whether it comes out the same; if not, how far off and why.

    Nothing in the folders is changed. Exit code 6: a deliverable came out with other pixels.

    Example: goldsmith replay delivered/spring/hero.manifest.json
    """
    from goldsmith.service import replay as do_again
    from goldsmith.service import set_up

    setup = set_up(root_of(root, config, near=manifest), config)
    file = next((path for path in (manifest.absolute(), setup.root / manifest) if path.is_file()), None)
    if file is None:
        raise UsageFault(f"{manifest} is not there.", "Name a manifest; each delivery has one, NAME.manifest.json, in the last folder.")
    if terminal() and not as_json:
        with bars() as advance:
            came = do_again(setup, file, advance, keep)
    else:
        came = do_again(setup, file, lambda stage, fraction, note: None, keep)
    if as_json:
        say_json({"manifest": str(file), "same": came.same, **asdict(came)})
    else:
        _tell(came, keep)
    if not came.same:
        raise typer.Exit(DIFFERS)


def _tell(came: Report, keep: Path | None) -> None:
    for deliverable in came.deliverables:
        say(f"{deliverable.file}: {_verdict(deliverable)}")
        if deliverable.lies:
            say(f"  {deliverable.lies}")
    if came.parting is not None:
        say(f"The ways part at {came.parting.place}.")
        for reason in came.why:
            say(f"  {reason}.")
        if not came.why:
            say("  Nothing that is on record explains it.")
    if came.other:
        say("Other than it was, but not where the ways part:" if came.parting else "The same, although:")
        for reason in came.other:
            say(f"  {reason}.")
    if keep is not None:
        say(f"What was made now lies in {keep}.")


def _verdict(deliverable: Deliverable) -> str:
    apart = deliverable.apart
    if deliverable.verdict == "identical":
        return "identical."
    if deliverable.verdict == "same pixels":
        return "identical pixels, other bytes (metadata, or the version of what wrote the file)."
    if "unlike" in apart:
        return f"differs; {apart['unlike']}."
    most, share = 2 ** int(str(apart["depth"])) - 1, 100 * float(str(apart["share"]))
    profile = "" if apart["profile"] else "; its colour profile is another one"
    off = f"by {float(str(apart['mean'])):.3g} on average and {apart['worst']} at worst (of {most})"
    return f"differs {off}, in {share:.3g} % of the pixels{profile}."
