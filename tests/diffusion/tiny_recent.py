"""Pipelines of newer classes with random weights, small enough to run in a test; see `tiny`.

Their texts are read by language models, so there are two small ones, and tokenizers with chat templates.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from tests.diffusion import tiny
from tests.diffusion.tiny import FAMILIES, flux, sd, sdxl
from tests.diffusion.tiny_parts import (
    HEADS,
    PIXTRAL,
    SIZE,
    STACK,
    TEXT_WIDTH,
    TWO_STACKS,
    autoencoder,
    chat_tokenizer,
    flow,
    glm_tokenizer,
    language,
    marking_tokenizer,
    qwen3,
    qwen3_vl,
    qwen_vae,
    qwen_vl,
    t5_text,
    text_processor,
    waken,
)


def flux2_parts(dynamic: bool = True) -> dict[str, Any]:
    """All that FLUX.2's pipelines share, and ERNIE-Image without a shift of the schedule for each size."""
    from diffusers import AutoencoderKLFlux2

    widths = (8, 8, 8)
    vae = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )
    vae.bn.running_mean.uniform_(-1, 1)
    vae.bn.running_var.uniform_(0.5, 2)
    return {"vae": vae, "scheduler": flow(use_dynamic_shifting=dynamic)}


def _flux2_transformer(text_layers: int, *, embedded: bool) -> Any:
    from diffusers import Flux2Transformer2DModel

    sizes = {**TWO_STACKS, "joint_attention_dim": text_layers * TEXT_WIDTH, "axes_dims_rope": (4, 4, 4, 4)}
    return waken(Flux2Transformer2DModel(timestep_guidance_channels=16, guidance_embeds=embedded, **sizes))


def flux2_klein(distilled: bool = True) -> Any:
    """FLUX.2-klein, whose text encoder has as many layers as the pipeline reads: 27 and one."""
    from diffusers import Flux2KleinPipeline

    tokenizer = chat_tokenizer()
    return Flux2KleinPipeline(
        text_encoder=qwen3(tokenizer, 28, head=True),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(3, embedded=False),
        is_distilled=distilled,
        **flux2_parts(),
    )


def flux2_klein_base() -> Any:
    """FLUX.2-klein base."""
    return flux2_klein(distilled=False)


def flux2() -> Any:
    """FLUX.2-dev. Its processor of pictures and texts needs torchvision, so the tokenizer inside stands in for it."""
    from diffusers import Flux2Pipeline
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    tokenizer = chat_tokenizer()
    tokenizer.padding_side = "left"
    config = Mistral3Config(text_config={"model_type": "mistral", **language(tokenizer, 31)}, vision_config=PIXTRAL)
    return Flux2Pipeline(
        text_encoder=Mistral3ForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(3, embedded=True),
        **flux2_parts(),
    )


def z_image() -> Any:
    """Z-Image."""
    from diffusers import ZImagePipeline, ZImageTransformer2DModel

    tokenizer = chat_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=32,
        n_layers=4,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=TEXT_WIDTH,
        axes_dims=[4, 6, 6],
        axes_lens=[256, 64, 64],
    )
    return ZImagePipeline(
        scheduler=flow(shift=3.0),
        vae=autoencoder(levels=3),
        text_encoder=qwen3(tokenizer),
        tokenizer=tokenizer,
        transformer=waken(transformer),
    )


def qwen_image() -> Any:
    """Qwen-Image."""
    from diffusers import QwenImagePipeline, QwenImageTransformer2DModel

    tokenizer = chat_tokenizer()
    transformer = QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, joint_attention_dim=TEXT_WIDTH, axes_dims_rope=(4, 6, 6), **STACK
    )
    return QwenImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=qwen_vae(),
        text_encoder=qwen_vl(tokenizer),
        tokenizer=tokenizer,
        transformer=waken(transformer),
    )


