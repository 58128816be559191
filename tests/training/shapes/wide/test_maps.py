"""Maps of simulated features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.shapes.wide.maps import Taste, draw_map, draw_taste, stray
from training.shapes.wide.pool import wide_pool


@pytest.fixture(scope="module")
def cells():
    return wide_pool(20).cells


@pytest.mark.parametrize("part", ["edge", "inside", "left side", "corner"])
def test_maps_lie_in_their_scope_and_part(cells, part):
    rng = np.random.default_rng(0)
    for picture in range(20):
        mask = draw_map(cells, picture, Taste("object", part, 0, 1.0), rng)
        assert not (mask & ~cells.where([("", part)], np.array([picture]))[0]).any()
        assert len(np.unique(cells.owner[picture][mask])) <= 1
        behind = draw_map(cells, picture, Taste("background", "any", 0, 1.0), rng)
        assert np.array_equal(behind, cells.owner[picture] < 0)


def test_a_share_of_nothing_is_one_cell_and_strays_are_few(cells):
    rng = np.random.default_rng(1)
    for picture in range(20):
        mask = draw_map(cells, picture, Taste("objects", "any", 0, 0.0), rng)
        assert mask.sum() == 1
        assert 0 <= stray(mask, rng).sum() - 1 <= 3


def test_tastes_are_drawn_of_every_kind(cells):
    rng = np.random.default_rng(2)
    tastes = [draw_taste(rng) for _ in range(600)]
    assert {t.scope for t in tastes} >= {"object", "objects", "background", "beside", "gaps", "place", "cells"}
    sizes = [draw_map(cells, n % 20, replace(t), rng).sum() for n, t in enumerate(tastes)]
    assert np.mean(np.array(sizes) > 0) > 0.7
