"""The features that fire together, from a random sample of cells with all latents that fire in them."""

from __future__ import annotations

import numpy as np

from autointerp.crops.best import BestEntries
from autointerp.crops.hashing import hashed
from autointerp.crops.maxima import SampledCells
from autointerp.crops.ragged import pick, starts_of

LATENTS_A_CELL = 32
"""Latents of a cell that are noted, the strongest first."""
LEAST = 2
"""Cells that two features must share; a single one may be chance."""
_PAIRS = 2**22
"""Pairs that are counted at a time."""


class CellSample:
    """A sample of cells: those of smallest hash, whatever the order in which they come."""

    def __init__(self, n: int, seed: int) -> None:
        self.seed = seed
        self.entries = BestEntries(1, n, {"latents": np.int32})

    def choose(
        self, images: np.ndarray, cells: int, step: int, counted: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the cells of a batch that may yet be kept, as rows of its code [images * cells], and their keys.

        `counted` are those that may be drawn, bool [images, cells]; all if None.
        """
        cell = np.tile(np.arange(cells), len(images))
        image = np.repeat(images, cells)
        key = hashed(self.seed, np.zeros_like(image), image, np.full_like(image, step), cell)
        may = self.entries.fits(np.zeros_like(image), key)
        rows = np.flatnonzero(may if counted is None else may & counted.ravel())
        return rows, key[rows]

    def update(self, sampled: SampledCells) -> None:
        """Add cells that were chosen."""
        fields = {name: getattr(sampled, name) for name in ("image", "step", "cell", "key", "length")}
        self.entries.offer({**fields, "group": np.zeros(len(sampled.image), np.int64)}, {"latents": sampled.latents})

    def neighbours(self, features: int, most: int) -> list[list[tuple[int, float]]]:
        """Return, for every feature, those that fire with it most.

        (feature, Jaccard index of their cells), best first.
        """
        self.entries.settle()
        self.entries.compact()
        length = self.entries.fields["length"].astype(np.int64)
        latents = self.entries.items["latents"].astype(np.int64)
        alone = np.bincount(latents, minlength=features)
        begins = starts_of(length)
        pairs, times = np.zeros(0, np.int64), np.zeros(0, np.int64)
        # Count every pair of latents of a cell, in pieces of about the same number of pairs.
        piece = np.cumsum(length**2) // _PAIRS
        for number in np.unique(piece):
            here = np.flatnonzero(piece == number)
            mine = pick(begins[here], length[here])
            size = np.repeat(length[here], length[here])
            one = np.repeat(latents[mine], size)
            other = latents[pick(np.repeat(begins[here], length[here]), size)]
            found, count = np.unique((one * features + other)[one != other], return_counts=True)
            pairs, inverse = np.unique(np.concatenate([pairs, found]), return_inverse=True)
            times = np.bincount(inverse, np.concatenate([times, count]), len(pairs)).astype(np.int64)
        pairs, times = pairs[times >= LEAST], times[times >= LEAST]
        one, other = pairs // features, pairs % features
        jaccard = times / (alone[one] + alone[other] - times)
        order = np.lexsort((other, -jaccard, one))
        order = order[np.arange(len(order)) - np.searchsorted(one[order], one[order]) < most]
        result: list[list[tuple[int, float]]] = [[] for _ in range(features)]
        for i in order.tolist():
            result[int(one[i])].append((int(other[i]), float(jaccard[i])))
        return result
