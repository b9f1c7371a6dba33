"""What ``config/models.toml`` says of a net that draws faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from goldsmith.engines.registry.weights_sources import ConfigTable


class FaceSwapSettings(ConfigTable):
    """``[models.NAME.swap]``: what a net that draws faces takes. It is shown the face upright in a square, RGB, and draws it so.

    Its other input is who it is to be: a vector that a second net makes of the person's face, or that face itself in a square.
    """

    range: Literal["0..1", "-1..1"] = "0..1"
    """In which numbers it takes and gives pixels."""
    identity: Annotated[str, Field(max_length=128)] = ""
    """The one of its files that makes the vector of a face of 112 px, from -1 to 1; "" = it takes the face itself."""
    matrix: Annotated[str, Field(max_length=128)] = ""
    """The one of its files, a .npy, that the vector is multiplied by before the net takes it; "" = none."""

    def inconsistency(self, files: Sequence[str]) -> str:
        """Why this does not hang together with the model's files; "" where it does."""
        beside = [name for name in (self.identity, self.matrix) if name]
        wrong = [name for name in beside if name not in files]
        if wrong:
            return f"swap names {wrong[0]}, which is none of its files"
        if len(files) != len(set(beside)) + 1:
            return "a model that swaps faces has one file that draws, beside those that its [swap] table names"
        return "swap.matrix is for a vector: name the net that makes it as identity" if self.matrix and not self.identity else ""
