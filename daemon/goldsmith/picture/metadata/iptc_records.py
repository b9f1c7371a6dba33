"""IPTC-IIM as a list of data sets (IPTC Information Interchange Model 4.2): read them with limits, change them, and write them."""

from __future__ import annotations

from typing import NamedTuple

OBJECT_NAME, KEYWORDS, BY_LINE, HEADLINE, CREDIT, SOURCE = (2, 5), (2, 25), (2, 80), (2, 105), (2, 110), (2, 115)
COPYRIGHT_NOTICE, CAPTION = (2, 116), (2, 120)
_CODED_CHARACTER_SET = (1, 90)
# ISO 2022's escape sequence for UTF-8.
_UTF8 = b"\x1b%G"
_MARKER, _EXTENDED_LENGTH = 0x1C, 0x8000
_MAX_DATA_SETS = 10_000
# The most bytes of a text by its data set; the rest of a longer one is only in XMP.
_MAX_BYTES = {OBJECT_NAME: 64, KEYWORDS: 64, BY_LINE: 32, HEADLINE: 256, CREDIT: 32, SOURCE: 32, COPYRIGHT_NOTICE: 128, CAPTION: 2000}


class DataSet(NamedTuple):
    """One data set: the number of its record and its own, and its bytes."""

    key: tuple[int, int]
    value: bytes


def read_iptc(data: bytes) -> list[DataSet]:
    """Return the data sets in order; those behind a damaged one are left out."""
    result: list[DataSet] = []
    offset = 0
    while offset + 5 <= len(data) and data[offset] == _MARKER and len(result) < _MAX_DATA_SETS:
        size, start = int.from_bytes(data[offset + 3 : offset + 5], "big"), offset + 5
        if size & _EXTENDED_LENGTH:
            width = size & 0x7FFF
            size, start = int.from_bytes(data[start : start + width], "big") if width <= 4 else len(data), start + width
        if start + size > len(data):
            break
        result.append(DataSet((data[offset + 1], data[offset + 2]), data[start : start + size]))
        offset = start + size
    return result


def write_iptc(data_sets: list[DataSet]) -> bytes | None:
    """Return the data sets as bytes; None if there are none but those that describe the encoding."""
    if not any(data_set.key[0] >= 2 and data_set.key != (2, 0) for data_set in data_sets):
        return None
    result = bytearray()
    for (record, number), value in data_sets:
        size = len(value).to_bytes(2, "big") if len(value) < _EXTENDED_LENGTH else b"\x80\x04" + len(value).to_bytes(4, "big")
        result += bytes((_MARKER, record, number)) + size + value
    return bytes(result)


def iptc_texts(data_sets: list[DataSet], key: tuple[int, int]) -> list[str]:
    """Return the texts of every data set with that key."""
    is_utf8 = _is_utf8(data_sets)
    return [text for data_set in data_sets if data_set.key == key and (text := _decode(data_set.value, is_utf8))]


def with_texts(data_sets: list[DataSet], texts: dict[tuple[int, int], list[str]]) -> list[DataSet]:
    """Return the data sets with these texts in place of those with the same keys, all in UTF-8; a text that is too long is cut."""
    if not _is_utf8(data_sets):
        data_sets = [_to_utf8(data_set) for data_set in data_sets if data_set.key != _CODED_CHARACTER_SET]
        data_sets = [DataSet(_CODED_CHARACTER_SET, _UTF8), *data_sets]
    kept = [data_set for data_set in data_sets if data_set.key not in texts]
    added = [DataSet(key, _encode(text, _MAX_BYTES[key])) for key, values in texts.items() for text in values]
    return sorted([*kept, *added], key=lambda data_set: data_set.key)


def _is_utf8(data_sets: list[DataSet]) -> bool:
    return any(data_set == (_CODED_CHARACTER_SET, _UTF8) for data_set in data_sets)


def _decode(value: bytes, is_utf8: bool) -> str:
    """Return the text; without a declaration it is Windows-1252, as the Metadata Working Group's guidelines 2.0 ask, unless it is UTF-8."""
    try:
        return value.decode("utf-8").strip("\0 ")
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "cp1252", "replace").strip("\0 ")


def _to_utf8(data_set: DataSet) -> DataSet:
    """Return the data set in UTF-8. Record 1 and numbers are no text."""
    is_text = data_set.key[0] == 2 and data_set.key not in _BINARY_DATA_SETS
    return data_set._replace(value=_decode(data_set.value, is_utf8=False).encode()) if is_text else data_set


# Record version, ARM identifier and version, and the preview (numbers 200 to 202).
_BINARY_DATA_SETS = {(2, 0), (1, 120), (1, 122), (2, 200), (2, 201), (2, 202)}


def _encode(text: str, max_bytes: int) -> bytes:
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore").encode()
