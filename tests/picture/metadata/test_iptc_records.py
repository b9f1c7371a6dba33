"""IPTC-IIM is read to its first damage, and its texts are replaced in one encoding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from goldsmith.picture.metadata.iptc_records import (
    BY_LINE,
    CAPTION,
    CREDIT,
    KEYWORDS,
    DataSet,
    iptc_texts,
    read_iptc,
    with_texts,
    write_iptc,
)

LATIN = b"\x1c\x02\x50\x00\x07M\xfcller!" + b"\x1c\x02\x19\x00\x04desk" + b"\x1c\x02\x19\x00\x05linen"


def test_texts_are_read_in_their_encoding() -> None:
    """Without a declaration texts are Windows-1252, unless they are valid UTF-8."""
    assert iptc_texts(read_iptc(LATIN), BY_LINE) == ["Müller!"]
    assert iptc_texts(read_iptc(LATIN), KEYWORDS) == ["desk", "linen"]
    utf8 = "Müller".encode()
    assert iptc_texts(read_iptc(b"\x1c\x02\x50\x00" + bytes([len(utf8)]) + utf8), BY_LINE) == ["Müller"]


def test_a_new_text_makes_the_whole_block_utf_8() -> None:
    """The others keep their meaning, and Pillow reads the result."""
    result = with_texts(read_iptc(LATIN), {CREDIT: ["Stüdio €"]})
    assert result[0] == DataSet((1, 90), b"\x1b%G")
    assert iptc_texts(result, BY_LINE) == ["Müller!"]
    assert iptc_texts(result, CREDIT) == ["Stüdio €"]
    assert iptc_texts(read_iptc(write_iptc(result) or b""), KEYWORDS) == ["desk", "linen"]
    replaced = with_texts(result, {BY_LINE: ["Bea"], KEYWORDS: ["oak"]})
    assert (iptc_texts(replaced, BY_LINE), iptc_texts(replaced, KEYWORDS)) == (["Bea"], ["oak"])


def test_a_text_is_cut_between_letters() -> None:
    """By-line has 32 bytes; half a letter would be no text."""
    (cut,) = iptc_texts(with_texts([], {BY_LINE: ["ü" * 40]}), BY_LINE)
    assert cut == "ü" * 16


def test_a_long_caption_has_an_extended_length() -> None:
    """Data sets of 32 kB and more write their length in another way."""
    data = write_iptc([DataSet(CAPTION, b"x" * 40_000)])
    assert data is not None
    assert read_iptc(data) == [DataSet(CAPTION, b"x" * 40_000)]


def test_only_a_declared_encoding_is_no_block() -> None:
    """Encoding and version alone say nothing."""
    assert write_iptc([DataSet((1, 90), b"\x1b%G"), DataSet((2, 0), b"\0\4")]) is None


@given(st.binary(max_size=100))
def test_any_bytes_are_read(data: bytes) -> None:
    """What was read is written and read again."""
    data_sets = read_iptc(b"\x1c\x02\x05\x00\x01a" + data)
    assert read_iptc(write_iptc(data_sets) or b"") == data_sets
