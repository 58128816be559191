"""Levels of the histogram of activations: half octaves from 2**-16 to 2**16, with edges at 2**e and 1.5 * 2**e."""

from __future__ import annotations

LEVELS = 64
"""How many levels there are."""


def level_edges() -> list[float]:
    """Return the lower edge of every level of the histogram; the last level has no upper one."""
    return [2.0 ** (level // 2 - 16) * (1.5 if level % 2 else 1.0) for level in range(LEVELS)]
