"""Gets a model that is a tree of files: file by file into a folder of its own, checked, and given the model's name when all is there.

What has come stays when a fetch is broken off; the next one goes on from there. A tree in place with wrong or missing files is mended in
the same way: what is right of it is kept.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from goldsmith.engines.fetching.hub import HubFile, Listing, download, listing
from goldsmith.engines.fetching.sources import Progress, SourceFault
from goldsmith.engines.registry.hashes import file_sha256
from goldsmith.engines.registry.origins import Repository
from goldsmith.engines.registry.pins import origin
from goldsmith.engines.registry.trees import MARK, Mark, Tree, wrong_files
from goldsmith.engines.registry.weights import Weights
from goldsmith.errors import MachineFault


def fetch_tree(weights: Weights, tree: Tree, progress: Progress) -> list[Path]:
    """Bring the tree into the models folder; the new files. Raises SourceFault with one line, OSError where the disk refuses."""
    repository = tree.model.repository
    if repository is None or _is_right(weights, tree):
        return []
    progress(0, None, f"asking for the files of {repository.hub}")
    offered = _offered(tree, repository)
    coming = weights.folder / f".{tree.name}.coming"
    if tree.top.is_dir():  # a part of it, or an older one: what is right of it need not come again
        _take_over(tree.top, coming)
    coming.mkdir(parents=True, exist_ok=True)
    _check_room(offered, coming)
    new = _bring_all(repository, offered, coming, progress)
    sizes, hashes = {file.path: file.size for file in offered.files}, {file.path: file.sha256 for file in offered.files if file.sha256}
    mark = Mark(of=origin(tree.model), commit=offered.commit, files=sizes, sha256=hashes)
    (coming / MARK).write_text(mark.model_dump_json(), encoding="ascii")
    sync_folder(coming)
    coming.rename(tree.top)
    sync_folder(weights.folder)
    return [tree.top / path for path in new]


def _is_right(weights: Weights, tree: Tree) -> bool:
    return not tree.lacks() and not wrong_files(tree, weights.notes(tree.name), again=True)


def _offered(tree: Tree, repository: Repository) -> Listing:
    """What is to come: the pinned files of the pinned commit, or what the hub has at the revision that models.toml names."""
    if tree.pin is None or tree.stale():
        return listing(repository, bare=tree.bare)
    pinned = {path: file for path, file in tree.pin.files.items() if tree.path(path) == tree.top / path}
    return Listing(tree.pin.revision, tuple(HubFile(path, file.size, file.sha256) for path, file in sorted(pinned.items())))


def _take_over(top: Path, coming: Path) -> None:
    """Make the tree in place the beginning of the one that comes; from then on it counts as not there."""
    (top / MARK).unlink(missing_ok=True)
    if coming.exists():
        shutil.rmtree(coming)
    top.rename(coming)


def _check_room(offered: Listing, coming: Path) -> None:
    """Raise MachineFault where the disk is too small for what is missing: known before a day of downloading, not after."""
    here = sum(min(_size(coming / file.path), file.size) for file in offered.files)
    free = shutil.disk_usage(coming).free
    if offered.size - here > free:
        wanted = f"{(offered.size - here) / 1e9:.1f} GB are to come"
        raise MachineFault(
            f"{coming.parent}: {wanted}, and only {free / 1e9:.1f} GB are free.", "Make room, or set models_dir in house.toml."
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _bring_all(repository: Repository, offered: Listing, coming: Path, progress: Progress) -> list[str]:
    """Every file of the listing whole and right below ``coming``, and nothing else there; which of them are new."""
    new, done = [], 0
    for file in offered.files:
        target = coming / file.path
        if not _right(target, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            _bring(repository.hub, offered, file, coming, done, progress)
            new.append(file.path)
        done += file.size
        progress(done, offered.size, file.path)
    _clear(coming, {file.path for file in offered.files})
    return new


def _bring(hub: str, offered: Listing, file: HubFile, coming: Path, before: int, progress: Progress) -> None:
    target = coming / file.path
    part = target.with_name(f".{target.name}.{offered.commit[:12]}.part")

    def one(done: int, total: int | None, note: str) -> None:
        progress(before + done, offered.size, note)

    download(hub, offered.commit, file, part, one)
    if not _right(part, file):
        found = part.stat().st_size
        part.unlink()  # going on after wrong bytes would never make them right
        raise SourceFault(
            f"gives {file.path} with {found} bytes that are not the {file.size} it promises (or with another sha256); refused"
        )
    os.chmod(part, 0o644)
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    part.replace(target)


def _right(path: Path, file: HubFile) -> bool:
    try:
        return path.stat().st_size == file.size and (not file.sha256 or file_sha256(path) == file.sha256)
    except FileNotFoundError:
        return False


def _clear(coming: Path, wanted: set[str]) -> None:
    """Throw away what an older tree or another revision has left."""
    for place, folders, names in os.walk(coming, topdown=False):
        for name in names:
            path = Path(place) / name
            if path.relative_to(coming).as_posix() not in wanted:
                path.unlink()
        for folder in folders:
            below = Path(place) / folder
            if not any(below.iterdir()):
                below.rmdir()


def sync_folder(folder: Path) -> None:
    """Make what was renamed in this folder outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
