"""``goldsmith replay``: a delivery done again, and laid beside what was delivered."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, find_root
from goldsmith.cli.output import is_terminal, print_json, print_text, progress_bars
from goldsmith.errors import UsageError

if TYPE_CHECKING:
    from goldsmith.pipeline.replay.report import ComparedDeliverable, ReplayReport

# The exit code where a deliverable came out with other pixels.
EXIT_DIFFERS = 6


def replay(
    manifest: Annotated[Path, typer.Argument(help="The manifest of the delivery (NAME.manifest.json).", metavar="MANIFEST")],
    root: RootOption = None,
    config: ConfigOption = None,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="FOLDER", help="Keep what was made now in this new folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Do a delivery again from its manifest and the archive, and say whether it comes out the same; if not, how far off and why.

    Nothing in the folders is changed. Exit code 6: a deliverable came out with other pixels.

    Example: goldsmith replay delivered/spring/hero.manifest.json
    """
    from goldsmith.service import load_setup
    from goldsmith.service import run_replay as do_again

    setup = load_setup(find_root(root, config, near=manifest), config)
    file = next((path for path in (manifest.absolute(), setup.root / manifest) if path.is_file()), None)
    if file is None:
        raise UsageError(f"{manifest} is not there.", "Name a manifest; each delivery has one, NAME.manifest.json, in the last folder.")
    if is_terminal() and not as_json:
        with progress_bars() as advance:
            came = do_again(setup, file, advance, keep)
    else:
        came = do_again(setup, file, lambda stage, fraction, note: None, keep)
    if as_json:
        print_json({"manifest": str(file), "same": came.is_same, **asdict(came)})
    else:
        _print_report(came, keep)
    if not came.is_same:
        raise typer.Exit(EXIT_DIFFERS)


def _print_report(report: ReplayReport, output_folder: Path | None) -> None:
    for deliverable in report.deliverables:
        print_text(f"{deliverable.file}: {_verdict_text(deliverable)}")
        if deliverable.location_note:
            print_text(f"  {deliverable.location_note}")
    if report.first_difference is not None:
        print_text(f"The ways part at {report.first_difference.label}.")
        for reason in report.causes:
            print_text(f"  {reason}.")
        if not report.causes:
            print_text("  Nothing that is on record explains it.")
    if report.other_changes:
        print_text("Other than it was, but not where the ways part:" if report.first_difference else "The same, although:")
        for reason in report.other_changes:
            print_text(f"  {reason}.")
    if output_folder is not None:
        print_text(f"What was made now lies in {output_folder}.")


def _verdict_text(deliverable: ComparedDeliverable) -> str:
    apart = deliverable.difference
    if deliverable.verdict == "identical":
        return "identical."
    if deliverable.verdict == "same pixels":
        return "identical pixels, other bytes (metadata, or the version of what wrote the file)."
    if "incomparable" in apart:
        return f"differs; {apart['incomparable']}."
    most, share = 2 ** int(str(apart["depth"])) - 1, 100 * float(str(apart["changed_share"]))
    profile = "" if apart["same_profile"] else "; its colour profile is another one"
    off = f"by {float(str(apart['mean'])):.3g} on average and {apart['max']} at worst (of {most})"
    return f"differs {off}, in {share:.3g} % of the pixels{profile}."
