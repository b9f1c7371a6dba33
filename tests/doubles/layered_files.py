"""Small files with layers of every format, as other programs write them, and hostile ones."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from xml.sax.saxutils import quoteattr

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Codes = NDArray[Any]
LayeredFormat = Literal["psd", "ora", "kra", "xcf"]
LAYERED_FORMATS: tuple[LayeredFormat, ...] = ("psd", "ora", "kra", "xcf")
SUFFIXES = {"psd": ".psd", "ora": ".ora", "kra": ".kra", "xcf": ".xcf"}
WIDTH, HEIGHT = 24, 16
_TILE = 64


@dataclass(frozen=True)
class Layer:
    """A layer: codes (h, w, 1 to 4), alpha last, at a place of the canvas."""

    name: str
    codes: Codes
    left: int = 0
    top: int = 0
    opacity: float = 1.0
    is_visible: bool = True


def gradient(width: int = WIDTH, height: int = HEIGHT, channels: int = 3, depth: int = 8) -> Codes:
    """Return smooth codes (h, w, channels); a fourth channel is an alpha that falls to the right."""
    down, across = np.mgrid[0:height, 0:width] / np.array([max(height - 1, 1), max(width - 1, 1)])[:, None, None]
    planes = [across, down, (across + down) / 2, 1 - across]
    planes = planes[:channels] if channels != 2 else [across, 1 - down]
    codes = np.round(np.stack(planes, axis=2) * (2**depth - 1))
    return codes.astype(np.uint8 if depth == 8 else np.uint16)


def plain(value: int, width: int = WIDTH, height: int = HEIGHT, channels: int = 3, dtype: type = np.uint8) -> Codes:
    """Return codes of one value."""
    return np.full((height, width, channels), value, dtype)


def mask_codes(box: tuple[int, int, int, int] = (4, 3, 12, 9)) -> Codes:
    """Return a mask, white in the box (left, top, right, bottom), as RGB."""
    result = plain(0)
    result[box[1] : box[3], box[0] : box[2]] = 255
    return result


def make_file(
    kind: LayeredFormat, layers: Sequence[Layer], merge: Codes | None = None, size: tuple[int, int] = (WIDTH, HEIGHT), **options: Any
) -> bytes:
    """Return a file of a format; the lowest layer is first. ``merge``: its merged picture; None = that of the lowest layer, 8 bits."""
    if kind == "psd":
        return make_psd(layers, merge, size, **options)
    if kind == "xcf":
        return make_xcf(layers, size, **options)
    flat = layers[0].codes if merge is None else merge
    return make_ora(layers, flat, size, **options) if kind == "ora" else make_kra(layers, flat, size, **options)


# Photoshop


def make_psd(
    layers: Sequence[Layer],
    merge: Codes | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    is_big: bool = False,
    compression: int = 1,
    resources: Mapping[int, bytes] | None = None,
    has_merge: bool = True,
    blocks: Mapping[str, bytes] | None = None,
    masks: Mapping[str, tuple[tuple[int, int], Codes]] | None = None,
    groups: Mapping[str, str] | None = None,
    channels: Mapping[str, Codes] | None = None,
    has_transparency: bool = False,
    mode: int = 3,
    modes: Mapping[str, bytes] | None = None,
    clipped: Sequence[str] = (),
    kinds: Mapping[str, int] | None = None,
) -> bytes:
    """Return a PSD, or a PSB if ``is_big``.

    blocks: further tagged blocks of a layer, by its name; masks: its mask, (left, top) and codes (h, w); groups: the name of the group
    that it is in alone; channels: saved channels; modes: its blend mode; clipped: layers that are clipped to the one below; kinds:
    records that begin (1) or end (3) a group, by their names.
    """
    writer = _PsdWriter(is_big, compression)
    flat = layers[0].codes if merge is None else merge
    depth = 8 * flat.dtype.itemsize
    saved = dict(channels or {})
    extra = [flat[:, :, number] for number in range(flat.shape[2])] + list(saved.values())
    records = b""
    pixels = b""
    count = 0
    for layer in layers:
        group = (groups or {}).get(layer.name)
        if group is not None:
            records += writer.divider("</Layer group>", 3)
            pixels += writer.no_pixels()
            count += 1
        record, data = writer.layer(
            layer,
            (blocks or {}).get(layer.name, b"") + _divider_block((kinds or {}).get(layer.name, 0)),
            (masks or {}).get(layer.name),
            (modes or {}).get(layer.name, b"norm"),
            is_clipped=layer.name in clipped,
        )
        records, pixels, count = records + record, pixels + data, count + 1
        if group is not None:
            records += writer.divider(group, 1)
            pixels += writer.no_pixels()
            count += 1
    info = struct.pack(">h", -count if has_transparency else count) + records + pixels
    info += b"\0" * (len(info) % 2)
    long = ">Q" if is_big else ">I"
    section = struct.pack(long, len(info)) + info if layers else b""
    all_resources = dict(resources or {})
    if saved:
        all_resources[1045] = b"".join(struct.pack(">I", len(name)) + name.encode("utf-16-be") for name in saved)
    all_resources.setdefault(1057, struct.pack(">IB", 1, has_merge) + bytes(8) + struct.pack(">I", 1))
    packed_resources = b"".join(
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2) for number, data in all_resources.items()
    )
    header = b"8BPS" + struct.pack(">H6xHIIHH", 2 if is_big else 1, len(extra), size[1], size[0], depth, mode)
    merged = struct.pack(">H", 1) + writer.rows(extra)
    return (
        header + struct.pack(">I", 0) + struct.pack(">I", len(packed_resources)) + packed_resources
        + struct.pack(long, len(section)) + section + merged
    )  # fmt: skip


def _divider_block(kind: int) -> bytes:
    """Return the block that makes a record the upper (1) or lower (3) end of a group; 0 = none."""
    return b"8BIMlsct" + struct.pack(">2I", 12, kind) + b"8BIMpass" if kind else b""


class _PsdWriter:
    def __init__(self, is_big: bool, compression: int) -> None:
        self._is_big, self._compression = is_big, compression

    def rows(self, planes: Sequence[Codes]) -> bytes:
        """Return planes packed by PackBits, with the lengths of all rows first."""
        packed = [imagecodecs.packbits_encode(row.astype(row.dtype.newbyteorder(">")).tobytes()) for plane in planes for row in plane]
        return np.array([len(row) for row in packed], ">u4" if self._is_big else ">u2").tobytes() + b"".join(packed)

    def plane(self, codes: Codes) -> bytes:
        raw = np.ascontiguousarray(codes).astype(codes.dtype.newbyteorder(">")).tobytes()
        if self._compression == 1:
            return struct.pack(">H", 1) + self.rows([codes])
        if self._compression == 2:
            return struct.pack(">H", 2) + zlib.compress(raw)
        if self._compression == 3:
            steps = np.diff(codes, axis=1, prepend=codes[:, :1] * 0).astype(codes.dtype.newbyteorder(">"))
            return struct.pack(">H", 3) + zlib.compress(steps.tobytes())
        return struct.pack(">H", 0) + raw

    def layer(
        self, layer: Layer, blocks: bytes, mask: tuple[tuple[int, int], Codes] | None, mode: bytes, *, is_clipped: bool
    ) -> tuple[bytes, bytes]:
        height, width, count = layer.codes.shape
        has_alpha = count in (2, 4)
        ids = [*range(count - has_alpha), *([-1] if has_alpha else [])]
        planes = [self.plane(layer.codes[:, :, number]) for number in range(count)]
        mask_data = b""
        if mask is not None:
            (left, top), codes = mask
            ids.append(-2)
            planes.append(self.plane(codes))
            mask_data = struct.pack(">4iBB2x", top, left, top + codes.shape[0], left + codes.shape[1], 0, 0)
        box = (layer.top, layer.left, layer.top + height, layer.left + width)
        return self._record(layer, box, list(zip(ids, planes, strict=True)), mask_data, blocks, mode, is_clipped), b"".join(planes)

    def divider(self, name: str, kind: int) -> bytes:
        empty = [(number, struct.pack(">H", 0)) for number in (-1, 0, 1, 2)]
        return self._record(Layer(name, plain(0, 0, 0)), (0, 0, 0, 0), empty, b"", _divider_block(kind), b"pass", False)

    def no_pixels(self) -> bytes:
        return struct.pack(">H", 0) * 4

    def _record(
        self,
        layer: Layer,
        box: tuple[int, int, int, int],
        planes: Sequence[tuple[int, bytes]],
        mask: bytes,
        blocks: bytes,
        mode: bytes,
        is_clipped: bool,
    ) -> bytes:
        text = layer.name.encode("utf-16-be")
        unicode_name = struct.pack(">I", len(text) // 2) + text
        unicode_name += b"\0" * (len(unicode_name) % 2)
        extra = struct.pack(">I", len(mask)) + mask + struct.pack(">I", 0) + b"\1?\0\0"
        extra += b"8BIMluni" + struct.pack(">I", len(unicode_name)) + unicode_name + blocks
        head = struct.pack(">4iH", *box, len(planes))
        head += b"".join(struct.pack(">hQ" if self._is_big else ">hI", number, len(data)) for number, data in planes)
        flags = 0 if layer.is_visible else 2
        return head + b"8BIM" + mode + struct.pack(">BBBxI", round(layer.opacity * 255), is_clipped, flags, len(extra)) + extra


# OpenRaster and Krita


def png_bytes(codes: Codes, **options: Any) -> bytes:
    """Return codes as a PNG."""
    if codes.dtype == np.uint16:
        return bytes(imagecodecs.png_encode(codes))
    out = io.BytesIO()
    Image.fromarray(codes[:, :, 0] if codes.shape[2] == 1 else codes).save(out, "PNG", **options)
    return out.getvalue()


def zip_bytes(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive, with the entry ``mimetype`` not packed, and always the same bytes for the same entries."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_STORED if name == "mimetype" else compression
            archive.writestr(entry, data)
    return out.getvalue()


def make_ora(
    layers: Sequence[Layer],
    merge: Codes | None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    png_options: Mapping[str, Any] | None = None,
    changes: Mapping[str, bytes] | None = None,
    operators: Mapping[str, str] | None = None,
) -> bytes:
    """Return an OpenRaster document. ``changes``: entries in place of those that it would have; ``merge`` None = no merged picture."""
    items = ""
    entries: dict[str, bytes] = {"mimetype": b"image/openraster"}
    for number, layer in reversed(list(enumerate(layers))):
        visibility = "visible" if layer.is_visible else "hidden"
        operator = (operators or {}).get(layer.name, "svg:src-over")
        items += (
            f'<layer name={quoteattr(layer.name)} src="data/{number}.png" x="{layer.left}" y="{layer.top}" opacity="{layer.opacity}" '
            f'visibility="{visibility}" composite-op="{operator}"/>'
        )
        entries[f"data/{number}.png"] = png_bytes(layer.codes)
    stack = f'<?xml version="1.0"?><image version="0.0.6" w="{size[0]}" h="{size[1]}" xres="300" yres="300"><stack>{items}</stack></image>'
    entries["stack.xml"] = stack.encode()
    if merge is not None:
        entries["mergedimage.png"] = png_bytes(merge, **(png_options or {}))
    return zip_bytes(entries | dict(changes or {}))


def make_kra(
    layers: Sequence[Layer],
    merge: Codes | None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    icc: bytes = b"",
    changes: Mapping[str, bytes] | None = None,
    attributes: Mapping[str, str] | None = None,
    space: str = "",
) -> bytes:
    """Return a Krita document. ``attributes``: further attributes of a layer, by its name."""
    deep = layers[0].codes.dtype == np.uint16
    space = space or ("RGBA16" if deep else "RGBA")
    items = ""
    entries: dict[str, bytes] = {"mimetype": b"application/x-krita"}
    for number, layer in reversed(list(enumerate(layers))):
        items += (
            f'<layer name={quoteattr(layer.name)} nodetype="paintlayer" filename="layer{number}" x="{layer.left}" y="{layer.top}" '
            f'opacity="{round(layer.opacity * 255)}" visible="{int(layer.is_visible)}" colorspacename="{space}" '
            f"{(attributes or {}).get(layer.name, '')}/>"
        )
        entries[f"Unnamed/layers/layer{number}"] = _kra_tiles(layer.codes)
        entries[f"Unnamed/layers/layer{number}.defaultpixel"] = bytes(8 if deep else 4)
    document = (
        "<?xml version='1.0'?><!DOCTYPE DOC PUBLIC '-//KDE//DTD krita 2.0//EN' 'http://www.calligra.org/DTD/krita-2.0.dtd'>"
        '<DOC xmlns="http://www.calligra.org/DTD/krita"><IMAGE name="Unnamed" x-res="300" y-res="300" '
        f'width="{size[0]}" height="{size[1]}" colorspacename="{space}"><layers>{items}</layers></IMAGE></DOC>'
    )
    entries["maindoc.xml"] = document.encode()
    if merge is not None:
        entries["mergedimage.png"] = png_bytes(merge if merge.dtype == np.uint8 else (merge >> 8).astype(np.uint8))
    if icc:
        entries["Unnamed/annotations/icc"] = icc
    return zip_bytes(entries | dict(changes or {}))


def _kra_tiles(codes: Codes) -> bytes:
    """Return a layer's tiles: the first as it is, the others packed."""
    height, width, channels = codes.shape
    full = np.zeros((height, width, 4), codes.dtype)
    full[:, :, :3] = codes[:, :, 2::-1] if channels >= 3 else codes[:, :, :1]
    full[:, :, 3] = codes[:, :, -1] if channels in (2, 4) else np.iinfo(codes.dtype).max
    raw = full.astype(full.dtype.newbyteorder("<")).view(np.uint8).reshape(height, width, -1)
    tiles = []
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = np.zeros((_TILE, _TILE, raw.shape[2]), np.uint8)
            part = raw[top : top + _TILE, left : left + _TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            planes = np.moveaxis(tile, 2, 0).tobytes()
            packed = b"\0" + planes if not tiles else b"\1" + imagecodecs.lzf_encode(planes)
            tiles.append(f"{left},{top},LZF,{len(packed)}\n".encode() + packed)
    head = f"VERSION 2\nTILEWIDTH {_TILE}\nTILEHEIGHT {_TILE}\nPIXELSIZE {raw.shape[2]}\nDATA {len(tiles)}\n"
    return head.encode() + b"".join(tiles)


# GIMP


def make_xcf(
    layers: Sequence[Layer],
    size: tuple[int, int] = (WIDTH, HEIGHT),
    *,
    version: int = 12,
    compression: int = 1,
    precision: int = 0,
    parasites: Mapping[str, bytes] | None = None,
    modes: Mapping[str, int] | None = None,
    masks: Mapping[str, Codes] | None = None,
    groups: Mapping[str, Sequence[int]] | None = None,
    properties: Mapping[str, bytes] | None = None,
    channels: Mapping[str, Codes] | None = None,
    palette: Codes | None = None,
) -> bytes:
    """Return a GIMP document.

    precision: the number in the file; 0 = gamma-encoded 8 or 16 bits. groups: the layers with these names are groups, and the paths of all
    others are in ``properties``, which are added to a layer as they are; masks: (h, w) of the layer.
    """
    writer = _XcfWriter(version, compression)
    first = layers[0].codes
    base = 2 if palette is not None else 1 if first.shape[2] <= 2 else 0
    precision = precision or (150 if first.dtype == np.uint8 else 250)
    head = b"gimp xcf " + (b"file" if version == 0 else f"v{version:03d}".encode()) + b"\0" + struct.pack(">3I", *size, base)
    head += struct.pack(">I", precision) if version >= 4 else b""
    head += writer.property(17, bytes([compression])) + writer.property(19, struct.pack(">2f", 300, 300))
    if palette is not None:
        head += writer.property(1, struct.pack(">I", len(palette)) + palette.tobytes())
    if parasites:
        items = (writer.text(name) + struct.pack(">2I", 1, len(data)) + data for name, data in parasites.items())
        head += writer.property(21, b"".join(items))
    head += writer.property(0, b"")
    saved = dict(channels or {})
    offset = len(head) + writer.pointer_bytes * (len(layers) + len(saved) + 2)
    body, layer_pointers, channel_pointers = b"", [], []
    for layer in reversed(layers):
        layer_pointers.append(offset + len(body))
        body += writer.layer(
            layer,
            offset + len(body),
            (modes or {}).get(layer.name, 0),
            (masks or {}).get(layer.name),
            (properties or {}).get(layer.name, b""),
            is_group=layer.name in (groups or {}),
            base=base,
        )
    for name, codes in saved.items():
        channel_pointers.append(offset + len(body))
        body += writer.channel(name, codes, offset + len(body))
    return head + writer.pointers(layer_pointers) + writer.pointers(channel_pointers) + body


class _XcfWriter:
    def __init__(self, version: int, compression: int) -> None:
        self._compression, self._is_wide, self._order = compression, version >= 11, ">" if version >= 12 else "<"

    @property
    def pointer_bytes(self) -> int:
        return 8 if self._is_wide else 4

    def pointers(self, values: Sequence[int]) -> bytes:
        return b"".join(struct.pack(">Q" if self._is_wide else ">I", value) for value in (*values, 0))

    def pointer(self, value: int) -> bytes:
        return self.pointers([value])[: self.pointer_bytes]

    def property(self, kind: int, data: bytes) -> bytes:
        return struct.pack(">2I", kind, len(data)) + data

    def text(self, text: str) -> bytes:
        data = text.encode() + b"\0"
        return struct.pack(">I", len(data)) + data

    def layer(self, layer: Layer, offset: int, mode: int, mask: Codes | None, properties: bytes, *, is_group: bool, base: int) -> bytes:
        """Return the bytes of a layer that begin at ``offset``, with its record first as GIMP asks."""
        height, width, channels = layer.codes.shape
        kind = 2 * base + (channels in (2, 4))
        record = struct.pack(">3I", width, height, kind) + self.text(layer.name)
        record += self.property(6, struct.pack(">I", round(layer.opacity * 255))) + self.property(33, struct.pack(">f", layer.opacity))
        record += self.property(8, struct.pack(">I", layer.is_visible)) + self.property(7, struct.pack(">I", mode))
        record += self.property(15, struct.pack(">2i", layer.left, layer.top)) + (self.property(29, b"") if is_group else b"")
        record += properties + self.property(0, b"")
        hierarchy = offset + len(record) + 3 * self.pointer_bytes
        pixels = self.hierarchy(layer.codes, hierarchy)
        mask_data = b"" if mask is None else self.channel("mask", mask, hierarchy + len(pixels))
        pointers = self.pointer(hierarchy) + self.pointer(0 if mask is None else hierarchy + len(pixels)) + self.pointer(0)
        return record + pointers + pixels + mask_data

    def channel(self, name: str, codes: Codes, offset: int) -> bytes:
        record = struct.pack(">2I", codes.shape[1], codes.shape[0]) + self.text(name) + self.property(0, b"")
        start = offset + len(record) + self.pointer_bytes
        return record + self.pointer(start) + self.hierarchy(codes[:, :, None], start)

    def hierarchy(self, codes: Codes, offset: int) -> bytes:
        """Return hierarchy, level and tiles that begin at ``offset``."""
        height, width, _ = codes.shape
        raw = codes.astype(codes.dtype.newbyteorder(self._order)).view(np.uint8).reshape(height, width, -1)
        packed = [
            self._pack(raw[top : top + _TILE, left : left + _TILE]) for top in range(0, height, _TILE) for left in range(0, width, _TILE)
        ]
        level = offset + 12 + 2 * self.pointer_bytes
        start = level + 8 + (len(packed) + 1) * self.pointer_bytes
        tiles = [start + sum(map(len, packed[:number])) for number in range(len(packed))]
        head = struct.pack(">3I", width, height, raw.shape[2]) + self.pointers([level])
        return head + struct.pack(">2I", width, height) + self.pointers(tiles) + b"".join(packed)

    def _pack(self, tile: Codes) -> bytes:
        if self._compression == 2:
            return zlib.compress(tile.tobytes())
        if self._compression == 0:
            return tile.tobytes()
        return b"".join(_pack_runs(tile[:, :, channel].tobytes()) for channel in range(tile.shape[2]))


def _pack_runs(data: bytes) -> bytes:
    """Return a plane of a tile with short and long runs and copies, as GIMP packs them."""
    result, at = bytearray(), 0
    while at < len(data):
        end = at + 1
        while end < len(data) and data[end] == data[at]:
            end += 1
        count = end - at
        if count > 127:
            result += bytes([127, count >> 8, count & 255, data[at]])
        elif count > 2:
            result += bytes([count - 1, data[at]])
        else:
            end = at + 1
            while end < len(data) and end - at < 200 and data[end] != data[end - 1]:
                end += 1
            count = end - at
            result += bytes([128, 0, count]) if count > 127 else bytes([256 - count])
            result += data[at:end]
        at = end
    return bytes(result)
