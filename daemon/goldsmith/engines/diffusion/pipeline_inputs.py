"""The inputs of a pipeline call: pictures, holes and prompts in the forms that pipelines take."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldsmith.engines.diffusion.picture_checks import resize
from goldsmith.engines.protocols import GenerationRequest
from goldsmith.picture.picture import Mask, Pixels, quantise

if TYPE_CHECKING:
    from PIL.Image import Image

# The arguments of a pipeline's call, by name.
PipelineArguments = dict[str, Any]

# Minimum side of a reference picture in px; FLUX.2 refuses smaller ones.
_MIN_REFERENCE_SIDE = 64


@dataclass(frozen=True, slots=True)
class PipelineInputs:
    """The inputs for some pictures of ``width`` x ``height`` px, one entry for each; either all have an input picture or none has."""

    width: int
    height: int
    strength: float
    prompts: tuple[str, ...]
    pictures: tuple[Pixels, ...] = ()
    holes: tuple[Mask, ...] = ()
    references: tuple[Pixels, ...] = ()
    layer_count: int = 0

    @property
    def count(self) -> int:
        return len(self.prompts)

    @property
    def size_arguments(self) -> PipelineArguments:
        return {"width": self.width, "height": self.height}

    @property
    def prompt_arguments(self) -> PipelineArguments:
        """The prompts as arguments; a prompt that all pictures share is encoded only once."""
        if len(set(self.prompts)) == 1:
            return {"prompt": self.prompts[0], "num_images_per_prompt": self.count}
        return {"prompt": list(self.prompts), "num_images_per_prompt": 1}

    def image_tensor(self) -> Any:
        """Return the pictures as a tensor (count, 3, h, w), 0..1, not quantised."""
        import torch

        return torch.from_numpy(np.stack([picture.transpose(2, 0, 1) for picture in self.pictures]))

    def mask_tensor(self) -> Any:
        """Return the holes as a tensor (count, 1, h, w), 0 or 1 = fill; without holes, all 1."""
        import torch

        holes = self.holes or (np.ones((self.height, self.width), np.float32),) * self.count
        return torch.from_numpy(np.stack([(hole > 0.5).astype(np.float32)[None] for hole in holes]))

    def hole_image(self) -> Image:
        """Return the hole of the first picture as an 8-bit PIL image, white = fill, for pipelines that scale it themselves."""
        from PIL import Image

        return Image.fromarray(((self.holes[0] > 0.5) * np.uint8(255)).astype(np.uint8))

    def reference_images(self) -> list[Image]:
        """Return the first picture and the references as 8-bit PIL images, for pipelines that take only these."""
        return [to_pil(pixels) for pixels in (*self.pictures[:1], *self.references)]


def prepare_inputs(requests: Sequence[GenerationRequest], width: int, height: int, strength: float) -> PipelineInputs:
    """Return the inputs for one picture of each request; either all requests have an input picture or none has."""
    sources = [(request.picture, request.hole) for request in requests]
    return PipelineInputs(
        width=width,
        height=height,
        strength=strength,
        prompts=tuple(request.options.prompt for request in requests),
        pictures=tuple(resize(picture, width, height) for picture, _ in sources if picture is not None),
        holes=tuple(_resize_hole(hole, width, height) for _, hole in sources if hole is not None),
        references=requests[0].references,
        layer_count=requests[0].layer_count,
    )


def is_prompt_truncated(pipe: Any, prompts: Sequence[str]) -> bool:
    """Return whether a prompt is longer than all text encoders of the pipeline can read: CLIP 77 tokens, others as the pipeline says."""
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    limits = []
    for name, tokenizer in pipe.components.items():
        if name.startswith("tokenizer") and tokenizer is not None:
            most = int(tokenizer.model_max_length)
            limits.append((tokenizer, most if parameter is None else min(most, int(parameter.default))))
    return any(all(len(tokenizer(prompt).input_ids) > limit for tokenizer, limit in limits) for prompt in set(prompts) if limits)


def _resize_hole(hole: Mask, width: int, height: int) -> Mask:
    """Return the hole (height, width), 0 or 1, at that size. A pixel that the hole touches belongs to it, so that nothing is lost."""
    if hole.shape == (height, width):
        return hole
    import cv2

    shrunk = cv2.resize(hole, (width, height), interpolation=cv2.INTER_AREA)
    resized: Mask = np.where(shrunk > 0, np.float32(1), np.float32(0))
    return resized


def to_pil(pixels: Pixels) -> Image:
    """Return the pixels, (h, w, 3), 0..1, sRGB, as an 8-bit PIL image; a very small one is enlarged."""
    from PIL import Image

    picture = Image.fromarray(quantise(pixels, 8))
    factor = _MIN_REFERENCE_SIDE / min(picture.size)
    if factor <= 1:
        return picture
    return picture.resize(
        (max(_MIN_REFERENCE_SIDE, round(picture.width * factor)), max(_MIN_REFERENCE_SIDE, round(picture.height * factor)))
    )
