"""Pools of pictures of both worlds."""

from __future__ import annotations

import numpy as np

from training.shapes.__main__ import WEIGHTS
from training.shapes.wide import pool as pools
from training.shapes.wide.pool import WidePool, generated_pool, wide_pool, world_pool
from training.shapes.wide.truth import ROW
from training.shapes.wide.words import LEFT_OUT


def test_no_object_of_a_training_picture_has_a_pair_that_is_left_out():
    pool = WidePool.joined([wide_pool(80), world_pool(80)])
    for one, other in LEFT_OUT:
        assert not pool.cells.where([("", one), ("", other)], np.arange(len(pool))).any()
    of_world, of_wide = pool.together
    red, circle = ROW["", "red"], ROW["", "circle"]
    assert 0 < of_world[red, circle] < of_world[red, red]
    more = slice(ROW["", "white"], ROW["", "mauve"] + 1)
    assert np.diagonal(of_wide)[more].any()
    assert not np.diagonal(of_world)[more].any()


def test_wide_pictures_are_the_same_from_their_files(tmp_path):
    first, again = (wide_pool(6, folder=tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    assert np.array_equal(first.pictures, again.pictures)
    assert all(np.array_equal(a, again.cells.arrays()[k]) for k, a in first.cells.arrays().items())


def test_generated_pictures_are_the_same_from_their_files(tmp_path, monkeypatch):
    made = world_pool(5).pictures
    painted = np.ascontiguousarray(made.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    monkeypatch.setattr(pools, "load_painter", lambda *_: object())
    monkeypatch.setattr(pools, "generate", lambda *_: painted)
    for _ in range(2):
        found = generated_pool(tmp_path, WEIGHTS, "shapes-turbo", len(made))
        assert np.array_equal(found.pictures, made)
