"""The eyes learn what marks show, see the world as before, and go on where they were stopped."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autointerp.shapes.vlm import FOLDER
from training.shapes.loop import train
from training.shapes.vlm_questions import Shown
from training.shapes.wide.eyes import EyesTrainer, at_marks, load_eyes, shipped_eyes, to_eyes
from training.shapes.wide.eyes_measure import eyes_figures
from training.shapes.wide.pool import WidePool, wide_pool, world_pool
from training.shapes.wide.truth import ROW


@pytest.fixture(scope="module")
def pool():
    return WidePool.joined([wide_pool(12), world_pool(6)])


def test_words_are_those_of_the_marked_cells(pool):
    row, col = np.argwhere(pool.cells.owner[0] >= 0)[0].tolist()
    found = at_marks(pool, [Shown(1), Shown(0, (row, col)), Shown(0, (0, 0))])
    assert found.shape[0] == 2
    assert found[0, ROW["", "object"]] == 1
    assert found[0, ROW["", "background"]] == 0
    assert found[1, ROW["", "top left"]] == 1


def test_what_the_eyes_see_of_the_world_is_held_to_what_they_saw(pool):
    trainer = EyesTrainer(pool, shipped_eyes(FOLDER), steps=3, views=8)
    shown = [Shown(i, (4, 4)) for i in range(len(pool))]
    pixels = to_eyes(trainer.views_of(shown))
    seen = trainer.model.eyes(pixels).last_hidden_state.detach()
    assert float(trainer._kept(pixels, seen, shown)) == pytest.approx(0, abs=1e-6)
    # The first twelve pictures are of the wider world, of which the eyes may see more.
    moved = seen.clone()
    moved[:12] += 1
    assert float(trainer._kept(pixels, moved, shown)) == pytest.approx(0, abs=1e-6)
    moved[12:] += 1
    assert float(trainer._kept(pixels, moved, shown)) > 0.01


def test_the_eyes_learn_and_go_on_where_they_were_stopped(pool, tmp_path):
    def new():
        return EyesTrainer(pool, shipped_eyes(FOLDER), steps=3, views=8)

    whole = new()
    before = [p.detach().clone() for p in whole.model.eyes.parameters()]
    train(whole, tmp_path / "whole", every=2)
    assert not all(torch.equal(a, b) for a, b in zip(before, whole.model.eyes.parameters(), strict=True))
    stopped = new()
    stopped.step, steps = (lambda i: steps(i) if i < 2 else (_ for _ in ()).throw(KeyboardInterrupt)), stopped.step
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "stopped", every=2)
    again = new()
    train(again, tmp_path / "stopped", every=2)
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))
    again.save(tmp_path)
    kept = shipped_eyes(FOLDER)
    load_eyes(kept, tmp_path / "eyes.safetensors")
    again.average.swap()
    pairs = zip(kept.parameters(), again.model.eyes.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in pairs)


def test_figures_are_of_words_that_the_views_show(pool):
    figures = eyes_figures(EyesTrainer(pool, shipped_eyes(FOLDER), steps=1), 96)
    assert 0 <= figures["color"] < 0.5
    assert figures["color words known"] <= 38
    assert set(figures) >= {"background", "texture words known"}
    # Heads that were never taught tell parts and places hardly better than chance.
    assert all(0.3 < figures[f"{kind}, mean AUROC"] < 0.7 for kind in ("part", "place"))
    assert all(figures[f"{kind}, AUROC of the worst"] < figures[f"{kind}, mean AUROC"] for kind in ("part", "place"))
