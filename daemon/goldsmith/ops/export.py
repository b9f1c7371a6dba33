"""Write the picture as a file for the client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from goldsmith.errors import InputError
from goldsmith.operation import (
    Deliverable,
    FileOperation,
    FormatName,
    RecordValue,
    StepContext,
    StepNeeds,
    check_bare_name,
    crop_engines,
    find_crop_focus,
    record_crop,
)
from goldsmith.picture import codec, colour
from goldsmith.picture.antiringing import resize_without_ringing
from goldsmith.picture.dither import dither
from goldsmith.picture.formats.image_info import Samples
from goldsmith.picture.formats.table import FORMATS, FileFormat, join_names
from goldsmith.picture.layered.picture_layers import PictureLayers
from goldsmith.picture.metadata.credits import read_credits, with_credits
from goldsmith.picture.metadata.identity import provenance_xmp
from goldsmith.picture.metadata.selection import MetadataChoice, byte_count, names_left_out, select_metadata
from goldsmith.picture.picture import Metadata, Picture
from goldsmith.picture.print import cmyk, printing
from goldsmith.picture.print.page_boxes import (
    MM_PER_INCH,
    BleedSource,
    PlacedPage,
    PrintSheet,
    place_on_sheet,
    plan_resize,
)
from goldsmith.picture.size_fitting import MAX_PIXELS, MAX_SIDE, Size, fill_size, fit_size
from goldsmith.picture.subject_crop import CropAnchor, CropFocus, count_cut_faces, crop_to_part

_BYTES_PER_KB = 1000
_CMYK_SETTINGS = ("intent", "black_point", "grey", "coverage", "soft_proof")
_SHEET_SETTINGS = ("bleed", "bleed_from")
# Pixels per inch of a print below which a reader sees that it is soft.
_MIN_SHARP_PPI = 150
_PROFILE_SUFFIXES = (".icc", ".icm")
# Memory in bytes per pixel: for the picture on its sheet, four inks as floats and their codes; and also for a proof or greys in black.
_CMYK_BYTES_PER_PIXEL, _PROOF_BYTES_PER_PIXEL = 56, 72
# For the flat picture and its only layer, over white where it is transparent.
_LAYERED_BYTES_PER_PIXEL = 72
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": MM_PER_INCH}


class _Millimetres(float):
    """A length in mm, converted from any unit."""


def _parse_length(value: object) -> object:
    """Return a length of a brief ("3mm", "0.125 in" or a number of millimetres) in mm."""
    if not isinstance(value, str | bool):
        return value
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) *(mm|cm|in)", str(value).strip().lower())
    if match is None:
        raise ValueError(f'“{str(value)[:40]}” is not a length: write it as "3mm", "0.125in" or a number of millimetres')
    return float(match[1]) * _MM_PER_UNIT[match[2]]


_Length = (BeforeValidator(_parse_length), AfterValidator(_Millimetres))
_Side = Annotated[float, Field(ge=5, le=4900), *_Length]


class Export(FileOperation):
    """Write the picture as a deliverable: ``hero_NAME.jpg``, .png, .tif, .webp, .avif, .psd with layers, or .pdf for print.

    The picture itself is not changed. Give each export of a brief its own name.
    """

    also_called: ClassVar[str] = "save output write save-as convert jpeg jpg png tiff webp avif psd psb layered pdf"
    settings_also_called: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "name": "filename file path output suffix",
            "quality": "compression",
            "profile": "color-space colour-space colorspace icc",
            "layers": "flatten flat merge",
            "metadata": "exif xmp iptc gps privacy strip-metadata",
            "max_kb": "max-size filesize file-size kb",
        }
    )

    name: str = Field(default="", max_length=64)
    """The part of the file's name after the picture's name and "_": letters, digits, - _ and . (hero_web.avif). Empty: no such part."""
    format: FormatName = "png"
    """jpeg, png, tiff, webp, avif, pdf, or with the layers psd or ora; for inks (``cmyk``): tiff, jpeg or pdf."""
    depth: Literal[8, 10, 12, 16] | None = None
    """Bits per channel: 8; 16 in png, tiff, psd, ora and pdf; 10 or 12 in avif. Unset: the picture's own if the format has it; 8 in pdf."""
    size: tuple[Annotated[int, Field(ge=1, le=MAX_SIDE)], Annotated[int, Field(ge=1, le=MAX_SIDE)]] | None = None
    """[width, height] in px of the box that the picture is fitted into, each 1 to 30000; it is not enlarged. Unset: its own size."""
    mode: Literal["fit", "fill"] = "fit"
    """fit: the whole picture inside the box of ``size``. fill: the box is filled and the rest cropped; the picture is not enlarged."""
    ppi: float | None = Field(default=None, ge=1, le=10000)
    """Resolution in pixels per inch that is written into the file (1 to 10000); with ``trim``, the largest resolution in print.

    Unset: the picture's own, or the one that results in print."""
    quality: int | None = Field(default=None, ge=1, le=100)
    """Quality of jpeg, webp and avif, and of a JPEG in pdf (1 to 100). Unset: 90 for jpeg, 88 for webp, 75 for avif, lossless in pdf."""
    max_kb: int | None = Field(default=None, ge=1, le=1_000_000)
    """Largest size of a jpeg, webp or avif in kB of 1000 bytes (1 to 1000000): the quality is lowered as far as necessary."""
    profile: Literal["srgb", "adobe-rgb", "display-p3", "prophoto", "rec709"] | None = None
    """Colour profile of the file, embedded: srgb, adobe-rgb, display-p3, prophoto or rec709. Unset: the picture's own."""
    layers: Literal["all", "merged"] = "all"
    """What a psd or ora holds: all = the picture's layers too, with everything that they hide; merged = the picture as its only layer."""
    metadata: MetadataChoice = "rights"
    """What the file says of the picture: rights (title, creator, rights, keywords, dates), all (also place, camera, prompts) or none."""
    background: str | None = None
    """Background of transparent parts, as "#rrggbb". Unset: white for jpeg, pdf and inks; in other formats they stay transparent."""
    cmyk: str = Field(default="", max_length=200)
    """NAME of the press profile library/profiles/NAME.icc, a CMYK profile from the printer. Empty: no inks."""
    intent: colour.RenderingIntent = "relative"
    """Rendering intent for colours that the inks cannot reproduce: perceptual, relative, saturation or absolute."""
    black_point: bool | None = None
    """Black point compensation: the picture's black becomes the press's black. Unset: on with intent = "relative", otherwise off."""
    grey: Literal["inks", "black"] = "inks"
    """How neutral pixels (red = green = blue) are printed: inks = in all four inks, for photographs; black = in black alone, for type."""
    coverage: float | None = Field(default=None, ge=150, le=400)
    """Limit of the sum of the four inks in percent (150 to 400), from the printer. Unset: the limit of the profile."""
    trim: tuple[_Side, _Side] | None = None
    """[width, height] of the trimmed sheet in mm, or as "21cm", "8.5in" (5 to 4900 mm): the picture is cropped to fill it."""
    bleed: Annotated[float, Field(ge=0, le=50), *_Length] = 0.0
    """Width of the picture beyond the trim on every side: "3mm", "0.125in" or a number of mm (0 to 50, at most half the shorter side)."""
    bleed_from: BleedSource = "picture"
    """Content of the bleed: the picture's own margin (picture), the picture mirrored at the trim (mirror), its last pixels (edge)."""
    anchor: CropAnchor = "center"
    """Which part stays if ``trim`` or ``fill`` crops the picture: center, left, top-right …, or what is found in it: subject, face."""
    marks: bool = False
    """Crop marks, register marks and a colour bar outside the bleed; pdf only."""
    soft_proof: Literal["screen", "paper"] | bool = False
    """A second file, hero_NAME_proof.jpg: a preview of the print. true or "screen": white paper; "paper": the paper's colour."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", value):
            raise ValueError(f"“{value}” cannot be part of a file's name: use letters, digits, - _ and . between them")
        return value

    @field_validator("background")
    @classmethod
    def _check_background(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"#[0-9A-Fa-f]{6}", value):
            raise ValueError(f"“{value[:40]}” is not a colour: write it as #rrggbb, for example #ffffff")
        return value

    @field_validator("cmyk")
    @classmethod
    def _check_press_name(cls, value: str) -> str:
        return check_bare_name(value, "write the name of the press profile in library/profiles, without the folder")

    @model_validator(mode="after")
    def _check_combination(self) -> Export:
        errors = [*self._format_errors(), *self._cmyk_errors(), *self._crop_errors(), *self._sheet_errors()]
        if errors:
            raise ValueError("; ".join(errors))
        return self

    def _format_errors(self) -> Iterator[str]:
        if self.depth is not None and self.depth not in self._row.depths:
            depths = " or ".join(map(str, self._row.depths))
            yield f"{self.format} holds {depths} bits per channel, not {self.depth}"
        for setting in ("quality", "max_kb"):
            if not self._row.is_lossy and getattr(self, setting) is not None:
                lossy = join_names(row for row in FORMATS.values() if row.is_lossy and row.writer)
                yield f"{self.format} is lossless and has no {setting}; use {lossy} for it"
        if self.layers != "all" and not self._row.has_layers:
            with_layers = join_names(row for row in FORMATS.values() if row.has_layers and row.writer)
            yield f"{self.format} has no layers, so layers = “{self.layers}” does nothing; it is for {with_layers}"
        if self._row.is_print_page and self.max_kb is not None:
            yield "pdf has no max_kb; give it a quality, and the picture in it is a JPEG"
        if self._row.is_print_page and self.depth == 16 and self.quality is not None:
            yield "a JPEG in a pdf holds 8 bits per channel, not 16; leave out quality or depth"
        if self._row.is_print_page and self.trim is None:
            yield "a pdf needs a trim, the size of its page in mm, as in trim = [210, 297]"
        if self.marks and not self._row.is_print_page:
            yield f"{self.format} cannot hold marks, which are outside the picture; use pdf"

    def _cmyk_errors(self) -> Iterator[str]:
        if not self.cmyk:
            for setting in self._settings_given(*_CMYK_SETTINGS):
                yield f"{setting} is for inks: set cmyk to the name of a profile in library/profiles"
            return
        if not self._row.holds_cmyk:
            yield f"{self.format} holds no CMYK; use {join_names(row for row in FORMATS.values() if row.holds_cmyk)}"
        if self.profile is not None:
            yield f"profile = “{self.profile}” and cmyk = “{self.cmyk}” are both given; a file has one profile"
        if self.black_point and self.intent == "absolute":
            yield "the absolute intent keeps the white and black of the paper, so it cannot be combined with black_point"
        if self.grey == "black" and self.intent == "absolute":
            yield "the absolute intent simulates the paper in all inks, so it cannot be combined with grey = “black”"

    def _crop_errors(self) -> Iterator[str]:
        if self.mode == "fill" and self.size is None:
            yield "mode = “fill” needs a size, the box to fill" + ("; a trim is always filled" if self.trim is not None else "")
        if self.anchor != "center" and self.trim is None and self.mode != "fill":
            yield f"anchor = “{self.anchor}” is for a crop: set mode = “fill” with a size, or a trim"

    def _sheet_errors(self) -> Iterator[str]:
        if self.trim is None:
            for setting in self._settings_given(*_SHEET_SETTINGS):
                yield f"{setting} needs a trim, the size of the cut sheet in mm, as in trim = [210, 297]"
            return
        if self.size is not None:
            yield "size and trim are both given; in print the size follows from trim, bleed and ppi"
        if 2 * self.bleed > min(self.trim):
            yield f"a bleed of {self.bleed:g} mm is more than half of the shorter side of the trim"
        if self.bleed_from != "picture" and not self.bleed:
            yield f'bleed_from = “{self.bleed_from}” needs a bleed, as in bleed = "3mm"'
        if self.ppi is not None and max(PrintSheet(self.trim, self.bleed).pixel_size(self.ppi)) > MAX_SIDE:
            yield f"the sheet at {self.ppi:g} ppi is more than {MAX_SIDE} px long"

    def _settings_given(self, *settings: str) -> list[str]:
        """Return those of the settings that differ from their defaults."""
        return [setting for setting in settings if getattr(self, setting) != type(self).model_fields[setting].default]

    def needs(self) -> StepNeeds:
        """Return the press profile, and the engines that find the subject and faces, if the anchor is one of them."""
        files = (("profiles", self.cmyk, _PROFILE_SUFFIXES),) if self.cmyk else ()
        return StepNeeds(library_files=files, engines=crop_engines(self.anchor))

    def bytes_per_pixel(self) -> int:
        if self._row.has_layers:
            return _LAYERED_BYTES_PER_PIXEL
        if not self.cmyk:
            return super().bytes_per_pixel()
        return _PROOF_BYTES_PER_PIXEL if self.soft_proof or self.grey == "black" else _CMYK_BYTES_PER_PIXEL

    def writes_layers(self) -> bool:
        """Return whether the file gets the picture's layers."""
        return self._row.has_layers and self.layers == "all"

    def tails(self) -> tuple[str, ...]:
        """Return the name tail of the file, and that of its proof."""
        proof = (f"{self._name_tail}_proof.jpg",) if self.soft_proof else ()
        return (self._name_tail + self._row.suffix, *proof)

    @property
    def _row(self) -> FileFormat:
        return FORMATS[self.format]

    @property
    def _name_tail(self) -> str:
        return f"_{self.name}" if self.name else ""

    def make_files(self, picture: Picture, context: StepContext) -> Sequence[Deliverable]:
        """Return the file and its proof.

        Raises InputError if the file exceeds ``max_kb`` even at the lowest quality, or if the profile is not a CMYK profile.
        """
        context.progress.report(0.0, "sizing")
        if self.cmyk:
            return self._export_cmyk(self._prepare_picture(picture, context), picture.metadata, context)
        # No variable holds the prepared picture, so that its memory is free once it is dithered.
        layers = context.results.layers(picture) if self.writes_layers() else None
        return [self._export_colour(self._prepare_picture(picture, context), picture, layers, context)]

    def _export_colour(self, page: PlacedPage, source: Picture, layers: PictureLayers | None, context: StepContext) -> Deliverable:
        """Return the file of the picture in grey or RGB."""
        result = page.picture
        depth = self._output_depth(result)
        layers = self._fitting_layers(layers, source, result, context)
        if depth == 8 and layers is None:  # a file with layers is not dithered, so that they give its flat picture
            result = result.with_pixels(dither(result.pixels, 8, context.seed))
            page = replace(page, picture=result)
        quality = self.quality or self._row.default_quality or 100
        context.progress.report(0.3, f"writing {self.format}")
        if self._row.is_print_page:
            data = printing.encode_page(result, 16 if depth == 16 else 8, self.quality, self._pdf_page(context))
        else:
            encoding = codec.EncodingOptions(format=self.format, depth=depth, quality=quality)
            data, quality = self._encode_within_limit(
                lambda trial_quality: (
                    codec.encode_layers(result, encoding, layers)
                    if layers is not None
                    else codec.encode(result, replace(encoding, quality=trial_quality))
                ),
                quality,
                result,
                context,
            )
        facts = {
            **self._file_facts(page, depth, data, quality),
            "profile": colour.profile_name(result.icc),
            "profile_embedded": result.icc is not None or self._row.is_print_page,
            "alpha": result.alpha is not None,
            **self._metadata_facts(source.metadata, result),
        }
        if self._row.has_layers:
            facts["layered"] = layers is not None
        return Deliverable(self._name_tail, self._row.suffix_of(data), data, facts)

    def _fitting_layers(self, layers: PictureLayers | None, source: Picture, result: Picture, context: StepContext) -> PictureLayers | None:
        """Return the layers for the file without what they say besides their pixels; None if it has another shape or profile than they."""
        if layers is None:
            return None
        changes = {
            "size": (source.width, source.height) != (result.width, result.height),
            "profile": (source.icc, source.channels) != (result.icc, result.channels),
            "background": (source.alpha is None) != (result.alpha is None),
        }
        changed = [name for name, is_changed in changes.items() if is_changed]
        if changed:
            context.results.record(remark=f"its layers were merged, because the export changes its {' and '.join(changed)}")
            return None
        return layers if layers.kept is None else replace(layers, kept=replace(layers.kept, keeps_remarks=False))

    def _export_cmyk(self, page: PlacedPage, source_metadata: Metadata, context: StepContext) -> list[Deliverable]:
        """Return the file of the picture in the inks of the press, and its proof."""
        path = context.library.file("profiles", self.cmyk, _PROFILE_SUFFIXES)
        with path.open("rb") as file:
            icc = cmyk.validate_cmyk_profile(file.read(cmyk.MAX_PROFILE_BYTES + 1), f"library/profiles/{path.name}")
        result, black_point = page.picture, self.intent == "relative" if self.black_point is None else self.black_point
        depth: Literal[8, 16] = 16 if self._output_depth(result) == 16 else 8
        press_settings = printing.PressSettings(icc, self.intent, black_point, self.coverage, self.grey == "black")
        inks = printing.separate_inks(
            result, press_settings, depth, context.seed, lambda done: context.progress.report(0.1 + 0.5 * done, f"inks for {self.cmyk}")
        )
        data, quality, decoded = self._encode_cmyk(inks.codes, result, icc, context)
        facts = {
            **self._file_facts(page, depth, data, quality),
            "mode": "CMYK",
            "profile": colour.profile_name(icc),
            "profile_embedded": True,
            "alpha": False,
            "intent": self.intent,
            "black_point": black_point,
            "black_alone": round(inks.black_only_share, 4),
            "coverage_limit": self.coverage,
            "coverage_before": round(inks.max_coverage_before, 1),
            "coverage": round(printing.max_coverage(decoded), 1),
            "coverage_over": round(inks.over_limit_share, 4),
            "beyond_press": round(inks.out_of_gamut_share, 4),
            **self._metadata_facts(source_metadata, result, icc),
        }
        files = [Deliverable(self._name_tail, self._row.suffix, data, facts)]
        if self.soft_proof:
            context.progress.report(0.8, "proofing")
            files.append(self._make_soft_proof(decoded, icc, page))
        return files

    def _encode_cmyk(self, codes: Samples, picture: Picture, icc: bytes, context: StepContext) -> tuple[bytes, int, Samples]:
        """Return the file, its quality, and the codes (h, w, 4) that a reader of the file gets; these are within ``coverage`` too.

        Raises InputError if the decoded inks exceed ``coverage``.
        """
        print_format: printing.PrintFormat = "jpeg" if self.format == "jpeg" else "pdf" if self.format == "pdf" else "tiff"
        quality = self.quality or (None if self._row.is_print_page else self._row.default_quality or 100)
        page = self._pdf_page(context) if self._row.is_print_page else None
        context.progress.report(0.6, f"writing {self.format}")

        def jpeg_quality(trial_quality: int) -> int | None:
            return None if quality is None else trial_quality

        @lru_cache(maxsize=1)
        def limited_codes(trial_quality: int) -> Samples:
            return printing.limit_coverage_after_encoding(codes, print_format, jpeg_quality(trial_quality), self.coverage)

        data, used_quality = self._encode_within_limit(
            lambda trial_quality: printing.encode_inks(
                limited_codes(trial_quality), picture, icc, print_format, jpeg_quality(trial_quality), page
            ),
            quality or 100,
            picture,
            context,
        )
        decoded = printing.round_trip_codes(limited_codes(used_quality), print_format, jpeg_quality(used_quality))
        coverage = printing.max_coverage(decoded)
        if self.coverage is not None and coverage > self.coverage:
            raise InputError(
                f"Decoded from a {self.format} of quality {used_quality}, the inks add up to {coverage:.1f} %; "
                f"export “{self.name}” allows {self.coverage:g} %.",
                "Give the export a higher quality, or write a tiff.",
            )
        return data, used_quality, decoded

    def _make_soft_proof(self, codes: Samples, icc: bytes, page: PlacedPage) -> Deliverable:
        """Return a preview of the trimmed print, from ink codes (h, w, 4) of the whole sheet."""
        paper = self.soft_proof == "paper"
        trimmed = codes[page.trim_window]
        data = printing.encode_proof(trimmed, icc, paper, page.picture.ppi)
        high, wide = trimmed.shape[:2]
        facts: dict[str, RecordValue] = {"name": self.name, "format": "jpeg", "width": wide, "height": high, "depth": 8}
        facts |= {"profile": "sRGB", "bytes": len(data), "proof_of": colour.profile_name(icc), "paper": paper}
        return Deliverable(f"{self._name_tail}_proof", ".jpg", data, facts)

    def _file_facts(self, page: PlacedPage, depth: int, data: bytes, quality: int) -> dict[str, RecordValue]:
        """Return the facts that are recorded of every file, and those of its sheet if there is one."""
        picture, lossless = page.picture, not self._row.is_lossy or (self._row.is_print_page and self.quality is None)
        facts: dict[str, RecordValue] = {
            "name": self.name,
            "format": self.format,
            "width": picture.width,
            "height": picture.height,
            "depth": depth,
            "ppi": None if picture.ppi is None else [round(value, 4) for value in picture.ppi],
            "mode": "grey" if picture.channels == 1 else "RGB",
            "bytes": len(data),
            "quality": None if lossless else quality,
        }
        if page.source_box is not None:
            facts |= {"crop": list(page.source_box), "faces_cut": page.faces_cut}
        if self.trim is not None and picture.ppi is not None:
            facts |= {
                "trim_mm": list(self.trim),
                "bleed_mm": self.bleed,
                "bleed_px": page.bleed_px,
                "ppi_at_trim": round(min(picture.ppi), 1),
            }
        if self._row.is_print_page:
            facts |= {"marks": self.marks, "standard": "PDF/X-4" if self.cmyk else "PDF 1.6"}
        return facts

    def _metadata_facts(self, source: Metadata, picture: Picture, ink_profile: bytes | None = None) -> dict[str, RecordValue]:
        """Return which metadata the file has, their size in bytes, and the names of what it does not get from ``source``."""
        written = codec.written_metadata(picture, self._row, ink_profile)
        if self._row.is_print_page:  # a page names creator, rights and credit, whence it comes, and nothing else of the picture
            page_credits = replace(read_credits(picture.metadata), title="")
            written = with_credits(Metadata(xmp=provenance_xmp(picture.metadata)), page_credits)
        return {"metadata": self.metadata, "metadata_bytes": byte_count(written), "metadata_left_out": names_left_out(source, written)}

    def _encode_within_limit(
        self, write: Callable[[int], bytes], quality: int, picture: Picture, context: StepContext
    ) -> tuple[bytes, int]:
        """Return the file and its quality: the highest one, up to ``quality``, that fits into ``max_kb``.

        Raises InputError if no quality fits.
        """
        if self.max_kb is None:
            return write(quality), quality
        reserved = 0 if self.metadata == "none" else context.results.reserved_bytes()
        allowed = max(0, self.max_kb * _BYTES_PER_KB - reserved)
        data, used = codec.search_quality(
            write, quality, allowed, lambda done: context.progress.report(0.6 + 0.3 * done, f"fitting into {self.max_kb} kB")
        )
        if len(data) > allowed:
            described = byte_count(codec.written_metadata(picture, self._row)) + len(picture.icc or b"")
            signed = f"; {reserved / _BYTES_PER_KB:,.0f} kB of them are for its content credentials" if reserved else ""
            share = f", {described / _BYTES_PER_KB:,.0f} kB of them metadata and profile" if described >= _BYTES_PER_KB else ""
            less = 'metadata = "rights"' if self.metadata == "all" else 'metadata = "none"'
            raise InputError(
                f"As {self.format} at the lowest quality the {picture.width} x {picture.height} px picture "
                f"takes {len(data) / _BYTES_PER_KB:,.0f} kB{share}; "
                f"export “{self.name}” allows {self.max_kb:,} kB{signed}.",
                f"Give the export a smaller size{f', {less}' if share and self.metadata != 'none' else ''} or a larger max_kb.",
            )
        return data, used

    def _pdf_page(self, context: StepContext) -> printing.PdfPageOptions:
        if self.trim is None:
            raise ValueError("a pdf needs a trim")
        return printing.PdfPageOptions(PrintSheet(self.trim, self.bleed), context.stem + self._name_tail, self.marks)

    def _prepare_picture(self, picture: Picture, context: StepContext) -> PlacedPage:
        """Return the picture resized in linear light, then converted to the profile, then flattened if required, with its own metadata."""
        placed = self._size_picture(picture, context)
        result = placed.picture
        if self.profile is not None:
            result = colour.embed_profile(colour.convert_profile(result, self.profile))
        if self.background is not None or self.cmyk or not self._row.holds_alpha:
            code = self.background or "#ffffff"
            red, green, blue = (int(code[start : start + 2], 16) / 255 for start in (1, 3, 5))
            result = codec.flatten(result, (red, green, blue))
        if self.ppi is not None and self.trim is None:
            result = replace(result, ppi=(self.ppi, self.ppi))
        metadata = select_metadata(result.metadata, self.metadata)
        if self.metadata != "none":
            metadata = with_credits(metadata, context.credits)
            metadata = context.results.with_identity(metadata, self._name_tail + self._row.suffix)
        result = result.with_metadata(metadata)
        return replace(placed, picture=result)

    def _size_picture(self, picture: Picture, context: StepContext) -> PlacedPage:
        before = (picture.width, picture.height)
        if self.trim is not None:
            sheet = PrintSheet(self.trim, self.bleed)
            part, _, ppi = plan_resize(before, sheet, self.ppi, self.bleed_from)
            across, down = sheet.pixel_size(ppi)
            if across * down > MAX_PIXELS:
                raise InputError(
                    f"Trim and bleed need {across} x {down} px, more than {MAX_PIXELS // 10**6} megapixels.",
                    "Give the export a lower ppi.",
                )
            focus = self._find_focus(picture, part, context)
            page = place_on_sheet(picture, sheet, self.ppi, self.bleed_from, focus)
        elif self.size is None or self.mode == "fit":
            width, height = before if self.size is None else fit_size(before, self.size, can_enlarge=False)
            return PlacedPage(resize_without_ringing(picture, height, width), 0)
        else:
            part, (width, height) = fill_size(before, self.size, can_enlarge=False)
            focus = self._find_focus(picture, part, context)
            cropped, source_box = crop_to_part(picture, part, focus)
            faces_cut = 0 if source_box is None else count_cut_faces(focus.faces, source_box)
            page = PlacedPage(resize_without_ringing(cropped, height, width), 0, source_box, faces_cut)
        if page.source_box is not None:
            record_crop(focus, page.source_box, page.faces_cut, context)
        if self.trim is not None and ppi < _MIN_SHARP_PPI and (self.ppi is None or ppi < self.ppi):
            context.results.record(remark=f"printed at this size it has {ppi:.0f} pixels per inch, so it looks soft in the hand")
        return page

    def _find_focus(self, picture: Picture, part: Size, context: StepContext) -> CropFocus:
        """Return what stays; nothing is searched for if nothing is cropped."""
        return CropFocus() if part == (picture.width, picture.height) else find_crop_focus(picture, self.anchor, context)

    def _output_depth(self, picture: Picture) -> int:
        if self.depth is not None:
            return self.depth
        return 8 if picture.depth == 8 else self._row.deep_depth
