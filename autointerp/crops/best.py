"""The n best entries of every group of a stream, exactly and in any order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from autointerp.crops.kept import PLACE, Fields, KeptEntries
from autointerp.crops.ragged import starts_of

MOST_KEY = np.uint64(2**64 - 1)
"""Larger than every key."""


class BestEntries(KeptEntries):
    """The `n` entries of smallest key of each of `groups` groups; the keys of a group are all different.

    Attributes:
        limit: Key of the last entry of each full group, uint64 [groups]; an entry of a larger key can never be kept.
    """

    def __init__(self, groups: int, n: int, items: Mapping[str, npt.DTypeLike] | None = None) -> None:
        super().__init__(PLACE, items, patience=groups * n // 4)
        self.groups, self.n = groups, n
        self.limit = np.full(groups, MOST_KEY)

    def fits(self, group: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return which candidates may yet be kept, bool [n]; the others never can be."""
        fits: np.ndarray = key <= self.limit[group] if self.n else np.zeros(len(group), bool)
        return fits

    def fitting(self, fields: Fields) -> np.ndarray:
        """Return which entries may yet be kept, by their group and key."""
        return self.fits(fields["group"], fields["key"])

    def chosen(self, fields: dict[str, np.ndarray]) -> np.ndarray:
        """Return the positions of the best entries, and note the key of each full group's last."""
        group, key = fields["group"], fields["key"]
        order = first_of_groups(group, key, self.n)
        last = order[ranks_of(group[order]) == self.n - 1]
        self.limit[group[last]] = key[last]
        return order


def ranks_of(group: np.ndarray) -> np.ndarray:
    """Return the place of each entry in its group, from 0: int64 [n]; entries lie by group."""
    return np.arange(len(group)) - np.searchsorted(group, group)


def first_of_groups(group: np.ndarray, key: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of each group's n entries of smallest key, sorted by group and key: int64.

    Many small sorts are several times as fast as a large one. So groups of about the same size are laid out as the rows
    of a matrix, which is sorted row by row.
    """
    by_group = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[by_group], prepend=-1))
    count = np.diff(begins, append=len(group))
    kept = np.minimum(count, n)
    at = starts_of(kept)
    found = np.empty(int(kept.sum()), np.int64)
    size = np.ceil(np.log2(np.maximum(count, 1))).astype(np.int64)
    for bits in np.unique(size).tolist():
        rows = np.flatnonzero(size == bits)
        column = np.arange(2**bits)
        inside = column < count[rows, None]
        source = np.where(inside, begins[rows, None] + column, 0)
        keys = np.where(inside, key[by_group[source]], MOST_KEY)
        order = np.argsort(keys, axis=1)[:, :n]
        chosen = np.take_along_axis(source, order, axis=1)
        stays = np.arange(chosen.shape[1]) < kept[rows, None]
        found[(at[rows, None] + np.arange(chosen.shape[1]))[stays]] = by_group[chosen[stays]]
    return found
