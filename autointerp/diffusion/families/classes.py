"""Pipeline classes of diffusers without an entry: what a dry run lets through of each, or why it is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class OpenClass(NamedTuple):
    """A class that was looked at through the generic entry.

    Attributes:
        models: Models of the class.
        works: Hookpoints that can be read, `N` for a number.
        refused: Hookpoints that are refused, as image tokens and others stand in one tensor there.
        limits: What else people should know.
        needs: Libraries that the pipeline's code uses whether they are there or not.
    """

    models: str
    works: tuple[str, ...]
    refused: tuple[str, ...] = ()
    limits: str = ""
    needs: tuple[str, ...] = ()


BY_HOOKPOINT: Mapping[str, OpenClass] = {
    "AltDiffusionPipeline": OpenClass(
        "AltDiffusion", ("unet.mid_block.attentions.N",), limits="so do the other modules of the U-Net"
    ),
    "BriaPipeline": OpenClass(
        "Bria 3.2", ("transformer.transformer_blocks.N", "transformer.single_transformer_blocks.N")
    ),
    "CogView3PlusPipeline": OpenClass("CogView3-Plus", ("transformer.transformer_blocks.N",)),
    "HunyuanDiTPipeline": OpenClass("Hunyuan-DiT", ("transformer.blocks.N",)),
    "LuminaPipeline": OpenClass("Lumina-Next", ("transformer.layers.N",)),
    "Lumina2Pipeline": OpenClass("Lumina-Image 2.0", ("transformer.noise_refiner.N",), ("transformer.layers.N",)),
    "HiDreamImagePipeline": OpenClass(
        "HiDream-I1",
        ("transformer.double_stream_blocks.N",),
        ("transformer.single_stream_blocks.N",),
        "square pictures, as others are padded",
    ),
    "HunyuanImagePipeline": OpenClass(
        "HunyuanImage 2.1",
        ("transformer.transformer_blocks.N", "transformer.single_transformer_blocks.N"),
        limits="refused where the pipeline has a guider, which guides whatever guidance is set",
    ),
    "SemanticStableDiffusionPipeline": OpenClass(
        "Stable Diffusion with semantic guidance", ("unet.mid_block.attentions.N",), limits="no edits are asked for"
    ),
    "NucleusMoEImagePipeline": OpenClass(
        "Nucleus-Image",
        ("transformer.transformer_blocks.N",),
        limits="needs torchvision for its processor of pictures and texts; `max_sequence_length` in eights",
    ),
    "BriaFiboPipeline": OpenClass(
        "Bria FIBO", ("transformer.transformer_blocks.N",), ("transformer.single_transformer_blocks.N",)
    ),
    "BriaFibo2Pipeline": OpenClass(
        "Bria FIBO 2",
        ("transformer.noise_refiner.N",),
        ("transformer.layers.N",),
        "needs torchvision for its processor of pictures and texts",
    ),
    "Cosmos2TextToImagePipeline": OpenClass(
        "Cosmos Predict2",
        ("transformer.transformer_blocks.N",),
        limits="needs torchvision, and cosmos_guardrail, whose models check each prompt and picture: one that they "
        "refuse ends the run",
        needs=("cosmos_guardrail", "torchvision"),
    ),
}
"""Classes that run in the tests through the generic entry."""

SCALING = frozenset({"HiDreamImagePipeline"})
"""Classes that scale each size to the area of `default_sample_size`, an attribute of the pipeline."""

_REASONS: Mapping[str, tuple[str, ...]] = {
    "a second model computes its unconditional branch": ("Ideogram4Pipeline",),
    "a language model writes a plan of the picture before the denoiser runs": ("GlmImagePipeline",),
    "its denoiser takes lists of latents, and pictures beside the text": ("ZImageOmniPipeline",),
    "it keeps reference pictures from step to step, which are not given": ("Flux2KleinKVPipeline",),
    "it runs perturbed attention in rows of its own; name the class without PAG": (
        "HunyuanDiTPAGPipeline",
        "KolorsPAGPipeline",
        "PixArtSigmaPAGPipeline",
        "SanaPAGPipeline",
        "StableDiffusion3PAGPipeline",
        "StableDiffusionPAGPipeline",
        "StableDiffusionXLPAGPipeline",
    ),
    "it runs the U-Net twice a step, on blurred latents too": ("StableDiffusionSAGPipeline",),
    "it runs the U-Net in windows of a large picture": ("StableDiffusionPanoramaPipeline",),
    "it runs the U-Net at several steps at once": ("StableDiffusionParadigmsPipeline",),
    "it runs without the prompt too, whatever guidance is set, and its blocks hold text and image in one tensor": (
        "OmniGenPipeline",
    ),
    "it rounds each size to one of seven near 1024 px, and reads the padding of a shorter prompt as text": (
        "Kandinsky5T2IPipeline",
    ),
    "it paints one picture a call, beside a second half that it throws away": (
        "DreamLiteMobilePipeline",
        "DreamLitePipeline",
    ),
    "it needs boxes and phrases beside the prompt": ("StableDiffusionGLIGENPipeline",),
    "it paints depth too": ("StableDiffusionLDM3DPipeline",),
    "it needs a picture": ("HunyuanImageRefinerPipeline", "StableDiffusionGLIGENTextImagePipeline"),
    "it makes texts": ("DiffusionGemmaPipeline", "LLaDA2Pipeline"),
    "it makes sound": ("AceStepPipeline",),
    "it makes shapes": ("ShapEPipeline",),
    "it makes videos": ("WanPipeline",),
    "one denoiser makes pictures and texts": ("UniDiffuserPipeline",),
    "it paints pixels, without an autoencoder": ("IFPipeline", "IFSuperResolutionPipeline", "PRXPixelPipeline"),
    "it paints codes of a vocabulary": ("AmusedPipeline", "VQDiffusionPipeline"),
    "its autoencoder is of a kind that is not known": ("Kandinsky3Pipeline", "LDMTextToImagePipeline"),
    "several models paint one after another": (
        "KandinskyCombinedPipeline",
        "KandinskyV22CombinedPipeline",
        "StableCascadeCombinedPipeline",
        "StableUnCLIPPipeline",
        "UnCLIPPipeline",
        "VersatileDiffusionTextToImagePipeline",
        "WuerstchenCombinedPipeline",
    ),
    "it makes embeddings for another pipeline": (
        "KandinskyPriorPipeline",
        "KandinskyV22PriorPipeline",
        "StableCascadePriorPipeline",
        "WuerstchenPriorPipeline",
    ),
    "it is a modular pipeline, whose order of calls is written by whoever puts its blocks together": (
        "AnimaModularPipeline",
        "Flux3DistilledModularPipeline",
        "Flux3ModularPipeline",
    ),
}
REFUSED: Mapping[str, str] = {name: reason for reason, names in _REASONS.items() for name in names}
"""Class -> why it is not read, as a clause."""
