"""The limits on what a picture file may cost beyond its pixels, so that a small file cannot keep a worker busy.

A limit is far above what cameras, scanners and picture programs write. A file beyond one is refused before it is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldsmith.errors import InputError

# A picture program writes about ten scans. Each scan passes over the whole picture: 4,000 of them in a file of 265 kB took a minute.
MAX_SCANS = 100
# Comments of a JPEG, text chunks of a PNG, text tags of a TIFF.
MAX_TEXTS = 1000
# Unpacked, all texts together, without XMP and IPTC.
MAX_TEXT_BYTES = 4_000_000
# All frames or pages of a file together have at most this many times the pixels that one may have.
MAX_FRAMES_SHARE = 10


@dataclass(slots=True)
class TextBudget:
    """Counts the texts of one file and their bytes."""

    name: str
    count: int = 0
    size: int = 0

    def add(self, size: int) -> None:
        """Count one more text of ``size`` bytes. Raises InputError if there are too many texts, or too many bytes of them."""
        self.count += 1
        if self.count > MAX_TEXTS:
            raise InputError(f"{self.name} carries more than {MAX_TEXTS:,} texts.", "Save it without its texts and comments.")
        self.resize(size)

    def resize(self, growth: int) -> None:
        """Add ``growth`` bytes to the texts. Raises InputError if there are too many then."""
        self.size += growth
        if self.size > MAX_TEXT_BYTES:
            raise InputError(
                f"{self.name} carries more than {MAX_TEXT_BYTES // 10**6} MB of texts.", "Save it without its texts and comments."
            )

    @property
    def bytes_left(self) -> int:
        """How many more bytes of text the file may carry."""
        return MAX_TEXT_BYTES - self.size


def check_scan_count(name: str, count: int) -> None:
    """Raise InputError if a JPEG stream has too many scans."""
    if count > MAX_SCANS:
        raise InputError(
            f"{name} has more than {MAX_SCANS} JPEG scans, which would take very long to decode.",
            "Save it again as an ordinary JPEG, or as PNG.",
        )


def check_frames_size(name: str, frame_count: int, total_pixels: int, max_pixels: int) -> None:
    """Raise InputError if all frames together have too many pixels. ``max_pixels`` is the limit for one."""
    limit = MAX_FRAMES_SHARE * max_pixels
    if total_pixels > limit:
        raise InputError(
            f"{name} has {frame_count} frames of together {total_pixels / 1e6:,.0f} MP; the limit is {limit / 1e6:,.0f} MP.",
            "Save the one you want as a still.",
        )
