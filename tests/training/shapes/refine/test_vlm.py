"""The second training leaves the eyes as they are, and goes on to the same weights after a stop."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoTokenizer

from autointerp.shapes.vlm import FOLDER
from training.shapes.loop import load_checkpoint, save_checkpoint, train
from training.shapes.refine.commands import shipped_module
from training.shapes.refine.vlm import RefiningPlan, VlmRefiner


def refiner(pool, steps=4):
    plan = RefiningPlan(steps, 1, 4, labels=2, full_labels=1, judged_tokens=120, full_judged_tokens=120)
    return VlmRefiner(pool, shipped_module(FOLDER, len(pool.concepts)), AutoTokenizer.from_pretrained(FOLDER), plan)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(pool, tmp_path):
    whole, parted = refiner(pool), refiner(pool)
    for index in range(4):
        whole.step(index)
    for index in range(2):
        parted.step(index)
    save_checkpoint(tmp_path, parted, 2)
    again = refiner(pool)
    assert load_checkpoint(tmp_path, again) == 2
    train(again, tmp_path)
    for one, other in zip(whole.model.vlm.parameters(), again.model.vlm.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_the_language_model_learns_and_the_eyes_do_not(pool):
    trainer = refiner(pool, steps=2)
    eyes, said = (
        [p.clone() for p in part.parameters()] for part in (trainer.model.eyes, trainer.model.vlm.model.language_model)
    )
    for index in range(2):
        trainer.step(index)
    assert all(torch.equal(a, b) for a, b in zip(eyes, trainer.model.eyes.parameters(), strict=True))
    taught = trainer.model.vlm.model.language_model.parameters()
    assert not all(torch.equal(a, b) for a, b in zip(said, taught, strict=True))