def sana_parts(**config: Any) -> dict[str, Any]:
    """All of Sana but its scheduler, with an autoencoder that halves four times."""
    from diffusers import AutoencoderDC, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = chat_tokenizer()
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        **STACK,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=TEXT_WIDTH,
        sample_size=4,
        **config,
    )
    widths, none = (8, 8, 8, 8, 8), ((),) * 5
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_out_channels=widths,
        decoder_block_out_channels=widths,
        encoder_layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        encoder_qkv_multiscales=none,
        decoder_qkv_multiscales=none,
        scaling_factor=0.4,
    )
    return {
        "tokenizer": tokenizer,
        "text_encoder": Gemma2Model(Gemma2Config(**language(tokenizer, 1))),
        "vae": vae,
        "transformer": waken(transformer),
    }


def sana() -> Any:
    """Sana."""
    from diffusers import DPMSolverMultistepScheduler, SanaPipeline

    flowing = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return SanaPipeline(scheduler=flowing, **sana_parts())


def sana_sprint() -> Any:
    """Sana Sprint."""
    from diffusers import SanaSprintPipeline, SCMScheduler

    parts = sana_parts(guidance_embeds=True, qk_norm="rms_norm_across_heads")
    with torch.no_grad():
        for name, weight in parts["transformer"].named_parameters():
            if ".norm_q." in name or ".norm_k." in name:
                weight.uniform_(0.5, 2)  # Untrained, they are all one.
    return SanaSprintPipeline(scheduler=SCMScheduler(), **parts)


def chroma() -> Any:
    """Chroma."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    embedder = {"approximator_num_channels": 16, "approximator_hidden_dim": 16, "approximator_layers": 1}
    return ChromaPipeline(
        scheduler=flow(shift=1.0),
        vae=autoencoder(levels=3),
        text_encoder=t5_text(t5),
        tokenizer=t5,
        transformer=waken(ChromaTransformer2DModel(**TWO_STACKS, **embedder)),
    )


def flux_kontext() -> Any:
    """FLUX.1 Kontext: FLUX.1-dev's parts in a pipeline of its own."""
    from diffusers import FluxKontextPipeline

    return FluxKontextPipeline(**flux(guidance_embeds=True).components)


def ovis_image() -> Any:
    """Ovis-Image."""
    from diffusers import OvisImagePipeline, OvisImageTransformer2DModel

    tokenizer = chat_tokenizer()
    return OvisImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(levels=3),
        text_encoder=qwen3(tokenizer),
        tokenizer=tokenizer,
        transformer=waken(OvisImageTransformer2DModel(out_channels=16, **TWO_STACKS)),
    )


def longcat_image() -> Any:
    """LongCat-Image. Its processor, which is never loaded, needs torchvision, so a tokenizer stands in for it."""
    from diffusers import LongCatImagePipeline, LongCatImageTransformer2DModel

    tokenizer = chat_tokenizer()
    sizes = {**TWO_STACKS, "in_channels": 64, "pooled_projection_dim": TEXT_WIDTH}
    return LongCatImagePipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=autoencoder(channels=16, levels=3),
        text_encoder=qwen_vl(tokenizer),
        tokenizer=tokenizer,
        text_processor=tokenizer,
        transformer=waken(LongCatImageTransformer2DModel(**sizes)),
    )


def cogview4() -> Any:
    """CogView4."""
    from diffusers import CogView4Pipeline, CogView4Transformer2DModel
    from transformers import GlmConfig, GlmModel

    tokenizer = marking_tokenizer()
    transformer = CogView4Transformer2DModel(
        in_channels=4,
        out_channels=4,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=16,
        condition_dim=8,
        pos_embed_max_size=8,
        sample_size=SIZE // 8,
        rope_axes_dim=(8, 8),
        **STACK,
    )
    return CogView4Pipeline(
        tokenizer=tokenizer,
        text_encoder=GlmModel(GlmConfig(**language(tokenizer, 2))),
        vae=autoencoder(),
        transformer=waken(transformer),
        scheduler=flow(use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75),
    )


