"""Patterns of the wider world: how much ink lies on each pixel of an object, and which ink."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DARK_ON = 175.0
"""Mean of a colour's three values above which ink is dark: white ink could not be seen on it."""


@dataclass(frozen=True)
class Surface:
    """Coordinates of an object's pixels relative to its centre, its radius, its outline's distance, and its jitter.

    `x`, `y`, `distance`: float32 [n, n] in pixels; `phase`: two numbers in [0, 1).
    """

    x: np.ndarray
    y: np.ndarray
    radius: float
    distance: np.ndarray
    phase: tuple[float, float]


def _lines(along: np.ndarray, period: float, phase: float, share: float) -> np.ndarray:
    """Soft lines, `share` of the period wide, float32 in [0, 1]."""
    away = np.abs((along / period + phase) % 1.0 - 0.5) * period
    return np.clip(period * share / 2 - away + 0.5, 0, 1)


def _spots(s: Surface, pitch: float, radius: tuple[float, float], seed: int) -> np.ndarray:
    """Spots of different sizes at places that no grid orders."""
    rng = np.random.default_rng((seed, int(s.phase[0] * 4096), int(s.phase[1] * 4096)))
    count = int((96 / pitch) ** 2)
    centres = rng.uniform(-48, 48, (count, 2))
    ink = np.zeros_like(s.x)
    for (x, y), r in zip(centres, rng.uniform(*radius, count), strict=True):
        if abs(x) < s.radius + r and abs(y) < s.radius + r:
            ink = np.maximum(ink, np.clip(r - np.hypot(s.x - x, s.y - y) + 0.5, 0, 1))
    return ink


def ink(pattern: str, s: Surface) -> np.ndarray:
    """Return the share of ink of each pixel, float32 [n, n] in [0, 1].

    Raises:
        ValueError: The wider world has no such pattern of its own.
    """
    u, v = (s.x + s.y) / np.sqrt(2), (s.x - s.y) / np.sqrt(2)
    a, b = s.phase
    if pattern == "gridded":
        return np.maximum(_lines(s.x, 8, a, 0.24), _lines(s.y, 8, b, 0.24))
    if pattern == "zigzag":
        return _lines(s.y + 3.2 * np.abs(((s.x / 9 + a) % 1.0) * 2 - 1) * 2, 9, b, 0.38)
    if pattern == "wavy":
        return _lines(s.x + 2.6 * np.sin(2 * np.pi * (s.y / 13 + a)), 9, b, 0.38)
    if pattern == "hatched":
        return _lines(u, 7, a, 0.36)
    if pattern == "crosshatched":
        return np.maximum(_lines(u, 7.5, a, 0.25), _lines(v, 7.5, b, 0.25))
    if pattern == "pinstriped":
        return _lines(s.x, 6, a, 0.34)
    if pattern == "speckled":
        return _spots(s, 5.0, (0.7, 1.5), 1)
    if pattern == "mottled":
        return _spots(s, 11.0, (3.2, 6.5), 2)
    if pattern == "shaded":
        return np.clip((s.y / s.radius + 0.9) / 1.8, 0, 1) * 0.85
    if pattern == "bordered":
        return np.clip(s.distance + 4.2, 0, 1)
    if pattern == "split":
        return np.clip(s.x + 0.5, 0, 1)
    if pattern == "scaly":
        row = np.floor(s.y / 6 + b)
        x, y = (s.x / 9 + a + 0.5 * (row % 2)) % 1.0 * 9 - 4.5, (s.y / 6 + b) % 1.0 * 6
        return np.clip(1.6 - np.abs(np.hypot(x, y) - 5.0), 0, 1)
    if pattern == "banded":
        return np.clip(s.radius * 0.26 - np.abs(s.y - s.radius * 0.06) + 0.5, 0, 1)
    if pattern == "ringed":
        return _lines(np.hypot(s.x, s.y), 8, 0.3 + 0.4 * a, 0.36)
    if pattern == "rayed":
        angle = (np.arctan2(s.y, s.x) / (2 * np.pi) * 10 + a) % 1.0
        return np.clip((0.25 - np.abs(angle - 0.5)) * 2 * np.pi * np.hypot(s.x, s.y) / 10 + 0.5, 0, 1)
    if pattern == "plaid":
        squares = (np.floor(s.x / 7 + a) + np.floor(s.y / 7 + b)) % 2
        return squares.astype(np.float32)
    raise ValueError(f"no such pattern: {pattern}")


SHADED = frozenset(("shaded", "bordered", "split", "banded"))
"""Patterns whose ink is a shade of the object's own colour, since it covers much of it."""


def ink_color(pattern: str, color: np.ndarray) -> np.ndarray:
    """Return the colour of the ink on an object of a colour, float32 [3] in 8-bit units."""
    light = color.mean() > DARK_ON
    if pattern in SHADED:
        return color * 0.42 if light or color.mean() > 60 else color * 0.5 + 90
    return np.array([48, 44, 44] if light else [250, 250, 246], np.float32)
