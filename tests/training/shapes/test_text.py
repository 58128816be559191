"""Training of the text encoders: captions with their truth, and encoders that the pipeline loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import CLIPTextModel, T5EncoderModel

from autointerp.shapes.scenes import ATTRIBUTES, BACKGROUNDS, POSITIONS
from training.shapes.text import TextTrainer, spoken_with_truth
from training.shapes.tokenizers import MAX_TOKENS

pytestmark = pytest.mark.training


@pytest.mark.parametrize("seed", range(20))
def test_the_truth_of_a_caption_is_what_it_says(seed: int) -> None:
    caption, places, background = spoken_with_truth(np.random.default_rng(seed), drop=0.3)
    *clauses, last = caption.split(", ")
    if background:
        assert last == f"{BACKGROUNDS[background - 1]} background"
    else:
        assert not last.endswith(" background")
        clauses.append(last)
    by_place = {next(place for place in POSITIONS if clause.endswith(place)): clause for clause in clauses}
    every = {word for words in ATTRIBUTES.values() for word in words}
    for place, said in zip(POSITIONS, places, strict=True):
        assert bool(said.any()) == (place in by_place)
        if place in by_place:
            words = by_place[place].removesuffix(place).split()
            assert set(words) <= every
            assert int((said > 0).sum()) == len(words)


def test_encoders_learn_and_are_saved_as_the_pipeline_loads_them(tmp_path) -> None:
    trainer = TextTrainer(steps=4, batch=16)
    tokens = trainer.tokens(["large red solid circle center", "dark background"])
    assert [ids.shape for ids in tokens] == [(2, MAX_TOKENS)] * 2
    before = [p.detach().clone() for p in trainer.model.parameters()]
    notes = [trainer.step(index) for index in range(4)]
    assert all("right by T5" in note for note in notes)
    assert sum(not torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True)) > 10
    trainer.save(tmp_path)
    clip = CLIPTextModel.from_pretrained(tmp_path / "text_encoder").float()
    t5 = T5EncoderModel.from_pretrained(tmp_path / "text_encoder_2").float()
    for kept, live, ids in ((clip, trainer.model.clip, tokens[0]), (t5, trainer.model.t5, tokens[1])):
        with torch.no_grad():
            torch.testing.assert_close(
                kept(ids).last_hidden_state, live.float()(ids).last_hidden_state, atol=2e-2, rtol=2e-2
            )
