"""Families of pipelines: one class a family, one row a pipeline class, and nothing about a family anywhere else."""

from __future__ import annotations

from collections.abc import Collection

from autointerp.diffusion.families.base import (
    CallSizes,
    Configs,
    Family,
    NoDenoisingError,
    PipelineCall,
    Stream,
    TextStream,
)
from autointerp.diffusion.families.classes import REFUSED
from autointerp.diffusion.families.defaults import SIGNALS, ModelDefaults, Signal
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
        Kind("LongCatImagePipeline", "LongCat-Image", f"{_HERE}.flux_kin:LONGCAT_IMAGE"),
        Kind("ZImagePipeline", "Z-Image and Z-Image-Turbo", f"{_HERE}.z_image:Z_IMAGE"),
        Kind("QwenImagePipeline", "Qwen-Image", f"{_HERE}.qwen_image:QWEN_IMAGE"),
        Kind("QwenImage21Pipeline", "Qwen-Image 2.1", f"{_HERE}.qwen_image:QWEN_IMAGE_21"),
        Kind("Krea2Pipeline", "Krea 2", f"{_HERE}.krea2:KREA2"),
        Kind("ErnieImagePipeline", "ERNIE-Image and ERNIE-Image-Turbo", f"{_HERE}.ernie_image:ERNIE_IMAGE"),
        Kind("SanaPipeline", "Sana", f"{_HERE}.sana:SANA"),
        Kind("SanaSprintPipeline", "Sana Sprint", f"{_HERE}.sana:SANA_SPRINT"),
        Kind("PRXPipeline", "PRX", f"{_HERE}.prx:PRX_IMAGE"),
        Kind("AuraFlowPipeline", "AuraFlow", f"{_HERE}.aura_flow:AURA_FLOW"),
        Kind("CogView4Pipeline", "CogView4", f"{_HERE}.cogview4:COGVIEW4"),
        Kind("StableDiffusionPipeline", "Stable Diffusion 1.x and 2.x, SD-Turbo", f"{_HERE}.unet:SD"),
        Kind("LatentConsistencyModelPipeline", "latent consistency models", f"{_HERE}.unet:LCM"),
        Kind("StableDiffusionXLPipeline", "SDXL and SDXL-Turbo", f"{_HERE}.unet:SDXL"),
        Kind("KolorsPipeline", "Kolors", f"{_HERE}.unet:KOLORS"),
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
    "NoDenoisingError",
    "PipelineCall",
    "SIGNALS",
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
        AutointerpError: The class is known not to be readable, or it has no entry, and no component is known to
            denoise.
    """
    if pipeline_class in FAMILIES:
        return FAMILIES[pipeline_class].load()
    if pipeline_class in REFUSED:
        raise AutointerpError(
            f"a {pipeline_class} is not read: {REFUSED[pipeline_class]}",
            "docs/pipelines.md has the classes that are, and docs/howto.md says how one is added",
        )
    for denoiser in ("transformer", "unet"):
        if denoiser in components and "vae" in components:
            return GenericFamily(pipeline_class, denoiser)
    raise AutointerpError(
        f"no family is known for the pipeline class {pipeline_class!r}",
        "one with a transformer or unet, and a vae, would do; "
        f"{next(iter(FAMILIES))} and {len(FAMILIES) - 1} others have an entry (docs/pipelines.md)",
    )
