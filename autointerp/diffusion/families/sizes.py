"""Sizes that families read from configuration files."""

from __future__ import annotations

from autointerp.diffusion.families.base import Configs


def autoencoder_pixels(configs: Configs) -> int:
    """Return the pixels a side of one latent, as the autoencoder's kind has it in its configuration.

    Most halve once at every level but the first; some say the ratio itself.

    Raises:
        KeyError: The configuration says nothing that is known.
    """
    vae = configs["vae"]
    for ratio in ("spatial_compression_ratio", "scale_factor_spatial"):
        if type(vae.get(ratio)) is int:
            return int(vae[ratio])
    if "temperal_downsample" in vae:  # diffusers spells it so in video autoencoders.
        return int(2 ** len(vae["temperal_downsample"]))
    levels = vae["encoder_block_out_channels" if "block_out_channels" not in vae else "block_out_channels"]
    return int(2 ** (len(levels) - 1))


def native_size(configs: Configs, denoiser: str, fallback: int) -> int:
    """Return the side in pixels of the pictures that a model was trained on, from its `sample_size` in latents."""
    sample = configs[denoiser].get("sample_size")
    if isinstance(sample, (list, tuple)):
        sample = max(sample)
    return int(sample) * autoencoder_pixels(configs) if sample else fallback


def transformer_width(configs: Configs) -> int:
    """Return the channels of a transformer's stream: those of all its heads."""
    return int(configs["transformer"]["num_attention_heads"] * configs["transformer"]["attention_head_dim"])
