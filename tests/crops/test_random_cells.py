"""Random cells: those of smallest hash over every cell that there is, in each split."""

from __future__ import annotations

import numpy as np

from autointerp.crops.hashing import hashed
from autointerp.crops.random_cells import RandomCells
from autointerp.crops.split import SPLITS


def test_random_cells_are_those_of_smallest_hash() -> None:
    images, side, grid, steps = np.arange(12), np.arange(12) % 3 // 2, (2, 3), (0, 4)
    cells = RandomCells(5, seed=7)
    for some in (slice(8, 12), slice(0, 8)):
        for step in steps:
            cells.update(cells.choose(images[some], side[some], grid, step))
    every = []
    for image in images.tolist():
        for step in steps:
            for cell in range(6):
                key = int(hashed(7, *(np.array([part]) for part in (1, image, step, cell)))[0])
                every.append((int(side[image]), key, image, step, divmod(cell, 3)))
    every.sort()
    expected = [[one for one in every if one[0] == group][:5] for group in (0, 1)]
    found = [(SPLITS.index(c.split), c.image, c.step, (c.row, c.col)) for c in cells.rows()]
    assert found == [(g, image, step, place) for part in expected for g, _, image, step, place in part]
    assert {c.grid for c in cells.rows()} == {grid}


def test_none_are_kept_where_none_are_asked_for() -> None:
    cells = RandomCells(0, seed=7)
    cells.update(cells.choose(np.arange(3), np.zeros(3, np.int64), (2, 2), 0))
    assert list(cells.rows()) == []


def test_cells_that_do_not_count_are_never_drawn() -> None:
    """Padding of a text is no place where a name could hold."""
    cells, images = RandomCells(50, seed=7), np.arange(6)
    counted = np.arange(24).reshape(6, 4) % 3 == 0
    cells.update(cells.choose(images, np.zeros(6, np.int64), (1, 4), 0, counted))
    assert {(c.image, c.col) for c in cells.rows()} == set(zip(*np.nonzero(counted), strict=True))
