"""Simulated features, which no dictionary is asked for: directions in the words that hold in and around a cell.

Many features of a dictionary have no name in this world. They fire beside objects, on two things, on one side of
something, or on most of a thing and more. A direction that weighs a few words, each of the cell itself or of a
neighbour, with noise on top, makes such features and ones that have a name, in one family.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.progress import NullProgress, Progress
from autointerp.shapes.concepts import REGIONS
from autointerp.shapes.scenes import ATTRIBUTES, GRID
from training.shapes.vlm_pool import Pool

LEAST_PICTURES = 24
"""Pictures in which a feature must be active."""
RAREST, COMMONEST = 0.003, 0.08
"""Bounds of the share of cells in which a feature is active."""
MOST_CELLS = 2000
"""Active cells of a feature that are kept."""


@dataclass(frozen=True)
class SimulatedFeature:
    """Where a feature is active among the cells that may be marked, and where it is silent.

    `cells`: int [n, 3], picture, row and column, in random order. `silent`: pictures in which it is active nowhere.
    """

    cells: np.ndarray
    silent: np.ndarray


class Directions:
    """Draws directions over a pool; only `markable` cells, bool [n, GRID, GRID], are kept."""

    def __init__(self, pool: Pool, markable: np.ndarray) -> None:
        self.pool, self._markable = pool, markable
        self._words = [(name, i) for name, values in ATTRIBUTES.items() for i in range(len(values))]
        self._words += [("object", 0), *(("place", i) for i in range(len(REGIONS)))]

    def _map(self, word: tuple[str, int]) -> np.ndarray:
        """Where a word holds, bool [n, GRID, GRID]."""
        name, value = word
        part = self.pool.cells["part"]
        if name == "object":
            return np.asarray(part >= 0)
        if name == "place":
            region = np.zeros((GRID, GRID), bool)
            region[list(REGIONS.values())[value]] = True
            return np.broadcast_to(region, part.shape)
        return np.asarray(self.pool.cells[name] == value)

    def draw(self, rng: np.random.Generator) -> SimulatedFeature | None:
        """Return a feature; None if it is active in too few pictures."""
        score = np.zeros(self.pool.cells["part"].shape, np.float32)
        for term in range(int(rng.choice([1, 2, 3], p=[0.3, 0.45, 0.25]))):
            here = self._map(self._words[int(rng.integers(len(self._words)))]).astype(np.float32)
            if rng.random() < 0.35:
                down, right = rng.integers(-1, 2, 2).tolist()
                here = _shifted(here, down, right)
            sign = -1.0 if term and rng.random() < 0.2 else 1.0
            score += np.float32(sign * rng.uniform(0.4, 1.0)) * here
        score += rng.normal(0, rng.uniform(0.02, 0.9), score.shape).astype(np.float32)
        share = float(np.exp(rng.uniform(np.log(RAREST), np.log(COMMONEST))))
        active = score > np.quantile(score[:: max(1, len(score) // 500)], 1 - share)
        cells = np.argwhere(active & self._markable)
        if len(np.unique(cells[:, 0])) < LEAST_PICTURES:
            return None
        silent = np.flatnonzero(~active.any((1, 2)))
        return SimulatedFeature(rng.permutation(cells)[:MOST_CELLS].astype(np.int32), silent.astype(np.int32))

    def bank(self, count: int, seed: int, progress: Progress | None = None) -> list[SimulatedFeature]:
        """Return so many features."""
        found: list[SimulatedFeature] = []
        with (progress or NullProgress()).task("simulating features", count, unit="feature") as bar:
            n = 0
            while len(found) < count:
                feature = self.draw(np.random.default_rng((seed, 83, n)))
                n += 1
                if feature is not None:
                    found.append(feature)
                    bar.advance(1)
        return found


def _shifted(mask: np.ndarray, down: int, right: int) -> np.ndarray:
    """Return maps [n, GRID, GRID] moved by so many cells, with zeros at the border that they leave."""
    padded = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 - down : 1 - down + GRID, 1 - right : 1 - right + GRID]
