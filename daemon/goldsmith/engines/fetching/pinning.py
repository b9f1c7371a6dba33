"""Makes pins: asks the hub which commit a revision is now and what its files are, or reads the files of a folder of this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from goldsmith.engines.fetching.hub import Listing, download, listing
from goldsmith.engines.fetching.sources import Progress, SourceFault
from goldsmith.engines.registry.hashes import file_sha256
from goldsmith.engines.registry.origins import Repository
from goldsmith.engines.registry.pins import Pin, PinnedFile, content_revision, origin, write_pin
from goldsmith.engines.registry.trees import Tree
from goldsmith.engines.registry.weights import Weights
from goldsmith.errors import GoldsmithError, MachineFault, Problem


class PinFault(GoldsmithError):
    """The hub did not say what is to be written down."""

    exit_code = 4


def pin(weights: Weights, name: str, progress: Progress = lambda done, total, note: None) -> Pin:
    """Write down what a model's tree is from now on, beside models.toml, and say it.

    A repository is pinned to the commit its revision is at now; a folder or file of this machine to what lies in it now.
    Raises Problem where there is nothing to pin, PinFault where the hub does not answer, MachineFault where nothing can be written.
    """
    name = weights.models.meant(name)
    tree = weights.tree(name)
    if tree is None:
        raise Problem(f"The files of {name!r} are named by hash in models.toml.", "There is nothing to pin.")
    if weights.pins_path is None:
        raise Problem("There is no place for pins here.")
    tree = Tree(tree.name, tree.model, tree.top, None)
    found: dict[str, PinnedFile] = {}
    revision = ""
    if tree.model.repository is not None:
        try:
            offered = listing(tree.model.repository, bare=tree.bare)
            weights.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".pin-", dir=weights.folder) as scratch:
                found |= _offered(tree.model.repository, offered, _known(tree, offered), Path(scratch), progress)
        except SourceFault as fault:
            raise PinFault(f"{tree.model.repository.hub}: {fault}.".replace("..", "."), "Nothing was written.") from fault
        except OSError as error:
            raise MachineFault(f"{weights.folder}: {error.strerror or error}.", "Check that it may be written.") from error
        revision = offered.commit
    found |= _here(tree, progress)
    made = Pin(of=origin(tree.model), revision=revision or content_revision(found), files=found)
    write_pin(weights.pins_path, name, made)
    progress(len(found), len(found), "written down")
    return made


def _known(tree: Tree, offered: Listing) -> dict[str, Path]:
    """The files of that very commit that lie here already."""
    mark = tree.mark()
    if mark is None or mark.commit != offered.commit:
        return {}
    return {path: tree.path(path) for path in mark.files}


def _offered(
    repository: Repository, offered: Listing, known: Mapping[str, Path], scratch: Path, progress: Progress
) -> dict[str, PinnedFile]:
    """Size and sha256 of every file: as the hub says it, of the same file on this disk, else of a copy that is brought."""
    found = {}
    for number, file in enumerate(offered.files):
        progress(number, len(offered.files), file.path)
        here, sha256 = known.get(file.path), file.sha256
        if not sha256 and here is not None and here.is_file() and here.stat().st_size == file.size:
            sha256 = file_sha256(here)
        if not sha256:
            part = scratch / str(number)
            download(repository.hub, offered.commit, file, part, lambda done, total, note: None)
            if part.stat().st_size != file.size:
                raise SourceFault(f"gives {part.stat().st_size} bytes of {file.path} and promises {file.size}")
            sha256 = file_sha256(part)
            part.unlink()
        found[file.path] = PinnedFile.model_validate({"bytes": file.size, "sha256": sha256})
    return found


def _here(tree: Tree, progress: Progress) -> dict[str, PinnedFile]:
    """What lies on this machine: a folder's files, or the single one."""
    model = tree.model
    if model.folder is None and model.file is None:
        return {}
    lacks = tree.lacks() if model.repository is None else ""
    if lacks:
        raise Problem(f"The weights of {tree.name!r} are not whole: {lacks}.", "Put all of it there first.")
    names = tree.names() if model.repository is None else [model.file.name] if model.file is not None else []
    found = {}
    for number, name in enumerate(names):
        progress(number, len(names), f"reading {name}")
        path = tree.path(name)
        try:
            found[name] = PinnedFile.model_validate({"bytes": path.stat().st_size, "sha256": file_sha256(path)})
        except OSError as error:
            raise MachineFault(f"{path}: cannot be read: {error.strerror}.", "Check that this user may read it.") from error
    return found
