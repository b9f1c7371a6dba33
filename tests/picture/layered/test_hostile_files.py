"""Files with layers that were made to do harm: each is one sentence, soon, and in little memory."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from doubles.layered_files import (
    LAYERED_FORMATS,
    Layer,
    LayeredFormat,
    gradient,
    make_file,
    make_kra,
    make_ora,
    make_psd,
    make_xcf,
    zip_bytes,
)
from goldsmith.errors import InputError
from goldsmith.picture.codec import decode_with_info

MAX_PIXELS = 300_000_000
MAX_ADDRESS_SPACE = 1536 << 20
# Of an archive's entry, unpacked: more than any list of layers may have.
BOMB_BYTES = 20_000_000
BASE = Layer("base", gradient())


def huge_canvas_psd() -> bytes:
    data = bytearray(make_psd([BASE]))
    data[14:22] = struct.pack(">2I", 300_000, 300_000)
    return bytes(data)


def layers_of_two_thousand_million_px() -> bytes:
    """Return a document with a layer as wide as an integer allows."""
    data = bytearray(make_psd([BASE]))
    record = data.index(struct.pack(">4i", 0, 0, 16, 24))
    data[record : record + 16] = struct.pack(">4i", -2_000_000_000, -2_000_000_000, 2_000_000_000, 2_000_000_000)
    return bytes(data)


def stack_bomb() -> bytes:
    """Return a list of layers whose entities grow tenfold with each line."""
    lines = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 9))
    return f'<!DOCTYPE l [<!ENTITY a0 "aaaaaaaaaa">{lines}]><image w="1" h="1"><stack name="&a8;"/></image>'.encode()


def nested_ora(depth: int) -> bytes:
    return make_ora(
        [BASE], gradient(), changes={"stack.xml": b'<image w="24" h="16">' + b"<stack>" * depth + b"</stack>" * depth + b"</image>"}
    )


def bomb(kind: str, entry: str) -> bytes:
    """Return an archive with an entry of zeros."""
    maker = make_ora if kind == "ora" else make_kra
    return maker([BASE], gradient(), changes={entry: bytes(BOMB_BYTES)})


def lying_size(kind: str, entry: str) -> bytes:
    """Return an archive with the same entry, which announces ten bytes."""
    data = bytearray(bomb(kind, entry))
    size = struct.pack("<I", BOMB_BYTES)
    at = data.find(size)
    while at >= 0:
        data[at : at + 4] = struct.pack("<I", 10)
        at = data.find(size, at + 1)
    return bytes(data)


def many_entries() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", b"image/openraster")
        for number in range(21_000):
            archive.writestr(zipfile.ZipInfo(f"{number}"), b"")
    return out.getvalue()


def xcf_with_groups(depth: int) -> bytes:
    paths = {f"group {number}": struct.pack(f">2I{number + 1}I", 30, 4 * (number + 1), *[0] * (number + 1)) for number in range(depth)}
    layers = [Layer(name, np.zeros((1, 1, 4), np.uint8)) for name in paths]
    return make_xcf([BASE, *reversed(layers)], groups=dict.fromkeys(paths, ()), properties=paths)


def endless_properties() -> bytes:
    data = make_xcf([BASE])
    return data[:30] + struct.pack(">3I", 20, 4, 5) * 100_000


def xmp_of_100_mb() -> bytes:
    return make_psd([BASE], resources={1060: b"<x>" + b" " * 100_000_000 + b"</x>"})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "psd, canvas of 300,000 px": (huge_canvas_psd, "the limit is 300 MP"),
    "psd, layer of 4,000 million px": (layers_of_two_thousand_million_px, "has layers of together"),
    "psd, XMP of 100 MB": (xmp_of_100_mb, "The XMP block in hero has 95 MiB; the limit is 32 MiB"),
    "ora, entities": (lambda: make_ora([BASE], gradient(), changes={"stack.xml": stack_bomb()}), "defines entities"),
    "ora, 400 groups": (lambda: nested_ora(400), "more than 256 elements inside each other"),
    "ora, 100 groups": (lambda: nested_ora(100), "more than 64 groups inside each other"),
    "ora, list of 20 MB": (lambda: bomb("ora", "stack.xml"), "has 19 MiB unpacked; the limit is 8 MiB"),
    "ora, list that lies about its size": (lambda: lying_size("ora", "stack.xml"), "is damaged"),
    "ora, 21,000 entries": (many_entries, "has 21,001 parts"),
    "kra, list of 20 MB": (lambda: bomb("kra", "maindoc.xml"), "has 19 MiB unpacked; the limit is 16 MiB"),
    "xcf, 400 groups": (lambda: xcf_with_groups(400), "more than 64 groups inside each other"),
    "xcf, properties without an end": (endless_properties, "the list of its properties does not end"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_sentence(name: str) -> None:
    """It says what is wrong, and what to do."""
    make, words = HOSTILE[name]
    with pytest.raises(InputError) as refused:
        decode_with_info(make(), "hero", MAX_PIXELS)
    assert words in refused.value.sentence
    assert len(refused.value.sentence) < 400
    assert refused.value.remedy


def test_groups_inside_each_other_are_counted_in_a_photoshop_document() -> None:
    """Its records are one flat list, so nothing recurses."""
    ends = [Layer("</Layer group>", gradient(0, 0))] * 400
    data = make_psd([*ends, BASE, *[Layer("group", gradient(0, 0))] * 400], gradient(), kinds={"</Layer group>": 3, "group": 1})
    with pytest.raises(InputError, match="more than 64 groups inside each other"):
        decode_with_info(data, "hero", MAX_PIXELS)


@pytest.mark.parametrize("kind", LAYERED_FORMATS)
@pytest.mark.parametrize("place", [(2_000_000_000, -2_000_000_000), (-2_000_000_000, 2_000_000_000)])
def test_a_layer_far_outside_the_canvas_changes_nothing(kind: LayeredFormat, place: tuple[int, int]) -> None:
    """Its pixels are nowhere."""
    far = Layer("far", gradient(8, 8, 4), *place)
    picture, _ = decode_with_info(make_file(kind, [BASE, far, Layer("mask", gradient())]), "hero", MAX_PIXELS)
    assert np.array_equal(picture.to_codes(), BASE.codes)


def test_an_entry_that_climbs_out_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is unpacked to the disk at all; the entry is only missing under a plain name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.chdir(tmp_path / "a" / "b")
    entries = {"../../escape.png": b"x", "/tmp/escape.png": b"x"}
    decode_with_info(make_ora([BASE], gradient(), changes=entries), "hero", MAX_PIXELS)
    stack = b'<image w="24" h="16"><stack><layer name="mask" src="../../escape.png"/></stack></image>'
    with pytest.raises(InputError, match=r"is no PNG|is missing"):
        decode_with_info(make_ora([BASE], gradient(), changes={**entries, "stack.xml": stack}), "hero", MAX_PIXELS)
    assert [path.name for path in sorted(tmp_path.rglob("*"))] == ["a", "b"]


def test_an_encrypted_archive_is_refused() -> None:
    """There is nobody to ask for a password."""
    data = bytearray(zip_bytes({"mimetype": b"image/openraster", "stack.xml": b"<image/>"}))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.rindex(signature)
        data[at + offset] |= 1
    with pytest.raises(InputError, match="hero is encrypted"):
        decode_with_info(bytes(data), "hero", MAX_PIXELS)


@pytest.mark.soak
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_needs_little_memory_and_time(name: str, tmp_path: Path) -> None:
    """At most 1.5 GiB of addresses and ten seconds, in a process of its own."""
    (tmp_path / "hostile").write_bytes(HOSTILE[name][0]())
    code = (
        "import sys, time\nfrom goldsmith.errors import InputError\nfrom goldsmith.picture.codec import decode_with_info\n"
        "started = time.process_time()\n"
        "try:\n    decode_with_info(open(sys.argv[1], 'rb').read(), 'hero', 300_000_000)\n"
        "except InputError as refused:\n    print(refused.sentence)\n"
        "assert time.process_time() - started < 10\n"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (MAX_ADDRESS_SPACE, MAX_ADDRESS_SPACE))  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "hostile")],
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert HOSTILE[name][1] in done.stdout
