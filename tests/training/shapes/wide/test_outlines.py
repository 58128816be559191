"""Outlines are distances."""

from __future__ import annotations

import numpy as np
import pytest

from training.shapes.wide.outlines import OUTLINES


@pytest.mark.parametrize("shape", sorted(OUTLINES))
def test_an_outline_is_near_a_distance_and_within_its_circle(shape):
    y, x = np.mgrid[-1.5:1.5:121j, -1.5:1.5:121j].astype(np.float32)
    away = OUTLINES[shape](x, y)
    inside = away < 0
    assert 0.1 < inside.mean() * 9 / np.pi < 1.05
    assert not inside[np.hypot(x, y) > 1.3].any()
    slope = np.hypot(*np.gradient(away, 3 / 120))
    assert np.median(slope[np.abs(away) < 0.05]) == pytest.approx(1, abs=0.1)
