"""Thirty assets of every kind, a reference run without disturbance, and a ledger: each asset is in exactly one place, unchanged."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doubles.pictures import black, mask, png
from doubles.studio import Daemon, Studio
from goldsmith.files import STATUS_FILE_NAME
from goldsmith.pipeline.intake.file_names import classify, strip_picture_suffix

# The shipped pipeline, with an engine that needs no weights, so that all jobs go through one queue.
PIPELINE = """
[[stage]]
name = "generate"
folder = "inbox"
next = "selected"
default = [{ op = "select" }]
[[stage]]
name = "edit"
folder = "selected"
next = "masked"
with_mask = [{ op = "inpaint", where = "mask", model = "null-inpaint" }]
[[stage]]
name = "grade"
folder = "masked"
next = "graded"
default = [{ op = "grade", saturation = 0.9 }]
[[stage]]
name = "deliver"
folder = "graded"
next = "delivered"
"""

SELECT = '[[generate]]\nop = "select"\n'
SHARPEN = '[[edit]]\nop = "sharpen"\n'
GRADE = '[[grade]]\nop = "grade"\nsaturation = 0.7\nslope = [1.1, 1.0, 0.9]\n'
INPAINT = '[[edit]]\nop = "inpaint"\nwhere = "mask"\nmodel = "null-inpaint"\n'
EXPORT = """
[[deliver]]
op = "export"
name = "web"
format = "jpeg"
[[deliver]]
op = "export"
name = "print"
format = "png"
size = [12, 12]
"""
WHOLE = SELECT + SHARPEN + GRADE + EXPORT
NULLS = "generate = []\nedit = []\ngrade = []\ndeliver = []\n"

Files = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Asset:
    """A picture and the files that are dropped with it; the picture is the last of them."""

    # The folder and the campaign that the files are dropped into.
    place: str
    stem: str
    files: Files

    @property
    def campaign(self) -> str:
        return self.place.partition("/")[2]


def thirty_assets() -> list[Asset]:
    """Return eight assets that go through all stages, and one or more for every other way a picture can go, or stay."""
    assets = [_asset("inbox", f"whole{n}", n, toml=WHOLE) for n in range(8)]
    assets += [_asset("inbox", f"halfway{n}", 10 + n, toml=SELECT + SHARPEN) for n in range(3)]
    assets += [_asset("selected", f"masked{n}", 20 + n, extra={".mask.png": mask()}) for n in range(4)]
    assets += [_asset("inbox", f"passed{n}", 30 + n, toml=NULLS) for n in range(3)]
    assets += [_asset("inbox/acme/spring", f"campaign{n}", 40 + n) for n in range(4)]
    assets[-4] = _asset("inbox/acme/spring", "campaign0", 40, extra={"/brief.toml": WHOLE.encode()})
    assets += [_asset("inbox", f"painted{n}", 50 + n, toml=SELECT + INPAINT + EXPORT, extra={".mask.png": mask()}) for n in range(2)]
    assets += [_asset("inbox", "laden", 60, toml=WHOLE, extra={".layer.sky.png": png(61), ".ref.png": png(62), ".mask.face.png": mask()})]
    assets += [_asset("masked", "prompted", 70, extra={".txt": b"warmer, please"})]
    assets += [_asset("inbox", "alone", 80), _asset("inbox", "waiting", 81, toml=SELECT + INPAINT)]
    assets += [
        _asset("selected", "unasked", 90, extra={".mask.png": black()}),
        _asset("inbox", "misspelt", 91, toml='[[edit]]\nop = "sharpn"\n'),
    ]
    assert len(assets) == 30
    return assets


def _asset(place: str, stem: str, number: int, toml: str = "", extra: Mapping[str, bytes] | None = None) -> Asset:
    files = [(f"{place}/{tail[1:]}" if tail[0] == "/" else f"{place}/{stem}{tail}", data) for tail, data in (extra or {}).items()]
    if toml:
        files.append((f"{place}/{stem}.toml", toml.encode()))
    return Asset(place, stem, (*files, (f"{place}/{stem}.png", png(number))))


def drop(studio: Studio, asset: Asset) -> None:
    """Put all files of the asset into the studio."""
    for path, data in asset.files:
        studio.put(path, data)


# ---------------------------------------------------------------------- the content of the folders

# Path (in the archive: without the day) -> sha256 of the file; of a manifest: of its content without times.
FileDigests = dict[str, str]
_TIME_KEYS = ("seconds", "started_at", "taken_at", "delivered_at")


def visible_files(root: Path) -> FileDigests:
    """Return all files that a person can see below the root: in the stages, in delivered/ and in the archive."""
    digests: FileDigests = {}
    for above, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in ("config", "library")]
        for name in names:
            path = Path(above, name)
            if name.startswith(".") or name in ("README.txt", STATUS_FILE_NAME):
                continue
            digests[_without_day(path.relative_to(root).as_posix())] = hashlib.sha256(_timeless(name, path.read_bytes())).hexdigest()
    return digests


def _without_day(path: str) -> str:
    top, _, rest = path.partition("/")
    return f"archive/{rest.partition('/')[2]}" if top == "archive" else path


def _timeless(name: str, data: bytes) -> bytes:
    return json.dumps(_without_times(json.loads(data)), sort_keys=True).encode() if name.endswith(".manifest.json") else data


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(inner) for key, inner in value.items() if key not in _TIME_KEYS}
    if isinstance(value, list):
        return [_without_times(inner) for inner in value]
    return _without_day(value) if isinstance(value, str) else value


def undisturbed(studio: Studio, assets: list[Asset], tweak: Callable[[Studio], None] | None = None) -> FileDigests:
    """Return the content of the folders after a run that nothing disturbs."""
    studio.write_pipeline(PIPELINE)
    if tweak is not None:
        tweak(studio)
    for asset in assets:
        drop(studio, asset)
    finish(studio)
    return visible_files(studio.root)


def finish(studio: Studio) -> None:
    """Let the daemon run until it has nothing left to do."""
    with Daemon(studio, "--until-idle") as daemon:
        daemon.until(lambda: daemon.process.poll() is not None, "the end of the run")
        assert daemon.process.returncode == 0, daemon.stderr.decode()[-3000:]


class Ledger:
    """Checks after every recovery that each dropped asset is whole and in one place, and that no file is lost."""

    def __init__(self, studio: Studio, reference: FileDigests) -> None:
        self.studio = studio
        self.reference = reference
        # File stem -> every content that a file of this stem has after the undisturbed run.
        self.allowed: dict[str, set[str]] = {}
        for path, digest in reference.items():
            self.allowed.setdefault(_asset_of(path), set()).add(digest)
        self.dropped: list[Asset] = []
        self.archived: FileDigests = {}

    def drop(self, asset: Asset) -> None:
        drop(self.studio, asset)
        self.dropped.append(asset)

    def check(self) -> None:
        """Check the folders. Call this only when no daemon runs, after recovery: a running daemon may be in the middle of a commit."""
        digests = visible_files(self.studio.root)
        self._check_places(digests)
        dropped = {path: hashlib.sha256(data).hexdigest() for asset in self.dropped for path, data in asset.files}
        for path, digest in dropped.items():
            assert digest in digests.values(), f"the bytes dropped as {path} are nowhere any more"
        for path, digest in digests.items():
            own = {sha256 for at, sha256 in dropped.items() if _asset_of(at) == _asset_of(path)}
            known = self.allowed.get(_asset_of(path), set()) | own
            assert digest in known, f"{path} is not what the undisturbed run made, or not whole"
        lost = [path for path, digest in self.archived.items() if digests.get(path) != digest]
        assert not lost, f"lost from the archive: {lost}"
        self.archived = {path: digest for path, digest in digests.items() if path.startswith("archive/")}

    def _check_places(self, digests: FileDigests) -> None:
        places = Counter[tuple[str, str]]()
        for path in digests:
            top, _, rest = path.partition("/")
            name = posixpath.basename(path)
            if top == "archive" or (top == "delivered" and not name.endswith(".manifest.json")):
                continue
            if top == "delivered" or classify(name).role == "picture":
                places[posixpath.dirname(rest), _stem(name)] += 1
        expected = Counter((asset.campaign, asset.stem) for asset in self.dropped)
        assert places == expected, f"not exactly once: {places - expected} too many, {expected - places} too few\n{self.studio.folders()}"


def _asset_of(path: str) -> str:
    return _stem(posixpath.basename(path))


def _stem(name: str) -> str:
    """Return the stem of the asset that a file belongs to. No stem of these assets has a dot, a dash or an underscore."""
    return strip_picture_suffix(name.partition(".")[0]).partition("_")[0]
