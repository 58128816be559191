"""What is known of each family of pipelines: one entry a family, and nothing about it anywhere else.

An entry reads its sizes from the model's own configuration files, so that a small model and a full-size one of
the same family need no entry of their own, and so that nothing here needs weights or torch.
"""

from __future__ import annotations

from collections.abc import Collection

from autointerp.diffusion.families.base import Configs, Family, ModelDefaults, Signal, Stream
from autointerp.diffusion.families.flux import FLUX, flux_image_tokens
from autointerp.diffusion.families.generic import generic
from autointerp.diffusion.families.pixart import PIXART_ALPHA, PIXART_SIGMA
from autointerp.diffusion.families.sd3 import SD3
from autointerp.diffusion.families.unet import SD, SDXL
from autointerp.errors import AutointerpError

FAMILIES: dict[str, Family] = {
    family.pipeline_class: family for family in (FLUX, SD, SDXL, SD3, PIXART_ALPHA, PIXART_SIGMA)
}
"""Pipeline class name -> its family."""

__all__ = [
    "FAMILIES",
    "FLUX",
    "PIXART_ALPHA",
    "PIXART_SIGMA",
    "SD",
    "SD3",
    "SDXL",
    "Configs",
    "Family",
    "ModelDefaults",
    "Signal",
    "Stream",
    "family_of",
    "flux_image_tokens",
]


def family_of(pipeline_class: str, components: Collection[str] = ()) -> Family:
    """The entry of a pipeline class; the generic one, where its components tell what denoises.

    Args:
        pipeline_class: As `model_index.json` names it.
        components: Names of the pipeline's components.

    Raises:
        AutointerpError: There is none, and no component is known to denoise.
    """
    if pipeline_class in FAMILIES:
        return FAMILIES[pipeline_class]
    for denoiser in ("transformer", "unet"):
        if denoiser in components and "vae" in components:
            return generic(pipeline_class, denoiser)
    raise AutointerpError(
        f"no family is known for the pipeline class {pipeline_class!r}",
        f"a pipeline with a transformer or unet, and a vae, would do; known: {', '.join(sorted(FAMILIES))}",
    )
