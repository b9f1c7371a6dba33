"""One fuzz target for every reader: a damaged file is a right picture or one sentence; no other exception gets out, and memory is bounded.

The readers come from the table. The short runs have seeds; `make soak` runs each reader for long, in a process with a limit on its memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from doubles.format_samples import READ, format_samples, reading_of
from doubles.layered_files import zip_bytes
from goldsmith.errors import InputError
from goldsmith.picture.codec import ReadingOptions, decode_layers, decode_with_info, open_parts, verify
from goldsmith.picture.formats.image_info import ImageInfo
from goldsmith.picture.formats.table import FORMATS_WITH_LAYERS
from goldsmith.picture.picture import Picture

# The samples have 24 x 16 pixels; a header that announces more than this is refused before memory is allocated.
MAX_PIXELS = 100_000
ROUNDS = 250
SOAK_ROUNDS = 40_000
# Bytes of address space for a long run: a decoder that believes a false size does not get it.
_MAX_ADDRESS_SPACE = 4 << 30
# Values that sizes, counts and offsets are set to.
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
# How many damaged files have right checksums, of the formats that have some.
_REPAIRED_SHARE = 0.7
# Letters of a sentence that a person can still read.
_MAX_SENTENCE = 400


def damage(data: bytes, others: tuple[bytes, ...], source: random.Random) -> bytes:
    """Return the file with one to three kinds of damage: cut, changed, moved, repeated, emptied or mixed with another file."""
    result = bytearray(data)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        _damage_once(result, others, source)
    return bytes(result)


def _damage_once(result: bytearray, others: tuple[bytes, ...], source: random.Random) -> None:
    if not result:
        return
    kind, at = source.randrange(10), source.randrange(len(result))
    # The headers are short beside the pixels, and most of what a reader decides is in them.
    near = min(at, source.choice((64, 256, len(result) - 1)))
    if kind == 0:
        del result[at:]
    elif kind in (1, 2):
        for _ in range(source.choice((1, 1, 2, 5, 20))):
            result[source.randrange(len(result))] = source.randrange(256)
    elif kind in (3, 4):
        size = source.choice((1, 2, 4))
        value = source.choice(_EXTREMES) & (256**size - 1)
        result[near : near + size] = value.to_bytes(size, source.choice(("big", "little")))
    elif kind == 5:
        del result[near : near + source.randrange(1, 40)]
    elif kind == 6:
        result[near:near] = source.randbytes(source.randrange(1, 20))
    elif kind == 7:
        result[at:] = bytes(len(result) - at)
    elif kind == 8:
        result[near:near] = result[at : at + source.randrange(1, 200)]
    else:
        other = source.choice(others)
        result[at:] = other[source.randrange(len(other)) :]


def repair_png(data: bytes) -> bytes:
    """Return a PNG with right checksums, so that damage gets behind them."""
    result, at = bytearray(data), 8
    while at + 12 <= len(result):
        end = at + 8 + int.from_bytes(result[at : at + 4], "big")
        if end + 4 > len(result):
            break
        result[end : end + 4] = zlib.crc32(result[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(result)


def repair_zip(data: bytes) -> bytes:
    """Return an archive with the checksums of what is in it, as far as its list of entries can be read; PNG files in it are repaired."""
    entries: dict[str, bytes] = {}
    try:
        for entry in zipfile.ZipFile(io.BytesIO(data)).infolist():
            start = entry.header_offset + 30 + sum(struct.unpack_from("<2H", data, entry.header_offset + 26))
            packed = data[start : start + entry.compress_size]
            content = zlib.decompressobj(-15).decompress(packed, 1 << 20) if entry.compress_type else packed
            entries[entry.filename] = repair_png(content) if entry.filename.endswith(".png") else content
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, NotImplementedError):
        return data
    return zip_bytes(entries)


# What makes damage pass for intact, for formats with checksums.
_REPAIRS: dict[str, Callable[[bytes], bytes]] = {"png": repair_png, "ora": repair_zip, "kra": repair_zip}


def check_outcome(data: bytes, name: str, reading: ReadingOptions) -> str:
    """Read a file in both ways, and return the sentence if it is refused; "" if it is a picture."""
    with contextlib.suppress(InputError):
        verify(data, name, MAX_PIXELS, reading)
    try:
        picture, info = decode_with_info(data, name, MAX_PIXELS, reading=reading)
    except InputError as refused:
        problem = refused
    else:
        _check_picture(picture, info)
        if info.format in FORMATS_WITH_LAYERS:
            with contextlib.suppress(InputError):
                _check_layers(data, name)
        return ""
    assert name in problem.sentence, problem.sentence
    assert len(problem.sentence) <= _MAX_SENTENCE
    assert problem.remedy
    return problem.sentence


def _check_layers(data: bytes, name: str) -> None:
    """Read everything else of a file with layers."""
    for part in open_parts(data, name, MAX_PIXELS):
        assert part.decode().pixels.size
    for layer in decode_layers(data, name, MAX_PIXELS, 1 << 24).layers:
        assert layer.pixels.shape[:2] == (max(layer.box.height, 0), max(layer.box.width, 0))


def _check_picture(picture: Picture, info: ImageInfo) -> None:
    assert (picture.height, picture.width) == (info.height, info.width)
    assert picture.height * picture.width <= MAX_PIXELS
    assert picture.channels in (1, 3)
    for plane in (picture.pixels, picture.alpha):
        if plane is not None:
            assert plane.dtype == np.float32
            assert plane.shape[:2] == (info.height, info.width)
            assert np.isfinite(plane).all()
            assert 0 <= plane.min() <= plane.max() <= 1
    assert all(note and note.isprintable() for note in info.notes)


def fuzz(name: str, rounds: int, seed: int = 0) -> dict[str, int]:
    """Damage the samples of a format ``rounds`` times, and return how often each outcome came. A failure names its round."""
    samples = format_samples(name)
    outcomes = {"picture": 0, "refused": 0}
    for number in range(rounds):
        source = random.Random(f"{name} {seed} {number}")
        data = damage(source.choice(samples), samples, source)
        if name in _REPAIRS and source.random() < _REPAIRED_SHARE:
            data = _REPAIRS[name](data)
        try:
            sentence = check_outcome(data, "hero.bin", reading_of(name))
        except BaseException as fault:
            fault.add_note(f"{name}, seed {seed}, round {number}, {len(data)} bytes: {data[:2000].hex()}")
            raise
        outcomes["refused" if sentence else "picture"] += 1
    return outcomes


@pytest.mark.parametrize("name", READ)
def test_damaged_files_are_refused_or_decoded(name: str) -> None:
    """Some damage leaves a picture, and most does not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcomes = fuzz(name, ROUNDS)
    assert outcomes["picture"] > 0
    assert outcomes["refused"] > ROUNDS // 4


@pytest.mark.soak
@pytest.mark.parametrize("name", READ)
def test_damaged_files_end_no_process_and_need_no_memory(name: str) -> None:
    """A process of its own decodes them, with a limit on its memory: a decoder that crashes in C ends it."""
    seed = int.from_bytes(os.urandom(4), "big")
    command = [sys.executable, "-W", "ignore", __file__, name, str(SOAK_ROUNDS), str(seed)]
    tests = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tests)}, check=False)
    assert done.returncode == 0, f"{name}, seed {seed}: {done.returncode}\n{done.stderr[-6000:]}"
    outcomes = json.loads(done.stdout)
    assert outcomes["picture"] + outcomes["refused"] == SOAK_ROUNDS


if __name__ == "__main__":
    import faulthandler
    import resource

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
    json.dump(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.stdout)
