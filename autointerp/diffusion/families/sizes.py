"""Sizes that families read from configuration files."""

from __future__ import annotations

from autointerp.diffusion.families.base import Configs


def autoencoder_pixels(configs: Configs) -> int:
    """Return the pixels a side of one latent: the autoencoder halves once at every level but the first."""
    return int(2 ** (len(configs["vae"]["block_out_channels"]) - 1))


def native_size(configs: Configs, denoiser: str, fallback: int) -> int:
    """Return the side in pixels of the pictures that a model was trained on, from its `sample_size` in latents."""
    sample = configs[denoiser].get("sample_size")
    if isinstance(sample, (list, tuple)):
        sample = max(sample)
    return int(sample) * autoencoder_pixels(configs) if sample else fallback


def transformer_width(configs: Configs) -> int:
    """Return the channels of a transformer's stream: those of all its heads."""
    return int(configs["transformer"]["num_attention_heads"] * configs["transformer"]["attention_head_dim"])
