"""ICC profiles that no built-in one stands for: tables, Lab as the connection space, classes that do not belong on a picture, damage."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from goldsmith.picture import profiles

Float64Array = NDArray[np.float64]

_D50 = np.array(profiles.D50_WHITE)
# The gamma of Adobe RGB (1998), 4.3.4.2.
ADOBE_GAMMA = 563 / 256


def profile(space: bytes, pcs: bytes, tags: dict[bytes, bytes], *, device_class: bytes = b"mntr", name: str = "test profile") -> bytes:
    """Return an ICC profile of version 2.4 with these tags, and a description, a copyright and a white point (ICC.1:2001-04, 6)."""
    text = name.encode()
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in profiles.D50_WHITE))
    blocks = {b"desc": described, b"cprt": b"text\0\0\0\0none\0", b"wtpt": white, **tags}
    offset, table, body = 132 + 12 * len(blocks), b"", b""
    for signature, block in blocks.items():
        table += struct.pack(">4sII", signature, offset + len(body), len(block))
        body += block + b"\0" * (-len(block) % 4)
    size = offset + len(body)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"\0" * 4, 0x02400000, device_class, space, pcs, struct.pack(">6H", 2026, 1, 1, 0, 0, 0), b"acsp"
    )
    head = (head + bytes(28) + white[8:]).ljust(128, b"\0")
    return head + struct.pack(">I", len(blocks)) + table + body


def gamma_tag(gamma: float) -> bytes:
    """Return a curve of that gamma."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_tag(inputs: int, outputs: int, grid: int, nodes: Float64Array) -> bytes:
    """Return a table of 16 bits (lut16Type) with straight curves. ``nodes``: (grid ** inputs, outputs), 0..1, the last input fastest."""
    matrix = struct.pack(">9i", *(65536 if at % 4 == 0 else 0 for at in range(9)))
    straight = struct.pack(">2H", 0, 65535)
    codes = np.rint(np.clip(nodes, 0, 1) * 65535).astype(">u2").tobytes()
    return (
        b"mft2\0\0\0\0"
        + struct.pack(">4B", inputs, outputs, grid, 0)
        + matrix
        + struct.pack(">2H", 2, 2)
        + straight * inputs
        + codes
        + straight * outputs
    )


def encode_lab(lab: Float64Array) -> Float64Array:
    """Return Lab (n, 3) as the legacy codes of 16 bits, 0..1 (ICC.1:2001-04, A.2: L 100 is 0xFF00, a and b 0 are 0x8000)."""
    return (lab * [652.8, 256, 256] + [0, 32768, 32768]) / 65535


def decode_lab(codes: Float64Array) -> Float64Array:
    """Return the inverse of ``encode_lab``."""
    return (codes * 65535 - [0, 32768, 32768]) / [652.8, 256, 256]


def xyz_to_lab(xyz: Float64Array) -> Float64Array:
    """Return XYZ at D50 (n, 3) as CIE Lab (CIE 15:2018)."""
    ratio = xyz / _D50
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def lab_to_xyz(lab: Float64Array) -> Float64Array:
    """Return the inverse of ``xyz_to_lab``."""
    fy = (lab[:, 0] + 16) / 116
    f = np.stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200], axis=1)
    return np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * _D50


def _grid_nodes(size: int) -> Float64Array:
    levels = np.linspace(0, 1, size)
    return np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)


def rgb_table_profile(
    space: str = "adobe-rgb",
    *,
    has_inverse: bool = True,
    device_class: bytes = b"mntr",
    name: str = "wide table",
    gamma: float = ADOBE_GAMMA,
) -> bytes:
    """Return a profile made of tables alone, with the primaries of a built-in space and a gamma."""
    colorants = profiles.builtin_colorants(space)
    tags = {b"A2B0": table_tag(3, 3, 17, encode_lab(xyz_to_lab(_grid_nodes(17) ** gamma @ colorants.T)))}
    if has_inverse:
        light = lab_to_xyz(decode_lab(_grid_nodes(33))) @ np.linalg.inv(colorants).T
        tags[b"B2A0"] = table_tag(3, 3, 33, np.clip(light, 0, 1) ** (1 / gamma))
    return profile(b"RGB ", b"Lab ", tags, device_class=device_class, name=name)


def grey_lab_profile(curve: bytes = gamma_tag(1.0)) -> bytes:
    """Return a grey profile whose curve gives the lightness L* / 100: the connection space is Lab."""
    return profile(b"GRAY", b"Lab ", {b"kTRC": curve}, name="grey lightness")


def grey_table_profile(
    lightness: Callable[[Float64Array], Float64Array] = lambda value: 100 * value, *, device_class: bytes = b"mntr", steps: int = 33
) -> bytes:
    """Return a grey profile made of a table from values 0..1 to L*."""
    values = lightness(np.linspace(0, 1, steps))
    lab = np.stack([values, np.zeros(steps), np.zeros(steps)], axis=1)
    return profile(b"GRAY", b"Lab ", {b"A2B0": table_tag(1, 3, steps, encode_lab(lab))}, device_class=device_class, name="grey table")


def with_class(icc: bytes, device_class: bytes) -> bytes:
    """Return the profile with another class, such as ``scnr`` or ``link``."""
    return icc[:12] + device_class + icc[16:]
