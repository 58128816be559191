"""PixArt-Alpha and PixArt-Sigma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autointerp.diffusion.families.base import (
    Configs,
    Family,
    ModelDefaults,
    autoencoder_pixels,
    depths,
    states_like,
    unknown_form,
)
from autointerp.diffusion.families.unet import native_size


def _hookpoints(configs: Configs) -> list[str]:
    return [f"transformer.transformer_blocks.{i}" for i in range(configs["transformer"]["num_layers"])]


def _width(configs: Configs, hookpoint: str) -> int:
    return int(configs["transformer"]["num_attention_heads"] * configs["transformer"]["attention_head_dim"])


def _cell_pixels(configs: Configs, hookpoint: str | None) -> int:
    return autoencoder_pixels(configs) * int(configs["transformer"].get("patch_size", 2))


def _call(configs: Configs, guidance: float, count: int) -> tuple[dict[str, Any], int]:
    """Without these, the pipeline would draw at the nearest size that it was trained on, and rewrite the prompts."""
    return {"guidance_scale": guidance, "use_resolution_binning": False, "clean_caption": False}, 1


def pixart_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Image tokens before and after a PixArt block, each [batch, image_tokens, width]: blocks hold nothing else.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    if not hasattr(output, "shape") or output.ndim != 3 or output.shape[1] != image_tokens:
        raise unknown_form("a PixArt block")
    before = inputs.get("hidden_states")
    return (before if before is not None and before.shape == output.shape else None), output


def pixart_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `pixart_image_tokens`."""
    return states_like(image, output)


def _neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    return f"{hookpoint}.ff.net.0", 4 * _width(configs, hookpoint)


def _defaults(configs: Configs) -> dict[str, Any]:
    return {"size": native_size(configs, "transformer", 1024)}


PIXART_SIGMA = Family(
    name="pixart-sigma",
    pipeline_class="PixArtSigmaPipeline",
    denoiser="transformer",
    components=("transformer", "vae"),
    defaults=ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=300, capture_steps=(0,)),
    hookpoints=_hookpoints,
    # No paper says which blocks are best.
    aliases=lambda configs: depths(configs["transformer"]["num_layers"], "transformer.transformer_blocks"),
    width=_width,
    cell_pixels=_cell_pixels,
    call=_call,
    image_tokens=pixart_image_tokens,
    put_image_tokens=pixart_put_image_tokens,
    neurons=_neurons,
    read_defaults=_defaults,
    doubles=True,
)
PIXART_ALPHA = replace(
    PIXART_SIGMA,
    name="pixart-alpha",
    pipeline_class="PixArtAlphaPipeline",
    defaults=replace(PIXART_SIGMA.defaults, max_sequence_length=120),
)
