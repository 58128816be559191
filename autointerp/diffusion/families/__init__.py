"""Families of pipelines: one class a family, one row a pipeline class, and nothing about a family anywhere else."""

from __future__ import annotations

from collections.abc import Collection

from autointerp.diffusion.families.base import CallSizes, Configs, Family, PipelineCall, Stream, TextStream
from autointerp.diffusion.families.defaults import ModelDefaults, Signal
from autointerp.diffusion.families.generic import GenericFamily
from autointerp.errors import AutointerpError
from autointerp.registry import Kind, Registry

_HERE = "autointerp.diffusion.families"
FAMILIES: Registry[Kind[Family]] = Registry(
    "pipeline class",
    [
        Kind("FluxPipeline", "FLUX.1 schnell and dev", f"{_HERE}.flux:FLUX"),
        Kind("Flux2Pipeline", "FLUX.2 dev", f"{_HERE}.flux2:FLUX2"),
        Kind("Flux2KleinPipeline", "FLUX.2 klein and klein base", f"{_HERE}.flux2:FLUX2_KLEIN"),
        Kind("FluxKontextPipeline", "FLUX.1 Kontext from text alone", f"{_HERE}.flux_kin:FLUX_KONTEXT"),
        Kind("ChromaPipeline", "Chroma", f"{_HERE}.flux_kin:CHROMA"),
        Kind("OvisImagePipeline", "Ovis-Image", f"{_HERE}.flux_kin:OVIS_IMAGE"),
        Kind("ZImagePipeline", "Z-Image and Z-Image-Turbo", f"{_HERE}.z_image:Z_IMAGE"),
        Kind("QwenImagePipeline", "Qwen-Image", f"{_HERE}.qwen_image:QWEN_IMAGE"),
        Kind("SanaPipeline", "Sana", f"{_HERE}.sana:SANA"),
        Kind("StableDiffusionPipeline", "Stable Diffusion 1.x and 2.x", f"{_HERE}.unet:SD"),
        Kind("StableDiffusionXLPipeline", "SDXL and SDXL-Turbo", f"{_HERE}.unet:SDXL"),
        Kind("StableDiffusion3Pipeline", "Stable Diffusion 3 and 3.5", f"{_HERE}.sd3:SD3"),
        Kind("PixArtAlphaPipeline", "PixArt-Alpha", f"{_HERE}.pixart:PIXART_ALPHA"),
        Kind("PixArtSigmaPipeline", "PixArt-Sigma", f"{_HERE}.pixart:PIXART_SIGMA"),
    ],
)
"""Pipeline class of diffusers -> its family."""

__all__ = [
    "FAMILIES",
    "CallSizes",
    "Configs",
    "Family",
    "ModelDefaults",
    "PipelineCall",
    "Signal",
    "Stream",
    "TextStream",
    "family_of",
]


def family_of(pipeline_class: str, components: Collection[str] = ()) -> Family:
    """Return the family of a pipeline class; the generic one, where the components tell which one denoises.

    Args:
        pipeline_class: As `model_index.json` names it.
        components: Names of the pipeline's components.

    Raises:
        AutointerpError: The class has no entry, and no component is known to denoise.
    """
    if pipeline_class in FAMILIES:
        return FAMILIES[pipeline_class].load()
    for denoiser in ("transformer", "unet"):
        if denoiser in components and "vae" in components:
            return GenericFamily(pipeline_class, denoiser)
    raise AutointerpError(
        f"no family is known for the pipeline class {pipeline_class!r}",
        f"a pipeline with a transformer or unet, and a vae, would do; known: {', '.join(sorted(FAMILIES))}",
    )
