"""AuraFlow: register tokens stand before the text in every block, and before both streams in single blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall, TextStream, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.states import same_shape, unknown_form, with_last_tokens
from autointerp.diffusion.families.transformer import TransformerFamily, at_shares

_REGISTERS = 8
"""Register tokens of the class, which are neither text nor image."""


def _split(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any, Any, Any]:
    """Return the text before and after a block, and the image before and after it, without registers.

    Joint blocks take and return (text, image), single blocks one tensor, the text first. The number of image tokens may
    be 0 for one that is not known.
    """
    image, text = inputs.get("hidden_states"), inputs.get("encoder_hidden_states")
    if isinstance(output, tuple) and len(output) == 2:
        new_text, new_image = output
    elif hasattr(output, "shape") and text is None and output.ndim == 3:
        start = _REGISTERS + text_tokens
        new_text, new_image = output[:, :start], output[:, start:]
        text, image = (None, None) if image is None else (image[:, :start], image[:, start:])
    else:
        raise unknown_form("an AuraFlow block")
    fits = new_text.shape[1] == _REGISTERS + text_tokens and new_image.shape[1] == (image_tokens or new_image.shape[1])
    if not fits:
        raise unknown_form("an AuraFlow block")
    texts = [None if one is None else one[:, _REGISTERS:] for one in (text, new_text)]
    return texts[0], texts[1], image, new_image


class AuraFlowText(TextStream):
    """The text stream of AuraFlow."""

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return AURA_FLOW.hookpoints(configs)

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        before, after, _, _ = _split(inputs, output, text_tokens, image_tokens)
        return same_shape(before, after), after

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        changed = (output[0] if isinstance(output, tuple) else output).clone()
        changed[:, _REGISTERS : _REGISTERS + text.shape[1]] = text
        return (changed, output[1]) if isinstance(output, tuple) else changed


class AuraFlow(TransformerFamily):
    """AuraFlow."""

    name = "aura-flow"
    pipeline_class = "AuraFlowPipeline"
    defaults = ModelDefaults(steps=50, guidance=3.5, size=1024, max_sequence_length=256, capture_steps=(0,))
    timestep_scales = (1000.0,)
    has_neurons = False
    text = AuraFlowText()

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the joint blocks, then the single blocks."""
        stacks = {"joint_transformer_blocks": "num_mmdit_layers", "single_transformer_blocks": "num_single_dit_layers"}
        return [f"transformer.{name}.{i}" for name, key in stacks.items() for i in range(configs["transformer"][key])]

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares(self.hookpoints(configs))

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        _, _, before, after = _split(inputs, output, text_tokens, image_tokens)
        return same_shape(before, after), after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return with_last_tokens(output, image)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {}


AURA_FLOW = AuraFlow()
