"""The settings of a reference adapter in ``models.toml``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from goldsmith.engines.registry.weights_sources import ConfigTable

# A path inside the model's folder: no hidden part, no "..".
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
FILE_IN_FOLDER = rf"^({_PART}/){{0,4}}[A-Za-z0-9_][A-Za-z0-9_.-]{{0,99}}\.safetensors$"
FOLDER_IN_FOLDER = rf"^({_PART}/){{0,4}}{_PART}$"


class ReferenceSettings(ConfigTable):
    """``[models.NAME.reference]``: the models that a reference adapter (IP-Adapter) guides, and its two parts."""

    family: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]
    """The family of the models that it guides, such as "sdxl"."""
    weights: Annotated[str, Field(pattern=FILE_IN_FOLDER)]
    """The file with its weights in its folder, such as "sdxl_models/ip-adapter_sdxl.safetensors"."""
    encoder: Annotated[str, Field(pattern=FOLDER_IN_FOLDER)] = "image_encoder"
    """The folder of its image encoder in its folder: config.json and one .safetensors file."""
