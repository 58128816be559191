"""PixArt-Alpha and PixArt-Sigma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.states import same_shape, states_like, unknown_form
from autointerp.diffusion.families.transformer import TransformerFamily
from autointerp.diffusion.families.word_attention import CrossAttention, WordAttention


class PixArtSigma(TransformerFamily):
    """PixArt-Sigma, whose blocks hold image tokens alone."""

    name = "pixart-sigma"
    pipeline_class = "PixArtSigmaPipeline"
    has_loras = False
    defaults = ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=300, capture_steps=(0,))

    word_attention: WordAttention | None = CrossAttention(
        r"transformer_blocks\.\d+\.attn2",
        lambda length: (("tokenizer", length),),
        as_read=lambda prompt: prompt.lower().strip(),
    )

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Switch off the rewriting of prompts, and the rounding of sizes to those of the training."""
        arguments = {"guidance_scale": guidance, "use_resolution_binning": False, "clean_caption": False}
        return PipelineCall(arguments, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        if not hasattr(output, "shape") or output.ndim != 3 or output.shape[1] != image_tokens:
            raise unknown_form("a PixArt block")
        return same_shape(inputs.get("hidden_states"), output), output

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return states_like(image, output)


class PixArtAlpha(PixArtSigma):
    """PixArt-Alpha, with shorter texts."""

    name = "pixart-alpha"
    pipeline_class = "PixArtAlphaPipeline"
    defaults = ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=120, capture_steps=(0,))


PIXART_SIGMA = PixArtSigma()
PIXART_ALPHA = PixArtAlpha()
