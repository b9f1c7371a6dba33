"""Real mounts, for tests that run as root. A kind that this machine cannot mount is skipped by its name."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Bytes. The smallest on which mkfs.xfs makes a filesystem is 300 MiB; the file is sparse.
_IMAGE_BYTES = 320 * 2**20


def make(folder: Path) -> Path:
    """Create a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def mounted(*words: str | Path) -> Iterator[Path]:
    """Run ``mount`` with these words, of which the last is the folder, and yield that folder. It is detached afterwards."""
    folder = Path(words[-1])
    with _attached(["mount", *map(str, words)], folder):
        yield folder


@contextlib.contextmanager
def mounted_kind(kind: str, place: Path) -> Iterator[Path]:
    """Yield a new, empty folder on a filesystem of this kind, which is a key of ``KINDS``. Everything else lies beside it."""
    make(place)
    with KINDS[kind](place) as folder:
        yield folder


@contextlib.contextmanager
def _attached(command: list[str], folder: Path, **environment: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a filesystem")
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment}, timeout=300, check=False
    )
    if done.returncode != 0 or not _is_mount(folder):
        pytest.skip(f"{' '.join(command[:3])} is not possible here: {(done.stderr or done.stdout).strip()[-200:]}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)


def _is_mount(folder: Path) -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as table:
        return any(row.split()[4] == str(folder) for row in table)


@contextlib.contextmanager
def _tmpfs(place: Path) -> Iterator[Path]:
    with mounted("-t", "tmpfs", "tmpfs", make(place / "disk")) as folder:
        yield folder


@contextlib.contextmanager
def _overlay(place: Path) -> Iterator[Path]:
    """A folder that lies in the lower layer, on a filesystem of its own, as in a container."""
    with mounted("-t", "tmpfs", "tmpfs", make(place / "layers")) as layers:
        upper, lower, work = make(layers / "upper"), make(layers / "lower"), make(layers / "work")
        make(lower / "root")
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        with mounted("-t", "overlay", "-o", options, "overlay", make(place / "disk")) as folder:
            yield folder / "root"


def _image(*command: str) -> Callable[[Path], contextlib.AbstractContextManager[Path]]:
    """Return a kind that a program makes in an image file."""

    @contextlib.contextmanager
    def mount(place: Path) -> Iterator[Path]:
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        image = place / "image"
        with open(image, "wb") as file:
            file.truncate(_IMAGE_BYTES)
        subprocess.run([*command, str(image)], capture_output=True, check=True)
        with mounted("-o", "loop", image, make(place / "disk")) as folder:
            yield folder

    return mount


@contextlib.contextmanager
def _btrfs(place: Path) -> Iterator[Path]:
    """A subvolume."""
    with _image("mkfs.btrfs", "-q")(place) as disk:
        subprocess.run(["btrfs", "subvolume", "create", str(disk / "root")], capture_output=True, check=True)
        yield disk / "root"


@contextlib.contextmanager
def _rclone(place: Path) -> Iterator[Path]:
    store, folder = make(place / "store"), make(place / "disk")
    options = ["--daemon", "--vfs-cache-mode", "writes", "--umask", "077", "--cache-dir", str(place / "cache")]
    command = ["rclone", "--config", "/dev/null", "mount", *options, f":local:{store}", str(folder)]
    with _attached(command, folder):
        yield folder


@contextlib.contextmanager
def _cryfs(place: Path) -> Iterator[Path]:
    password = place / "password"
    password.write_text("gold\n")
    store, folder = make(place / "store"), make(place / "disk")
    # The fixed cipher and home spare it the questions that it asks a person.
    command = ["sh", "-c", f'exec cryfs --cipher aes-256-gcm "{store}" "{folder}" <"{password}"']
    if shutil.which("cryfs") is None:
        pytest.skip("cryfs is not installed")
    with _attached(command, folder, CRYFS_FRONTEND="noninteractive", CRYFS_NO_UPDATE_CHECK="true", HOME=str(place)):
        yield folder


@contextlib.contextmanager
def _bindfs(place: Path) -> Iterator[Path]:
    store, folder = make(place / "store"), make(place / "disk")
    with _attached(["bindfs", str(store), str(folder)], folder):
        yield folder


KINDS: dict[str, Callable[[Path], contextlib.AbstractContextManager[Path]]] = {
    "tmpfs": _tmpfs,
    "overlay": _overlay,
    "ext4": _image("mkfs.ext4", "-q"),
    "xfs": _image("mkfs.xfs", "-q"),
    "btrfs": _btrfs,
    "rclone": _rclone,
    "cryfs": _cryfs,
    "bindfs": _bindfs,
}
