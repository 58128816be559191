"""Full-size models as their published configurations say, for what needs their sizes and not their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Configs = dict[str, dict[str, Any]]


def autoencoder(channels: int) -> dict[str, Any]:
    """The autoencoder of Stable Diffusion; those with 16 channels lost a convolution on either side."""
    return {
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "block_out_channels": [128, 256, 512, 512],
        "layers_per_block": 2,
        "latent_channels": channels,
        "use_quant_conv": channels == 4,
        "use_post_quant_conv": channels == 4,
    }


# The keys of the published `config.json` files that matter here.
SD15: Configs = {
    "unet": {
        "sample_size": 64,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "vae": autoencoder(4),
    "scheduler": {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "steps_offset": 1},
}
SDXL: Configs = {
    "unet": {
        "sample_size": 128,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [320, 640, 1280],
        "layers_per_block": 2,
        "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048,
        "attention_head_dim": [5, 10, 20],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "vae": autoencoder(4),
    "scheduler": {"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "leading"},
}
TURBO: Configs = {
    **SDXL,
    "unet": {**SDXL["unet"], "sample_size": 64},
    "scheduler": {"_class_name": "EulerAncestralDiscreteScheduler", "timestep_spacing": "trailing"},
}
FLUX: Configs = {
    "transformer": {
        "patch_size": 1,
        "in_channels": 64,
        "num_layers": 19,
        "num_single_layers": 38,
        "attention_head_dim": 128,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "pooled_projection_dim": 768,
        "guidance_embeds": False,
    },
    "vae": autoencoder(16),
}
SD35: Configs = {
    "transformer": {
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 16,
        "out_channels": 16,
        "num_layers": 24,
        "attention_head_dim": 64,
        "num_attention_heads": 24,
        "joint_attention_dim": 4096,
        "caption_projection_dim": 1536,
        "pooled_projection_dim": 2048,
        "pos_embed_max_size": 384,
        "dual_attention_layers": list(range(13)),
        "qk_norm": "rms_norm",
    },
    "vae": autoencoder(16),
}
SIGMA: Configs = {
    "transformer": {
        "sample_size": 128,
        "patch_size": 2,
        "in_channels": 4,
        "out_channels": 8,
        "num_layers": 28,
        "attention_head_dim": 72,
        "num_attention_heads": 16,
        "cross_attention_dim": 1152,
        "caption_channels": 4096,
        "use_additional_conditions": False,
    },
    "vae": autoencoder(4),
}
CLIP_L: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_G: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
T5_XXL: dict[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
}


QWEN3_4B: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
QWEN3_8B: dict[str, Any] = {
    **QWEN3_4B,
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "tie_word_embeddings": False,
}
MISTRAL_SMALL: dict[str, Any] = {
    "tie_word_embeddings": False,
    "text_config": {
        "model_type": "mistral",
        "vocab_size": 131072,
        "hidden_size": 5120,
        "intermediate_size": 32768,
        "num_hidden_layers": 40,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": False,
    },
    "vision_config": {
        "model_type": "pixtral",
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "head_dim": 64,
        "image_size": 1540,
        "patch_size": 14,
    },
}
MINISTRAL_3B: dict[str, Any] = {
    "tie_word_embeddings": True,
    "text_config": {
        "model_type": "ministral3",
        "vocab_size": 131072,
        "hidden_size": 3072,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "vision_config": MISTRAL_SMALL["vision_config"],
}
QWEN25_VL_7B: dict[str, Any] = {
    "text_config": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
    "tie_word_embeddings": False,
}
QWEN3_VL_8B: dict[str, Any] = {
    "tie_word_embeddings": False,
    "text_config": {
        "vocab_size": 151936,
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    "vision_config": {
        "depth": 27,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_heads": 16,
        "out_hidden_size": 4096,
        "deepstack_visual_indexes": [8, 16, 24],
    },
}
QWEN3_VL_4B: dict[str, Any] = {
    "tie_word_embeddings": True,
    "text_config": {**QWEN3_VL_8B["text_config"], "hidden_size": 2560, "intermediate_size": 9728},
    "vision_config": {
        "depth": 24,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_heads": 16,
        "out_hidden_size": 2560,
        "deepstack_visual_indexes": [5, 11, 17],
    },
}
GEMMA2_2B: dict[str, Any] = {
    "vocab_size": 256000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
}
# Most of the newer denoisers and autoencoders have the published sizes as the defaults of their classes.
KLEIN_4B: Configs = {
    "transformer": {
        "num_layers": 5,
        "num_single_layers": 20,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
        "joint_attention_dim": 7680,
        "guidance_embeds": False,
    },
    "vae": {"block_out_channels": [128, 256, 512, 512]},
}
KLEIN_9B: Configs = {
    **KLEIN_4B,
    "transformer": {
        **KLEIN_4B["transformer"],
        "num_layers": 8,
        "num_single_layers": 24,
        "num_attention_heads": 32,
        "joint_attention_dim": 12288,
    },
}
Z_IMAGE: Configs = {"transformer": {"dim": 3840, "n_layers": 30, "n_refiner_layers": 2}, "vae": autoencoder(16)}
QWEN_IMAGE: Configs = {
    "transformer": {"num_layers": 60, "num_attention_heads": 24, "attention_head_dim": 128, "out_channels": 16},
    "vae": {"temperal_downsample": [False, True, True]},
}
ERNIE_IMAGE: Configs = {
    "transformer": {
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_layers": 36,
        "ffn_hidden_size": 12288,
        "text_in_dim": 3072,
    },
    "vae": KLEIN_4B["vae"],
}
_DEEP = ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3
SANA: Configs = {
    "transformer": {"num_layers": 20, "num_attention_heads": 70, "attention_head_dim": 32, "sample_size": 32},
    "vae": {
        "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
        "encoder_block_types": _DEEP,
        "decoder_block_types": _DEEP,
        "downsample_block_type": "conv",
        "upsample_block_type": "interpolate",
    },
}


@dataclass(frozen=True)
class FullSize:
    """A model: its pipeline class, the class of its denoiser, its configurations, and its text encoders.

    `texts` maps a component to (class, configuration), `size` is the side of its pictures in pixels, `vae` the class of
    its autoencoder.
    """

    pipeline: str
    denoiser: str
    configs: Configs
    texts: dict[str, tuple[str, dict[str, Any]]]
    size: int
    vae: str = "AutoencoderKL"

    def components(self) -> Iterator[tuple[str, Any]]:
        """Each component that has weights, built on the meta device: no memory is taken."""
        import diffusers
        import torch
        import transformers

        with torch.device("meta"):
            name = next(iter(self.configs))
            yield name, getattr(diffusers, self.denoiser)(**self.configs[name])
            yield "vae", getattr(diffusers, self.vae)(**self.configs["vae"])
            for part, (kind, config) in self.texts.items():
                model = getattr(transformers, kind)
                yield part, model(model.config_class(**config))


_SDXL_TEXTS = {
    "text_encoder": ("CLIPTextModel", CLIP_L),
    "text_encoder_2": ("CLIPTextModelWithProjection", CLIP_G),
}
MODELS = {
    "sd-1.5": FullSize(
        "StableDiffusionPipeline", "UNet2DConditionModel", SD15, {"text_encoder": ("CLIPTextModel", CLIP_L)}, 512
    ),
    "sdxl": FullSize("StableDiffusionXLPipeline", "UNet2DConditionModel", SDXL, _SDXL_TEXTS, 1024),
    "sdxl-turbo": FullSize("StableDiffusionXLPipeline", "UNet2DConditionModel", TURBO, _SDXL_TEXTS, 512),
    "flux.1-schnell": FullSize(
        "FluxPipeline",
        "FluxTransformer2DModel",
        FLUX,
        {"text_encoder": ("CLIPTextModel", CLIP_L), "text_encoder_2": ("T5EncoderModel", T5_XXL)},
        1024,
    ),
    "sd-3.5-medium": FullSize(
        "StableDiffusion3Pipeline",
        "SD3Transformer2DModel",
        SD35,
        {
            "text_encoder": ("CLIPTextModelWithProjection", CLIP_L),
            "text_encoder_2": ("CLIPTextModelWithProjection", CLIP_G),
            "text_encoder_3": ("T5EncoderModel", T5_XXL),
        },
        1024,
    ),
    "pixart-sigma": FullSize(
        "PixArtSigmaPipeline",
        "PixArtTransformer2DModel",
        SIGMA,
        {"text_encoder": ("T5EncoderModel", T5_XXL)},
        1024,
    ),
    "flux.2-klein-4b": FullSize(
        "Flux2KleinPipeline",
        "Flux2Transformer2DModel",
        KLEIN_4B,
        {"text_encoder": ("Qwen3ForCausalLM", QWEN3_4B)},
        1024,
        "AutoencoderKLFlux2",
    ),
    "z-image-turbo": FullSize(
        "ZImagePipeline", "ZImageTransformer2DModel", Z_IMAGE, {"text_encoder": ("Qwen3Model", QWEN3_4B)}, 1024
    ),
    "qwen-image": FullSize(
        "QwenImagePipeline",
        "QwenImageTransformer2DModel",
        QWEN_IMAGE,
        {"text_encoder": ("Qwen2_5_VLForConditionalGeneration", QWEN25_VL_7B)},
        1024,
        "AutoencoderKLQwenImage",
    ),
    "sana-1.6b": FullSize(
        "SanaPipeline",
        "SanaTransformer2DModel",
        SANA,
        {"text_encoder": ("Gemma2Model", GEMMA2_2B)},
        1024,
        "AutoencoderDC",
    ),
    "flux.2-klein-9b": FullSize(
        "Flux2KleinPipeline",
        "Flux2Transformer2DModel",
        KLEIN_9B,
        {"text_encoder": ("Qwen3ForCausalLM", QWEN3_8B)},
        1024,
        "AutoencoderKLFlux2",
    ),
    "flux.2-dev": FullSize(
        "Flux2Pipeline",
        "Flux2Transformer2DModel",
        {"transformer": {}, "vae": KLEIN_4B["vae"]},
        {"text_encoder": ("Mistral3ForConditionalGeneration", MISTRAL_SMALL)},
        1024,
        "AutoencoderKLFlux2",
    ),
    "chroma": FullSize(
        "ChromaPipeline",
        "ChromaTransformer2DModel",
        {"transformer": {}, "vae": autoencoder(16)},
        {"text_encoder": ("T5EncoderModel", T5_XXL)},
        1024,
    ),
    "ernie-image": FullSize(
        "ErnieImagePipeline",
        "ErnieImageTransformer2DModel",
        ERNIE_IMAGE,
        {"text_encoder": ("Mistral3Model", MINISTRAL_3B)},
        1024,
        "AutoencoderKLFlux2",
    ),
    "qwen-image-2.1": FullSize(
        "QwenImage21Pipeline",
        "QwenImage21Transformer2DModel",
        {"transformer": {}, "vae": {}},
        {"text_encoder": ("Qwen3VLForConditionalGeneration", QWEN3_VL_8B)},
        1024,
        "AutoencoderKLQwenImage21",
    ),
    "krea-2": FullSize(
        "Krea2Pipeline",
        "Krea2Transformer2DModel",
        {"transformer": {}, "vae": QWEN_IMAGE["vae"]},
        {"text_encoder": ("Qwen3VLModel", QWEN3_VL_4B)},
        1024,
        "AutoencoderKLQwenImage",
    ),
    "sana-sprint-1.6b": FullSize(
        "SanaSprintPipeline",
        "SanaTransformer2DModel",
        {
            "transformer": {
                **SANA["transformer"],
                "guidance_embeds": True,
                "qk_norm": "rms_norm_across_heads",
            },
            "vae": SANA["vae"],
        },
        {"text_encoder": ("Gemma2Model", GEMMA2_2B)},
        1024,
        "AutoencoderDC",
    ),
}
