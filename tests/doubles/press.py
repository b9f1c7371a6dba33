"""A fictitious press: an offset-like CMYK profile of tables, computed from a model of four inks on a yellowish paper.

The model is Neugebauer's equations with Yule and Nielsen's n; the solid inks are those of offset printing on coated paper. The profile
is ICC version 2 (mft2 tables with 9 nodes a side for A2B and 17 for B2A, three intents). No press profile has a licence that allows
it in the repository.
"""

from __future__ import annotations

import struct
import tempfile
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TITLE = "Goldsmith test press"
PAPER_LAB = (94.0, 0.5, 4.0)
_D50 = np.array([0.9642, 1.0, 0.8249])
_SOLIDS = {"C": (55, -37, -50), "M": (48, 74, -3), "Y": (88, -5, 92), "CM": (24, 22, -46), "CY": (50, -65, 27), "MY": (47, 68, 48)}
_SOLIDS |= {"CMY": (23, 0, 0), "K": (17, 0, 0)}
_N = 1.9
_NODES_IN, _NODES_OUT = 9, 17
_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@cache
def press_profile() -> bytes:
    """Return the profile; a solid of all four inks has 400 % of coverage and is nearly black."""
    levels = np.linspace(0, 1, _NODES_IN)
    inks = np.array(list(product(levels, repeat=4)))
    to_lab = _coded(_lab(printed(inks) / _paper() * _D50))
    lab_grid = _grid()
    gentle = lab_grid * [1.0, 0.9, 0.9]
    gentle[:, 0] = 14 + lab_grid[:, 0] * 0.86
    full = _separated(lab_grid)
    tags = {b"A2B1": _table(4, 3, _NODES_IN, to_lab), b"B2A1": _table(3, 4, _NODES_OUT, full)}
    tags |= {b"A2B0": tags[b"A2B1"], b"A2B2": tags[b"A2B1"]}
    tags[b"B2A0"] = _table(3, 4, _NODES_OUT, _separated(gentle))
    tags[b"B2A2"] = _table(3, 4, _NODES_OUT, _separated(lab_grid * [1.0, 1.15, 1.15]))
    tags[b"wtpt"] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in _paper()))
    tags[b"cprt"] = b"text\0\0\0\0Public domain\0"
    title = TITLE.encode() + b"\0"
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", len(title)) + title + b"\0" * 78
    return _profile(tags)


@cache
def press_file() -> Path:
    """Return the profile as a file in a temporary folder, which is deleted when the tests end."""
    folder = tempfile.TemporaryDirectory(prefix="press-")
    _FOLDERS.append(folder)
    path = Path(folder.name) / "press.icc"
    path.write_bytes(press_profile())
    return path


def printed(inks: Array) -> Array:
    """Return the XYZ (n, 3), unbounded, of printed inks (n, 4), each 0..1: the model itself, without tables."""
    areas = inks + 0.12 * 4 * inks * (1 - inks)
    total = np.zeros((len(inks), 3))
    for solid in product((0, 1), repeat=4):
        weight = np.prod(np.where(np.array(solid), areas, 1 - areas), axis=1)
        total += weight[:, None] * _solid(solid) ** (1 / _N)
    return np.asarray(total**_N)


def _solid(inks: tuple[int, ...]) -> Array:
    name = "".join(letter for letter, amount in zip("CMY", inks[:3], strict=True) if amount)
    colour = _paper() if not name else _xyz(_SOLIDS[name])
    return colour * (_xyz(_SOLIDS["K"]) / _paper() * 0.9 if inks[3] else 1.0)


def _paper() -> Array:
    return _xyz(PAPER_LAB)


def _xyz(lab: tuple[float, ...]) -> Array:
    middle = (lab[0] + 16) / 116
    roots = np.array([middle + lab[1] / 500, middle, middle - lab[2] / 200])
    return np.asarray(np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * 3 * (6 / 29) ** 2) * _D50)


def _lab(xyz: Array) -> Array:
    ratio = xyz / _D50
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def _coded(lab: Array) -> Array:
    """Return Lab as 16-bit codes of ICC version 2: 100 is 0xFF00."""
    return np.clip(np.stack([lab[:, 0] / 100 * 65280, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], axis=1), 0, 65535)


def _grid() -> Array:
    codes = np.array(list(product(np.linspace(0, 65535, _NODES_OUT), repeat=3)))
    return np.stack([codes[:, 0] / 652.8, codes[:, 1] / 256 - 128, codes[:, 2] / 256 - 128], axis=1)


def _with_black(cmy: Array) -> Array:
    """Return four inks: black starts where the three others overlap, without reducing them, so that much ink has to be limited."""
    black = np.clip((cmy.min(axis=1) - 0.25) / 0.75, 0, 1) ** 1.5
    return np.concatenate([cmy, black[:, None]], axis=1)


def _separated(lab: Array) -> Array:
    """Return the inks, as codes, that come nearest to ``lab`` (relative to the paper): damped Gauss-Newton on C, M and Y."""

    def printed_lab(cmy: Array) -> Array:
        return _lab(printed(_with_black(cmy)) / _paper() * _D50)

    cmy = np.full((len(lab), 3), 0.4)
    for _ in range(40):
        now = printed_lab(cmy)
        slope = np.stack([(printed_lab(np.clip(cmy + step, 0, 1.01)) - now) / 0.01 for step in np.eye(3) * 0.01], axis=2)
        normal = np.einsum("nki,nkj->nij", slope, slope) + np.eye(3) * 40
        wish = np.einsum("nki,nk->ni", slope, lab - now)
        cmy = np.clip(cmy + np.linalg.solve(normal, wish[..., None])[..., 0], 0, 1)
    return _with_black(cmy) * 65535


def _table(inputs: int, outputs: int, nodes: int, codes: Array) -> bytes:
    head = b"mft2\0\0\0\0" + bytes((inputs, outputs, nodes, 0)) + struct.pack(">9i", *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    straight = struct.pack(">HH", 0, 65535)
    return head + struct.pack(">HH", 2, 2) + straight * inputs + np.rint(codes).astype(">u2").tobytes() + straight * outputs


def _profile(tags: dict[bytes, bytes]) -> bytes:
    table, body, placed = b"", b"", dict[bytes, int]()
    for signature, block in tags.items():
        if block not in placed:
            placed[block] = 132 + 12 * len(tags) + len(body)
            body += block + b"\0" * (-len(block) % 4)
        table += struct.pack(">4sII", signature, placed[block], len(block))
    rest = struct.pack(">I", len(tags)) + table + body
    head = struct.pack(">I4sI4s4s4s6H4s", 128 + len(rest), b"\0" * 4, 0x02400000, b"prtr", b"CMYK", b"Lab ", 2020, 1, 1, 0, 0, 0, b"acsp")
    return (head + b"\0" * 28 + struct.pack(">3i", *(round(value * 65536) for value in _D50))).ljust(128, b"\0") + rest