def prx() -> Any:
    """PRX. Its text encoder is loaded in its full size alone, so another language model stands in for it."""
    from diffusers import PRXPipeline, PRXTransformer2DModel
    from diffusers.pipelines.prx import pipeline_prx

    if not hasattr(pipeline_prx, "ftfy"):  # The library mends broken Unicode, of which the tests have none.
        pipeline_prx.ftfy = SimpleNamespace(fix_text=str)
    tokenizer = chat_tokenizer(28)
    transformer = PRXTransformer2DModel(
        in_channels=4, context_in_dim=TEXT_WIDTH, hidden_size=32, num_heads=2, depth=4, axes_dim=[8, 8]
    )
    return PRXPipeline(
        transformer=waken(transformer),
        scheduler=flow(shift=3.0),
        text_encoder=qwen3(tokenizer),
        tokenizer=tokenizer,
        vae=autoencoder(),
        default_sample_size=SIZE,
    )


def lcm() -> Any:
    """A latent consistency model."""
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    parts = sd("DDIMScheduler", timestep_spacing="leading").components
    config = {**parts["unet"].config, "time_cond_proj_dim": 16, "_use_default_values": []}
    unet = type(parts["unet"]).from_config(config)
    parts |= {"unet": unet, "scheduler": LCMScheduler.from_config(parts["scheduler"].config)}
    return LatentConsistencyModelPipeline(**parts, requires_safety_checker=False)


def kolors() -> Any:
    """Kolors: SDXL's parts, and texts that a ChatGLM reads."""
    from diffusers import KolorsPipeline
    from diffusers.pipelines.kolors import ChatGLMModel
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig

    parts, tokenizer = sdxl().components, glm_tokenizer()
    config = {**parts["unet"].config, "cross_attention_dim": TEXT_WIDTH, "_use_default_values": []}
    config |= {"projection_class_embeddings_input_dim": 6 * 8 + TEXT_WIDTH}
    sizes: dict[str, Any] = {
        "num_layers": 2,
        "hidden_size": TEXT_WIDTH,
        "ffn_hidden_size": TEXT_WIDTH,
        "num_attention_heads": 2,
    }
    sizes |= {"padded_vocab_size": tokenizer.vocab_size, "kv_channels": 16, "original_rope": True}
    text = ChatGLMModel(ChatGLMConfig(**sizes), empty_init=False)
    with torch.no_grad():  # The class leaves some of its weights to whatever is in memory.
        for weight in text.parameters():
            weight.normal_(0, 0.3)
    kept = {part: parts[part] for part in ("vae", "scheduler")}
    return KolorsPipeline(unet=type(parts["unet"]).from_config(config), text_encoder=text, tokenizer=tokenizer, **kept)


def aura_flow() -> Any:
    """AuraFlow. T5 stands in for UMT5, which differs in its positions alone."""
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    depth = {"num_mmdit_layers": 2, "num_single_dit_layers": 2}
    transformer = AuraFlowTransformer2DModel(
        sample_size=SIZE // 8,
        joint_attention_dim=TEXT_WIDTH,
        caption_projection_dim=32,
        pos_embed_max_size=64,
        **HEADS,
        **depth,
    )
    return AuraFlowPipeline(
        tokenizer=t5, text_encoder=t5_text(t5), vae=autoencoder(), transformer=waken(transformer), scheduler=flow()
    )


