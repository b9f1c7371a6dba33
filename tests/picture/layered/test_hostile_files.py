"""Files with layers that were made to do harm: each is one sentence, soon, and in little memory."""

from __future__ import annotations

import io
import os
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
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
from goldsmith.picture.layered.composing import GroupJoin, LayerSource, measure_composing
from goldsmith.picture.layered.layered_file import FileLayer, LayerBox, LayerGroup
from goldsmith.picture.layered.psd_planes import PsdFile, read_merged_channel
from goldsmith.picture.layered.xml_tree import parse_xml

MAX_PIXELS = 300_000_000
MAX_ADDRESS_SPACE = 1536 << 20
# Of an archive's entry, unpacked: more than any list of layers may have.
BOMB_BYTES = 20_000_000
BASE, DEEP = Layer("base", gradient()), Layer("base", gradient(depth=16))


def huge_canvas_psd() -> bytes:
    data = bytearray(make_psd([BASE]))
    data[14:22] = struct.pack(">2I", 300_000, 300_000)
    return bytes(data)


def huge_canvas_xcf() -> bytes:
    data = bytearray(make_xcf([BASE]))
    data[14:22] = struct.pack(">2I", 300_000, 300_000)
    return bytes(data)


def huge_canvas_ora() -> bytes:
    stack = b'<image w="300000" h="300000"><stack><layer src="data/0.png"/></stack></image>'
    return make_ora([BASE], None, changes={"stack.xml": stack})


def kra_with_list(image: str, layers: str = "") -> bytes:
    """Return a document without a merged picture whose list has this size and these layers."""
    return make_kra([BASE], None, changes={"maindoc.xml": f"<DOC><IMAGE name='Unnamed' {image}>{layers}</IMAGE></DOC>".encode()})


def nested_kra(depth: int) -> bytes:
    start, end = "<layers><layer nodetype='grouplayer' name='g' visible='1'>", "</layer></layers>"
    return kra_with_list("width='24' height='16' colorspacename='RGBA'", start * depth + end * depth)


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


def large_layer_psd() -> bytes:
    """Return a document with a layer that is larger than any picture may be."""
    data = bytearray(make_psd([BASE]))
    record = data.index(struct.pack(">4i", 0, 0, 16, 24))
    data[record : record + 16] = struct.pack(">4i", 0, 0, 20_000, 20_000)
    return bytes(data)


def large_masks_psd() -> bytes:
    """Return a document whose layers are small and whose masks are not."""
    layers = [Layer(f"layer {number}", gradient()) for number in range(4)]
    data = bytearray(make_psd(layers, masks={layer.name: ((2, 3), np.zeros((7, 5), np.uint8)) for layer in layers}))
    box, at = struct.pack(">4i", 3, 2, 10, 7), 0
    while (at := data.find(box, at)) >= 0:
        data[at : at + 16] = struct.pack(">4i", 0, 0, 60_000, 60_000)
    return bytes(data)


def many_groups() -> bytes:
    """Return a small archive whose layers lie in 64 groups each, which are all as large as the canvas."""
    layer = '<layer name="a" src="data/0.png"/>'
    groups = ("<stack opacity='0.5'>" * 64 + layer + "</stack>" * 64) * 50
    stack = f'<image w="1000" h="1000"><stack>{groups}</stack></image>'
    return make_ora([Layer("a", np.zeros((1000, 1000, 1), np.uint8))], None, (1000, 1000), changes={"stack.xml": stack.encode()})


