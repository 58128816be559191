"""Qwen-Image: blocks of both streams, and texts as long as the longest of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux import Flux, FluxText
from autointerp.diffusion.families.sizes import autoencoder_pixels, transformer_width
from autointerp.diffusion.families.transformer import at_shares

_TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""The pipeline's own template; its first 34 tokens are left out again."""


def _blocks(configs: Configs) -> list[str]:
    return [f"transformer.transformer_blocks.{i}" for i in range(configs["transformer"]["num_layers"])]


class QwenImageText(FluxText):
    """The text stream of Qwen-Image: tokens of a prompt and of the end of a template."""

    padded = False
    dropped = 34

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        return _TEMPLATE.format(prompt)

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return _blocks(configs)

    @override
    def parts(self, max_sequence_length: int) -> tuple[tuple[str, int], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        return f"{hookpoint}.txt_mlp.net.0", 4 * transformer_width(configs)


class QwenImage(Flux):
    """Qwen-Image."""

    name = "qwen-image"
    pipeline_class = "QwenImagePipeline"
    defaults = ModelDefaults(steps=50, guidance=4.0, size=1024, max_sequence_length=512, capture_steps=(0,))
    encodes_videos = True
    text: QwenImageText = QwenImageText()
    word_attention = None

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return _blocks(configs)

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares(_blocks(configs))

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        return autoencoder_pixels(configs) * 2

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Ask for guidance with a negative prompt: without one the pipeline ignores the scale."""
        if guidance > 1:
            return PipelineCall({"true_cfg_scale": guidance, "negative_prompt": [" "] * count}, 2)
        return PipelineCall({"true_cfg_scale": 1.0}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        return f"{hookpoint}.img_mlp.net.0", 4 * transformer_width(configs)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {}


QWEN_IMAGE = QwenImage()
