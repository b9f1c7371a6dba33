"""The memory that work on a picture takes, so that a picture that is too large is refused before the work and not by a failure during it.

A picture is float32: 12 bytes a pixel in RGB. An operation holds its input and its result and works in strips; a test checks how many bytes
it declares. So the memory of a job follows from the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldsmith.errors import InputError

# Bytes that a job takes for each pixel of its largest picture: four RGB pictures, including the codec's and the file. With alpha it is a
# third more: an RGBA picture has four planes instead of three.
BYTES_PER_PIXEL = 48
# Bytes that a job takes in addition, whatever the picture's size: libraries, strips in work, a small engine.
OVERHEAD_BYTES = 512 << 20
# Pixels. A picture of this size always fits.
ALWAYS_ALLOWED_PIXELS = 1_000_000


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """The memory of a job in bytes, and the bytes it takes for each pixel of a picture."""

    limit_bytes: int
    bytes_per_pixel: int = BYTES_PER_PIXEL

    def check_size(self, name: str, width: int, height: int, has_alpha: bool = False) -> None:
        """Raise InputError if a picture of that size in px would not fit; ``name`` is its name in the sentence."""
        needed = width * height * self.bytes_per_pixel * (4 if has_alpha else 3) // 3 + OVERHEAD_BYTES
        if needed <= self.limit_bytes or width * height <= ALWAYS_ALLOWED_PIXELS:
            return
        raise InputError(
            f"{name} is {width} x {height} pixels ({width * height / 1e6:,.0f} MP) large: work on it takes up to "
            f"{_format_gib(needed)} of memory, and a job may have {_format_gib(self.limit_bytes)}.",
            f"Make it smaller, or set worker_memory_mb = {-(-needed // (100 << 20)) * 100} or more in config/goldsmith.toml.",
        )

    def check_layers(self, name: str, reading_bytes: int) -> None:
        """Raise InputError if composing the layers of a file takes too many bytes of memory; ``name`` is its name in the sentence."""
        if reading_bytes + OVERHEAD_BYTES <= max(self.limit_bytes, 2 * OVERHEAD_BYTES):
            return
        raise InputError(
            f"The layers of {name} take up to {_format_gib(reading_bytes + OVERHEAD_BYTES)} of memory to compose, and a job may have "
            f"{_format_gib(self.limit_bytes)}.",
            "Merge some of its layers and groups, save it with its merged picture, or raise worker_memory_mb in config/goldsmith.toml.",
        )


def _format_gib(size: int) -> str:
    return f"{size / 2**30:.2g} GiB" if size < 10 << 30 else f"{size / 2**30:.0f} GiB"
