from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.labeling.judging.marks import displaced
from autointerp.labeling.protocol import CropEvidence

from ..conftest import World


@pytest.mark.parametrize("seed", range(20))
def test_a_displaced_mark_holds_nothing_of_the_feature(world: World, seed: int) -> None:
    rng = np.random.default_rng(seed)
    heat = np.zeros((8, 8), np.float32)
    row, col = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    heat[row - 1 : row + 2, col - 1 : col + 2] = 0.7
    heat[row, col] = 1.0
    moved = displaced(replace(world.crop(0, (row, col), 1.0), activation_map=heat), rng)
    assert moved is not None
    assert moved.activation_map is not None
    assert moved.cell is not None
    left, top, right, bottom = moved.box
    for y, x in np.argwhere(heat >= 0.5):
        assert not (left <= x * 8 + 4 < right and top <= y * 8 + 4 < bottom)
    # The map is of the same form, with its peak under the mark.
    assert moved.activation_map[moved.cell] == 1.0
    assert moved.activation_map.sum() == pytest.approx(heat.sum())


def test_what_fires_everywhere_cannot_be_displaced(world: World) -> None:
    everywhere: CropEvidence = replace(world.crop(0, (2, 2), 1.0), activation_map=np.ones((8, 8), np.float32))
    assert displaced(everywhere, np.random.default_rng(0)) is None
    assert displaced(replace(everywhere, cell=None), np.random.default_rng(0)) is None
