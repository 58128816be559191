"""What was seen of pictures is stored small, and read back as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.shapes.held_out import HeldOutCells
from autointerp.shapes.truth import ActiveCells


@pytest.mark.parametrize("density", [0.0, 0.0003, 0.3])
def test_what_is_packed_is_read_back(world, density: float) -> None:
    cells = world[0]
    rng = np.random.default_rng(0)
    where = np.argwhere(rng.random((5, *cells["part"].shape)) < density)
    rng.shuffle(where)
    seen = HeldOutCells(cells, ActiveCells(5, *where.T))
    stored = json.loads(json.dumps(seen.as_dict()))
    again = HeldOutCells.from_dict(stored)
    assert again.images == seen.images == 200
    assert all((again.cells[name] == cells[name]).all() for name in cells)
    assert again.active.num_features == 5
    entries = [(a.feature, a.image, a.row, a.col) for a in (again.active, seen.active)]
    assert {*zip(*(part.tolist() for part in entries[0]), strict=True)} == {
        *zip(*(part.tolist() for part in entries[1]), strict=True)
    }
    assert (np.diff(again.active.feature) >= 0).all()
    # About a byte and a half for an active cell, and a fifth of one for an attribute of a cell.
    assert len(json.dumps(stored)) < 2.5 * len(where) + 0.3 * sum(value.size for value in cells.values())
