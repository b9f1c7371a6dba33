"""Whatever is done to a file's bytes, it decodes or is refused in words: no decoder's own exception comes through."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from goldsmith.errors import InputError
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode, encode, verify
from goldsmith.picture.formats.table import FORMATS
from goldsmith.picture.picture import Metadata

LIMIT = 1_000_000
ROUNDS = 60


def broken(data: bytes, dice: random.Random) -> bytes:
    """The file cut, flipped, with bytes missing or too many, or half of it zeros."""
    made, kind, at = bytearray(data), dice.random(), dice.randrange(len(data))
    if kind < 0.25:
        return bytes(made[:at])
    if kind < 0.75:
        for _ in range(dice.choice((1, 1, 2, 5, 20))):
            made[dice.randrange(len(made))] = dice.randrange(256)
    elif kind < 0.85:
        del made[at : at + dice.randrange(1, 40)]
    elif kind < 0.95:
        made[at:at] = dice.randbytes(dice.randrange(1, 20))
    else:
        made[at:] = bytes(len(made) - at)
    return bytes(made)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "avif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_broken_files_are_refused_or_decoded(kind: Any, depth: int, photo: Any, make_picture: Any) -> None:
    """Sixty seeded ways to break each kind of file."""
    codes = photo if depth == 8 else photo.astype(np.uint16) * 257
    alpha = None if kind == "jpeg" else codes[:, :, 0]
    picture = make_picture(
        codes, alpha, profiles.builtin_profile("adobe-rgb"), (300, 300), Metadata(xmp=b"<x:xmpmeta/>", iptc=b"\x1c\x02\x05\0\x01a")
    )
    name, whole, dice = f"a{FORMATS[kind].suffix}", encode(picture, EncodingOptions(kind)), random.Random(f"{kind} {depth}")
    sentences = []
    for _ in range(ROUNDS):
        data = broken(whole, dice)
        for read in (verify, decode):
            try:
                read(data, name, LIMIT)
            except InputError as problem:
                sentences.append(problem.sentence)
    assert len(sentences) > ROUNDS // 4
    assert all(name in sentence for sentence in sentences)
