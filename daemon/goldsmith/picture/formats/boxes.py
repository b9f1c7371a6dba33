"""The boxes of ISO base media files (ISO/IEC 14496-12 and 23008-12), as far as AVIF and HEIC need looking into."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from goldsmith.picture.formats.facts import cut_short, damaged

_FULL = {b"meta": 4}
"""Boxes with children that begin behind a version and flags."""


class Box(NamedTuple):
    """kind, and where its content lies: data[start:end]; ``at`` is where its size stands."""

    kind: bytes
    at: int
    start: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes in data[start:end]; one that claims to reach beyond is cut at ``end``."""
    while start + 8 <= end:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield Box(kind, start, start + head, min(end, start + size))
        start += size


def found(data: bytes, *path: bytes) -> list[Box]:
    """Every box at that path of kinds from the file's top, e.g. ``found(data, b"meta", b"iprp", b"ipco", b"colr")``."""
    spans = [(0, len(data))]
    here: list[Box] = []
    for kind in path:
        here = [box for start, end in spans for box in boxes(data, start, end) if box.kind == kind]
        spans = [(box.start + _FULL.get(kind, 0), box.end) for box in here]
    return here


def check_whole(data: bytes, name: str) -> None:
    """Raise Incomplete where a top-level box, or a picture's data, reaches beyond the end of the file."""
    at, kinds = 0, set()
    while at < len(data):
        head = data[at : at + 16]
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size or len(data) - at
        if len(head) < 8 or at + size > len(data):
            raise cut_short(name, f"{len(data)} of at least {at + max(size, 16)} bytes are there")
        if size < 8:
            raise damaged(name, f"at byte {at} there is no box where one has to be")
        kinds.add(head[4:8])
        at += size
    if b"meta" not in kinds and b"moov" not in kinds:
        raise cut_short(name, "what says where its picture is has not arrived")
    if not kinds & {b"mdat", b"idat"} and not found(data, b"meta", b"idat"):
        raise cut_short(name, "its picture data has not arrived")


def colour_codes(data: bytes) -> tuple[int, int] | None:
    """Primaries and transfer (ITU-T H.273) of the first ``nclx`` colour box, or None."""
    for box in found(data, b"meta", b"iprp", b"ipco", b"colr"):
        if data[box.start : box.start + 4] == b"nclx" and box.end - box.start >= 8:
            codes = data[box.start + 4 : box.start + 8]
            return int.from_bytes(codes[:2], "big"), int.from_bytes(codes[2:], "big")
    return None
