"""Which text tokens count."""

from __future__ import annotations

import torch

from autointerp.diffusion.passes import Pass
from autointerp.diffusion.text_masks import fitted, text_mask
from tests.diffusion.helpers import JOBS, Models, settings_of


def test_the_tokens_of_a_prompt_count_and_its_padding_does_not(tiny_model: Models) -> None:
    model = tiny_model("flux")
    mask = text_mask(Pass(model, tuple(JOBS), settings_of(model)))
    # T5 has a token a word, and one that marks the end.
    assert mask.sum(1).tolist() == [len(job.prompt.split()) + 1 for job in JOBS]
    assert mask[:, :4].all()
    assert not mask[:, 5:].any()


def test_both_encoders_of_a_stream_count_their_own(tiny_model: Models) -> None:
    model = tiny_model("sd3")
    (mask,) = text_mask(Pass(model, (JOBS[1],), settings_of(model)))
    words = len(JOBS[1].prompt.split())
    assert int(mask[:77].sum()) == words + 2
    assert int(mask[77:].sum()) == words + 1


def test_a_text_is_brought_to_the_grid() -> None:
    states = torch.arange(12.0).view(1, 4, 3)
    assert torch.equal(fitted(states, (1, 2)), states[:, :2])
    assert torch.equal(fitted(states, (1, 6)), torch.cat([states, torch.zeros(1, 2, 3)], 1))
