"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.diffusion.families.base import (
    Configs,
    ModelDefaults,
    Stream,
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


def _place(inputs: Mapping[str, Any], output: Any, stream: Stream) -> int | None:
    """Where a stream's tokens stand in an output; None where it is that stream's alone.

    Blocks take both streams and `temb`, and return (text, image); the last returns (None, image). Their attention
    returns (image, text), what is added to each stream. Their MLPs return one stream alone.
    """
    if not isinstance(output, tuple):
        return None
    if len(output) != 2:
        raise unknown_form("an SD3 block")
    return int(stream == ("image" if "temb" in inputs else "text"))


def _tokens(inputs: Mapping[str, Any], output: Any, stream: Stream, own: int, other: int | None) -> tuple[Any, Any]:
    """A stream's tokens before and after a module; `own` and `other` are the tokens of the streams (None: unknown)."""
    place = _place(inputs, output, stream)
    before, beside, after = None, None, output
    if place is not None:
        after, beside = output[place], output[1 - place]
        # What an attention returns is added to its input, so it has no `before`.
        key = "hidden_states" if stream == "image" else "encoder_hidden_states"
        before = inputs.get(key) if "temb" in inputs else None
    known = hasattr(after, "shape") and after.ndim == 3 and after.shape[1] == own
    known = known and (beside is None or other is None or beside.shape[1] == other)
    if not known or (before is not None and before.shape != after.shape):
        raise unknown_form("an SD3 block")
    return before, after


def _put(inputs: Mapping[str, Any], output: Any, stream: Stream, tokens: Any) -> Any:
    place = _place(inputs, output, stream)
    if place is None:
        return states_like(tokens, output)
    new = states_like(tokens, output[place])
    return (output[0], new) if place else (new, output[1])


def sd3_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Image tokens before and after a module of SD3, each [batch, image_tokens, width].

    Raises:
        AutointerpError: No form fits the shapes.
    """
    return _tokens(inputs, output, "image", image_tokens, text_tokens)


def sd3_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `sd3_image_tokens`."""
    return _put(inputs, output, "image", image)


def _text_hookpoints(configs: Configs) -> list[str]:
    """All but the last block, which hands no text on: its attention's text goes nowhere."""
    last = f"transformer.transformer_blocks.{configs['transformer']['num_layers'] - 1}"
    return [hookpoint for hookpoint in _hookpoints(configs) if hookpoint.removesuffix(".attn") != last]


def sd3_text_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Text tokens before and after a module of SD3, each [batch, text_tokens, width].

    Raises:
        AutointerpError: No form fits the shapes.
    """
    return _tokens(inputs, output, "text", text_tokens, image_tokens or None)


def sd3_put_text_tokens(inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
    """The inverse of `sd3_text_tokens`."""
    return _put(inputs, output, "text", text)


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
