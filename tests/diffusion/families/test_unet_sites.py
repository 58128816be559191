"""Hookpoints of a U-Net."""

from __future__ import annotations

from autointerp.diffusion.families.unet_sites import unet_sites
from benchmarks.full_size import SD15


def test_widths_and_levels_of_stable_diffusion() -> None:
    sites = unet_sites(SD15["unet"])
    assert (sites["unet.down_blocks.0.attentions.0"].width, sites["unet.down_blocks.0.attentions.0"].level) == (320, 0)
    assert (sites["unet.mid_block"].width, sites["unet.mid_block"].level) == (1280, 3)
    assert (sites["unet.up_blocks.3"].width, sites["unet.up_blocks.3"].level) == (320, 0)


def test_only_blocks_with_attention_have_an_mlp() -> None:
    sites = unet_sites(SD15["unet"])
    assert "unet.down_blocks.3.attentions.0" not in sites
    assert sites["unet.down_blocks.3.resnets.0"].mlp is None
    mid = "unet.mid_block.attentions.0"
    assert sites[mid].mlp == f"{mid}.transformer_blocks.0.ff.net.0"


def test_the_denoiser_may_have_another_name() -> None:
    assert list(unet_sites(SD15["unet"], "model"))[0].startswith("model.down_blocks.0")
