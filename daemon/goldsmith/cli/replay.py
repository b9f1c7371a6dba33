"""The command ``goldsmith replay``: make a delivery again and compare it with the delivered files."""

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

# The exit code if the pixels of a deliverable differ.
EXIT_DIFFERS = 6


def replay(
    manifest: Annotated[Path, typer.Argument(help="The manifest of the delivery (NAME.manifest.json).", metavar="MANIFEST")],
    root: RootOption = None,
    config: ConfigOption = None,
    keep: Annotated[Path | None, typer.Option("--keep", metavar="FOLDER", help="Save the new files in this new folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a delivery again from its manifest and the archive, and compare it with the delivered files; explain each difference.

    The folders do not change. Exit code 6 means that the pixels of a deliverable differ.

    Example: goldsmith replay delivered/spring/hero.manifest.json
    """
    from goldsmith.service.one_off import run_replay
    from goldsmith.service.setup import load_setup

    setup = load_setup(find_root(root, config, near=manifest), config)
    file = next((path for path in (manifest.absolute(), setup.root / manifest) if path.is_file()), None)
    if file is None:
        raise UsageError(f"{manifest} does not exist.", "Name a manifest. Each delivery has one, NAME.manifest.json, in the last folder.")
    if is_terminal() and not as_json:
        with progress_bars() as advance:
            report = run_replay(setup, file, advance, keep)
    else:
        report = run_replay(setup, file, lambda stage, fraction, note: None, keep)
    if as_json:
        print_json({"manifest": str(file), "same": report.is_same, **asdict(report)})
    else:
        _print_report(report, keep)
    if not report.is_same:
        raise typer.Exit(EXIT_DIFFERS)


def _print_report(report: ReplayReport, output_folder: Path | None) -> None:
    for deliverable in report.deliverables:
        print_text(f"{deliverable.file}: {_verdict_text(deliverable)}")
        if deliverable.location_note:
            print_text(f"  {deliverable.location_note}")
    for sentence in report.hand_work:
        print_text(f"{sentence}.")
    if report.first_difference is not None:
        print_text(f"The first difference is in {report.first_difference.label}.")
        for reason in report.causes:
            print_text(f"  {reason}.")
        if not report.causes:
            print_text("  The record does not explain it.")
    if report.other_changes:
        print_text("Changed as well, but not at the first difference:" if report.first_difference else "The same, although this changed:")
        for reason in report.other_changes:
            print_text(f"  {reason}.")
    if output_folder is not None:
        print_text(f"The new files are in {output_folder}.")


def _verdict_text(deliverable: ComparedDeliverable) -> str:
    difference = deliverable.difference
    if deliverable.verdict == "identical":
        return "identical." if deliverable.recorded_sha256 == deliverable.remade_sha256 else "identical, without the signature."
    if deliverable.verdict == "same pixels":
        return "identical pixels, different bytes (metadata, or another version of the encoder)."
    if "incomparable" in difference:
        return f"differs; {difference['incomparable']}."
    maximum, share = 2 ** int(str(difference["depth"])) - 1, 100 * float(str(difference["changed_share"]))
    profile = "" if difference["same_profile"] else "; its colour profile differs"
    amount = f"by {float(str(difference['mean'])):.3g} on average and {difference['max']} at most (of {maximum})"
    return f"differs {amount}, in {share:.3g} % of the pixels{profile}."
