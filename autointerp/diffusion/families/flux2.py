"""FLUX.2 dev and klein: FLUX's blocks with their own widths, texts and latents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux import Flux, FluxText
from autointerp.errors import UsageError

_LENGTH = 512


def _units(configs: Configs, hookpoint: str, feed_forward: str) -> tuple[str, int]:
    """Return the gated hidden units of a block: of its own MLP, or of the one beside a single block's attention."""
    sizes = configs["transformer"]
    inside = "attn.mlp_act_fn" if "single_transformer_blocks" in hookpoint else f"{feed_forward}.act_fn"
    width = sizes["num_attention_heads"] * sizes["attention_head_dim"] * sizes.get("mlp_ratio", 3.0)
    return f"{hookpoint}.{inside}", int(width)


def folded_latents(vae: Any, latents: Any, epsilon: float) -> Any:
    """Fold 2x2 latents into channels, and normalize each by the autoencoder's batch norm.

    Args:
        vae: The autoencoder.
        latents: [batch, channels, rows, cols].
        epsilon: What is added to each variance.

    Returns:
        [batch, 4 * channels, rows / 2, cols / 2].
    """
    batch, channels, rows, cols = latents.shape
    squares = latents.reshape(batch, channels, rows // 2, 2, cols // 2, 2).permute(0, 1, 3, 5, 2, 4)
    folded = squares.reshape(batch, 4 * channels, rows // 2, cols // 2)
    mean, variance = (one.to(folded).view(1, -1, 1, 1) for one in (vae.bn.running_mean, vae.bn.running_var))
    return (folded - mean) / (variance + epsilon).sqrt()


class Flux2Text(FluxText):
    """The text stream of FLUX.2: a prompt in a chat template, padded to the full length."""

    tokenizer = "tokenizer"

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        return _units(configs, hookpoint, "ff_context")


class DevText(Flux2Text):
    """The text stream of FLUX.2-dev, whose template holds its marks, and begins with a message of diffusers."""

    marked = False

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE

        said = {"system": SYSTEM_MESSAGE, "user": prompt.replace("[IMG]", "")}
        messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said.items()]
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=False, tokenize=False))


class KleinText(Flux2Text):
    """The text stream of FLUX.2-klein: Qwen3's template, with thinking switched off."""

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        return str(tokenizer.apply_chat_template(messages, **how))


class Flux2(Flux):
    """FLUX.2-dev."""

    name = "flux2"
    pipeline_class = "Flux2Pipeline"
    limits = "reference pictures are not given; needs torchvision for its processor of pictures and texts"
    defaults = ModelDefaults(steps=50, guidance=4.0, size=1024, max_sequence_length=_LENGTH, capture_steps=(0,))
    text: Flux2Text = DevText()
    word_attention = None

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Pass the guidance as an input of the denoiser."""
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        return _units(configs, hookpoint, "ff")

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {}

    @override
    def scale_latents(self, vae: Any, latents: Any) -> Any:
        return folded_latents(vae, latents, vae.config.batch_norm_eps)

    @override
    def pack_latents(self, latents: Any) -> Any:
        """Lay folded latents [batch, channels, rows, cols] out as tokens, row by row."""
        return latents.flatten(2).transpose(1, 2)


class Flux2Klein(Flux2):
    """FLUX.2-klein: distilled to four steps without guidance, and the base models that it was made from."""

    pipeline_class = "Flux2KleinPipeline"
    limits = "reference pictures are not given; distilled models refuse a guidance above 1"
    text = KleinText()

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Ask for guidance by a second call a step, which only the base models have."""
        if guidance <= 1:
            return PipelineCall({"guidance_scale": 1.0}, 1)
        if configs["model_index"].get("is_distilled"):
            raise UsageError("this FLUX.2-klein was distilled and ignores guidance", "set guidance = 1")
        return PipelineCall({"guidance_scale": guidance}, 2)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        if configs["model_index"].get("is_distilled"):
            return {"steps": 4, "guidance": 0.0}
        return {}


FLUX2 = Flux2()
FLUX2_KLEIN = Flux2Klein()
