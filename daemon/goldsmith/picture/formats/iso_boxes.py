"""Read the boxes of ISO base media files (ISO/IEC 14496-12 and 23008-12), as far as AVIF and HEIC need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from goldsmith.picture.formats.image_info import damaged_error, describe_arrival, truncated_error

# Top-level boxes: a picture has about five, an animation in fragments one or two for each frame.
_MAX_BOXES = 10_000
# Of the box with a C2PA manifest store (C2PA 2.1, A.5.1).
_PROVENANCE_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
# Boxes whose children begin after a version and flags.
_FULL_BOX_HEADERS = {b"meta": 4}


# With these, the boxes of a still picture are all there.
_BOXES_OF_A_PICTURE = {b"ftyp", b"meta", b"mdat"}
# What may follow them (ISO/IEC 14496-12, table 1; C2PA; the films in the photos of phones).
_TOP_LEVEL_KINDS = {
    *(b"ftyp", b"meta", b"mdat", b"moov", b"moof", b"mfra", b"free", b"skip", b"wide", b"uuid", b"pdin", b"meco", b"styp", b"sidx"),
    *(b"ssix", b"prft", b"emsg", b"jumb", b"mpvd", b"sefd"),
}


class IsoBox(NamedTuple):
    """The kind of a box and its content, data[content_start:content_end]; ``box_start`` is the position of its size field."""

    kind: bytes
    box_start: int
    content_start: int
    content_end: int


def iter_boxes(data: bytes, start: int, end: int) -> Iterator[IsoBox]:
    """Yield the boxes in data[start:end]; one that claims to extend further is clipped at ``end``."""
    while start + 8 <= end:
        size, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif size == 0:
            size = end - start
        if size < head:
            return
        yield IsoBox(kind, start, start + head, min(end, start + size))
        start += size


def find_boxes(data: bytes, *path: bytes) -> list[IsoBox]:
    """Return every box at that path of kinds, e.g. ``find_boxes(data, b"meta", b"iprp", b"ipco", b"colr")``."""
    spans = [(0, len(data))]
    boxes: list[IsoBox] = []
    for kind in path:
        boxes = [box for start, end in spans for box in iter_boxes(data, start, end) if box.kind == kind]
        spans = [(box.content_start + _FULL_BOX_HEADERS.get(kind, 0), box.content_end) for box in boxes]
    return boxes


def check_complete(data: bytes, name: str) -> None:
    """Raise IncompleteFileError if a top-level box, or a picture's data, extends beyond the end of the file.

    Other bytes behind the boxes of a picture are none of the picture's.
    """
    offset, box_count, kinds = 0, 0, set[bytes]()
    while offset < len(data):
        box_count += 1
        if box_count > _MAX_BOXES:
            raise damaged_error(name, f"it has more than {_MAX_BOXES:,} parts")
        head = data[offset : offset + 16]
        if kinds >= _BOXES_OF_A_PICTURE and not _is_box(head):
            break
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size or len(data) - offset
        if len(head) < 8 or offset + size > len(data):
            raise truncated_error(name, describe_arrival(len(data), offset + max(size, 16)))
        if size < 8:
            raise damaged_error(name, f"a part of it is missing or was changed (at byte {offset:,})")
        kinds.add(head[4:8])
        offset += size
    if b"meta" not in kinds and b"moov" not in kinds:
        raise truncated_error(name, "its header has not arrived")
    if not kinds & {b"mdat", b"idat"} and not find_boxes(data, b"meta", b"idat"):
        raise truncated_error(name, "its picture has not arrived")


def has_provenance(data: bytes) -> bool:
    """Return whether the file carries a C2PA manifest store."""
    return any(data.startswith(_PROVENANCE_UUID, box.content_start) for box in find_boxes(data, b"uuid"))


def _is_box(head: bytes) -> bool:
    """Return whether a box of a known kind begins with these bytes."""
    return head[4:8] in _TOP_LEVEL_KINDS


def read_cicp(data: bytes) -> tuple[int, int] | None:
    """Return the primaries and the transfer function (ITU-T H.273) in the ``nclx`` colour box of the primary picture, or None.

    A gain map or a preview in the same file has a colour box of its own. If no box is assigned to the primary picture, the first counts.
    """
    properties = [
        box for ipco in find_boxes(data, b"meta", b"iprp", b"ipco") for box in iter_boxes(data, ipco.content_start, ipco.content_end)
    ]
    assigned = _primary_properties(data)
    own = [box for number, box in enumerate(properties, 1) if number in assigned and box.kind == b"colr"]
    for box in own or [box for box in properties if box.kind == b"colr"]:
        if data[box.content_start : box.content_start + 4] == b"nclx" and box.content_end - box.content_start >= 8:
            codes = data[box.content_start + 4 : box.content_start + 8]
            return int.from_bytes(codes[:2], "big"), int.from_bytes(codes[2:], "big")
    return None


def _primary_properties(data: bytes) -> set[int]:
    """Return the numbers, from 1, of the properties of the primary picture: ``pitm`` and ``ipma`` (ISO/IEC 23008-12, 9.3.1)."""
    for box in find_boxes(data, b"meta", b"pitm"):
        block = data[box.content_start : box.content_end]
        primary = int.from_bytes(block[4 : 6 if block[:1] == b"\0" else 8], "big")
        for ipma in find_boxes(data, b"meta", b"iprp", b"ipma"):
            numbers = _assigned_properties(data[ipma.content_start : ipma.content_end], primary)
            if numbers:
                return numbers
    return set()


def _assigned_properties(ipma: bytes, item: int) -> set[int]:
    """Return the numbers of the properties that an ``ipma`` box assigns to an item."""
    id_size, number_size = 2 if ipma[:1] == b"\0" else 4, 2 if ipma[3:4] and ipma[3] & 1 else 1
    offset = 8
    for _ in range(min(int.from_bytes(ipma[4:8], "big"), len(ipma))):
        start = offset + id_size + 1
        end = start + number_size * int.from_bytes(ipma[start - 1 : start], "big")
        if start > len(ipma):
            break
        if int.from_bytes(ipma[offset : offset + id_size], "big") == item:
            mask = (1 << (8 * number_size - 1)) - 1  # the highest bit says that a reader must know the property
            return {int.from_bytes(ipma[at : at + number_size], "big") & mask for at in range(start, end, number_size)}
        offset = end
    return set()
