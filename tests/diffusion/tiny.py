"""Pipelines of the real classes with random weights, small enough to run in a test: one builder a family.

Each is saved as any model is, tokenizers included, so that what is tested is the code that loads people's models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.diffusion.tiny_parts import SIZE, STACK, TEXT_WIDTH, TWO_STACKS, autoencoder, clip_text, flow, t5_text, waken


def sd(scheduler: str = "PNDMScheduler", **config: Any) -> Any:
    """Stable Diffusion 1.x: three levels, no attention in the deepest down block and the first up block."""
    import diffusers

    from training.shapes.tokenizers import clip_tokenizer

    clip = clip_tokenizer()
    unet = diffusers.UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(16, 32, 32),
        layers_per_block=2,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=2,
        norm_num_groups=8,
    )
    given: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    given |= {"skip_prk_steps": True, "set_alpha_to_one": False} if scheduler == "PNDMScheduler" else {}
    given |= {"clip_sample": False} if scheduler == "DDIMScheduler" else {}
    return diffusers.StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        unet=unet,
        scheduler=getattr(diffusers, scheduler)(steps_offset=1, **given, **config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sdxl() -> Any:
    """SDXL: attention in the two deeper levels, several transformer blocks in each; text encoders of two widths."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    from training.shapes.tokenizers import clip_tokenizer

    clip, second = clip_tokenizer(), 64
    unet = UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(16, 32, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=TEXT_WIDTH + second,
        attention_head_dim=(1, 2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + second,
        norm_num_groups=8,
    )
    return StableDiffusionXLPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(clip),
        text_encoder_2=clip_text(clip, projection=True, width=second),
        tokenizer=clip,
        tokenizer_2=clip,
        unet=unet,
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012),
    )


def flux(head: int = 16, axes: tuple[int, int, int] = (4, 6, 6), vae: Any = None, **config: Any) -> Any:
    """FLUX.1-schnell."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    from training.shapes.tokenizers import clip_tokenizer, t5_tokenizer

    clip, t5 = clip_tokenizer(), t5_tokenizer()
    sizes = {**TWO_STACKS, "attention_head_dim": head, "axes_dims_rope": axes, **config}
    return FluxPipeline(
        scheduler=flow(shift=1.0),
        vae=vae or autoencoder(levels=3),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=waken(FluxTransformer2DModel(patch_size=1, pooled_projection_dim=TEXT_WIDTH, **sizes)),
    )


def sd3() -> Any:
    """Stable Diffusion 3.5 medium: dual attention in its first blocks."""
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    from training.shapes.tokenizers import clip_tokenizer, t5_tokenizer

    clip, t5 = clip_tokenizer(77), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=SIZE // 8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        **STACK,
        joint_attention_dim=2 * TEXT_WIDTH,
        caption_projection_dim=TEXT_WIDTH,
        pooled_projection_dim=2 * TEXT_WIDTH,
        pos_embed_max_size=8,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )
    waken(transformer)
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=flow(shift=3.0),
        vae=autoencoder(),
        text_encoder=clip_text(clip, projection=True),
        tokenizer=clip,
        text_encoder_2=clip_text(clip, projection=True),
        tokenizer_2=clip,
        text_encoder_3=t5_text(t5, 2 * TEXT_WIDTH),
        tokenizer_3=t5,
    )


def pixart(alpha: bool = False) -> Any:
    """PixArt-Sigma, or -Alpha."""
    import diffusers

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=SIZE // 8,
        patch_size=2,
        in_channels=4,
        out_channels=8,
        **STACK,
        cross_attention_dim=32,
        caption_channels=TEXT_WIDTH,
        use_additional_conditions=False,
    )
    waken(transformer)
    return (diffusers.PixArtAlphaPipeline if alpha else diffusers.PixArtSigmaPipeline)(
        tokenizer=t5,
        text_encoder=t5_text(t5),
        vae=autoencoder(),
        transformer=transformer,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
    )


def pixart_alpha() -> Any:
    """PixArt-Alpha: the same transformer in a pipeline of its own."""
    return pixart(alpha=True)


FAMILIES: dict[str, Callable[[], Any]] = {
    "sd": sd,
    "sdxl": sdxl,
    "flux": flux,
    "sd3": sd3,
    "pixart": pixart,
    "pixart-alpha": pixart_alpha,
}
GUIDED = {name: 2.0 if name == "flux" else 5.0 for name in FAMILIES}


def save(build: Callable[[], Any], folder: Path, dtype: torch.dtype = torch.float32, **defaults: Any) -> Path:
    """Build a pipeline with fixed weights and save it, with its own defaults for a quick run."""
    torch.manual_seed(0)
    build().to(dtype).save_pretrained(folder)
    own = {"steps": 3, "guidance": 1.0, "size": SIZE, "max_sequence_length": 28, "capture_steps": [1], **defaults}
    (folder / "autointerp.json").write_text(json.dumps(own))
    return folder
