"""Outlines of the wider world's shapes: signed distances, built of polygons, circles and what is common to them.

A distance is in pixels, negative inside, and exact near the outline, which is all that a soft edge needs. Coordinates
are relative to the centre, y downwards, in units of the object's radius.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Coordinates in radii, two float32 [...], to distances in radii."""


def _polygon(*corners: tuple[float, float]) -> Distance:
    """The distance to a simple polygon: to its nearest side, negative where a ray crosses the outline oddly often."""
    points = np.array(corners, np.float32)

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        nearest = np.full(x.shape, np.inf, np.float32)
        inside = np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, 0), strict=True):
            ex, ey = bx - ax, by - ay
            along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - ax - along * ex, y - ay - along * ey))
            if ey != 0:
                inside ^= ((ay > y) != (by > y)) & (x < ex * (y - ay) / ey + ax)
        return np.where(inside, -nearest, nearest)

    return distance


def _regular(corners: int, turn: float = 0.0) -> Distance:
    angles = 2 * np.pi * (np.arange(corners) + turn) / corners
    return _polygon(*zip(np.sin(angles), -np.cos(angles), strict=True))


def _circle(x0: float, y0: float, r: float) -> Distance:
    return lambda x, y: np.hypot(x - x0, y - y0) - r


def _ellipse(x0: float, y0: float, a: float, b: float) -> Distance:
    """The distance to an ellipse, exact to first order at its outline."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        u, v = (x - x0) / a, (y - y0) / b
        k = np.hypot(u, v)
        return k * (k - 1) / np.maximum(np.hypot(u / a, v / b), 1e-3)

    return distance


def _box(left: float, top: float, right: float, bottom: float) -> Distance:
    return _polygon((left, top), (right, top), (right, bottom), (left, bottom))


def _any(*shapes: Distance) -> Distance:
    return lambda x, y: np.minimum.reduce([shape(x, y) for shape in shapes])


def _all(*shapes: Distance) -> Distance:
    return lambda x, y: np.maximum.reduce([shape(x, y) for shape in shapes])


def _without(shape: Distance, other: Distance) -> Distance:
    return lambda x, y: np.maximum(shape(x, y), -other(x, y))


def _around(shape: Distance, times: int) -> Distance:
    """A shape repeated around the centre."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        turns = 2 * np.pi * np.arange(times) / times
        found = [shape(x * np.cos(t) + y * np.sin(t), y * np.cos(t) - x * np.sin(t)) for t in turns]
        return np.minimum.reduce(found)

    return distance


OUTLINES: dict[str, Distance] = {
    "oval": _ellipse(0, 0, 1.0, 0.56),
    "rectangle": _box(-0.98, -0.46, 0.98, 0.46),
    "diamond": _polygon((0, -1), (0.68, 0), (0, 1), (-0.68, 0)),
    "pentagon": _regular(5),
    "hexagon": _regular(6, 0.5),
    "crescent": _without(_circle(-0.05, 0, 0.97), _circle(0.42, 0, 0.78)),
    "heart": _any(
        _circle(-0.42, -0.32, 0.48),
        _circle(0.42, -0.32, 0.48),
        _polygon((-0.83, -0.08), (-0.42, -0.45), (0, -0.32), (0.42, -0.45), (0.83, -0.08), (0, 0.95)),
    ),
    "arrow": _polygon((-1, -0.26), (0.05, -0.26), (0.05, -0.8), (1, 0), (0.05, 0.8), (0.05, 0.26), (-1, 0.26)),
    "drop": _any(_circle(0, 0.35, 0.6), _polygon((0, -1), (0.52, 0.05), (0, 0.5), (-0.52, 0.05))),
    "dome": _all(_circle(0, 0.45, 0.98), lambda _, y: y - 0.45),
    "trapezoid": _polygon((-0.45, -0.6), (0.45, -0.6), (1, 0.6), (-1, 0.6)),
    "parallelogram": _polygon((-0.4, -0.55), (1, -0.55), (0.4, 0.55), (-1, 0.55)),
    "frame": _without(_box(-0.86, -0.86, 0.86, 0.86), _box(-0.46, -0.46, 0.46, 0.46)),
    "arch": _without(
        _any(_circle(0, -0.05, 0.85), _box(-0.85, -0.05, 0.85, 0.9)),
        _any(_circle(0, 0.05, 0.42), _box(-0.42, 0.05, 0.42, 1.2)),
    ),
    "house": _any(_polygon((0, -1), (0.95, -0.15), (-0.95, -0.15)), _box(-0.66, -0.2, 0.66, 0.85)),
    "tree": _any(
        _polygon((0, -1), (0.55, -0.25), (-0.55, -0.25)),
        _polygon((0, -0.6), (0.8, 0.5), (-0.8, 0.5)),
        _box(-0.18, 0.45, 0.18, 0.98),
    ),
    "cloud": _any(
        _circle(-0.52, 0.15, 0.42),
        _circle(0, -0.15, 0.55),
        _circle(0.55, 0.15, 0.4),
        _box(-0.55, 0.1, 0.55, 0.56),
    ),
    "flower": _any(_circle(0, 0, 0.35), _around(_circle(0, -0.62, 0.34), 6)),
    "gear": _without(_any(_circle(0, 0, 0.72), _around(_box(-0.17, -1, 0.17, -0.6), 8)), _circle(0, 0, 0.32)),
    "bolt": _polygon((0.15, -1), (-0.6, 0.15), (-0.08, 0.15), (-0.25, 1), (0.6, -0.25), (0.08, -0.25), (0.5, -1)),
    "hourglass": _polygon((-0.75, -0.95), (0.75, -0.95), (0.14, 0), (0.75, 0.95), (-0.75, 0.95), (-0.14, 0)),
    "fish": _any(_ellipse(-0.2, 0, 0.76, 0.5), _polygon((0.3, 0), (0.98, -0.6), (0.98, 0.6))),
    "mushroom": _any(_all(_circle(0, -0.05, 0.92), lambda _, y: y + 0.02), _box(-0.28, -0.1, 0.28, 0.9)),
    "leaf": _all(_circle(-0.62, 0, 1.18), _circle(0.62, 0, 1.18)),
    "chevron": _polygon((-0.95, 0.35), (0, -0.65), (0.95, 0.35), (0.95, 0.9), (0, -0.05), (-0.95, 0.9)),
    "kite": _polygon((0, -1), (0.66, -0.4), (0, 1), (-0.66, -0.4)),
    "crown": _polygon(
        (-0.9, -0.7), (-0.45, 0), (0, -0.9), (0.45, 0), (0.9, -0.7), (0.8, 0.7), (-0.8, 0.7),
    ),
    "key": _any(
        _without(_circle(-0.56, 0, 0.42), _circle(-0.56, 0, 0.17)),
        _box(-0.2, -0.13, 0.98, 0.13),
        _box(0.72, 0, 0.94, 0.48),
        _box(0.36, 0, 0.56, 0.4),
    ),
}  # fmt: skip
"""The shapes that the world of shapes does not have."""
