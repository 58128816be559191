"""Tiny pipelines of classes without an entry; see `tiny`."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F

from tests.diffusion.tiny import sd
from tests.diffusion.tiny_parts import (
    HEADS,
    SIZE,
    STACK,
    TEXT_WIDTH,
    TWO_STACKS,
    autoencoder,
    chat_tokenizer,
    clip_text,
    flow,
    language,
    marking_tokenizer,
    qwen3_vl,
    qwen_vae,
    qwen_vl,
    t5_text,
    waken,
)


def lumina2() -> Any:
    """Lumina-Image 2.0."""
    from diffusers import Lumina2Pipeline, Lumina2Transformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = chat_tokenizer()
    transformer = Lumina2Transformer2DModel(
        sample_size=SIZE // 8,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(4, 6, 6),
        axes_lens=(512, 64, 64),
        cap_feat_dim=TEXT_WIDTH,
    )
    return Lumina2Pipeline(
        transformer=waken(transformer),
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=Gemma2Model(Gemma2Config(**language(tokenizer, 2))),
        tokenizer=tokenizer,
    )


def hunyuan_image(guider: Any = None) -> Any:
    """HunyuanImage 2.1, with an autoencoder that halves five times."""
    from diffusers import AutoencoderKLHunyuanImage, HunyuanImagePipeline, HunyuanImageTransformer2DModel

    from training.shapes.tokenizers import t5_tokenizer

    tokenizer, t5 = chat_tokenizer(), t5_tokenizer()
    depth = {"num_layers": 2, "num_single_layers": 2, "num_refiner_layers": 1}
    transformer = HunyuanImageTransformer2DModel(
        in_channels=8,
        out_channels=8,
        text_embed_dim=TEXT_WIDTH,
        text_embed_2_dim=TEXT_WIDTH,
        rope_axes_dim=(8, 8),
        **HEADS,
        **depth,
    )
    vae = AutoencoderKLHunyuanImage(
        in_channels=3,
        out_channels=3,
        latent_channels=8,
        block_out_channels=(32,) * 6,
        layers_per_block=1,
        spatial_compression_ratio=32,
        sample_size=SIZE,
        scaling_factor=0.75,
    )
    return HunyuanImagePipeline(
        scheduler=flow(),
        vae=vae,
        text_encoder=qwen_vl(tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
        transformer=waken(transformer),
        guider=guider,
    )


def alt_diffusion() -> Any:
    """AltDiffusion. CLIP stands in for the text encoder, which differs from CLIP in its vocabulary alone."""
    from diffusers import AltDiffusionPipeline

    return AltDiffusionPipeline(**sd("DDIMScheduler").components, requires_safety_checker=False)


def semantic() -> Any:
    """Stable Diffusion with semantic guidance."""
    from diffusers import SemanticStableDiffusionPipeline

    parts = sd("DDIMScheduler").components
    del parts["image_encoder"]
    return SemanticStableDiffusionPipeline(**parts, requires_safety_checker=False)


def bria() -> Any:
    """Bria 3.2."""
    from diffusers import BriaPipeline, BriaTransformer2DModel

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    return BriaPipeline(
        transformer=waken(BriaTransformer2DModel(**TWO_STACKS)),
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(levels=3),
        text_encoder=t5_text(t5),
        tokenizer=t5,
    )


def cogview3_plus() -> Any:
    """CogView3-Plus."""
    from diffusers import CogVideoXDDIMScheduler, CogView3PlusPipeline, CogView3PlusTransformer2DModel

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    transformer = CogView3PlusTransformer2DModel(
        in_channels=4,
        out_channels=4,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=16,
        condition_dim=8,
        pos_embed_max_size=16,
        sample_size=SIZE // 8,
        **STACK,
    )
    return CogView3PlusPipeline(
        tokenizer=t5,
        text_encoder=t5_text(t5),
        vae=autoencoder(),
        transformer=waken(transformer),
        scheduler=CogVideoXDDIMScheduler(),
    )


def lumina_next() -> Any:
    """Lumina-Next."""
    from diffusers import LuminaNextDiT2DModel, LuminaPipeline
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = marking_tokenizer()
    transformer = LuminaNextDiT2DModel(
        sample_size=SIZE // 8,
        hidden_size=32,
        num_layers=2,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        cross_attention_dim=TEXT_WIDTH,
    )
    return LuminaPipeline(
        transformer=waken(transformer),
        scheduler=flow(),
        vae=autoencoder(),
        text_encoder=Gemma2Model(Gemma2Config(**language(tokenizer, 2))),
        tokenizer=tokenizer,
    )


def hunyuan_dit() -> Any:
    """Hunyuan-DiT. CLIP and T5 stand in for BERT and mT5, which differ from them in their vocabularies."""
    from diffusers import DDPMScheduler, HunyuanDiT2DModel, HunyuanDiTPipeline

    from training.shapes.tokenizers import clip_tokenizer, t5_tokenizer

    clip, t5 = clip_tokenizer(77), t5_tokenizer()
    transformer = HunyuanDiT2DModel(
        in_channels=4,
        patch_size=2,
        sample_size=SIZE // 8,
        hidden_size=32,
        cross_attention_dim=TEXT_WIDTH,
        cross_attention_dim_t5=TEXT_WIDTH,
        pooled_projection_dim=32,
        **STACK,
    )
    return HunyuanDiTPipeline(
        vae=autoencoder(),
        text_encoder=clip_text(clip),
        tokenizer=clip,
        transformer=waken(transformer),
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
        text_encoder_2=t5_text(t5),
        tokenizer_2=t5,
    )


def hidream() -> Any:
    """HiDream-I1."""
    from diffusers import HiDreamImagePipeline, HiDreamImageTransformer2DModel
    from transformers import LlamaConfig, LlamaForCausalLM

    from training.shapes.tokenizers import clip_tokenizer, t5_tokenizer

    clip, t5, chat = clip_tokenizer(248), t5_tokenizer(), chat_tokenizer()
    transformer = HiDreamImageTransformer2DModel(
        patch_size=2,
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        caption_channels=[TEXT_WIDTH, TEXT_WIDTH],
        text_emb_dim=2 * TEXT_WIDTH,
        num_routed_experts=2,
        num_activated_experts=1,
        axes_dims_rope=(4, 6, 6),
        max_resolution=(16, 16),
        llama_layers=[0, 1, 2, 0],
        **HEADS,
    )
    return HiDreamImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(),
        text_encoder=clip_text(clip, projection=True),
        tokenizer=clip,
        text_encoder_2=clip_text(clip, projection=True),
        tokenizer_2=clip,
        text_encoder_3=t5_text(t5),
        tokenizer_3=t5,
        text_encoder_4=LlamaForCausalLM(LlamaConfig(**language(chat, 3))),
        tokenizer_4=chat,
        transformer=waken(transformer),
    )


def nucleus() -> Any:
    """Nucleus-Image. Its processor of pictures and texts needs torchvision, so a tokenizer stands in for it."""
    from diffusers import NucleusMoEImagePipeline, NucleusMoEImageTransformer2DModel

    tokenizer = chat_tokenizer()
    transformer = NucleusMoEImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_key_value_heads=1,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 6, 6),
        mlp_ratio=6.0,
        dense_moe_strategy="leave_first_block_dense",
        num_experts=2,
        moe_intermediate_dim=16,
        capacity_factors=1.0,
        **STACK,
    )
    with torch.no_grad():
        for name, weight in transformer.named_parameters():
            if ".experts." in name:
                weight.normal_(0, 0.1)
    return NucleusMoEImagePipeline(
        transformer=waken(transformer),
        scheduler=flow(use_dynamic_shifting=True),
        vae=qwen_vae(),
        text_encoder=qwen3_vl(tokenizer),
        processor=tokenizer,
    )


def fibo() -> Any:
    """FIBO. Its vocabulary is as large as the number of the token that stands for an empty prompt."""
    from diffusers import AutoencoderKLWan, BriaFiboPipeline, BriaFiboTransformer2DModel
    from transformers import SmolLM3Config, SmolLM3ForCausalLM

    tokenizer = chat_tokenizer()
    transformer = BriaFiboTransformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        joint_attention_dim=2 * TEXT_WIDTH,
        axes_dims_rope=[4, 6, 6],
        text_encoder_dim=TEXT_WIDTH,
        **HEADS,
    )
    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.1, 0.2, 0.0],
        latents_std=[1.5, 1.0, 2.0, 0.5],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
    )
    text = {**language(tokenizer, 2), "vocab_size": 128_001, "bos_token_id": None, "eos_token_id": None}
    return BriaFiboPipeline(
        transformer=waken(transformer),
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=SmolLM3ForCausalLM(SmolLM3Config(**text)),
        tokenizer=tokenizer,
    )


def fibo2() -> Any:
    """FIBO 2. Its processor of pictures and texts needs torchvision, so a tokenizer stands in for it."""
    from diffusers import AutoencoderKLFlux2, BriaFibo2Pipeline, BriaFibo2Transformer2DModel

    tokenizer = chat_tokenizer()
    transformer = BriaFibo2Transformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        cap_feat_dim=3 * TEXT_WIDTH,
        injection_layer_ids=(1,),
        perceiver_num_layers=1,
        min_num_gist_tokens=4,
        max_num_gist_tokens=8,
        gist_step=2,
        gist_min_text_len=16,
        gist_max_text_len=64,
        axes_dims=(4, 6, 6),
        axes_lens=(64, 64, 64),
    )
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )
    return BriaFibo2Pipeline(
        transformer=waken(transformer),
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=qwen3_vl(tokenizer, 36),
        processor=tokenizer,
    )


class PlainGuardrail:
    """In place of the models that check the prompts and pictures of Cosmos: it lets all through."""

    def to(self, _device: Any) -> PlainGuardrail:
        return self

    def check_text_safety(self, _prompt: str) -> bool:
        return True

    def check_video_safety(self, frames: Any) -> Any:
        return frames


def cosmos2() -> Any:
    """Cosmos Predict2. Interpolation stands in for torchvision, by which the transformer resizes a mask of zeros."""
    from diffusers import AutoencoderKLWan, Cosmos2TextToImagePipeline, CosmosTransformer3DModel
    from diffusers.models.transformers import transformer_cosmos
    from diffusers.pipelines.cosmos import pipeline_cosmos2_text2image as code

    from training.shapes.tokenizers import t5_tokenizer

    # A saved pipeline has no guardrail, and one that is loaded makes its own.
    code.CosmosSafetyChecker = PlainGuardrail
    code.cosmos_guardrail = code.torchvision = SimpleNamespace()
    if not hasattr(transformer_cosmos, "transforms"):
        transformer_cosmos.transforms = SimpleNamespace(
            functional=SimpleNamespace(resize=lambda mask, size, interpolation: F.interpolate(mask, size)),
            InterpolationMode=SimpleNamespace(NEAREST="nearest"),
        )
    t5 = t5_tokenizer()
    transformer = CosmosTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_layers=2,
        mlp_ratio=2.0,
        text_embed_dim=TEXT_WIDTH,
        adaln_lora_dim=8,
        max_size=(4, 16, 16),
        patch_size=(1, 2, 2),
        extra_pos_embed_type=None,
        **HEADS,
    )
    vae = AutoencoderKLWan(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.1, -0.1, 0.2, 0.0],
        latents_std=[1.5, 1.0, 2.0, 0.5],
    )
    return Cosmos2TextToImagePipeline(
        text_encoder=t5_text(t5),
        tokenizer=t5,
        transformer=waken(transformer),
        vae=vae,
        scheduler=flow(use_karras_sigmas=True),
    )


OPEN: dict[str, Callable[[], Any]] = {
    "Lumina2Pipeline": lumina2,
    "HunyuanImagePipeline": hunyuan_image,
    "AltDiffusionPipeline": alt_diffusion,
    "SemanticStableDiffusionPipeline": semantic,
    "BriaPipeline": bria,
    "CogView3PlusPipeline": cogview3_plus,
    "LuminaPipeline": lumina_next,
    "HiDreamImagePipeline": hidream,
    "HunyuanDiTPipeline": hunyuan_dit,
    "NucleusMoEImagePipeline": nucleus,
    "BriaFiboPipeline": fibo,
    "BriaFibo2Pipeline": fibo2,
    "Cosmos2TextToImagePipeline": cosmos2,
}
