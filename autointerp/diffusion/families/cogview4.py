"""CogView4: blocks of both streams, and texts with their padding in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall, TextStream
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.states import same_shape, states_like, unknown_form
from autointerp.diffusion.families.transformer import TransformerFamily
from autointerp.errors import UsageError


def _found(output: Any, place: int, tokens: int, other: int | None) -> Any:
    """Return the tokens of one stream in the output of a block, (image, text).

    Args:
        output: The output.
        place: 0 for the image, 1 for the text.
        tokens: Number of the stream's tokens.
        other: Number of the other stream's; None where unknown.
    """
    if not isinstance(output, tuple) or len(output) != 2 or output[place].shape[1] != tokens:
        raise unknown_form("a CogView4 block")
    if other is not None and output[1 - place].shape[1] != other:
        raise unknown_form("a CogView4 block")
    return output[place]


class CogView4Text(TextStream):
    """The text stream of CogView4. A call has as many tokens as its longest text, up to a multiple of 16."""

    padded = False
    padded_before = True

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List all blocks but the last, whose text is unused."""
        return COGVIEW4.hookpoints(configs)[:-1]

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        after = _found(output, 1, text_tokens, image_tokens or None)
        return same_shape(inputs.get("encoder_hidden_states"), after), after

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        return output[0], states_like(text, output[1])


class CogView4(TransformerFamily):
    """CogView4."""

    name = "cogview4"
    pipeline_class = "CogView4Pipeline"
    defaults = ModelDefaults(steps=50, guidance=5.0, size=1024, max_sequence_length=1024, capture_steps=(0,))
    doubles = False
    has_neurons = False
    text = CogView4Text()

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 2 if guidance > 1 else 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        after = _found(output, 0, image_tokens, text_tokens)
        return same_shape(inputs.get("hidden_states"), after), after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return states_like(image, output[0]), output[1]

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise UsageError(
            f"the MLP of {hookpoint} runs twice, on the image and on the text",
            "fit another kind than neurons and transcoders",
        )


COGVIEW4 = CogView4()
