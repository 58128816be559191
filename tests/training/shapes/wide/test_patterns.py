"""Patterns put ink on a part of an object."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.scenes import ATTRIBUTES
from training.shapes.wide.backdrops import XX, YY
from training.shapes.wide.patterns import Surface, ink, ink_color
from training.shapes.wide.words import COLORS, PATTERNS

OWN = [pattern for pattern in PATTERNS if pattern not in ATTRIBUTES["texture"]]


@pytest.mark.parametrize("pattern", OWN)
def test_ink_covers_a_part_and_can_be_seen(pattern):
    x, y = XX - 48, YY - 48
    where = Surface(x, y, 22.0, np.hypot(x, y) - 22, (0.3, 0.6))
    share = ink(pattern, where)[np.hypot(x, y) < 22]
    assert 0.05 < share.mean() < 0.75
    assert share.min() >= 0
    assert share.max() <= 1
    for color in COLORS.values():
        own = np.array(color, np.float32)
        assert np.abs(ink_color(pattern, own) - own).mean() > 15


def test_an_unknown_pattern_is_refused():
    with pytest.raises(ValueError, match="tartan"):
        ink("tartan", Surface(XX, YY, 22.0, XX, (0.0, 0.0)))
