"""Encode long and weighted prompts for models that read their words with CLIP.

CLIP reads 75 tokens at a time. A longer prompt is split into chunks, each chunk is encoded on its own, and the results are joined. The
rules are those of stable-diffusion-webui (A1111), so that a prompt from there means the same here:

- a chunk that is full ends after its last comma if that comma is among its last 20 tokens (its setting "comma padding backtrack");
- each token's embedding is multiplied by its weight, then the chunk is scaled so that its mean is as before (its emphasis mode "Original");
- the pooled embedding is that of the first chunk;
- the shorter of prompt and negative prompt is filled up with empty chunks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goldsmith.engines.diffusion.embeddings import LearnedWord, read_words, split_at_words
from goldsmith.engines.diffusion.pipeline_inputs import PipelineArguments
from goldsmith.engines.diffusion.prompt_weights import PromptPart, is_plain, parse_prompt, plain_text
from goldsmith.errors import InputError

# How far back from the end of a full chunk a comma may be at which the chunk ends, in tokens.
_COMMA_BACKTRACK = 20
# SD3 reads this many tokens with T5; the longer limit is for prompts that need it.
_T5_TOKENS, _MAX_T5_TOKENS = 256, 512


@dataclass(slots=True)
class PromptChunk:
    """Up to 75 tokens with their weights."""

    # A number of the vocabulary, or a vector of a learned word.
    ids: list[Any] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, token: Any, weight: float) -> None:
        self.ids.append(token)
        self.weights.append(weight)

    def cut(self, start: int) -> PromptChunk:
        """Return the tokens from ``start`` on, and remove them here."""
        rest = PromptChunk(self.ids[start:], self.weights[start:])
        del self.ids[start:], self.weights[start:]
        return rest


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How CLIP reads.

    clip_skip:  how many of the last layers are left out besides the one that the model always leaves out.
    embeddings: the files of textual inversions.
    """

    clip_skip: int = 0
    embeddings: tuple[Path, ...] = ()


PLAIN_READING = PromptReading()


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt and its negative prompt as arguments of a pipeline's call, and the number of chunks of each."""

    arguments: PipelineArguments
    chunks: int


def reads_with_clip(pipe: Any) -> bool:
    """Return whether the picture follows the words as CLIP reads them: one CLIP encoder, or two with or without T5 beside them.

    False for FLUX, which takes the words from T5 and only a summary from CLIP.
    """
    first, second = (type(pipe.components.get(name)).__name__ for name in ("tokenizer", "tokenizer_2"))
    return first.startswith("CLIPTokenizer") and (second.startswith("CLIPTokenizer") or "tokenizer_2" not in pipe.components)


def needs_encoding(pipe: Any, prompts: Sequence[str]) -> bool:
    """Return whether a prompt has weights or is longer than one chunk, for a pipeline that ``reads_with_clip``."""
    tokenizer = pipe.tokenizer
    return any(not is_plain(prompt) or len(tokenizer(prompt).input_ids) > tokenizer.model_max_length for prompt in prompts)


def encode_prompt(pipe: Any, prompt: str, negative: str, count: int, options: PromptReading = PLAIN_READING) -> EncodedPrompt:
    """Return the arguments for ``count`` pictures of one prompt, for a pipeline that ``reads_with_clip``.

    Raises InputError for a weight out of range, a layer that does not exist, or a textual inversion that does not fit.
    """
    import torch

    positive_parts, negative_parts = parse_prompt(prompt), parse_prompt(negative)
    encoders = [
        (pipe.components[f"tokenizer{suffix}"], pipe.components[f"text_encoder{suffix}"])
        for suffix in ("", "_2")
        if pipe.components.get(f"text_encoder{suffix}") is not None
    ]
    words = read_words(options.embeddings, [encoder.config.hidden_size for _, encoder in encoders])
    chunks = max(
        len(split_into_chunks(tokenizer, parts, words, number))
        for number, (tokenizer, _) in enumerate(encoders)
        for parts in (positive_parts, negative_parts)
    )
    arguments: PipelineArguments = {"num_images_per_prompt": 1}
    with torch.no_grad():
        for prefix, parts, text in (("", positive_parts, prompt), ("negative_", negative_parts, negative)):
            embeds, pooled = _encode_parts(pipe, encoders, parts, chunks, options.clip_skip, words)
            if pipe.components.get("tokenizer_3") is not None or "text_encoder_3" in pipe.components:
                embeds = _join_t5(pipe, embeds, plain_text(text))
            arguments[f"{prefix}prompt_embeds"] = embeds.repeat(count, 1, 1)
            if pooled is not None:
                arguments[f"{prefix}pooled_prompt_embeds"] = pooled.repeat(count, 1)
    return EncodedPrompt(arguments, chunks)


def split_into_chunks(
    tokenizer: Any, parts: Sequence[PromptPart], words: Sequence[LearnedWord] = (), encoder_number: int = 0
) -> list[PromptChunk]:
    """Return the tokens of a prompt in chunks; at least one, which may be empty. Learned words become their vectors for that encoder."""
    length = int(tokenizer.model_max_length) - 2
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    chunks, last_comma = [PromptChunk()], -1
    for part in parts:
        if part.starts_chunk:
            chunks.append(PromptChunk())
            last_comma = -1
        for token in _tokens(tokenizer, part.text, words, encoder_number):
            chunk, is_comma = chunks[-1], isinstance(token, int) and token == comma
            if len(chunk.ids) == length:
                is_near = not is_comma and last_comma >= 0 and length - last_comma <= _COMMA_BACKTRACK
                chunks.append(chunk.cut(last_comma + 1) if is_near else PromptChunk())
                last_comma = -1
            if is_comma:
                last_comma = len(chunks[-1].ids)
            chunks[-1].add(token, part.weight)
    return chunks


