"""Pipelines of full size with random weights: denoiser and autoencoder as published, text encoders of one layer.

A short text encoder makes bare generation a little quicker, and so the overhead that is measured no smaller.
"""

from __future__ import annotations

from typing import Any

from benchmarks import full_size

WIDTHS = (128, 256, 512, 512)


def clip_text(tokenizer: Any, width: int, projection: bool = False, layers: int = 1, heads: int = 1) -> Any:
    """A CLIP text encoder for this tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def t5_text(tokenizer: Any, width: int, heads: int = 1, head_width: int = 64) -> Any:
    """A T5 encoder of one layer for this tokenizer."""
    from transformers import T5Config, T5EncoderModel

    return T5EncoderModel(
        T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=head_width, d_ff=width, num_layers=1, num_heads=heads)
    )


def _autoencoder(channels: int, widths: tuple[int, ...], **config: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=2,
        latent_channels=channels,
        norm_num_groups=min(32, *widths),
        **config,
    )


def _scheduler(name: str, **config: Any) -> Any:
    import diffusers
    import torch

    with torch.device("cpu"):  # Its tables are NumPy's business.
        return getattr(diffusers, name)(**config)


def flux(widths: tuple[int, ...] = WIDTHS, **sizes: Any) -> Any:
    """FLUX.1-schnell, or another of these sizes."""
    from diffusers import FluxPipeline, FluxTransformer2DModel

    from training.shapes.tokenizers import clip_tokenizer, t5_tokenizer

    clip, t5 = clip_tokenizer(77), t5_tokenizer()
    config: dict[str, Any] = {**full_size.FLUX["transformer"], **sizes}
    return FluxPipeline(
        scheduler=_scheduler("FlowMatchEulerDiscreteScheduler", shift=1.0),
        vae=_autoencoder(config["in_channels"] // 4, widths, shift_factor=0.1159, scaling_factor=0.3611),
        text_encoder=clip_text(clip, config["pooled_projection_dim"]),
        tokenizer=clip,
        text_encoder_2=t5_text(t5, config["joint_attention_dim"]),
        tokenizer_2=t5,
        transformer=FluxTransformer2DModel(**config),
    )


def sdxl(widths: tuple[int, ...] = WIDTHS, text: tuple[int, int] = (768, 1280), **sizes: Any) -> Any:
    """SDXL base, or another of these sizes; `text` are the widths of its text encoders."""
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel

    from training.shapes.tokenizers import clip_tokenizer

    clip = clip_tokenizer(77)
    config: dict[str, Any] = {
        **full_size.SDXL["unet"],
        "cross_attention_dim": sum(text),
        "projection_class_embeddings_input_dim": 6 * 256 + text[1],
        **sizes,
    }
    return StableDiffusionXLPipeline(
        vae=_autoencoder(4, widths, scaling_factor=0.13025),
        text_encoder=clip_text(clip, text[0]),
        text_encoder_2=clip_text(clip, text[1], projection=True),
        tokenizer=clip,
        tokenizer_2=clip,
        unet=UNet2DConditionModel(**config),
        scheduler=_scheduler(
            "EulerDiscreteScheduler", beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
        ),
    )
