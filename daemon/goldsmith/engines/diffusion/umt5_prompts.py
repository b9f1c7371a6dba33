"""Words for UMT5: encoded here, because the pipeline of ChronoEdit repairs them with a library that nothing else needs."""

from __future__ import annotations

from typing import Any

# The number of tokens that the model was trained with. Source: diffusers 0.42, the default of ``max_sequence_length``.
_MAX_TOKENS = 512


def encode_with_umt5(pipe: Any, text: str, device: str) -> Any:
    """Return a text as the pipeline takes it: a tensor (1, 512, width), with zeros behind its last token. More tokens are cut off."""
    import torch

    tokens = pipe.tokenizer(
        " ".join(text.split()),
        padding="max_length",
        max_length=_MAX_TOKENS,
        truncation=True,
        return_attention_mask=True,
        return_tensors="pt",
    ).to(torch.device(device))
    with torch.no_grad():
        states = pipe.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
    return states * tokens.attention_mask[..., None].to(states.dtype)