def _tokens(tokenizer: Any, text: str, words: Sequence[LearnedWord], encoder_number: int) -> Iterator[Any]:
    """Yield the tokens of a text, and the vectors of the learned words in it."""
    for piece in split_at_words(text, words):
        yield from tokenizer(piece, add_special_tokens=False).input_ids if isinstance(piece, str) else piece.vectors[encoder_number]


def _encode_parts(
    pipe: Any,
    encoders: Sequence[tuple[Any, Any]],
    parts: Sequence[PromptPart],
    chunks: int,
    clip_skip: int,
    learned: Sequence[LearnedWord],
) -> tuple[Any, Any]:
    """Return the words, (1, chunks * 77, width), and the pooled embedding, (1, width), or None if the model has no use for one.

    The widths of several encoders are joined. As in ``encode_prompt`` of diffusers 0.42: two encoders give their last layer but one, a
    single encoder gives its last layer; SDXL takes only its second encoder's pooled embedding, SD3 takes both.
    """
    import torch

    words, pooled = [], []
    for number, (tokenizer, encoder) in enumerate(encoders):
        prompt_chunks = split_into_chunks(tokenizer, parts, learned, number)
        prompt_chunks += [PromptChunk() for _ in range(chunks - len(prompt_chunks))]
        outputs = [
            _encode_chunk(pipe, tokenizer, encoder, chunk, clip_skip if len(encoders) > 1 else clip_skip - 1) for chunk in prompt_chunks
        ]
        words.append(torch.cat([hidden for hidden, _ in outputs], dim=1))
        if outputs[0][1].ndim == 2:
            pooled.append(outputs[0][1])
    return torch.cat(words, dim=-1), torch.cat(pooled, dim=-1) if pooled else None


def _encode_chunk(pipe: Any, tokenizer: Any, encoder: Any, chunk: PromptChunk, skipped: int) -> tuple[Any, Any]:
    """Return the weighted embeddings of one chunk, (1, 77, width), and the encoder's first output: the pooled embedding if it has two
    dimensions.

    skipped: layers left out besides the last; -1 for the last layer itself.
    """
    import torch

    length = int(tokenizer.model_max_length)
    padding = length - len(chunk.ids) - 2
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id, *[tokenizer.pad_token_id] * padding]
    vectors = {position: token for position, token in enumerate(ids) if not isinstance(token, int)}
    numbers = torch.tensor([[0 if position in vectors else token for position, token in enumerate(ids)]])
    with _vectors_in_place(encoder, vectors):
        output = encoder(numbers.to(pipe._execution_device), output_hidden_states=True)
    layers = output.hidden_states
    if skipped + 2 > len(layers):
        raise InputError(f"clip_skip leaves no layer of {len(layers) - 1} to read the words with.", "Use a smaller clip_skip.")
    hidden = output[0] if skipped < 0 else layers[-(skipped + 2)]
    if any(weight != 1 for weight in chunk.weights):
        weights = torch.tensor([1.0, *chunk.weights, *[1.0] * (padding + 1)], device=hidden.device)
        hidden = _apply_weights(hidden, weights)
    return hidden, output[0]


@contextlib.contextmanager
def _vectors_in_place(encoder: Any, vectors: Mapping[int, Any]) -> Iterator[None]:
    """Put these vectors at these positions in place of what the encoder looks up for the tokens, within the block."""

    def replace_rows(module: Any, inputs: Any, output: Any) -> Any:
        output = output.clone()
        for position, vector in vectors.items():
            output[:, position] = vector.to(output)
        return output

    hook = encoder.get_input_embeddings().register_forward_hook(replace_rows) if vectors else None
    try:
        yield
    finally:
        if hook is not None:
            hook.remove()


def _apply_weights(hidden: Any, weights: Any) -> Any:
    """Return the embeddings, (1, n, width), times their weights, (n,), with the mean that they had."""
    wide = hidden.float()
    weighted = wide * weights[None, :, None]
    mean = weighted.mean()
    return (weighted * (wide.mean() / mean) if mean != 0 else weighted).to(hidden.dtype)


def _join_t5(pipe: Any, words: Any, text: str) -> Any:
    """Return the words of CLIP, widened with zeros, followed by the words of T5, which knows no weights; as SD3 joins them."""
    import torch

    tokenizer = pipe.components.get("tokenizer_3")
    is_long = tokenizer is not None and len(tokenizer(text).input_ids) > _T5_TOKENS
    joined, *_ = pipe.encode_prompt(
        prompt=text,
        prompt_2=None,
        prompt_3=None,
        do_classifier_free_guidance=False,
        max_sequence_length=_MAX_T5_TOKENS if is_long else _T5_TOKENS,
    )
    t5 = joined[:, int(pipe.tokenizer.model_max_length) :]
    return torch.cat([torch.nn.functional.pad(words, (0, t5.shape[-1] - words.shape[-1])), t5], dim=1)
