"""Stable Diffusion 3 and 3.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall, Stream, TextStream
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.sizes import transformer_width
from autointerp.diffusion.families.states import same_shape, states_like, unknown_form
from autointerp.diffusion.families.transformer import TransformerFamily
from autointerp.diffusion.families.word_attention import JointAttention


def _place(inputs: Mapping[str, Any], output: Any, stream: Stream) -> int | None:
    """Return the place of a stream's tokens in an output; None where the output is that stream's alone.

    Blocks take both streams and `temb`, and return (text, image); the last returns (None, image). Their attention
    returns (image, text), the updates of each stream. Their MLPs return one stream alone.
    """
    if not isinstance(output, tuple):
        return None
    if len(output) != 2:
        raise unknown_form("an SD3 block")
    return int(stream == ("image" if "temb" in inputs else "text"))


def _tokens(inputs: Mapping[str, Any], output: Any, stream: Stream, own: int, other: int | None) -> tuple[Any, Any]:
    """Find a stream's tokens before and after a module.

    Args:
        inputs: The module's arguments by name.
        output: The module's output.
        stream: The stream.
        own: Number of the stream's tokens.
        other: Number of the other stream's tokens; None where unknown.
    """
    place = _place(inputs, output, stream)
    before, beside, after = None, None, output
    if place is not None:
        after, beside = output[place], output[1 - place]
        # An attention's output is added to its input, so the module has no `before`.
        key = "hidden_states" if stream == "image" else "encoder_hidden_states"
        before = inputs.get(key) if "temb" in inputs else None
    elif hasattr(output, "shape"):
        before = same_shape(inputs.get("hidden_states"), output)
    known = hasattr(after, "shape") and after.ndim == 3 and after.shape[1] == own
    known = known and (beside is None or other is None or beside.shape[1] == other)
    if not known or (before is not None and before.shape != after.shape):
        raise unknown_form("an SD3 block")
    return before, after


def _put(inputs: Mapping[str, Any], output: Any, stream: Stream, tokens: Any) -> Any:
    """Return a module's output with other tokens of a stream."""
    place = _place(inputs, output, stream)
    if place is None:
        return states_like(tokens, output)
    new = states_like(tokens, output[place])
    return (output[0], new) if place else (new, output[1])


class SD3Text(TextStream):
    """The text stream of Stable Diffusion 3: tokens of both CLIPs side by side, then of T5."""

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List all blocks but the last, which passes no text on: the text of its attention is unused."""
        last = f"transformer.transformer_blocks.{configs['transformer']['num_layers'] - 1}"
        return [hookpoint for hookpoint in SD3.hookpoints(configs) if hookpoint.removesuffix(".attn") != last]

    @override
    def parts(self, max_sequence_length: int) -> tuple[tuple[str, int], ...]:
        return ("tokenizer", 77), ("tokenizer_3", max_sequence_length)

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        return _tokens(inputs, output, "text", text_tokens, image_tokens or None)

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        return _put(inputs, output, "text", text)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the text's own MLP, four times as wide as the stream."""
        return f"{hookpoint.removesuffix('.attn')}.ff_context.net.0", 4 * transformer_width(configs)


class StableDiffusion3(TransformerFamily):
    """Stable Diffusion 3 and 3.5."""

    name = "sd3"
    pipeline_class = "StableDiffusion3Pipeline"
    defaults = ModelDefaults(steps=28, guidance=7.0, size=1024, max_sequence_length=256, capture_steps=(0,))
    may_lack = ("text_encoder_3", "tokenizer_3")
    text = SD3Text()
    word_attention = JointAttention(pattern=r"transformer_blocks\.\d+\.attn", parts=text.parts, first="image")

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        blocks = super().hookpoints(configs)
        return blocks + [f"{block}.attn" for block in blocks]

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return ("tokenizer", None), ("tokenizer_2", None), ("tokenizer_3", max_sequence_length)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        return _tokens(inputs, output, "image", image_tokens, text_tokens)

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return _put(inputs, output, "image", image)


SD3 = StableDiffusion3()
