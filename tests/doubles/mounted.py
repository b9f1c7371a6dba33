"""Real mounts of many kinds, made by root: ``with mounted("sshfs", ...) as mount``. A kind that cannot be mounted here skips the test.

Needs root, loop devices and /dev/fuse, and each kind its own program (``.ci/packages.sh`` installs them).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_IMAGE_BYTES = 320 << 20  # the least that xfs takes is 300 MB
_PATIENCE = 300.0  # cryfs spends 13 s of processor time on its password alone


class CannotMount(Exception):
    """This machine cannot mount the kind."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. ``behind`` is the folder in which others see its files, or None if the mount is the only way to them."""

    kind: str
    at: Path
    behind: Path | None = None


def _run(*command: str | Path, text: str = "", **environment: str) -> None:
    """Run a program that may leave a server behind, which keeps the program's output open. Raises CannotMount."""
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                list(map(str, command)),
                input=text.encode(),
                stdout=output,
                stderr=output,
                timeout=_PATIENCE,
                env={**os.environ, **environment},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CannotMount(f"{command[0]}: {error}") from error
        if done.returncode:
            output.seek(0)
            raise CannotMount(f"{command[0]}: {output.read().decode(errors='replace').strip()[-200:]}")


def _image(place: Path, *make: str) -> Path:
    """Return a disk image with a filesystem."""
    image = place / "disk.img"
    with image.open("wb") as file:
        file.truncate(_IMAGE_BYTES)
    _run(*make, image)
    return image


def _mount_disk(kind: str, *make: str, options: str = "loop") -> Callable[[Path, Path], Path | None]:
    def mount(place: Path, at: Path) -> None:
        _run("mount", "-t", kind, "-o", options, _image(place, *make), at)

    return mount


def _mount_tmpfs(place: Path, at: Path) -> None:
    _run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", at)


def _mount_overlay(place: Path, at: Path) -> None:
    _run("mount", "-t", "tmpfs", "tmpfs", place)  # a layer cannot lie on another overlay, which a container's root may be
    layers = [place / name for name in ("lower", "upper", "work")]
    for layer in layers:
        layer.mkdir()
    lower, upper, work = layers
    _run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", at)


def _mount_sshfs(place: Path, at: Path) -> Path:
    """Mount through an SSH server that talks through a pipe: no port is opened."""
    behind = _folder(place, "server")
    for key in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / key)
    (place / "sshd_config").write_text(
        f"HostKey {place}/host\nAuthorizedKeysFile {place}/user.pub\nSubsystem sftp internal-sftp\n"
        "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n"
    )
    (place / "ssh_config").write_text(
        f"Host studio\nProxyCommand {shutil.which('sshd') or '/usr/sbin/sshd'} -i -f {place}/sshd_config\nIdentityFile {place}/user\n"
        "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nBatchMode yes\nLogLevel ERROR\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    _run("sshfs", "-F", place / "ssh_config", f"root@studio:{behind}", at)
    return behind


def _mount_bindfs(place: Path, at: Path) -> Path:
    behind = _folder(place, "source")
    _run("bindfs", behind, at)
    return behind


def _mount_mergerfs(place: Path, at: Path) -> Path:
    first, second = _folder(place, "branch1"), _folder(place, "branch2")
    _run("mergerfs", f"{first}:{second}", at)
    return first


def _mount_gocryptfs(place: Path, at: Path) -> None:
    sealed = _folder(place, "sealed")
    _run("gocryptfs", "-init", "-q", "-scryptn", "10", "-extpass", "echo secret", sealed)
    _run("gocryptfs", "-q", "-extpass", "echo secret", sealed, at)


def _mount_encfs(place: Path, at: Path) -> None:
    _run("encfs", "--standard", "-S", _folder(place, "sealed"), at, text="secret\n")


def _mount_cryfs(place: Path, at: Path) -> None:
    _run("cryfs", _folder(place, "sealed"), at, text="secret\n", CRYFS_FRONTEND="noninteractive", CRYFS_NO_UPDATE_CHECK="true")


def _mount_rclone(place: Path, at: Path) -> Path:
    behind = _folder(place, "remote")
    options = ("--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--dir-cache-time", "1s", "--umask", "077")
    _run("rclone", "mount", "--daemon", "--config", place / "none", "--cache-dir", place / "cache", *options, behind, at)
    return behind


def _mount_ntfs(place: Path, at: Path) -> None:
    _run("ntfs-3g", "-o", f"uid={os.geteuid()},gid={os.getegid()},umask=077", _image(place, "mkfs.ntfs", "-F", "-Q"), at)


def _mount_ntfs_for_everybody(place: Path, at: Path) -> None:
    _run("ntfs-3g", _image(place, "mkfs.ntfs", "-F", "-Q"), at)


def _mount_exfat(place: Path, at: Path) -> None:
    _run("mount", "-t", "exfat", "-o", "loop,umask=077", _image(place, "mkfs.exfat"), at)


def _folder(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir()
    return folder


_RECIPES: dict[str, Callable[[Path, Path], Path | None]] = {
    "tmpfs": _mount_tmpfs,
    "overlay": _mount_overlay,
    "ext4": _mount_disk("ext4", "mkfs.ext4", "-q"),
    "xfs": _mount_disk("xfs", "mkfs.xfs", "-q"),
    "btrfs": _mount_disk("btrfs", "mkfs.btrfs", "-q"),
    "vfat": _mount_disk("vfat", "mkfs.vfat", options="loop,umask=077"),
    "exfat": _mount_exfat,
    "ntfs-3g": _mount_ntfs,
    "sshfs": _mount_sshfs,
    "bindfs": _mount_bindfs,
    "mergerfs": _mount_mergerfs,
    "gocryptfs": _mount_gocryptfs,
    "encfs": _mount_encfs,
    "cryfs": _mount_cryfs,
    "rclone": _mount_rclone,
}
KINDS = tuple(_RECIPES)
# Every file has the mode 0777, whatever chmod(2) says.
NTFS_FOR_EVERYBODY = "ntfs-3g for everybody"
_RECIPES[NTFS_FOR_EVERYBODY] = _mount_ntfs_for_everybody


@contextlib.contextmanager
def mounted(kind: str, place: Path, at: Path) -> Iterator[Mount]:
    """Mount a kind at the new folder ``at``; what it needs lies in the new folder ``place``. Skip the test if that is not possible."""
    if os.geteuid() != 0:
        pytest.skip(f"{kind}: only root can mount")
    place.mkdir(parents=True)
    at.mkdir(parents=True)
    try:
        try:
            behind = _RECIPES[kind](place, at)
        except CannotMount as reason:
            pytest.skip(f"{kind} cannot be mounted here: {reason}")
        yield Mount(kind, at, behind)
    finally:
        for folder in (at, place):
            while os.path.ismount(folder):
                subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)
