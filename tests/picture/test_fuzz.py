"""Damaged files are decoded or refused with a message; a decoder's own exception never gets out."""

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


def damage(data: bytes, random_source: random.Random) -> bytes:
    """Return the file cut off, with flipped, missing or additional bytes, or with zeros in its second half."""
    result, kind, position = bytearray(data), random_source.random(), random_source.randrange(len(data))
    if kind < 0.25:
        return bytes(result[:position])
    if kind < 0.75:
        for _ in range(random_source.choice((1, 1, 2, 5, 20))):
            result[random_source.randrange(len(result))] = random_source.randrange(256)
    elif kind < 0.85:
        del result[position : position + random_source.randrange(1, 40)]
    elif kind < 0.95:
        result[position:position] = random_source.randbytes(random_source.randrange(1, 20))
    else:
        result[position:] = bytes(len(result) - position)
    return bytes(result)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp", "avif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_damaged_files_are_refused_or_decoded(kind: Any, depth: int, photo: Any, make_picture: Any) -> None:
    """Sixty seeded kinds of damage are tried for each format."""
    codes = photo if depth == 8 else photo.astype(np.uint16) * 257
    alpha = None if kind == "jpeg" else codes[:, :, 0]
    picture = make_picture(
        codes, alpha, profiles.builtin_profile("adobe-rgb"), (300, 300), Metadata(xmp=b"<x:xmpmeta/>", iptc=b"\x1c\x02\x05\0\x01a")
    )
    name, intact, random_source = f"a{FORMATS[kind].suffix}", encode(picture, EncodingOptions(kind)), random.Random(f"{kind} {depth}")
    sentences = []
    for _ in range(ROUNDS):
        data = damage(intact, random_source)
        for function in (verify, decode):
            try:
                function(data, name, LIMIT)
            except InputError as problem:
                sentences.append(problem.sentence)
    assert len(sentences) > ROUNDS // 4
    assert all(name in sentence for sentence in sentences)
