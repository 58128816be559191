"""Simulated features are active in cells that may be marked, in enough pictures, and repeat from their seed."""

from __future__ import annotations

import numpy as np

from training.shapes.refine.sampled import SampleRule
from training.shapes.refine.simulated import LEAST_PICTURES, Directions, _shifted
from training.shapes.vlm_features import markable_cells
from training.shapes.vlm_questions import Shown


def test_features_are_active_where_they_may_be_marked_and_silent_elsewhere(pool):
    markable = markable_cells(pool, 0)
    for feature in Directions(pool, markable).bank(6, seed=3):
        assert markable[tuple(feature.cells.T)].all()
        pictures = np.unique(feature.cells[:, 0])
        assert len(pictures) >= LEAST_PICTURES
        assert not set(pictures.tolist()) & set(feature.silent.tolist())


def test_a_bank_repeats_from_its_seed(pool):
    directions = Directions(pool, markable_cells(pool, 0))
    first, second, other = (directions.bank(3, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.cells, b.cells) for a, b in zip(first, second, strict=True))
    assert not all(np.array_equal(a.cells, b.cells) for a, b in zip(first, other, strict=True))


def test_some_have_a_name_and_some_have_none(pool):
    rule, markable = SampleRule(pool), markable_cells(pool, 0)
    named = []
    for feature in Directions(pool, markable).bank(30, seed=5):
        _, first = np.unique(feature.cells[:, 0], return_index=True)
        shown = [Shown(p, (r, c)) for p, r, c in feature.cells[first[:20]].tolist()]
        named.append(rule.spoken(shown).common[-1] is not None)
    assert 3 <= sum(named) <= 27


def test_maps_are_moved_and_leave_zeros():
    grid = np.zeros((1, 12, 12), np.float32)
    grid[0, 3, 11] = 1
    assert _shifted(grid, 1, 0)[0, 4, 11] == 1
    assert _shifted(grid, 0, 1).sum() == 0
