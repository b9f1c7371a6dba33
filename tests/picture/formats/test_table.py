"""The table of file formats: files match its rows, the manual repeats them, and a new format needs only a row, a reader and a writer."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import ValidationError

from doubles.step_context import StepContextDouble
from goldsmith.cli.ops import setting_rows
from goldsmith.errors import InputError
from goldsmith.operation import Deliverable
from goldsmith.ops.check.operation import Check
from goldsmith.ops.export import Export
from goldsmith.picture import profiles
from goldsmith.picture.codec import EncodingOptions, decode, decode_mask, decode_with_info, encode, verify
from goldsmith.picture.formats.image_info import ImageHeader, Samples
from goldsmith.picture.formats.table import (
    FORMATS,
    UNREADABLE_FORMATS,
    FileFormat,
    WriterOptions,
    detect_by_content,
    export_formats,
    is_picture_suffix,
    layer_suffixes,
)
from goldsmith.picture.picture import Metadata, Picture, freeze
from goldsmith.picture.print import printing
from goldsmith.pipeline.intake.bundle import group_bundles
from goldsmith.pipeline.intake.file_names import classify, group_keys
from goldsmith.pipeline.replay.compare_operation import RECORDED_LAYER, Compare

CHECKOUT = Path(__file__).parents[3]
LIMIT = 10_000_000
WRITTEN = [row.name for row in FORMATS.values() if row.writer]
_MAGIC = b"raw8"


# A format of 8-bit RGB without compression: its magic, width and height, then the codes.


def _read_header(data: bytes, name: str, max_pixels: int) -> ImageHeader:
    width, height = struct.unpack(">II", data[4:12])
    return ImageHeader("raw8", width, height, 8, 3)


def _read_samples(data: bytes, header: ImageHeader, name: str) -> Samples:
    return np.frombuffer(data, np.uint8, offset=12).reshape(header.height, header.width, 3)


def _write(samples: Samples, picture: Picture, options: WriterOptions) -> bytes:
    assert (samples.dtype, samples.shape[2], options.depth) == (np.uint8, 3, 8)
    return _MAGIC + struct.pack(">II", picture.width, picture.height) + samples.tobytes()


@pytest.fixture
def raw8(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileFormat]:
    """Add one row to the table, and the modules that the row names."""
    reader, writer = ModuleType("raw8_reader"), ModuleType("raw8_writer")
    vars(reader).update(read_header=_read_header, read_samples=_read_samples)
    vars(writer).update(write=_write)
    row = FileFormat(
        name="raw8",
        suffixes=(".raw8",),
        media_type="application/octet-stream",
        matches=lambda data: data.startswith(_MAGIC),
        reader="raw8_reader",
        writer="raw8_writer",
        depths=(8,),
    )
    for module in (reader, writer):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(FORMATS, row.name, row)
    for cache in (classify, group_keys):
        cache.cache_clear()
    yield row
    for cache in (classify, group_keys):
        cache.cache_clear()


@pytest.fixture
def gradient() -> Picture:
    """Return a picture of 8-bit codes, (40, 60, 3), with alpha."""
    down, across = np.mgrid[0:40, 0:60]
    codes = np.stack([across * 4, down * 6, across + down], axis=2)
    return Picture(freeze(codes.astype(np.float32) / np.float32(255)), alpha=freeze(np.ones((40, 60), np.float32)))


def _export(picture: Picture, **settings: object) -> Deliverable:
    (deliverable,) = Export.model_validate(settings).make_files(picture, StepContextDouble())
    return deliverable


def test_a_new_format_needs_only_a_row_a_reader_and_a_writer(raw8: FileFormat, gradient: Picture, tmp_path: Path) -> None:
    """Files of the new format are exported, detected, classified as pictures, grouped with their brief, read back and compared."""
    deliverable = _export(gradient, name="web", format="RAW8")
    assert (deliverable.tail, deliverable.suffix, deliverable.facts["format"], deliverable.facts["depth"]) == ("_web", ".raw8", "raw8", 8)

    assert detect_by_content(deliverable.data[:512]) is raw8
    decoded_picture, info = decode_with_info(deliverable.data, "hero.raw8", LIMIT)
    assert (info.format, info.width, info.height, info.depth) == ("raw8", 60, 40, 8)
    assert np.array_equal(decoded_picture.to_codes(), gradient.to_codes())
    assert verify(deliverable.data, "hero.raw8", LIMIT) == info

    assert classify("hero.raw8").role == "picture"
    assert classify("hero.mask.raw8").role == "mask"
    (bundle,) = group_bundles("inbox", "", ["hero.raw8", "hero.toml", "hero.mask.png"])
    assert (bundle.picture, bundle.brief, len(bundle.masks)) == ("inbox/hero.raw8", "inbox/hero.toml", 1)

    path = tmp_path / f"{RECORDED_LAYER}.raw8"
    path.write_bytes(deliverable.data)
    context = StepContextDouble(references={("layers", RECORDED_LAYER): path})
    Compare(max_pixels=LIMIT).apply(decoded_picture, context)
    assert context.results.findings["identical"] is True


def test_a_new_format_is_checked_against_its_row(raw8: FileFormat, gradient: Picture) -> None:
    """Alpha is flattened, a suffix that contradicts the content is noted, and settings that the format lacks are named."""
    assert decode(_export(gradient, format="raw8").data, "a.raw8", LIMIT).alpha is None
    _, info = decode_with_info(_export(gradient, format="png").data, "hero.raw8", LIMIT)
    assert info.notes == ("it is a PNG picture, although its name ends in .raw8",)
    with pytest.raises(ValidationError, match="raw8 holds 8 bits per channel, not 16"):
        Export.model_validate({"format": "raw8", "depth": 16})
    with pytest.raises(ValidationError, match="raw8 is lossless and has no quality; use webp, avif or jpeg"):
        Export.model_validate({"format": "raw8", "quality": 80})
    with pytest.raises(ValidationError, match="raw8 holds no CMYK; use tiff, jpeg or pdf"):
        Export.model_validate({"format": "raw8", "cmyk": "press"})


@pytest.mark.parametrize("operation", [Export, Check])
def test_a_new_format_is_a_choice_of_the_operations(operation: type[Any], raw8: FileFormat) -> None:
    """``export`` and ``check`` take its word, ``goldsmith ops`` lists it, and the message for an unknown word names it."""
    assert operation.model_validate({"format": ".Raw8"}).format == "raw8"
    (choices,) = [row[1] for row in setting_rows(operation) if row[0] == "format"]
    assert choices == " | ".join(export_formats())
    assert "raw8" in choices
    with pytest.raises(ValidationError, match=r"“raw9” is not one of .*, raw8; the nearest is “raw8”"):
        operation.model_validate({"format": "raw9"})


def test_without_its_row_a_format_is_unknown() -> None:
    """Neither the folders nor ``export`` know a format that has no row."""
    assert classify("hero.raw8").role == "other"
    with pytest.raises(ValidationError, match="“raw8” is not one of"):
        Export.model_validate({"format": "raw8"})


def test_importing_the_table_loads_no_image_library() -> None:
    """Readers and writers are imported when a file is read or written, because the watcher imports the table."""
    heavy = ["numpy", "PIL", "cv2", "imagecodecs", "tifffile", "pydantic"]
    code = f"import sys, goldsmith.picture.formats.table; print([name for name in {heavy} if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_no_two_formats_share_a_name_or_a_suffix() -> None:
    """Suffixes stand for one format, in lower case and with a dot; readable and unreadable formats share none."""
    readable = [suffix for row in FORMATS.values() for suffix in (*row.suffixes, *row.other_suffixes) if row.reader and row.can_be_picture]
    unreadable = [suffix for row in UNREADABLE_FORMATS for suffix in row.suffixes]
    assert len({*readable, *unreadable}) == len(readable) + len(unreadable)
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in (*readable, *unreadable))
    assert all(name == row.name and row.depths == tuple(sorted(row.depths)) for name, row in FORMATS.items())
    assert all(row.deep_depth in row.depths for row in FORMATS.values() if row.writer)


@pytest.mark.parametrize("name", WRITTEN)
def test_each_format_holds_the_metadata_channels_and_alpha_of_its_row(name: str, gradient: Picture) -> None:
    """A picture with all metadata is written; exactly the metadata of the row comes back."""
    from PIL import Image

    exif = Image.Exif()
    exif[271] = "Maker"
    metadata = Metadata(
        exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        iptc=b"\x1c\x02\x05\x00\x03abc",
        text_chunks=(("prompt", "an oak desk"),),
    )
    row, full = FORMATS[name], Picture(gradient.pixels, icc=profiles.builtin_profile("adobe-rgb"), ppi=(300, 300), metadata=metadata)
    decoded_picture, info = decode_with_info(encode(full, EncodingOptions(name)), f"a{row.suffix}", LIMIT)
    holds = {
        "icc": decoded_picture.icc is not None,
        "exif": decoded_picture.metadata.exif is not None,
        "xmp": decoded_picture.metadata.xmp is not None,
        "iptc": decoded_picture.metadata.iptc is not None,
        "ppi": decoded_picture.ppi is not None,
        "text": bool(decoded_picture.metadata.text_chunks),
    }
    assert {kind for kind, is_held in holds.items() if is_held} == row.metadata
    assert info.format == name
    grey = decode(encode(Picture(gradient.pixels[:, :, :1]), EncodingOptions(name)), "a", LIMIT)
    assert grey.channels == (1 if row.holds_grey else 3)
    half_clear = Picture(gradient.pixels, alpha=gradient.pixels[:, :, 0])
    if row.holds_alpha:
        assert decode(encode(half_clear, EncodingOptions(name)), "a", LIMIT).alpha is not None
    else:
        with pytest.raises(ValueError, match="holds no alpha"):
            encode(half_clear, EncodingOptions(name))


@pytest.mark.parametrize(("name", "depth"), [(row.name, depth) for row in FORMATS.values() if row.writer for depth in row.depths])
def test_each_depth_of_a_row_is_written(name: str, depth: Any, gradient: Picture) -> None:
    """Files have the requested bits per channel."""
    data = encode(Picture(gradient.pixels), EncodingOptions(name, depth=depth))
    assert verify(data, "a", LIMIT).depth == depth


@pytest.mark.parametrize("name", WRITTEN)
def test_lossy_formats_are_the_ones_with_a_quality(name: str, gradient: Picture) -> None:
    """Quality changes a lossy file; a lossless file does not change and keeps every code."""
    opaque = Picture(gradient.pixels)
    low, high = (encode(opaque, EncodingOptions(name, quality=quality)) for quality in (20, 95))
    assert (low != high) is FORMATS[name].is_lossy
    assert (FORMATS[name].default_quality is not None) is FORMATS[name].is_lossy
    if not FORMATS[name].is_lossy:
        assert np.array_equal(decode(low, "a", LIMIT).to_codes(), opaque.to_codes())


def _manual_row(row: FileFormat) -> tuple[str, ...]:
    suffixes = " ".join(f"`{suffix}`" for suffix in row.all_suffixes)
    roles = [
        word
        for word, can in (("picture", row.reader and row.can_be_picture), ("mask", row.can_be_mask), ("layer", row.can_be_layer))
        if can
    ]
    bits = ", ".join(map(str, row.depths)) or "not written"
    holds = [word for word, can in (("alpha", row.holds_alpha), ("grey", row.holds_grey), ("CMYK", row.holds_cmyk)) if can]
    words = {"icc": "ICC profile", "exif": "Exif", "xmp": "XMP", "iptc": "IPTC", "ppi": "ppi", "text": "PNG text"}
    return (
        f"`{row.name}`",
        suffixes,
        ", ".join(roles) or "none",
        bits,
        ", ".join(holds) or "none",
        ", ".join(word for kind, word in words.items() if kind in row.metadata),
    )


def test_the_manual_has_the_same_table() -> None:
    """docs/briefs.md lists every format with its file names, uses, bits, channels and metadata."""
    page = (CHECKOUT / "docs" / "briefs.md").read_text()
    (section,) = re.findall(r"^## File formats\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in section.splitlines() if line.startswith("| `")]
    assert rows == [_manual_row(row) for row in FORMATS.values()]


@pytest.mark.parametrize("row", FORMATS.values(), ids=lambda row: row.name)
def test_the_pages_of_the_operations_name_every_export_format(row: FileFormat) -> None:
    """Rows of ``format`` on the pages of export and check name each export format and no other."""
    for page in ("export", "check"):
        (cell,) = re.findall(r"^\| `format` \|([^|]*)\|", (CHECKOUT / "docs" / "operations" / f"{page}.md").read_text(), re.MULTILINE)
        assert (f"`{row.name}`" in cell) is row.can_be_exported


def test_formats_with_cmyk_are_those_that_print_writes() -> None:
    """``holds_cmyk`` and the formats of ``encode_inks`` agree."""
    assert {row.name for row in FORMATS.values() if row.holds_cmyk} == set(get_args(printing.PrintFormat))


def test_media_types_equal_those_of_python() -> None:
    """Python's own list agrees for every format that it knows."""
    import mimetypes

    for row in FORMATS.values():
        known = mimetypes.guess_type(f"hero{row.suffix}", strict=True)[0]
        assert known in (row.media_type, None)
        can_be_picture = bool(row.reader and row.can_be_picture)
        assert all(is_picture_suffix(suffix) is can_be_picture for suffix in row.all_suffixes)


