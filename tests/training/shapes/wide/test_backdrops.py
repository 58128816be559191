"""Backgrounds are seeded pictures."""

from __future__ import annotations

import numpy as np
import pytest

from training.shapes.wide.backdrops import BACKDROPS
from training.shapes.wide.words import BACKGROUNDS


def test_every_background_of_its_own_is_painted():
    assert set(BACKDROPS) == set(BACKGROUNDS[4:])


@pytest.mark.parametrize("name", sorted(BACKDROPS))
def test_a_background_is_the_same_from_the_same_seed(name):
    one, again = (np.broadcast_to(BACKDROPS[name](np.random.default_rng(4)), (96, 96, 3)) for _ in range(2))
    assert np.array_equal(one, again)
    assert np.isfinite(one).all()
    assert one.std() > 3
