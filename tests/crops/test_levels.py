from __future__ import annotations

import numpy as np

from autointerp.crops.levels import LEVELS, level_edges
from autointerp.crops.reading import levels_of


def test_an_edge_is_the_least_activation_of_its_level() -> None:
    edges = level_edges()
    assert len(edges) == LEVELS
    assert edges[32:35] == [1.0, 1.5, 2.0]
    values = np.array(edges, np.float32)
    assert levels_of(values).tolist() == list(range(LEVELS))
    below = np.nextafter(values, np.float32(0))
    assert levels_of(below).tolist() == [0, *range(LEVELS - 1)]
