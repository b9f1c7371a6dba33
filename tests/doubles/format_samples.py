"""Small valid files of every format that is read, in the kinds that other programs write: the material of the contract and fuzz tests.

A format that Goldsmith writes has samples by itself. For one that is only read, and for further kinds, add a maker to ``_MAKERS``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doubles.layered_files import Layer, LayeredFormat, gradient, make_file, mask_codes
from goldsmith.picture import profiles
from goldsmith.picture.codec import MASK_READING, ORDINARY_READING, EncodingOptions, ReadingOptions, encode
from goldsmith.picture.formats.table import FORMATS, FileFormat
from goldsmith.picture.picture import Metadata, Picture, freeze

READ = [row.name for row in FORMATS.values() if row.reader]
WRITTEN = [row.name for row in FORMATS.values() if row.writer]
WIDTH, HEIGHT = 24, 16
XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Credit="Atelier Gold"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
# One IPTC dataset, 2:110 (credit), as IPTC-IIM writes it.
IPTC = b"\x1c\x02\x6e\x00\x0cAtelier Gold"
TEXT = (("prompt", "an oak desk"),)


@cache
def exif_block() -> bytes:
    """Return an Exif block with the artist."""
    from PIL import Image

    exif = Image.Exif()
    exif[315] = "Atelier Gold"
    return exif.tobytes().removeprefix(b"Exif\0\0")


def metadata_of(*kinds: str) -> Metadata:
    """Return the named metadata blocks: "exif", "xmp", "iptc", "text"."""
    return Metadata(
        exif=exif_block() if "exif" in kinds else None,
        xmp=XMP if "xmp" in kinds else None,
        iptc=IPTC if "iptc" in kinds else None,
        text_chunks=TEXT if "text" in kinds else (),
    )


@cache
def gradient_codes() -> NDArray[np.uint16]:
    """Return smooth codes of 16 bits, (16, 24, 4)."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [across / (WIDTH - 1), down / (HEIGHT - 1), (across + down) / (WIDTH + HEIGHT - 2), 1 - across * down / 345]
    return np.round(np.stack(planes, axis=2) * 65535).astype(np.uint16)


def sample_picture(depth: int = 8, channels: int = 3, *, alpha: bool = False, **rest: Any) -> Picture:
    """Return a smooth picture of 24 x 16 pixels; ``rest`` are further fields of ``Picture``."""
    codes = gradient_codes() if depth > 8 else gradient_codes() >> 8
    values = codes.astype(np.float32) / np.float32(65535 if depth > 8 else 255)
    cover = freeze(values[:, :, 3]) if alpha else None
    return Picture(freeze(values[:, :, :channels]), cover, 16 if depth > 8 else 8, **rest)


def _pillow(kind: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    from PIL import Image

    codes, out = (gradient_codes()[:, :, :3] >> 8).astype(np.uint8), io.BytesIO()
    images = [Image.fromarray(np.roll(codes, number, axis=0)).convert(mode) for number in range(frames)]
    more = {"save_all": True, "append_images": images[1:]} if frames > 1 else {}
    images[0].save(out, kind, **more, **options)
    return out.getvalue()


def _tiff(**options: Any) -> bytes:
    import tifffile

    out = io.BytesIO()
    tifffile.imwrite(out, (gradient_codes()[:, :, :3] >> 8).astype(np.uint8), **{"photometric": "rgb", **options})
    return out.getvalue()


def _layered(kind: LayeredFormat, depth: int = 8, **options: Any) -> bytes:
    """Return a file with a base, a layer with alpha and a hidden mask."""
    codes = gradient_codes() if depth == 16 else (gradient_codes() >> 8).astype(np.uint8)
    layers = [Layer("base", codes[:, :, :3]), Layer("top", codes[:9, :14], 7, -3, 0.6), Layer("mask", mask_codes(), is_visible=False)]
    return make_file(kind, layers[: 2 if depth == 16 else 3], **options)


def _heic(**options: Any) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    return _pillow("HEIF", **options)


_MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "png": lambda: [_pillow("PNG", "P"), _pillow("PNG", "1"), _pillow("PNG", frames=3)],
    "jpeg": lambda: [
        _pillow("JPEG", progressive=True),
        _pillow("JPEG", "CMYK", restart_marker_blocks=1),
        _pillow("MPO", frames=2),
    ],
    "tiff": lambda: [
        _tiff(compression="lzw", predictor=True),
        _tiff(compression="jpeg", rowsperstrip=16),
        _tiff(bigtiff=True, tile=(16, 16)),
        _pillow("TIFF", "CMYK", frames=2),
        _pillow("TIFF", "P"),
    ],
    "webp": lambda: [_pillow("WEBP", "RGBA", frames=2), _pillow("WEBP", quality=50)],
    "avif": lambda: [_pillow("AVIF", frames=2, quality=50)],
    "gif": lambda: [_pillow("GIF", "P"), _pillow("GIF", "P", frames=3), _pillow("GIF", "L", transparency=0)],
    "bmp": lambda: [_pillow("BMP"), _pillow("BMP", "L"), _pillow("BMP", "P"), _pillow("BMP", "1"), _pillow("BMP", "RGBA")],
    "psd": lambda: [
        _layered(
            "psd", resources={1039: profiles.builtin_profile("adobe-rgb"), 1060: XMP}, masks={"top": ((8, 0), gradient(5, 5, 1)[:, :, 0])}
        ),
        _layered("psd", is_big=True, compression=3, groups={"top": "Edits"}, has_merge=False),
        _layered("psd", 16, compression=2, channels={"mask": gradient_codes()[:, :, 0]}),
    ],
    "ora": lambda: [
        _layered("ora", png_options={"icc_profile": profiles.builtin_profile("adobe-rgb")}),
        make_file("ora", [Layer("base", gradient()), Layer("mask", mask_codes())], gradient()),
    ],
    "kra": lambda: [_layered("kra"), _layered("kra", 16, icc=profiles.builtin_profile("adobe-rgb"))],
    "xcf": lambda: [
        _layered("xcf", parasites={"icc-profile": profiles.builtin_profile("adobe-rgb")}, modes={"top": 28}),
        _layered("xcf", 16, compression=2, masks={"top": gradient(14, 9, 1, 16)[:, :, 0]}),
        _layered("xcf", version=3, compression=0),
    ],
    "heic": lambda: [_heic(), _heic(mode="RGBA", frames=2, quality=60)],
}


def _written(row: FileFormat) -> Iterator[bytes]:
    full = {
        "icc": profiles.builtin_profile("adobe-rgb"),
        "ppi": (300.0, 300.0),
        "metadata": metadata_of("exif", "xmp", "iptc", "text"),
    }
    for depth in row.depths:
        yield encode(sample_picture(depth, alpha=row.holds_alpha, **full), EncodingOptions(row.name, depth=depth))
    if row.holds_grey:
        yield encode(sample_picture(channels=1), EncodingOptions(row.name))


def reading_of(name: str) -> ReadingOptions:
    """Return how files of a format are read: as masks, if they are read for masks only."""
    return ORDINARY_READING if FORMATS[name].can_be_picture else MASK_READING


@cache
def format_samples(name: str) -> tuple[bytes, ...]:
    """Return valid files of a format that is read. Raises LookupError if nothing here makes one."""
    row = FORMATS[name]
    samples = [*(_written(row) if row.writer else ()), *(_MAKERS[name]() if name in _MAKERS else ())]
    if not samples:
        raise LookupError(f"no sample of {name}: add a maker to doubles/format_samples.py")
    return tuple(samples)
