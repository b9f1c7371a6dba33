"""The ``[models.NAME.swap]`` table of ``config/models.toml``: how a face swap network is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from goldsmith.engines.registry.weights_sources import ConfigTable


class FaceSwapSettings(ConfigTable):
    """``[models.NAME.swap]``: the inputs of a face swap network. It takes and returns a face upright in a square, RGB.

    Its other input is the person: a vector that a second network computes from the person's face, or that face itself in a square.
    """

    range: Literal["0..1", "-1..1"] = "0..1"
    """The range of its pixel values, in and out."""
    identity: Annotated[str, Field(max_length=128)] = ""
    """The file of the network that computes the vector of a face of 112 px, -1..1; "" = it takes the face itself."""
    matrix: Annotated[str, Field(max_length=128)] = ""
    """The .npy file of a matrix by which the vector is multiplied first; "" = none."""

    def inconsistency(self, files: Sequence[str]) -> str:
        """Return why the table does not match the model's files; "" if it does."""
        table_files = [name for name in (self.identity, self.matrix) if name]
        unknown_files = [name for name in table_files if name not in files]
        if unknown_files:
            return f"swap names {unknown_files[0]}, which is not one of its files"
        if len(files) != len(set(table_files)) + 1:
            return "a face swap model has exactly one file besides those that its [swap] table names"
        return "swap.matrix needs a vector: name the network that computes it as identity" if self.matrix and not self.identity else ""
