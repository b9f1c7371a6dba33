"""What one call of a pipeline works with: pictures, holes and words in the forms that pipelines take."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldsmith.engines import GenerationRequest
from goldsmith.engines.diffusion.picture_checks import resize
from goldsmith.picture.picture import Mask, Pixels, quantise

if TYPE_CHECKING:
    from PIL.Image import Image

# What a pipeline is called with, by name.
PipelineArguments = dict[str, Any]

# FLUX.2 refuses pictures to look at with a shorter side.
_MIN_REFERENCE_SIDE = 64


@dataclass(frozen=True, slots=True)
class PipelineInputs:
    """One entry a picture to make, all of ``width`` x ``height`` px; there are pictures for all of them or for none."""

    width: int
    height: int
    strength: float
    prompts: tuple[str, ...]
    pictures: tuple[Pixels, ...] = ()
    holes: tuple[Mask, ...] = ()
    references: tuple[Pixels, ...] = ()

    @property
    def count(self) -> int:
        return len(self.prompts)

    @property
    def size_arguments(self) -> PipelineArguments:
        return {"width": self.width, "height": self.height}

    @property
    def prompt_arguments(self) -> PipelineArguments:
        """One prompt is encoded once, whatever is made of it."""
        if len(set(self.prompts)) == 1:
            return {"prompt": self.prompts[0], "num_images_per_prompt": self.count}
        return {"prompt": list(self.prompts), "num_images_per_prompt": 1}

    def image_tensor(self) -> Any:
        """The pictures as a tensor (count, 3, h, w), 0..1, nothing quantised: each is encoded with its own seed."""
        import torch

        return torch.from_numpy(np.stack([picture.transpose(2, 0, 1) for picture in self.pictures]))

    def mask_tensor(self) -> Any:
        """The holes as a tensor (count, 1, h, w), 1 = make new; everything where there are none."""
        import torch

        holes = self.holes or (np.ones((self.height, self.width), np.float32),) * self.count
        return torch.from_numpy(np.stack([(hole > 0.5).astype(np.float32)[None] for hole in holes]))

    def reference_images(self) -> list[Image]:
        """The first picture and then the references as PIL has them: 8 bits, for pipelines that take nothing else."""
        return [_to_pil(pixels) for pixels in (*self.pictures[:1], *self.references)]


def prepare_inputs(requests: Sequence[GenerationRequest], width: int, height: int, strength: float) -> PipelineInputs:
    """What is needed to make one picture for each of these requests, all with a picture or all without."""
    sources = [(request.picture, request.hole) for request in requests]
    return PipelineInputs(
        width=width,
        height=height,
        strength=strength,
        prompts=tuple(request.options.prompt for request in requests),
        pictures=tuple(resize(picture, width, height) for picture, _ in sources if picture is not None),
        holes=tuple(_resize_hole(hole, width, height) for _, hole in sources if hole is not None),
        references=requests[0].references,
    )


def is_prompt_truncated(pipe: Any, prompts: Sequence[str]) -> bool:
    """True where a prompt is longer than any of the pipeline's text encoders reads: CLIP 77 tokens, others what the pipeline asks."""
    longest = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    limits = []
    for name, tokenizer in pipe.components.items():
        if name.startswith("tokenizer") and tokenizer is not None:
            most = int(tokenizer.model_max_length)
            limits.append((tokenizer, most if longest is None else min(most, int(longest.default))))
    return any(all(len(tokenizer(prompt).input_ids) > limit for tokenizer, limit in limits) for prompt in set(prompts) if limits)


def _resize_hole(hole: Mask, width: int, height: int) -> Mask:
    """A hole that is made smaller never loses a pixel of it: every pixel that it touches is made new."""
    if hole.shape == (height, width):
        return hole
    import cv2

    shrunk = cv2.resize(hole, (width, height), interpolation=cv2.INTER_AREA)
    made: Mask = np.where(shrunk > 0, np.float32(1), np.float32(0))
    return made


def _to_pil(pixels: Pixels) -> Image:
    from PIL import Image

    picture = Image.fromarray(quantise(pixels, 8))
    factor = _MIN_REFERENCE_SIDE / min(picture.size)
    if factor <= 1:
        return picture
    return picture.resize(
        (max(_MIN_REFERENCE_SIDE, round(picture.width * factor)), max(_MIN_REFERENCE_SIDE, round(picture.height * factor)))
    )
