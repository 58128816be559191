"""Attention from image tokens to text tokens, in the forms that families have it.

The weights are computed beside the model's own attention, from the same inputs and by the module's own projections. The
model's result is not touched, so its pictures are the same bit for bit. The price is that queries and keys are
projected twice.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

_LARGEST = 2**26
"""Attention weights that are in memory at a time: 256 MiB in float32."""


class WordAttention(ABC):
    """Where and how a family's image tokens attend to the text.

    Args:
        pattern: Regular expression of the paths, in the denoiser, of the modules that attend to the text.
        parts: Returns the tokenizers whose tokens are the text tokens, in order, each with its number of tokens (None
            is the tokenizer's own limit), for the longest text that the model is run with.
        as_read: Returns the text that the tokenizers are given for a prompt.
    """

    def __init__(
        self,
        pattern: str,
        parts: Callable[[int], tuple[tuple[str, int | None], ...]],
        as_read: Callable[[str], str] = str,
    ) -> None:
        self._pattern = re.compile(pattern)
        self.parts, self.as_read = parts, as_read

    def is_at(self, path: str) -> bool:
        """Return whether the module at a path of the denoiser attends to the text."""
        return self._pattern.fullmatch(path) is not None

    @staticmethod
    def block(path: str) -> str:
        """Return the path of the block around a module that attends to the text; the block is a hookpoint."""
        return path.rpartition(".")[0]

    @abstractmethod
    def weights(self, module: Any, inputs: Mapping[str, Any], count: int, text_tokens: int) -> torch.Tensor:
        """Return how much each image token attends to each text token, float32 [count, image tokens, text tokens].

        Args:
            module: The module that attends to the text.
            inputs: Its arguments by name.
            count: Rows of the batch to read: the last ones, where guidance has doubled the batch.
            text_tokens: Number of text tokens in this call of the denoiser.
        """


class CrossAttention(WordAttention):
    """Attention of image tokens to the text alone: U-Nets, PixArt, Sana."""

    def weights(self, module: Any, inputs: Mapping[str, Any], count: int, text_tokens: int) -> torch.Tensor:
        """See `WordAttention`; the weights of an image token sum to 1 over the text."""
        del text_tokens
        text = inputs["encoder_hidden_states"][-count:]
        if module.norm_cross:
            text = module.norm_encoder_hidden_states(text)
        query = _heads(module.to_q(inputs["hidden_states"][-count:]), module.heads, module.norm_q)
        key = _heads(module.to_k(text), module.heads, module.norm_k)
        mask = inputs.get("attention_mask")
        # PixArt and Sana hide padding by a mask [batch, 1, text tokens] that is added.
        return mean_weights(query, key, slice(None), None if mask is None else mask[-count:])


class JointAttention(WordAttention):
    """Attention of both streams to both: FLUX.1, Chroma, Stable Diffusion 3.

    Args:
        first: The stream whose tokens stand first.
        **more: See `WordAttention`.
    """

    def __init__(self, *, first: Literal["text", "image"], **more: Any) -> None:
        super().__init__(**more)
        self.first = first

    def weights(self, module: Any, inputs: Mapping[str, Any], count: int, text_tokens: int) -> torch.Tensor:
        """See `WordAttention`; the weights of an image token sum to 1 over the text and the image."""
        import torch

        states = inputs["hidden_states"][-count:]
        query = _heads(module.to_q(states), module.heads, module.norm_q)
        key = _heads(module.to_k(states), module.heads, module.norm_k)
        text = inputs.get("encoder_hidden_states")
        if text is not None:
            # Single blocks of FLUX have both streams in one tensor, the text first.
            text = text[-count:]
            both = [
                (_heads(module.add_q_proj(text), module.heads, module.norm_added_q), query),
                (_heads(module.add_k_proj(text), module.heads, module.norm_added_k), key),
            ]
            query, key = (torch.cat(one if self.first == "text" else one[::-1], 2) for one in both)
        if (places := inputs.get("image_rotary_emb")) is not None:
            from diffusers.models.embeddings import apply_rotary_emb

            query, key = apply_rotary_emb(query, places), apply_rotary_emb(key, places)
        tokens = query.shape[2]
        image, text_keys = slice(text_tokens, None), slice(text_tokens)
        if self.first == "image":
            image, text_keys = slice(tokens - text_tokens), slice(tokens - text_tokens, None)
        # Chroma adds a mask [batch, 1, queries, keys], which is the same for all image tokens of a picture.
        mask = inputs.get("attention_mask")
        row = None if mask is None else mask[-count:, 0, image][:, :1]
        return mean_weights(query[:, :, image], key, text_keys, row)


def _heads(states: torch.Tensor, heads: int, norm: Any) -> torch.Tensor:
    """Part states [n, tokens, width] by head, and normalise them: [n, heads, tokens, width / heads].

    Most norms are those of a head. Those of Sana 1.5 and Sana Sprint are of all heads together, as their width tells.
    """
    weight = getattr(norm, "weight", None)
    if weight is not None and weight.shape[-1] == states.shape[-1]:
        states, norm = norm(states), None
    parted = states.unflatten(-1, (heads, -1)).transpose(1, 2)
    return parted if norm is None else norm(parted)


def mean_weights(query: torch.Tensor, key: torch.Tensor, text: slice, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Return the softmax of scaled products, averaged over the heads, at some of the keys.

    Args:
        query: [n, heads, queries, width].
        key: [n, heads, keys, width].
        text: The keys that are returned; the softmax is over all.
        mask: Added to the products, [n, 1, keys]; None adds nothing.

    Returns:
        float32 [n, queries, keys of `text`].
    """
    import torch

    n, heads, queries, width = query.shape
    keys = key.shape[2]
    found = torch.zeros(n, queries, len(range(keys)[text]), dtype=torch.float32, device=query.device)
    together = max(1, _LARGEST // (queries * keys))
    # Autocast would take the products of half precision, although both are widened.
    whole = torch.autocast("cpu", enabled=False) if query.device.type == "cpu" else nullcontext()
    with whole:
        for start in range(0, n, together):
            rows = slice(start, start + together)
            for head in range(heads):
                products = query[rows, head].float() @ key[rows, head].float().transpose(1, 2) * width**-0.5
                if mask is not None:
                    products = products + mask[rows].float()
                found[rows] += products.softmax(-1)[:, :, text]
    return found / heads
