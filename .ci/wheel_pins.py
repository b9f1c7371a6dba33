"""The pinned wheels: their hashes, and a digest of the files in each, in the format of ``pip install --require-hashes``.

Only the standard library is used, because ``make audit`` runs outside the environment that it checks.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

# One wheel, in a comment above its pin: file name, sha256 of the wheel, digest of its files.
_WHEEL = re.compile(r"# (\S+\.whl) sha256:([0-9a-f]{64}) files:([0-9a-f]{64})")
_PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)(?: \\)?")
# Files that an installer writes, or that list the others.
_INSTALLER_FILES = ("RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json")


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: its file name, its sha256, and the digest of the files that it puts into site-packages."""

    file: str
    sha256: str
    files: str


@dataclass(frozen=True, slots=True)
class WheelPin:
    """The pinned version of a package and the wheels of it that are known, one for each kind of processor."""

    name: str
    version: str
    wheels: tuple[Wheel, ...]


def normalise(name: str) -> str:
    """Return a package's name as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_constraints(path: Path) -> dict[str, tuple[str, str]]:
    """Return name and version of each pin of a constraints file, by normalised name."""
    pins = (_PIN.fullmatch(line) for line in path.read_text(encoding="ascii").splitlines())
    return {normalise(pin[1]): (pin[1], pin[2]) for pin in pins if pin is not None}


def read_wheel_pins(paths: Iterable[Path]) -> dict[str, WheelPin]:
    """Return the pins of several files, by normalised name."""
    pins: dict[str, WheelPin] = {}
    for path in paths:
        wheels: list[Wheel] = []
        for line in path.read_text(encoding="ascii").splitlines():
            if wheel := _WHEEL.fullmatch(line):
                wheels.append(Wheel(*wheel.groups()))
            elif pin := _PIN.fullmatch(line):
                pins[normalise(pin[1])] = WheelPin(pin[1], pin[2], tuple(wheels))
                wheels = []
    return pins


def format_wheel_pins(pins: Iterable[WheelPin]) -> str:
    """Return pins as lines that pip reads as requirements with hashes."""
    blocks = []
    for pin in pins:
        comments = [f"# {wheel.file} sha256:{wheel.sha256} files:{wheel.files}" for wheel in pin.wheels]
        hashes = [f"    --hash=sha256:{sha256}" for sha256 in dict.fromkeys(wheel.sha256 for wheel in pin.wheels)]
        blocks.append("\n".join([*comments, " \\\n".join([f"{pin.name}=={pin.version}", *hashes])]))
    return "\n\n".join(blocks) + "\n"


def is_own_file(path: str) -> bool:
    """Return whether a file of an installed package comes from its wheel unchanged: not a script, nothing that an installer writes."""
    folder, _, name = path.rpartition("/")
    by_installer = folder.endswith(".dist-info") and name in _INSTALLER_FILES
    return not (path.startswith(("../", "/")) or by_installer or "__pycache__" in folder.split("/"))


def digest_files(hashes: Mapping[str, str]) -> str:
    """Return one digest of files, path -> sha256."""
    return hashlib.sha256("".join(f"{path}\0{sha256}\n" for path, sha256 in sorted(hashes.items())).encode()).hexdigest()


def digest_wheel(path: Path) -> Wheel:
    """Return a wheel's hash and the digest of the files in it, which are hashed here: its own list of hashes is not believed."""
    hashes = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            place = _installed_path(member)
            if place is not None and is_own_file(place):
                hashes[place] = hashlib.sha256(archive.read(member)).hexdigest()
    with path.open("rb") as file:
        return Wheel(path.name, hashlib.file_digest(file, "sha256").hexdigest(), digest_files(hashes))


def _installed_path(member: str) -> str | None:
    """Return where in site-packages a wheel's member goes; None for folders, scripts and data (PEP 427)."""
    if member.endswith("/"):
        return None
    top, _, rest = member.partition("/")
    if not top.endswith(".data"):
        return member
    scheme, _, rest = rest.partition("/")
    return rest if scheme in ("purelib", "platlib") else None


def record_rows(record: Path) -> Iterator[tuple[str, str]]:
    """Yield path and hash ("sha256=...", or "") of each file in an installed package's list (PEP 376)."""
    for row in csv.reader(io.StringIO(record.read_text(encoding="utf-8"))):
        if len(row) >= 2:
            yield row[0], row[1]
