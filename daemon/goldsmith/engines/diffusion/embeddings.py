"""Textual inversions: words that were learned as vectors, from ``library/embeddings/``, for models that read with CLIP.

The vectors take the place of the word's tokens while a prompt is encoded; the model itself never changes (Gal et al., "An Image is Worth
One Word", 2022). Only safetensors are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldsmith.engines.diffusion.diffusers_tree import check_safetensors
from goldsmith.errors import InputError

# More vectors than fit into one chunk have no meaning.
_MAX_VECTORS = 75
# The tensors of a file, by the number of the text encoder: SDXL and SD3 have one for each, Stable Diffusion 1 has one.
_TENSOR_NAMES = (("clip_l", "emb_params"), ("clip_g",))


@dataclass(frozen=True, eq=False, slots=True)
class LearnedWord:
    """A word, and its vectors for each text encoder, (count, width)."""

    word: str
    vectors: tuple[Any, ...]


def read_words(paths: Sequence[Path], widths: Sequence[int]) -> list[LearnedWord]:
    """Return the learned word of each file, called like the file.

    widths: of the text encoders. Raises InputError if a file is damaged or was made for another kind of model.
    """
    return [_read_word(path, widths) for path in paths]


def _read_word(path: Path, widths: Sequence[int]) -> LearnedWord:
    from safetensors.torch import load_file

    check_safetensors(path, "Replace it with a textual inversion in safetensors form.")
    tensors: Mapping[str, Any] = load_file(path)
    vectors = []
    for number, width in enumerate(widths):
        tensor = next((tensors[name] for name in _TENSOR_NAMES[number] if name in tensors), None)
        if tensor is None and len(widths) == len(tensors) == 1:
            tensor = next(iter(tensors.values()))
        if tensor is not None and tensor.ndim == 1:
            tensor = tensor[None]
        if tensor is None or tensor.ndim != 2 or tensor.shape[1] != width or not 1 <= tensor.shape[0] <= _MAX_VECTORS:
            shapes = ", ".join(f"{name} {tuple(each.shape)}" for name, each in sorted(tensors.items())[:4])
            expected = " and ".join(f"n x {each}" for each in widths)
            raise InputError(
                f"{path.name}: this textual inversion does not fit the model: it has {shapes}, and the model takes {expected}.",
                "Name one that was made for this family of models.",
            )
        vectors.append(tensor)
    if len({len(each) for each in vectors}) > 1:
        raise InputError(f"{path.name}: it has another number of vectors for each text encoder.", "Replace it.")
    return LearnedWord(path.stem, tuple(vectors))


def split_at_words(text: str, words: Sequence[LearnedWord]) -> list[str | LearnedWord]:
    """Return the text with the learned words in it in their places; a word stands alone, in capitals or not."""
    if not words:
        return [text]
    by_name = {each.word.casefold(): each for each in words}
    names = "|".join(re.escape(name) for name in sorted(by_name, key=len, reverse=True))
    pieces = re.split(rf"(?<![\w-])({names})(?![\w-])", text, flags=re.IGNORECASE)
    return [by_name.get(piece.casefold(), piece) if number % 2 else piece for number, piece in enumerate(pieces) if piece]
