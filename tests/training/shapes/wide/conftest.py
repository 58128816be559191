"""Pictures of both worlds with marks, which several tests share."""

from __future__ import annotations

import numpy as np
import pytest

from training.shapes.wide.marks import MarkBank
from training.shapes.wide.pool import WidePool, wide_pool, world_pool


@pytest.fixture(scope="session")
def both():
    return WidePool.joined([world_pool(240), wide_pool(160)])


@pytest.fixture(scope="session")
def bank(both):
    return MarkBank(both, np.random.default_rng(5).random(both.cells.owner.shape) < 0.3)
