"""Sizes read from configuration files."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.diffusion.families.sizes import autoencoder_pixels, native_size, transformer_width


@pytest.mark.parametrize(("levels", "pixels"), [(1, 1), (2, 2), (4, 8)])
def test_an_autoencoder_halves_at_every_level_but_the_first(levels: int, pixels: int) -> None:
    assert autoencoder_pixels({"vae": {"block_out_channels": [8] * levels}}) == pixels


@pytest.mark.parametrize(("sample", "size"), [(64, 512), ([64, 32], 512), (None, 1024)])
def test_the_native_size_is_that_of_the_latents(sample: Any, size: int) -> None:
    configs = {"vae": {"block_out_channels": [8] * 4}, "unet": {"sample_size": sample}}
    assert native_size(configs, "unet", 1024) == size


def test_a_transformer_is_as_wide_as_all_its_heads() -> None:
    assert transformer_width({"transformer": {"num_attention_heads": 24, "attention_head_dim": 128}}) == 3072
