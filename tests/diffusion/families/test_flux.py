"""Forms of FLUX blocks."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.families.flux import FLUX
from autointerp.errors import AutointerpError


def test_single_blocks_of_older_diffusers_are_split_by_their_own_shapes() -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 12, 8)
    joint = torch.cat([text, image], 1)
    before, after = FLUX.image_tokens({"hidden_states": joint, "temb": None}, joint + 1, 5, 12)
    assert before is not None
    assert torch.equal(before, image)
    assert torch.equal(after, image + 1)
    inputs = {"hidden_states": image, "encoder_hidden_states": text}
    before, after = FLUX.image_tokens(inputs, (text, image + 2), 5, 12)
    assert before is not None
    assert torch.equal(before, image)
    assert torch.equal(after, image + 2)


@pytest.mark.parametrize("swap", ["swapped", "joint without text", "three"])
def test_any_other_form_raises(swap: str) -> None:
    text, image = torch.randn(2, 5, 8), torch.randn(2, 12, 8)
    output = {"swapped": (image, text), "joint without text": image, "three": (text, image, image)}[swap]
    with pytest.raises(AutointerpError, match="not known"):
        FLUX.image_tokens({"hidden_states": image, "encoder_hidden_states": text}, output, 5, 12)
