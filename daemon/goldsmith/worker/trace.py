"""The facts with which a later run is compared: a hash of each step's result, and the environment of the run."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import metadata

from pydantic import JsonValue

from goldsmith import __version__
from goldsmith.operation import Deliverable
from goldsmith.picture.bit_sums import BitSums
from goldsmith.picture.picture import Picture

# The packages whose version can affect a picture.
RECORDED_PACKAGES = (
    *("numpy", "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "onnxruntime"),
    *("opencv-python-headless", "Pillow", "imagecodecs", "tifffile", "opencolorio", "PyPatchMatch", "pillow-heif"),
)

# Rows read together.
_BAND_ROWS = 16


def run_environment(device: str, threads: int, fence: str) -> dict[str, JsonValue]:
    """Return the versions of the program and its libraries, the processor, the device, the threads and the fence, for the record."""
    return {**installed_versions(), "device": device, "threads": threads, "fence": fence}


@lru_cache(maxsize=1)
def installed_versions() -> dict[str, JsonValue]:
    """Return the versions of the program and of the libraries that can affect a picture, and the processor."""
    versions: dict[str, JsonValue] = {"goldsmith": __version__, "python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional package, or one that took no part
    return {**versions, "system": platform.system(), "architecture": platform.machine(), "processor": _processor()}


def _processor() -> str:
    """Return the processor's name from /proc/cpuinfo; "" if it has none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        return ""


def picture_trace(pictures: Iterable[Picture]) -> str:
    """Return 16 hex digits that are the same for the same pixels, alpha and depth, and almost always differ for others.

    They tell runs apart and are no proof of integrity: the hash of sums of the floats' bits along rows and columns, as fast as memory
    allows (0.03 s for a 24 MP picture).
    """
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.height} {picture.width} {picture.channels} {picture.depth} {picture.alpha is None};".encode())
        _pixel_sums(picture).feed(digest.update)
        if picture.alpha is not None:
            sums = BitSums(picture.alpha.shape)
            sums.add(0, picture.alpha)
            sums.feed(digest.update)
    return digest.hexdigest()[:16]


def files_trace(files: Sequence[Deliverable]) -> str:
    """Return the same kind of hash for files: over every byte and their names."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.tail}{file.suffix}\0{len(file.data)}\0".encode("utf-8", "surrogateescape"))
        digest.update(file.data)
    return digest.hexdigest()[:16]


def _pixel_sums(picture: Picture) -> BitSums:
    """Return the sums of the picture's pixels; those that were made while the pixels were computed are used again."""
    lazy = picture.lazy_pixels
    if lazy is not None and lazy.bit_sums is not None and lazy.bit_sums.is_complete:
        return lazy.bit_sums
    sums = BitSums((picture.height, picture.width, picture.channels))
    for top in range(0, picture.height, _BAND_ROWS):  # read through windows, so that a patched picture need not be put together
        sums.add(top, picture.pixels_in((slice(top, min(top + _BAND_ROWS, picture.height)), slice(0, picture.width))))
    return sums
