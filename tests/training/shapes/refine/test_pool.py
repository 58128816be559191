"""Renders of the second training are none of the first."""

from __future__ import annotations

import numpy as np

from training.shapes.__main__ import WEIGHTS
from training.shapes.refine.pool import refining_pool
from training.shapes.vlm_pool import rendered_pool


def test_renders_are_others_than_those_of_the_first_training_and_repeat(tmp_path):
    first, again = (refining_pool(tmp_path, WEIGHTS, 6, {}) for _ in range(2))
    assert np.array_equal(first.pictures, again.pictures)
    before = rendered_pool(6)
    assert not any(np.array_equal(a, b) for a in first.pictures for b in before.pictures)
