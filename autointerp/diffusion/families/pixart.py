"""PixArt-Alpha and PixArt-Sigma."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autointerp.diffusion.families.base import Configs, ModelDefaults, states_like, transformer_family, unknown_form


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


PIXART_SIGMA = transformer_family(
    "pixart-sigma",
    "PixArtSigmaPipeline",
    ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=300, capture_steps=(0,)),
    call=_call,
    image_tokens=pixart_image_tokens,
    put_image_tokens=pixart_put_image_tokens,
)
PIXART_ALPHA = replace(
    PIXART_SIGMA,
    name="pixart-alpha",
    pipeline_class="PixArtAlphaPipeline",
    defaults=replace(PIXART_SIGMA.defaults, max_sequence_length=120),
)
