"""Pipelines of newer classes with random weights, small enough to run in a test; see `tiny`.

Their texts are read by language models, so there are two small ones, and tokenizers with chat templates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.diffusion import tiny
from tests.diffusion.tiny import FAMILIES, SIZE, TEXT_WIDTH, autoencoder, flux, t5_text, waken

_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{{ message['content'][0]['text'] }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def chat_tokenizer(length: int = 1024) -> Any:
    """A byte-level tokenizer of the world's words, as Qwen's, with a chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    from training.shapes.tokenizers import world_words

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    how: dict[str, Any] = {"vocab_size": 2000, "min_frequency": 1, "show_progress": False, "initial_alphabet": alphabet}
    bpe.train_from_iterator([" " + " ".join(world_words())], trainers.BpeTrainer(**how))
    model = json.loads(bpe.to_str())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=merges, model_max_length=length)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = _CHAT
    return tokenizer


def _language(tokenizer: Any, layers: int) -> dict[str, Any]:
    """Sizes of a small language model."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": TEXT_WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "pad_token_id": tokenizer.pad_token_id,
    }


def qwen3(tokenizer: Any, layers: int = 2, *, head: bool = False) -> Any:
    """A Qwen3."""
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    return (Qwen3ForCausalLM if head else Qwen3Model)(Qwen3Config(**_language(tokenizer, layers)))


def flux2_parts() -> dict[str, Any]:
    """All that FLUX.2's pipelines share."""
    from diffusers import AutoencoderKLFlux2, FlowMatchEulerDiscreteScheduler

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
    return {"vae": vae, "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)}


def _flux2_transformer(text_layers: int, *, embedded: bool) -> Any:
    from diffusers import Flux2Transformer2DModel

    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=text_layers * TEXT_WIDTH,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=embedded,
    )
    waken(transformer)
    return transformer


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
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Mistral3Config(
        text_config={"model_type": "mistral", **_language(tokenizer, 31)},
        vision_config={"model_type": "pixtral", "image_size": 28, "patch_size": 14, **vision},
    )
    return Flux2Pipeline(
        text_encoder=Mistral3ForConditionalGeneration(config),
        tokenizer=tokenizer,
        transformer=_flux2_transformer(3, embedded=True),
        **flux2_parts(),
    )


def z_image() -> Any:
    """Z-Image."""
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

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
    waken(transformer)
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder(levels=3),
        text_encoder=qwen3(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def qwen_vae() -> Any:
    """The video autoencoder of Qwen-Image; it halves three times."""
    from diffusers import AutoencoderKLQwenImage

    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.1, -0.1, 0.2, 0.0], latents_std=[1.5, 1.0, 2.0, 0.5],
    )  # fmt: skip


def qwen_image() -> Any:
    """Qwen-Image."""
    from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = chat_tokenizer()
    sizes = {**_language(tokenizer, 2), "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1, "out_hidden_size": TEXT_WIDTH}
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    waken(transformer)
    return QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=qwen_vae(),
        text_encoder=Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=sizes, vision_config=vision)),
        tokenizer=tokenizer,
        transformer=transformer,
    )


def sana() -> Any:
    """Sana, with an autoencoder that halves four times."""
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    tokenizer = chat_tokenizer()
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=4,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=TEXT_WIDTH,
        sample_size=4,
    )
    waken(transformer)
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
    return SanaPipeline(
        tokenizer=tokenizer,
        text_encoder=Gemma2Model(Gemma2Config(**_language(tokenizer, 1))),
        vae=vae,
        transformer=transformer,
        scheduler=DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )


def chroma() -> Any:
    """Chroma."""
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    from training.shapes.tokenizers import t5_tokenizer

    t5 = t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 6, 6),
        approximator_num_channels=16,
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    waken(transformer)
    return ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0),
        vae=autoencoder(levels=3),
        text_encoder=t5_text(t5),
        tokenizer=t5,
        transformer=transformer,
    )


def flux_kontext() -> Any:
    """FLUX.1 Kontext: FLUX.1-dev's parts in a pipeline of its own."""
    from diffusers import FluxKontextPipeline, FluxTransformer2DModel

    parts = dict(flux().components)
    config = {**parts["transformer"].config, "guidance_embeds": True, "_use_default_values": []}
    parts["transformer"] = FluxTransformer2DModel.from_config(config)
    waken(parts["transformer"])
    return FluxKontextPipeline(**parts)


def ovis_image() -> Any:
    """Ovis-Image."""
    from diffusers import FlowMatchEulerDiscreteScheduler, OvisImagePipeline, OvisImageTransformer2DModel

    tokenizer = chat_tokenizer()
    transformer = OvisImageTransformer2DModel(
        in_channels=16,
        out_channels=16,
        num_layers=2,
        num_single_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        axes_dims_rope=(4, 6, 6),
    )
    waken(transformer)
    return OvisImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=autoencoder(levels=3),
        text_encoder=qwen3(tokenizer),
        tokenizer=tokenizer,
        transformer=transformer,
    )


RECENT: dict[str, Callable[[], Any]] = {
    "flux2": flux2,
    "flux2-klein": flux2_klein,
    "flux2-klein-base": flux2_klein_base,
    "flux-kontext": flux_kontext,
    "chroma": chroma,
    "ovis-image": ovis_image,
    "z-image": z_image,
    "qwen-image": qwen_image,
    "sana": sana,
}
LENGTHS = {"flux2": 320, "qwen-image": 192, "ovis-image": 192}
"""Text tokens of pipelines whose template does not fit the usual number."""
ALL: dict[str, Callable[[], Any]] = {**FAMILIES, **RECENT}
GUIDED = {**tiny.GUIDED, **{name: 1.0 if name == "flux2-klein" else 3.0 for name in RECENT}}
"""Guidance of guided runs; a distilled model takes none."""