def ernie_image() -> Any:
    """ERNIE-Image. Its gates are zero until it is trained."""
    from diffusers import ErnieImagePipeline, ErnieImageTransformer2DModel
    from transformers import Ministral3Config, Ministral3ForCausalLM, Mistral3Config, Mistral3Model

    tokenizer = marking_tokenizer()
    transformer = ErnieImageTransformer2DModel(
        hidden_size=32,
        num_attention_heads=2,
        num_layers=4,
        ffn_hidden_size=32,
        in_channels=16,
        out_channels=16,
        text_in_dim=TEXT_WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    text = language(tokenizer, 2)
    reader = Mistral3Config(text_config={"model_type": "ministral3", **text}, vision_config=PIXTRAL)
    return ErnieImagePipeline(
        transformer=waken(transformer),
        text_encoder=Mistral3Model(reader),
        tokenizer=tokenizer,
        pe=Ministral3ForCausalLM(Ministral3Config(**text)),
        pe_tokenizer=tokenizer,
        **flux2_parts(dynamic=False),
    )


def qwen_image_21() -> Any:
    """Qwen-Image 2.1. Its processor of pictures and texts needs torchvision, so one of texts stands in for it."""
    from diffusers import AutoencoderKLQwenImage21, QwenImage21Pipeline, QwenImage21Transformer2DModel

    tokenizer = chat_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<|image_pad|>"]})
    transformer = QwenImage21Transformer2DModel(
        in_channels=4, out_channels=4, context_in_dim=TEXT_WIDTH, axes_dims_rope=(4, 6, 6), **STACK
    )
    vae = AutoencoderKLQwenImage21(
        base_dim=8, decoder_base_dim=8, z_dim=4, dim_mult=[1, 1, 1, 1, 1], num_res_blocks=1,
        latents_mean=[0.1, -0.1, 0.2, 0.0], latents_std=[1.5, 1.0, 2.0, 0.5],
    )  # fmt: skip
    return QwenImage21Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=vae,
        text_encoder=qwen3_vl(tokenizer, 2),
        processor=text_processor(tokenizer),
        transformer=waken(transformer),
    )


def krea2(distilled: bool = False) -> Any:
    """Krea 2, whose text is that of two layers of its language model."""
    from diffusers import Krea2Pipeline, Krea2Transformer2DModel

    tokenizer = chat_tokenizer()
    tokenizer.add_tokens(["assistant"])  # The end of the template has five tokens, as the pipeline counts.
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_key_value_heads=1,
        intermediate_size=32,
        timestep_embed_dim=16,
        text_hidden_dim=TEXT_WIDTH,
        num_text_layers=2,
        text_num_attention_heads=2,
        text_num_key_value_heads=2,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=2,
        axes_dims_rope=(4, 6, 6),
        **STACK,
    )
    return Krea2Pipeline(
        scheduler=flow(use_dynamic_shifting=True),
        vae=qwen_vae(),
        text_encoder=qwen3_vl(tokenizer, 2).model,
        tokenizer=tokenizer,
        transformer=waken(transformer),
        text_encoder_select_layers=(1, 2),
        is_distilled=distilled,
    )


RECENT: dict[str, Callable[[], Any]] = {
    "flux2": flux2,
    "flux2-klein": flux2_klein,
    "flux2-klein-base": flux2_klein_base,
    "flux-kontext": flux_kontext,
    "chroma": chroma,
    "ovis-image": ovis_image,
    "longcat-image": longcat_image,
    "z-image": z_image,
    "qwen-image": qwen_image,
    "sana": sana,
    "sana-sprint": sana_sprint,
    "prx": prx,
    "aura-flow": aura_flow,
    "cogview4": cogview4,
    "lcm": lcm,
    "kolors": kolors,
    "ernie-image": ernie_image,
    "qwen-image-21": qwen_image_21,
    "krea2": krea2,
}
LENGTHS = {"flux2": 320, "qwen-image": 192, "ovis-image": 192, "krea2": 192}
"""Text tokens of pipelines whose template does not fit the usual number."""
ALL: dict[str, Callable[[], Any]] = {**FAMILIES, **RECENT}
GUIDED = {**tiny.GUIDED, **{name: 1.0 if name == "flux2-klein" else 3.0 for name in RECENT}}
"""Guidance of guided runs; a distilled model takes none."""
