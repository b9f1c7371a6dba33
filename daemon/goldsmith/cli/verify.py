"""The command ``goldsmith verify``: check that every delivery can be made again from the archive."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldsmith.cli.location import ConfigOption, JsonOption, RootOption, candidate_paths, open_location
from goldsmith.cli.output import print_json, print_text
from goldsmith.errors import InputError, UsageError
from goldsmith.files import display_name

if TYPE_CHECKING:
    from goldsmith.service.location import Location


def verify(
    manifests: Annotated[list[Path] | None, typer.Argument(help="Only these manifests (default: all of the last folder).")] = None,
    root: RootOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that each input of each delivery lies in the archive, unchanged. Every file is read and compared with its recorded hash.

    Exit code 3 means that a delivery cannot be made again. Nothing is changed.

    Example: goldsmith verify --root ~/hotfolders
    """
    from goldsmith.pipeline.archive.archived_files import manifest_paths
    from goldsmith.pipeline.archive.verification import verify_deliveries
    from goldsmith.root_folder import RootFolder

    with open_location(root, config, near=manifests[0] if manifests else None) as location:
        final_folder, pruned_before = location.setup.pipeline.final_folder, location.journal.pruned_before() if location.journal else ""
        paths = _named_paths(location, manifests) if manifests else manifest_paths(RootFolder(location.root), final_folder)
        faulty = pruned = total = 0
        for check in verify_deliveries(location.root, paths, pruned_before):
            total, faulty, pruned = total + 1, faulty + bool(check.problems), pruned + bool(check.pruned and not check.problems)
            if as_json:
                print_json(asdict(check))
                continue
            for sentence in check.problems:
                print_text(f"{display_name(check.manifest)}: {sentence}")
    if not as_json:
        sound = f"{total - faulty - pruned} of {total} deliveries can be made again: every input is in the archive, unchanged."
        print_text(sound + (f" Of {pruned}, inputs were pruned." if pruned else ""))
    if faulty:
        remedy = "Put the original files back into the archive, from a backup, under the paths above."
        raise InputError(f"{faulty} of {total} deliveries cannot be made again.", remedy)


def _named_paths(location: Location, manifests: list[Path]) -> list[str]:
    """Return the paths of these manifests, relative to the root. Raises UsageError if there is no such file."""
    paths = [candidate_paths(location.root, manifest)[0] for manifest in manifests]
    for path in paths:
        if not (location.root / path).is_file():
            raise UsageError(f"{display_name(path)} does not exist.", "Name a manifest. Each delivery has one, NAME.manifest.json.")
    return paths
