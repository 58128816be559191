"""Blocks that are read off the classes of diffusers, whose configurations name their stacks in many ways."""

from __future__ import annotations

from collections import Counter

import pytest

from autointerp.diffusion.families.denoiser_tree import blocks_of
from autointerp.errors import AutointerpError

EXPECTED = {
    "FluxTransformer2DModel": {"transformer_blocks": (19, 3072), "single_transformer_blocks": (38, 3072)},
    "QwenImageTransformer2DModel": {"transformer_blocks": (60, 3072)},
    "ZImageTransformer2DModel": {"noise_refiner": (2, 3840), "context_refiner": (2, 3840), "layers": (30, 3840)},
    "SanaTransformer2DModel": {"transformer_blocks": (20, 2240)},
    "Lumina2Transformer2DModel": {"noise_refiner": (2, 2304), "context_refiner": (2, 2304), "layers": (26, 2304)},
    "PRXTransformer2DModel": {"blocks": (16, 1792)},
    "AuraFlowTransformer2DModel": {"joint_transformer_blocks": (4, 3072), "single_transformer_blocks": (32, 3072)},
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_the_blocks_of_a_class_are_those_that_exist(kind: str) -> None:
    """Of full size, by the defaults of the class: nothing of it is in memory."""
    found = blocks_of({"_class_name": kind})
    stacks = Counter((block.path.rpartition(".")[0], block.width) for block in found)
    assert stacks == {(path, width): count for path, (count, width) in EXPECTED[kind].items()}


def test_what_cannot_be_built_says_so_in_a_line() -> None:
    with pytest.raises(AutointerpError, match="has no model class 'NoTransformer'"):
        blocks_of({"_class_name": "NoTransformer"})
    with pytest.raises(AutointerpError, match="cannot be built from its configuration") as raised:
        blocks_of({"_class_name": "FluxTransformer2DModel", "num_layers": "many"})
    assert "\n" not in str(raised.value)
