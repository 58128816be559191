"""The n best entries of every group, exactly, from a stream of any order.

An entry's place depends on its priority and image alone, so what is kept is a function of the set of entries that
were ever offered: the same for any order, any merge of shards, any restart.
"""

from __future__ import annotations

import numpy as np

from autointerp.crops.ragged import pick, starts_of

_FIELDS: dict[str, type] = {
    "group": np.int64,
    "priority": np.uint64,
    "image": np.int64,
    "activation": np.float32,
    "step": np.int32,
    "cell": np.int32,
    "length": np.int32,
}
_MOST = np.uint64(2**64 - 1)


class BestEntries:
    """Of each of `groups` groups the `n` entries of smallest (priority, image).

    An image is offered at most once a group. `fields` holds what is kept, one array a field of equal length, sorted
    by group, priority and image; `cells` and `values` hold the entries' activation maps end to end.
    """

    def __init__(self, groups: int, n: int) -> None:
        self.groups, self.n = groups, n
        self.fields: dict[str, np.ndarray] = {name: np.zeros(0, kind) for name, kind in _FIELDS.items()}
        self.cells, self.values = np.zeros(0, np.uint16), np.zeros(0, np.float16)
        self._limit = np.full(groups, _MOST)
        """Priority of a full group's last entry: what is above it can never be kept."""
        self._waiting: list[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]] = []
        self._count = 0
        # Sorting everything anew costs as much as is kept, so candidates wait until they are worth it.
        self._patience = max(groups * n // 4, 4096)

    def offer(self, fields: dict[str, np.ndarray], cells: np.ndarray, values: np.ndarray) -> None:
        """Offer entries, one array a field, with their maps end to end."""
        if not self.n:
            return
        fits = np.flatnonzero(fields["priority"] <= self._limit[fields["group"]])
        taken = pick(starts_of(fields["length"])[fits], fields["length"][fits])
        kept: dict[str, np.ndarray] = {
            name: fields[name][fits].astype(kind, copy=False) for name, kind in _FIELDS.items()
        }
        self._waiting.append((kept, cells[taken], values[taken]))
        self._count += len(fits)
        if self._count >= self._patience:
            self.settle()

    def settle(self) -> None:
        """Sort in what waits."""
        if not self._waiting:
            return
        parts = [(self.fields, self.cells, self.values), *self._waiting]
        fields = {name: np.concatenate([part[0][name] for part in parts]) for name in _FIELDS}
        cells, values = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
        self._waiting, self._count = [], 0
        order = np.lexsort((fields["image"], fields["priority"], fields["group"]))
        group = fields["group"][order]
        rank = np.arange(len(group)) - np.searchsorted(group, group)
        order = order[rank < self.n]
        taken = pick(starts_of(fields["length"])[order], fields["length"][order])
        self.fields = {name: array[order] for name, array in fields.items()}
        self.cells, self.values = cells[taken], values[taken]
        last = self.ranks() == self.n - 1
        self._limit[self.fields["group"][last]] = self.fields["priority"][last]

    def ranks(self) -> np.ndarray:
        """Each kept entry's place in its group, int64, from 0."""
        group = self.fields["group"]
        return np.arange(len(group)) - np.searchsorted(group, group)

    def merge(self, other: BestEntries) -> None:
        """Offer all that another keeps."""
        other.settle()
        self.offer(other.fields, other.cells, other.values)
        self.settle()

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """What is kept, as arrays whose names begin with `prefix`."""
        self.settle()
        arrays = {**self.fields, "cells": self.cells, "values": self.values}
        return {f"{prefix}.{name}": array for name, array in arrays.items()}

    def restore(self, prefix: str, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` gave."""
        arrays = {name: state[f"{prefix}.{name}"] for name in _FIELDS}
        self.offer(arrays, state[f"{prefix}.cells"], state[f"{prefix}.values"])
        self.settle()
