"""Families of one stack of transformer blocks."""

from __future__ import annotations

import pytest

from autointerp.diffusion.families.base import Configs
from autointerp.diffusion.families.pixart import PIXART_SIGMA
from autointerp.diffusion.families.sd3 import SD3

CONFIGS: Configs = {
    "transformer": {"num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72, "patch_size": 2},
    "vae": {"block_out_channels": [1, 2, 3, 4]},
}


def test_aliases_lie_at_quarters_of_the_depth() -> None:
    named = {alias: int(hookpoint.rpartition(".")[2]) for alias, hookpoint in PIXART_SIGMA.aliases(CONFIGS).items()}
    assert named == {"early": 7, "mid": 14, "late": 21}


@pytest.mark.parametrize("family", [PIXART_SIGMA, SD3], ids=lambda family: family.name)
def test_width_cell_and_neurons_are_those_of_the_configuration(family) -> None:
    hookpoint = family.aliases(CONFIGS)["mid"]
    assert family.width(CONFIGS, hookpoint) == 1152
    assert family.cell_pixels(CONFIGS, hookpoint) == 16
    assert family.neurons(CONFIGS, hookpoint) == (f"{hookpoint}.ff.net.0", 4608)
