"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.diffusion.families.base import (
    Configs,
    ModelDefaults,
    TextStream,
    doubling_call,
    states_like,
    transformer_blocks,
    transformer_family,
    transformer_width,
    unknown_form,
)


def _hookpoints(configs: Configs) -> list[str]:
    blocks = transformer_blocks(configs)
    return blocks + [f"{block}.attn" for block in blocks]


def sd3_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Image tokens before and after a module of SD3, each [batch, image_tokens, width].

    Blocks take both streams and `temb`, and return (text, image); the last returns (None, image). Their attention
    returns (image, text), what is added to each stream, so it has no `before`. Their MLP returns the image alone.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    before, text = None, None
    if not isinstance(output, tuple):
        after = output
    elif len(output) != 2:
        raise unknown_form("an SD3 block")
    elif "temb" in inputs:
        (text, after), before = output, inputs.get("hidden_states")
    else:
        after, text = output
    known = hasattr(after, "shape") and after.ndim == 3 and after.shape[1] == image_tokens
    known = known and (text is None or text.shape[1] == text_tokens)
    if not known or (before is not None and before.shape != after.shape):
        raise unknown_form("an SD3 block")
    return before, after


def sd3_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `sd3_image_tokens`: into (text, image) of a block, (image, text) of an attention, or a tensor."""
    if not isinstance(output, tuple):
        return states_like(image, output)
    if "temb" in inputs:
        return output[0], states_like(image, output[1])
    return states_like(image, output[0]), output[1]


def _text_hookpoints(configs: Configs) -> list[str]:
    """All but the last block, which hands no text on: its attention's text goes nowhere."""
    last = f"transformer.transformer_blocks.{configs['transformer']['num_layers'] - 1}"
    return [hookpoint for hookpoint in _hookpoints(configs) if hookpoint.removesuffix(".attn") != last]


def sd3_text_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Text tokens before and after a module of SD3, each [batch, text_tokens, width]; see `sd3_image_tokens`.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    before, image = None, None
    if not isinstance(output, tuple):
        after = output
    elif len(output) != 2:
        raise unknown_form("an SD3 block")
    elif "temb" in inputs:
        (after, image), before = output, inputs.get("encoder_hidden_states")
    else:
        image, after = output
    known = hasattr(after, "shape") and after.ndim == 3 and after.shape[1] == text_tokens
    known = known and (not image_tokens or image is None or image.shape[1] == image_tokens)
    if not known or (before is not None and before.shape != after.shape):
        raise unknown_form("an SD3 block")
    return before, after


def sd3_put_text_tokens(inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
    """The inverse of `sd3_text_tokens`."""
    if not isinstance(output, tuple):
        return states_like(text, output)
    if "temb" in inputs:
        return states_like(text, output[0]), output[1]
    return output[0], states_like(text, output[1])


def _text_neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    """The text stream has an MLP of its own, as wide."""
    return f"{hookpoint.removesuffix('.attn')}.ff_context.net.0", 4 * transformer_width(configs, hookpoint)


SD3 = transformer_family(
    "sd3",
    "StableDiffusion3Pipeline",
    ModelDefaults(steps=28, guidance=7.0, size=1024, max_sequence_length=256, capture_steps=(0,)),
    call=doubling_call,
    image_tokens=sd3_image_tokens,
    put_image_tokens=sd3_put_image_tokens,
    hookpoints=_hookpoints,
    text=TextStream(
        hookpoints=_text_hookpoints,
        # Of both CLIPs side by side, then of T5.
        parts=lambda length: (("tokenizer", 77), ("tokenizer_3", length)),
        tokens=sd3_text_tokens,
        put=sd3_put_text_tokens,
        neurons=_text_neurons,
    ),
)
