"""How much memory work on a picture takes, so that one that is too large is told before anything is done, and not by a failure later.

A picture is float32: 12 bytes a pixel in RGB. An operation holds what it is given and what it makes, works in strips, and is held by a test
to what it says it takes. So the most that a job takes is known from the picture's size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldsmith.errors import InputError

# Bytes that a job takes for each pixel of its largest picture: four pictures of RGB, the codec's own and the file among them. With alpha it
# is a third more: a picture of RGBA has four planes and not three.
BYTES_PER_PIXEL = 48
# Bytes that it takes besides, whatever the picture's size: libraries, strips under work, a small engine.
OVERHEAD_BYTES = 512 << 20
# Pixels; so small a picture always fits.
ALWAYS_ALLOWED_PIXELS = 1_000_000


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """What a job may have: ``memory`` bytes, of which it takes ``per_pixel`` for each pixel of a picture."""

    limit_bytes: int
    bytes_per_pixel: int = BYTES_PER_PIXEL

    def check_size(self, name: str, width: int, height: int, has_alpha: bool = False) -> None:
        """Raise InputError where a picture of that size would not fit; ``name`` is what it goes by in the sentence."""
        needed = width * height * self.bytes_per_pixel * (4 if has_alpha else 3) // 3 + OVERHEAD_BYTES
        if needed <= self.limit_bytes or width * height <= ALWAYS_ALLOWED_PIXELS:
            return
        raise InputError(
            f"{name} is {width} x {height} pixels ({width * height / 1e6:,.0f} MP) large: work on it takes up to "
            f"{_format_gib(needed)} of memory, and a job may have {_format_gib(self.limit_bytes)}.",
            f"Make it smaller, or set worker_memory_mb = {-(-needed // (100 << 20)) * 100} or more in config/goldsmith.toml.",
        )


def _format_gib(size: int) -> str:
    return f"{size / 2**30:.2g} GiB" if size < 10 << 30 else f"{size / 2**30:.0f} GiB"
