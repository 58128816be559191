"""Pipelines around a U-Net: Stable Diffusion 1.x and 2.x, latent consistency models, SDXL and SDXL-Turbo, Kolors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, Family, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.sizes import autoencoder_pixels, native_size
from autointerp.diffusion.families.states import as_tokens, same_shape, unknown_form, with_first_states
from autointerp.diffusion.families.unet_sites import UNetSite, unet_sites
from autointerp.diffusion.families.word_attention import CrossAttention, WordAttention
from autointerp.errors import UsageError


def _attentions(configs: Configs, part: str) -> list[str]:
    """List the cross-attention modules of the down, mid or up blocks, in order."""
    names = [name for name in unet_sites(configs["unet"]) if name.split(".")[-2] == "attentions"]
    return [name for name in names if name.startswith(f"unet.{part}")]


def _down_and_mid(configs: Configs) -> dict[str, str]:
    """Name the last cross-attention of the down blocks `early`, and that of the mid block `mid`."""
    down, mid = _attentions(configs, "down"), _attentions(configs, "mid")
    return {alias: names[-1] for alias, names in (("early", down), ("mid", mid)) if names}


def _first_up(configs: Configs) -> list[str]:
    """List the cross-attention modules of the first up block that has any: `up_blocks.1` in Stable Diffusion 1.x."""
    up = _attentions(configs, "up")
    return [name for name in up if name.rsplit(".", 1)[0] == up[0].rsplit(".", 1)[0]]


def _site(configs: Configs, hookpoint: str) -> UNetSite:
    """Return the site of a hookpoint."""
    return unet_sites(configs["unet"])[hookpoint]


class UNetFamily(Family):
    """A family around a U-Net, whose guidance doubles the batch; a subclass names its sites and its defaults."""

    denoiser = "unet"
    components = ("unet", "vae", "scheduler")
    latents_argument = "sample"
    doubles = True
    # Both text encoders of SDXL read the same tokens.
    word_attention: WordAttention | None = CrossAttention(r".+\.attn2", lambda _: (("tokenizer", None),))
    dtype: Literal["bfloat16", "float16"] = "float16"

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return list(unet_sites(configs["unet"]))

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return _site(configs, hookpoint).width

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        return autoencoder_pixels(configs) * (2 ** _site(configs, hookpoint).level if hookpoint else 1)

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the image tokens of a module of a U-Net.

        Cross-attention modules return a 1-tuple, mid blocks and ResNets a tensor, down blocks (tensor, skips), all
        [batch, width, rows, cols]; transformer blocks return [batch, tokens, width]. The tokens before are None where
        the input has another width or grid.
        """
        after = as_tokens(output[0] if isinstance(output, tuple) and output else output)
        if after is None or after.shape[1] != image_tokens:
            raise unknown_form("a module of the U-Net")
        return same_shape(as_tokens(inputs.get("hidden_states", inputs.get("input_tensor"))), after), after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return with_first_states(output, image)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the MLP of the last transformer block, four times as wide as the stream."""
        site = _site(configs, hookpoint)
        if site.mlp is None:
            raise UsageError(f"{hookpoint} has no MLP", "name one of its attentions")
        return site.mlp, 4 * site.width


class StableDiffusion(UNetFamily):
    """Stable Diffusion 1.x and 2.x. Steps and guidance are those of the models' own pages."""

    name = "sd"
    pipeline_class = "StableDiffusionPipeline"
    # The capture steps are early, middle and late in time, as in arXiv 2504.15473.
    defaults = ModelDefaults(
        steps=50, guidance=7.5, size=512, max_sequence_length=77, capture_steps=(0, 25, 49), signal="update", k=32
    )
    # Leave out the safety checker: a picture that it blackens does not match the activations.
    load_arguments: Mapping[str, Any] = {"safety_checker": None, "requires_safety_checker": False}

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name down, mid and up cross-attention, as in arXiv 2504.15473."""
        up = _first_up(configs)
        return {**_down_and_mid(configs), **({"late": up[-1]} if up else {})}

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {"size": native_size(configs, "unet", 512)}


class LatentConsistency(StableDiffusion):
    """Latent consistency models: Stable Diffusion in a few steps, whose guidance is an input of the U-Net."""

    name = "lcm"
    pipeline_class = "LatentConsistencyModelPipeline"
    limits = "takes no negative prompt"
    defaults = replace(StableDiffusion.defaults, steps=4, guidance=8.0, capture_steps=(0, 2, 3))
    doubles = False


class StableDiffusionXL(UNetFamily):
    """SDXL and SDXL-Turbo. Steps and guidance are those of the models' own pages."""

    name = "sdxl"
    pipeline_class = "StableDiffusionXLPipeline"
    # Dictionaries have 5,120 latents of 1,280 channels, ten of them active, as in arXiv 2410.22366.
    defaults = ModelDefaults(
        steps=30,
        guidance=5.0,
        size=1024,
        max_sequence_length=77,
        capture_steps=(0,),
        signal="update",
        expansion=4,
        k=10,
    )
    load_arguments: Mapping[str, Any] = {"add_watermarker": False}

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name the four sites of arXiv 2410.22366."""
        return {**_down_and_mid(configs), **dict(zip(("late", "later"), _first_up(configs), strict=False))}

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return ("tokenizer", None), ("tokenizer_2", None)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {"size": native_size(configs, "unet", 1024)}


class Kolors(StableDiffusionXL):
    """Kolors: the U-Net of SDXL, with texts that a language model reads."""

    name = "kolors"
    pipeline_class = "KolorsPipeline"
    limits = "needs sentencepiece for its tokenizer"
    defaults = replace(StableDiffusionXL.defaults, steps=50, max_sequence_length=256)
    load_arguments: Mapping[str, Any] = {}
    word_attention = None

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)


SD = StableDiffusion()
LCM = LatentConsistency()
SDXL = StableDiffusionXL()
KOLORS = Kolors()