def packed_by(method: int) -> bytes:
    """Return an archive whose list is packed by a method that Python unpacks without a limit."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("mimetype", b"image/openraster")
        archive.writestr("stack.xml", bytes(1_000_000), method)
    return out.getvalue()


def false_count(has_wide_end: bool) -> bytes:
    """Return an archive of 21,001 entries whose last record names none; the record with wide numbers names all of them."""
    data = many_entries()
    start = data.rindex(b"PK\5\6")
    size, offset = struct.unpack_from("<2I", data, start + 12)
    wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 21_001, 21_001, size, offset) + struct.pack(
        "<4sIQI", b"PK\6\7", 0, start, 1
    )
    end = data[start : start + 8] + struct.pack("<2H", 0, 0) + data[start + 12 :]
    return data[:start] + (wide if has_wide_end else b"") + end


def picture_of_zeros() -> bytes:
    """Return an archive with a PNG that says it is large, is not, and takes 80 MB unpacked."""
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">2I5B", 15_000, 15_000, 8, 6, 0, 0, 0)
    stack = b'<image w="15000" h="15000"><stack><layer src="data/0.png"/></stack></image>'
    return make_ora([BASE], None, changes={"stack.xml": stack, "mergedimage.png": head + bytes(80_000_000)})


def kra_with_tiles(*places: str) -> bytes:
    """Return a document of one layer with a plain tile at each of the places."""
    size = 1 + 8 * 64 * 64
    tiles = b"".join(f"{place},LZF,{size}\n".encode() + bytes(size) for place in places)
    head = f"VERSION 2\nTILEWIDTH 64\nTILEHEIGHT 64\nPIXELSIZE 8\nDATA {len(places)}\n".encode()
    return make_kra([DEEP], DEEP.codes, changes={"Unnamed/layers/layer0": head + tiles})


def repeated_layer_xcf() -> bytes:
    data = bytearray(make_xcf([BASE, Layer("top", gradient())]))
    first = data.index(struct.pack(">I", 24) + struct.pack(">I", 16), 30)
    pointers = [at for at in range(30, first) if data[at : at + 8] == struct.pack(">Q", first)]
    data[pointers[0] + 8 : pointers[0] + 16] = struct.pack(">Q", first)
    return bytes(data)


def shared_tiles_xcf() -> bytes:
    """Return a document all of whose tiles are the bytes of one of them, of single pixels."""
    size = 64 * 10
    tile = np.arange(64 * 64 * 4, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 4)
    codes = np.zeros((size, size, 4), np.uint8)
    codes[:64, :64] = tile
    data = bytearray(make_xcf([Layer("base", codes)], (size, size)))
    slow = b"".join(bytes([255, value & 255]) for value in range(64 * 64 * 4))
    level = data.rindex(struct.pack(">2I", size, size))
    data[level + 8 : level + 8 + 8 * 100] = struct.pack(">Q", len(data)) * 100
    return bytes(data) + slow


def other_mask_xcf() -> bytes:
    return make_xcf([BASE, Layer("top", gradient(10, 8, 4))], masks={"top": np.zeros((9, 9), np.uint8)})


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "psd, canvas of 300,000 px": (huge_canvas_psd, "the limit is 300 MP"),
    "xcf, canvas of 300,000 px": (huge_canvas_xcf, "the limit is 300 MP"),
    "ora, canvas of 300,000 px": (huge_canvas_ora, "the limit is 300 MP"),
    "kra, canvas of 300,000 px": (lambda: kra_with_list("width='300000' height='300000' colorspacename='RGBA'"), "the limit is 300 MP"),
    "kra, 400 groups": (lambda: nested_kra(400), "more than 256 elements inside each other"),
    "kra, entities": (lambda: make_kra([BASE], gradient(), changes={"maindoc.xml": stack_bomb()}), "defines entities"),
    "psd, layer of 4,000 million px": (layers_of_two_thousand_million_px, "has layers of together"),
    "psd, XMP of 100 MB": (xmp_of_100_mb, "The XMP block in hero has 95 MiB; the limit is 32 MiB"),
    "psd, layer of 400 MP": (large_layer_psd, "has a layer of 400 MP; the limit is 300 MP"),
    "psd, masks of 3,600 MP": (large_masks_psd, "has layers of together 3,600 MP"),
    "ora, 3,200 groups": (many_groups, "has groups and layers of together"),
    "ora, list packed by bzip2": (lambda: packed_by(zipfile.ZIP_BZIP2), "is packed in a way that no picture program uses (method 12)"),
    "ora, list packed by LZMA": (lambda: packed_by(zipfile.ZIP_LZMA), "is packed in a way that no picture program uses (method 14)"),
    "ora, false count of entries": (lambda: false_count(False), "has 21,001 parts; the limit is 20,000"),
    "ora, wide count of entries": (lambda: false_count(True), "has 21,001 parts; the limit is 20,000"),
    "ora, picture of zeros": (picture_of_zeros, "has 76 MiB unpacked; the limit is 7"),
    "ora, entities": (lambda: make_ora([BASE], gradient(), changes={"stack.xml": stack_bomb()}), "defines entities"),
    "ora, 400 groups": (lambda: nested_ora(400), "more than 256 elements inside each other"),
    "ora, 100 groups": (lambda: nested_ora(100), "more than 64 groups inside each other"),
    "ora, list of 20 MB": (lambda: bomb("ora", "stack.xml"), "has 19 MiB unpacked; the limit is 8 MiB"),
    "ora, list that lies about its size": (lambda: lying_size("ora", "stack.xml"), "is damaged"),
    "ora, 21,000 entries": (many_entries, "has 21,001 parts"),
    "kra, list of 20 MB": (lambda: bomb("kra", "maindoc.xml"), "has 19 MiB unpacked; the limit is 16 MiB"),
    "kra, a tile twice": (lambda: kra_with_tiles("0,0", "0,0"), "the tiles of a layer make no sense"),
    "kra, a tile beside the grid": (lambda: kra_with_tiles("0,0", "1,0"), "the tiles of a layer make no sense"),
    "xcf, a layer twice": (repeated_layer_xcf, "it has the same layer twice"),
    "xcf, tiles that share their bytes": (shared_tiles_xcf, "its tiles share their pixels"),
    "xcf, mask of another size": (other_mask_xcf, "the mask of its layer “top” is of another size than the layer"),
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


def test_what_is_attached_to_a_layer_is_not_kept() -> None:
    """Only the picture's own profile and metadata are read: a layer could have them a thousand times."""
    name = b"icc-profile\0"
    parasite = struct.pack(">I", len(name)) + name + struct.pack(">2I", 1, 100) + bytes(100)
    data = make_xcf([BASE], properties={"base": struct.pack(">2I", 21, len(parasite)) + parasite})
    picture, _ = decode_with_info(data, "hero", MAX_PIXELS)
    assert picture.icc is None


