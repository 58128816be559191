"""The second training goes on from the shipped weights, learns, resumes to the same weights, and saves what loads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from autointerp.shapes.vlm import FOLDER, load_shapes_vlm
from training.shapes.loop import load_checkpoint, save_checkpoint, train
from training.shapes.refine.commands import shipped_module
from training.shapes.refine.probe import SORTS, judging_probe, naming_probe, parts_probe, sorts_of_cells
from training.shapes.refine.vlm import Plan, VlmRefiner


def module(pool):
    return shipped_module(FOLDER, len(pool.concepts))


def refiner(pool, steps=4):
    plan = Plan(steps, 1, 4, labels=2, full_labels=1, judged_tokens=120, full_judged_tokens=120)
    return VlmRefiner(pool, module(pool), AutoTokenizer.from_pretrained(FOLDER), plan)


def test_sorts_of_cells_tell_what_touches_an_object():
    part = np.full((1, 12, 12), -1)
    part[0, 4:7, 4:7] = 0
    part[0, 5, 5] = 1
    sorts = sorts_of_cells(part)[0]
    assert (sorts[5, 5], sorts[4, 4]) == (SORTS.index("inside"), SORTS.index("edge"))
    assert sorts[3, 3] == sorts[5, 7] == SORTS.index("beside")
    assert sorts[2, 5] == sorts[0, 0] == SORTS.index("far")


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


def test_what_is_saved_answers_and_is_measured(pool, tmp_path):
    trainer = refiner(pool, steps=2)
    eyes = [p.clone() for p in trainer.model.eyes.parameters()]
    for index in range(2):
        trainer.step(index)
    assert all(torch.equal(a, b) for a, b in zip(eyes, trainer.model.eyes.parameters(), strict=True))
    trainer.save(tmp_path)
    vlm = load_shapes_vlm(tmp_path)
    assert 0 <= judging_probe(vlm, pool, 6)["marks"] <= 1
    assert set(parts_probe(vlm, pool, 6)) >= {f"object, {sort}" for sort in SORTS}
    assert naming_probe(vlm, pool, 3)["questions"] == 3
