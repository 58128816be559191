"""Forms of PixArt blocks."""

from __future__ import annotations

import pytest
import torch

from autointerp.diffusion.families.pixart import PIXART_ALPHA, PIXART_SIGMA
from autointerp.errors import AutointerpError


def test_blocks_hold_image_tokens_alone() -> None:
    states = torch.zeros(2, 12, 4)
    before, after = PIXART_SIGMA.image_tokens({"hidden_states": states}, states + 1, 5, 12)
    assert before is states
    assert after.min() == 1
    for wrong in (states[:, :11], (states,), states[0]):
        with pytest.raises(AutointerpError, match="a PixArt block returned tokens in a form"):
            PIXART_SIGMA.image_tokens({"hidden_states": states}, wrong, 5, 12)


def test_prompts_and_sizes_are_taken_as_they_are() -> None:
    arguments, branches, _ = PIXART_ALPHA.call({}, 4.5, 2)
    assert arguments == {"guidance_scale": 4.5, "use_resolution_binning": False, "clean_caption": False}
    assert branches == 1


def test_alpha_has_shorter_texts() -> None:
    assert PIXART_ALPHA.defaults.max_sequence_length == 120
    assert PIXART_SIGMA.defaults.max_sequence_length == 300