def test_faded_groups_that_pass_through_are_counted_with_all_that_lies_below_them() -> None:
    """Each keeps a copy of it; one that is isolated takes only its own box, and a second layer in the same groups nothing more."""
    faded = tuple(LayerGroup(f"{number}", 0.5) for number in range(3))
    alone = LayerGroup("alone", 1.0, "normal")
    small = LayerSource("small", LayerBox(0, 0, 2, 2), lambda: FileLayer("small", LayerBox(0, 0, 2, 2), np.zeros((2, 2, 3), np.uint8)))
    passing, isolated = GroupJoin(None), GroupJoin()
    inside = replace(small, groups=faded, group_joins=(passing,) * 3)
    assert measure_composing([inside, inside], 100, 50) == (4 * 5000 * 32, 3 * 5000)
    assert measure_composing([replace(small, groups=(alone,), group_joins=(isolated,))], 100, 50) == ((5000 + 4) * 32, 4)
    again = replace(small, groups=faded[:1], group_joins=(passing,))
    assert measure_composing([again, small, again], 100, 50).group_pixels == 2 * 5000


def test_text_behind_an_element_is_left_out() -> None:
    """Twenty thousand pieces of it would be joined one by one."""
    assert parse_xml(b"<a>x<b>y</b>z<b/>z</a>", "hero", "list").text == "x"


def test_a_plane_behind_others_is_unpacked_without_them() -> None:
    """In a merged picture that is packed as a whole, as some programs write it."""
    planes = np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3)
    file = PsdFile(struct.pack(">H", 2) + zlib.compress(planes.tobytes()), "hero", False, 4, 3, 2, 8, 3)
    assert all(np.array_equal(read_merged_channel(file, 0, number), planes[number]) for number in range(4))
    with pytest.raises(InputError, match="some of the pixels of its merged picture are missing"):
        read_merged_channel(replace(file, channel_count=5), 0, 4)


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