@pytest.mark.parametrize("name", ["gif", "bmp"])
def test_a_format_for_masks_is_no_picture(name: str, saved: Any) -> None:
    """The codec reads it as a mask. As a picture it is refused with the formats to save it in, whatever its name is."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 10:30] = 255
    data = saved(mask, name.upper())
    assert np.array_equal(decode_mask(data, f"hero.mask.{name}", LIMIT) * 255, mask)
    for called in (f"hero.{name}", "hero.png"):
        with pytest.raises(InputError, match=f"{called} is not a picture that can be read: it starts like a {name.upper()}") as caught:
            decode(data, called, LIMIT)
        assert caught.value.remedy.startswith("Save it as PNG")
    assert np.array_equal(decode_mask(data, "hero.mask.png", LIMIT) * 255, mask)
    assert np.array_equal(decode_mask(saved(mask, "PNG"), f"hero.mask.{name}", LIMIT) * 255, mask)


def test_every_suffix_of_a_format_makes_a_picture_and_only_the_usual_ones_name_an_export() -> None:
    """An ``apng`` that is asked for would be a still picture, so that no brief can ask for it."""
    assert {".jpe", ".jfif", ".mpo", ".apng", ".hif"} <= {suffix for row in FORMATS.values() for suffix in row.all_suffixes}
    for row in FORMATS.values():
        for suffix in row.all_suffixes if row.reader and row.can_be_picture else ():
            assert classify(f"hero{suffix}").role == "picture"
            assert classify(f"hero_mask{suffix.upper()}").role == ("mask" if row.can_be_mask else "picture")
            assert (suffix in layer_suffixes()) is row.can_be_layer
    with pytest.raises(ValidationError, match="“apng” is not one of"):
        Export.model_validate({"format": "apng"})
