"""How much memory work on a picture takes, so that one that is too large is told before anything is done, and not by a failure later.

A plate is float32: 12 bytes a pixel in RGB. An operation holds what it is given and what it makes, works in strips, and is held by a test
to what it says it takes. So the most that a job takes is known from the picture's size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldsmith.errors import Problem

PER_PIXEL = 48
"""Bytes that a job takes for each pixel of its largest picture: four plates of RGB, the codec's own and the file among them. With alpha
it is a third more: a plate of RGBA has four planes and not three."""
BESIDE = 512 << 20
"""Bytes that it takes besides, whatever the picture's size: libraries, strips under work, a small engine."""
LEAST = 1_000_000
"""Pixels; so small a picture always fits."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a job may have: ``memory`` bytes, of which it takes ``per_pixel`` for each pixel of a picture."""

    memory: int
    per_pixel: int = PER_PIXEL

    def check(self, name: str, width: int, height: int, alpha: bool = False) -> None:
        """Raise Problem where a picture of that size would not fit; ``name`` is what it goes by in the sentence."""
        needed = width * height * self.per_pixel * (4 if alpha else 3) // 3 + BESIDE
        if needed <= self.memory or width * height <= LEAST:
            return
        raise Problem(
            f"{name} is {width} x {height} pixels ({width * height / 1e6:,.0f} MP) large: work on it takes up to "
            f"{_shown(needed)} of memory, and a job may have {_shown(self.memory)}.",
            f"Make it smaller, or set lane_memory_mb = {-(-needed // (100 << 20)) * 100} or more in config/house.toml.",
        )


def _shown(size: int) -> str:
    return f"{size / 2**30:.2g} GiB" if size < 10 << 30 else f"{size / 2**30:.0f} GiB"
