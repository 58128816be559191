"""Entries of a stream with items of different numbers, in few arrays: candidates wait, then are sorted in together.

Which entries stay, a subclass decides by what they hold alone. So the kept entries are a function of the set of offered
entries: they are the same for any order, any merge of shards and any restart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from autointerp.crops.ragged import pick, starts_of

Fields = Mapping[str, np.ndarray]

PLACE: dict[str, npt.DTypeLike] = {
    "group": np.int64,
    "key": np.uint64,
    "image": np.int64,
    "activation": np.float32,
    "step": np.int32,
    "cell": np.int32,
    "rows": np.int32,
    "cols": np.int32,
    "length": np.int32,
}
"""The fields of every entry: its group, its key there, and the cell that it is; `length` counts its items."""
MAPS: dict[str, npt.DTypeLike] = {"cells": np.uint16, "values": np.float16}
"""Arrays of the items of an entry that carries its activation map."""


class KeptEntries(ABC):
    """Entries of groups, of which some are kept.

    Args:
        fields: The type of each field.
        items: The type of each kind of item.
        patience: How many candidates wait until they are sorted in.

    Attributes:
        fields: The kept entries, an array for each field, sorted by group and key.
        items: The items of all entries, an array for each kind. An entry has `length` items.
        starts: Where the items of each entry begin, int64 [entries].
    """

    def __init__(
        self, fields: Mapping[str, npt.DTypeLike], items: Mapping[str, npt.DTypeLike] | None, patience: int
    ) -> None:
        self.fields: dict[str, np.ndarray] = {name: np.zeros(0, kind) for name, kind in fields.items()}
        self.items: dict[str, np.ndarray] = {name: np.zeros(0, kind) for name, kind in (items or {}).items()}
        self.starts = np.zeros(0, np.int64)
        self._waiting, self._waiting_items = _Queue(self.fields), _Queue(self.items)
        # Sorting costs as much as all kept entries, so candidates wait until there are enough of them.
        self._patience = max(patience, 4096)

    @abstractmethod
    def fitting(self, fields: Fields) -> np.ndarray:
        """Return which entries may yet be kept, bool [n]; the others never can be."""

    @abstractmethod
    def chosen(self, fields: dict[str, np.ndarray]) -> np.ndarray:
        """Return the positions of the entries that stay, of all there are, sorted by group and key: int64."""

    def offer(
        self, fields: Fields, items: Fields | None = None, starts: np.ndarray | None = None, patience: int = 1
    ) -> None:
        """Offer entries, an array for each field; a field that is left out is 0.

        The items of the entries lie end to end, or from `starts` on. With more `patience`, more entries wait before
        they are sorted in.
        """
        chosen = np.flatnonzero(self.fitting(fields))
        blank = np.zeros(len(chosen), np.int8)
        kept: dict[str, np.ndarray] = {
            name: (fields[name][chosen] if name in fields else blank).astype(array.dtype, copy=False)
            for name, array in self.fields.items()
        }
        taken: dict[str, np.ndarray] = {}
        if self.items and items is not None:
            begins = starts_of(fields["length"]) if starts is None else starts
            at: np.ndarray | slice = slice(None)
            if starts is not None or len(chosen) < len(begins):
                at = pick(begins[chosen], fields["length"][chosen])
            taken = {name: items[name][at].astype(array.dtype, copy=False) for name, array in self.items.items()}
        self._waiting.append(kept)
        self._waiting_items.append(taken)
        if self._waiting.length >= self._patience * patience:
            self.settle()

    def settle(self) -> None:
        """Sort in the entries that wait."""
        if not self._waiting.length:
            return
        waiting, items = self._waiting.take(), self._waiting_items.take()
        fields = {name: np.concatenate([self.fields[name], waiting[name]]) for name in self.fields}
        starts = np.concatenate([self.starts, self._held() + starts_of(waiting["length"])])
        self.items = {name: np.concatenate([self.items[name], items[name]]) for name in self.items}
        order = self.chosen(fields)
        self.fields = {name: array[order] for name, array in fields.items()}
        self.starts = starts[order]
        # Moving the items costs more than all else. So they are moved only when half of them belong to no entry.
        if self._held() > 2 * self.fields["length"].sum(dtype=np.int64):
            self.compact()

    def _held(self) -> int:
        """Return the number of items in memory, including those of no entry."""
        return len(next(iter(self.items.values()))) if self.items else 0

    def compact(self) -> None:
        """Lay the items end to end, in the order of the entries, and drop the items of no entry."""
        begins = starts_of(self.fields["length"])
        # Items of no entry may lie behind all others, where all starts are right already.
        if self._held() > self.fields["length"].sum(dtype=np.int64) or not np.array_equal(begins, self.starts):
            at = pick(self.starts, self.fields["length"])
            self.items = {name: array[at] for name, array in self.items.items()}
            self.starts = begins

    def merge(self, other: KeptEntries) -> None:
        """Offer all entries that another keeps."""
        other.settle()
        # The other offers as many entries as are kept here, and sorting after each merge would be most of the work.
        self.offer(other.fields, other.items, other.starts, patience=2)

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """Return the kept entries as arrays whose names begin with `prefix`."""
        self.settle()
        self.compact()
        return {f"{prefix}.{name}": array for name, array in {**self.fields, **self.items}.items()}

    def restore(self, prefix: str, state: Mapping[str, np.ndarray]) -> None:
        """Take over the arrays that `state` returned."""
        fields = {name: state[f"{prefix}.{name}"] for name in self.fields}
        self.offer(fields, {name: state[f"{prefix}.{name}"] for name in self.items})
        self.settle()


class _Queue:
    """Arrays of equal length that grow at the end, in memory that is used again.

    Many small arrays of longer life than their surroundings would fragment the heap, and the memory of a long run would
    grow.
    """

    def __init__(self, like: Mapping[str, np.ndarray]) -> None:
        self.length = 0
        self._held = {name: np.zeros(0, array.dtype) for name, array in like.items()}

    def append(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Copy arrays to the end."""
        count = len(next(iter(arrays.values()))) if arrays else 0
        end = self.length + count
        for name, array in arrays.items():
            if end > len(self._held[name]):
                grown = np.empty(max(end, 2 * len(self._held[name])), array.dtype)
                grown[: self.length] = self._held[name][: self.length]
                self._held[name] = grown
            self._held[name][self.length : end] = array
        self.length = end

    def take(self) -> dict[str, np.ndarray]:
        """Empty the queue, and return its arrays, which are valid until the next `append`."""
        taken = {name: array[: self.length] for name, array in self._held.items()}
        self.length = 0
        return taken
