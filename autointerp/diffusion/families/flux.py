"""FLUX.1 schnell and dev, and small models of the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.diffusion.families.base import (
    Configs,
    Family,
    ModelDefaults,
    TextStream,
    autoencoder_pixels,
    transformer_width,
    unknown_form,
)


def _flux_hookpoints(configs: Configs) -> list[str]:
    sizes = configs["transformer"]
    double = [f"transformer.transformer_blocks.{i}" for i in range(sizes["num_layers"])]
    return double + [f"transformer.single_transformer_blocks.{i}" for i in range(sizes["num_single_layers"])]


def _flux_aliases(configs: Configs) -> dict[str, str]:
    """The sites of arXiv 2505.24360, at the same relative depth in a model of any size.

    There: double block 18 (the last of 19), double block 9, single block 18 of 38.
    """
    double, single = configs["transformer"]["num_layers"], configs["transformer"]["num_single_layers"]
    aliases = {}
    if double:
        aliases["early"] = f"transformer.transformer_blocks.{(double - 1) // 2}"
        aliases["mid"] = f"transformer.transformer_blocks.{double - 1}"
    if single:
        aliases["late"] = f"transformer.single_transformer_blocks.{min(round(single * 18 / 38), single - 1)}"
    return aliases


def _flux_neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    """Both kinds of block have an MLP four times as wide as the stream."""
    inside = "act_mlp" if "single_transformer_blocks" in hookpoint else "ff.net.0"
    return f"{hookpoint}.{inside}", 4 * transformer_width(configs, hookpoint)


def _flux_text_neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    """Double blocks have another MLP for the text; single blocks have one for both."""
    path, width = _flux_neurons(configs, hookpoint)
    return path.replace(".ff.", ".ff_context."), width


def _flux_cell_pixels(configs: Configs, hookpoint: str | None) -> int:
    """FLUX packs 2x2 latents into a token."""
    return autoencoder_pixels(configs) * 2


def _flux_call(configs: Configs, guidance: float, count: int) -> tuple[dict[str, Any], int]:
    """Distilled guidance (FLUX.1-dev) is an input of the transformer; any other model needs a second run."""
    if configs["transformer"].get("guidance_embeds"):
        return {"guidance_scale": guidance}, 1
    if guidance > 1:
        return {"true_cfg_scale": guidance, "negative_prompt": [""] * count}, 2
    return {}, 1


def _flux_defaults(configs: Configs) -> dict[str, Any]:
    """FLUX.1-dev takes guidance as an input and wants more steps than schnell."""
    if configs["transformer"].get("guidance_embeds"):
        return {"steps": 28, "guidance": 3.5, "max_sequence_length": 512, "capture_steps": (0,)}
    return {}


def flux_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """A FLUX block's image tokens before and after it, each [batch, image_tokens, width].

    Double blocks, and single blocks since diffusers 0.35, take and return (text, image) apart. Until 0.34 single
    blocks took and returned one tensor, text first, as their MLP does still: what to cut off is known from the
    transformer's own call. Inside a block `before` is None where the width changes.

    Args:
        inputs: The module's arguments by name.
        output: What it returned.
        text_tokens: Number of text tokens in this call of the transformer.
        image_tokens: Number of image tokens in it.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    before: Any = inputs.get("hidden_states")
    after: Any = None
    fits = False
    if isinstance(output, tuple) and len(output) == 2 and inputs.get("encoder_hidden_states") is not None:
        text, after = output
        fits = text is None or text.shape[1] == text_tokens
    elif hasattr(output, "shape"):
        # One tensor: of both with the text first, or, inside a double block, of the image alone.
        both = output.shape[1] == text_tokens + image_tokens
        fits = both or (output.shape[1] == image_tokens and inputs.get("encoder_hidden_states") is None)
        after = output[:, text_tokens:] if both else output
        before = before[:, text_tokens:] if both and before is not None else before
    if before is not None and after is not None and before.shape[-1] != after.shape[-1]:
        before = None
    fits = fits and (before is None or before.shape == after.shape)
    if not fits or not hasattr(after, "shape") or after.shape[1] != image_tokens:
        raise unknown_form("a FLUX block")
    return before, after


def flux_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `flux_image_tokens`: `output` with `image` [batch, image_tokens, width] in its place."""
    if isinstance(output, tuple):
        return output[0], image.to(output[1].dtype)
    changed = output.clone()
    changed[:, output.shape[1] - image.shape[1] :] = image
    return changed


def flux_pack_latents(latents: Any) -> Any:
    """Latents [batch, channels, rows, cols] as tokens [batch, rows * cols / 4, 4 * channels]: 2x2 of them in each."""
    batch, channels, rows, cols = latents.shape
    squares = latents.reshape(batch, channels, rows // 2, 2, cols // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return squares.reshape(batch, rows * cols // 4, 4 * channels)


def flux_text_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """A FLUX block's text tokens before and after it, each [batch, text_tokens, width]; see `flux_image_tokens`.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    before: Any = inputs.get("encoder_hidden_states")
    after: Any = None
    if isinstance(output, tuple) and len(output) == 2 and before is not None:
        after, image = output
        fits = image is None or image.shape[1] == image_tokens
    elif hasattr(output, "shape") and before is None:
        # One tensor: of both with the text first, or, inside a double block, of the text alone.
        both = output.shape[1] == text_tokens + image_tokens
        fits = both or output.shape[1] == text_tokens
        before = inputs.get("hidden_states")
        after = output[:, :text_tokens]
        before = before[:, :text_tokens] if both and before is not None else before
    else:
        fits = False
    if before is not None and hasattr(after, "shape") and before.shape[-1] != after.shape[-1]:
        before = None
    fits = fits and hasattr(after, "shape") and after.shape[1] == text_tokens
    if not fits or (before is not None and before.shape != after.shape):
        raise unknown_form("a FLUX block")
    return before, after


def flux_put_text_tokens(inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
    """The inverse of `flux_text_tokens`: `output` with `text` [batch, text_tokens, width] in its place."""
    if isinstance(output, tuple):
        return text.to(output[0].dtype), output[1]
    changed = output.clone()
    changed[:, : text.shape[1]] = text
    return changed


FLUX = Family(
    name="flux",
    pipeline_class="FluxPipeline",
    denoiser="transformer",
    components=("transformer", "vae"),
    # Those of FLUX.1-schnell; step 0 of few is where the paper's dictionaries read.
    defaults=ModelDefaults(steps=4, guidance=0.0, size=512, max_sequence_length=256, capture_steps=(0,)),
    hookpoints=_flux_hookpoints,
    aliases=_flux_aliases,
    width=transformer_width,
    cell_pixels=_flux_cell_pixels,
    call=_flux_call,
    image_tokens=flux_image_tokens,
    put_image_tokens=flux_put_image_tokens,
    neurons=_flux_neurons,
    read_defaults=_flux_defaults,
    pack_latents=flux_pack_latents,
    timestep_scales=(1000.0,),
    text=TextStream(
        hookpoints=_flux_hookpoints,
        parts=lambda length: (("tokenizer_2", length),),
        tokens=flux_text_tokens,
        put=flux_put_text_tokens,
        neurons=_flux_text_neurons,
    ),
)
