"""Tiny pipelines of classes that are refused by name, to show that a dry run of them fails; see `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.diffusion.tiny import sd
from tests.diffusion.tiny_parts import TEXT_WIDTH, autoencoder, chat_tokenizer, clip_text, flow, qwen_vl


def kandinsky5() -> Any:
    """Kandinsky 5. Its processor of pictures and texts needs torchvision, so a tokenizer stands in for it."""
    from diffusers import Kandinsky5T2IPipeline, Kandinsky5Transformer3DModel

    from training.shapes.tokenizers import clip_tokenizer

    clip, chat = clip_tokenizer(77), chat_tokenizer()
    transformer = Kandinsky5Transformer3DModel(
        in_visual_dim=4,
        in_text_dim=TEXT_WIDTH,
        in_text_dim2=TEXT_WIDTH,
        time_dim=16,
        out_visual_dim=4,
        model_dim=16,
        ff_dim=16,
        num_text_blocks=1,
        num_visual_blocks=1,
        axes_dims=(4, 6, 6),
    )
    return Kandinsky5T2IPipeline(
        transformer=transformer,
        vae=autoencoder(),
        text_encoder=qwen_vl(chat),
        tokenizer=chat,
        text_encoder_2=clip_text(clip),
        tokenizer_2=clip,
        scheduler=flow(),
    )


def omnigen() -> Any:
    """OmniGen. Something has to stand in for torchvision, by which it would read pictures."""
    from diffusers import OmniGenPipeline, OmniGenTransformer2DModel

    tokenizer = chat_tokenizer()
    transformer = OmniGenTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=32,
        num_layers=2,
        pad_token_id=tokenizer.pad_token_id,
        vocab_size=len(tokenizer),
        rope_scaling={"short_factor": [1.0] * 8, "long_factor": [1.0] * 8},
        pos_embed_max_size=16,
        time_step_dim=16,
    )
    return OmniGenPipeline(transformer=transformer, scheduler=flow(), vae=autoencoder(), tokenizer=tokenizer)


def gligen() -> Any:
    """GLIGEN."""
    from diffusers import StableDiffusionGLIGENPipeline

    parts = sd("DDIMScheduler").components
    del parts["image_encoder"]
    return StableDiffusionGLIGENPipeline(**parts, requires_safety_checker=False)


def dreamlite(mobile: bool = False) -> Any:
    """DreamLite. Its call refuses a list of prompts before any part runs, so those of Stable Diffusion stand in."""
    import diffusers

    parts = {
        name: part for name, part in sd().components.items() if name in ("vae", "text_encoder", "tokenizer", "unet")
    }
    kind = diffusers.DreamLiteMobilePipeline if mobile else diffusers.DreamLitePipeline
    return kind(**parts, processor=parts["tokenizer"], scheduler=flow(use_dynamic_shifting=True))


def dreamlite_mobile() -> Any:
    """DreamLite Mobile; see `dreamlite`."""
    return dreamlite(mobile=True)


CLOSED: dict[str, Callable[[], Any]] = {
    "Kandinsky5T2IPipeline": kandinsky5,
    "OmniGenPipeline": omnigen,
    "StableDiffusionGLIGENPipeline": gligen,
    "DreamLitePipeline": dreamlite,
    "DreamLiteMobilePipeline": dreamlite_mobile,
}
"""Classes that are refused by name."""
