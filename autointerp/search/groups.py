"""Weighted means of groups of vectors, e.g. of the crops of a feature."""

from __future__ import annotations

import numpy as np


class GroupedSlots:
    """The slots of an index in the order of their groups.

    Args:
        slots: Positions of vectors, int64 [n].
        groups: Group of each slot, int64 [n].
    """

    def __init__(self, slots: np.ndarray, groups: np.ndarray) -> None:
        # Crops lie by feature as a rule, and half a million are not sorted for nothing.
        if (groups[1:] < groups[:-1]).any():
            order = np.argsort(groups, kind="stable")
            slots, groups = slots[order], groups[order]
        starts = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]])[: len(groups)])
        self._slots = slots
        self.groups = groups[starts]
        """Every group, ascending, int64 [m]."""
        self._starts = np.append(starts, len(slots))

    def all_means(self, vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weighted mean of each group as a unit vector, float32 [m, dim].

        Args:
            vectors: All vectors by slot, float32 [slots, dim].
            weights: Their weights, float32 [slots].
        """
        return _means(vectors, weights, self._slots, self._starts[:-1])

    def means_of(self, groups: np.ndarray, vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the same of some groups alone, ascending and all there, float32 [n, dim]."""
        at = np.searchsorted(self.groups, groups)
        parts = [self._slots[self._starts[i] : self._starts[i + 1]] for i in at.tolist()]
        return _means(vectors, weights, np.concatenate(parts), np.cumsum([0, *map(len, parts[:-1])]))


def _means(vectors: np.ndarray, weights: np.ndarray, slots: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the means of runs of slots that begin at `starts`."""
    weighted = vectors[slots] * np.maximum(weights[slots], 1e-12)[:, None]
    sums = np.add.reduceat(weighted, starts, axis=0)
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30)
