"""Checks that every delivery can be made again: that each input of its manifest lies in the archive, with the recorded hash."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from goldsmith.errors import HostError, InputError
from goldsmith.files import display_name
from goldsmith.pipeline.archive.archived_files import archived_day
from goldsmith.pipeline.replay.manifest_reader import Manifest, archived_paths, read_record
from goldsmith.pipeline.replay.sources import MissingSource, ReplaySources
from goldsmith.root_folder import RootFolder

# The largest input that is read. Only its hash is kept, so its size does not matter.
_MAX_INPUT_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class DeliveryCheck:
    """The result for one delivery."""

    manifest: str
    # The number of inputs that the archive must have.
    inputs: int
    # A sentence for each input that is missing or has changed, or why the manifest cannot be read.
    problems: tuple[str, ...]
    # The number of inputs that pruning has removed.
    pruned: int


def verify_deliveries(root: Path, manifests: Iterable[str], pruned_before: str) -> Iterator[DeliveryCheck]:
    """Yield the result for each manifest, given by its path relative to the root. Raises HostError if a disk fails.

    pruned_before: the day before which inputs may have been pruned, as 2026-10-31, or "".
    """
    sources = ReplaySources(root, _MAX_INPUT_BYTES)
    folder = RootFolder(root)
    for path in manifests:
        try:
            yield _check_delivery(path, read_record(folder, Path(folder.path, path)), sources, pruned_before)
        except InputError as error:
            yield DeliveryCheck(path, 0, (error.sentence,), 0)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.ENOENT):
                yield DeliveryCheck(path, 0, (f"{display_name(path)} cannot be read: {error.strerror}.",), 0)
                continue
            raise HostError(f"{display_name(path)} cannot be checked: {error.strerror}.", "Check the disk of the folders.") from error


def _check_delivery(path: str, manifest: Manifest, sources: ReplaySources, pruned_before: str) -> DeliveryCheck:
    places, remade_hashes, checked = archived_paths(manifest.stages), set[str](), dict[str, None]()
    problems, pruned = [], 0
    for stage in manifest.stages:
        for each in stage.inputs:
            if each.sha256 in remade_hashes or each.sha256 in checked:
                continue
            checked[each.sha256] = None
            recorded = places.get(each.sha256, [])
            try:
                sources.find_original(each.path, each.sha256, recorded)
            except MissingSource as fault:
                if recorded and all(archived_day(place) < pruned_before for place in recorded):
                    pruned += 1
                else:
                    problems.append(fault.sentence)
        if stage.by_hand is None:
            remade_hashes |= {output.sha256 for output in stage.outputs}
    return DeliveryCheck(path, len(checked), tuple(problems), pruned)
