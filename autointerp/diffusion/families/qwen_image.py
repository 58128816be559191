"""Qwen-Image and Qwen-Image 2.1: blocks of both streams, and texts as long as the longest of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux import Flux, FluxText
from autointerp.diffusion.families.sizes import autoencoder_pixels, transformer_width
from autointerp.diffusion.families.transformer import at_shares

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
"""The pipeline's own template; its first 34 tokens are left out again."""


def _blocks(configs: Configs) -> list[str]:
    return [f"transformer.transformer_blocks.{i}" for i in range(configs["transformer"]["num_layers"])]


class QwenImageText(FluxText):
    """The text stream of Qwen-Image: tokens of a prompt and of the end of a template."""

    tokenizer = "tokenizer"
    padded = False
    dropped = 34

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        return TEMPLATE.format(prompt)

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return _blocks(configs)

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


class QwenImage21Text(QwenImageText):
    """The text stream of Qwen-Image 2.1: the part of a chat behind its system message."""

    tokenizer = "processor"
    dropped = 0

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        """Return what follows the system message, whose tokens the pipeline leaves out again."""
        return f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)


class QwenImage21(QwenImage):
    """Qwen-Image 2.1, whose blocks hold both streams in one tensor, the text first.

    The pipeline keeps the text's keys and values of the first step, and then runs its blocks on the image alone. It is
    run without that cache: so each step is whole, and can be run by itself, as edits and noised pictures need it. What
    the blocks compute is the same but for rounding, as the text is always told the time 0.
    """

    name = "qwen-image-21"
    pipeline_class = "QwenImage21Pipeline"
    defaults = ModelDefaults(steps=40, guidance=1.0, size=1024, max_sequence_length=512, capture_steps=(0,))
    has_neurons = False
    limits = (
        "run without its cache of the text; reference pictures are not given; needs torchvision for its processor of "
        "pictures and texts"
    )
    text = QwenImage21Text()

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        """Return the side of one latent; the pipeline rounds sizes to pairs of them."""
        return autoencoder_pixels(configs) * (1 if hookpoint else 2)

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        arguments, branches, conditional = super().call(configs, guidance, count)
        return PipelineCall({**arguments, "use_kv_cache": False}, branches, conditional)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        """Name the one tokenizer; the pipeline cuts no text."""
        return (("processor", None),)

    @override
    def prediction(self, output: Any, image_tokens: int = 0) -> Any:
        """Return the last tokens, the image's: the denoiser's output layer runs on the text too, to no purpose."""
        return output[0][:, output[0].shape[1] - image_tokens :]

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        """Read how many steps there are, where the files hold their noise levels."""
        levels = configs["model_index"].get("sample_sigmas")
        return {"steps": len(levels)} if levels else {}

    @override
    def pack_latents(self, latents: Any) -> Any:
        """Lay latents [batch, channels, rows, cols] out as tokens, row by row."""
        return latents.flatten(2).transpose(1, 2)


QWEN_IMAGE = QwenImage()
QWEN_IMAGE_21 = QwenImage21()
