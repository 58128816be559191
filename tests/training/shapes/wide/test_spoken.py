"""The concept that shown cells speak for."""

from __future__ import annotations

import numpy as np
import pytest

from training.shapes.wide.pool import WidePool, wide_pool, world_pool
from training.shapes.wide.spoken import speak, tail
from training.shapes.wide.words import WORDS


@pytest.fixture(scope="module")
def pool():
    return WidePool.joined([world_pool(400), wide_pool(60)])


def cells_of(pool, atoms, pictures, rng):
    """One cell a picture in which atoms hold."""
    index = np.argwhere(pool.cells.where(atoms, np.arange(len(pool))))
    index = rng.permutation(index)
    _, first = np.unique(index[:, 0], return_index=True)
    return index[first][:pictures]


def spoken(pool, index):
    hold = pool.cells.atoms_at(*index.T)[:, : len(WORDS)]
    return speak(index[:, 0], hold, pool.together[0][: len(WORDS), : len(WORDS)])


def test_concepts_of_every_size_are_spoken_for(pool):
    rng = np.random.default_rng(0)
    for atoms in ([("", "red")], [("", "dotted")], [("", "night")], [("", "edge")], [("", "red"), ("", "striped")]):
        said = spoken(pool, cells_of(pool, atoms, 14, rng))
        assert said.atoms >= frozenset(atoms)
        assert said.share == 1


def test_a_word_that_most_such_cells_have_is_not_said(pool):
    rng = np.random.default_rng(1)
    # Most cells of the inside of an object are of large ones.
    assert spoken(pool, cells_of(pool, [("", "inside")], 8, rng)).atoms == {("", "inside")}


def test_mixed_cells_speak_for_nothing(pool):
    rng = np.random.default_rng(3)
    mixed = np.concatenate([cells_of(pool, [("", word)], 7, rng) for word in ("red", "night", "cyan")])
    assert spoken(pool, mixed).atoms == frozenset()


def test_tails_of_the_binomial():
    assert tail(0, 5, 0.3) == pytest.approx(1)
    assert tail(5, 5, 0.5) == pytest.approx(1 / 32)
    assert tail(20, 20, 0.78) < 0.05 < tail(10, 10, 0.78)
