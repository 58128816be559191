"""The n best entries of every group, exactly, from a stream of any order.

An entry's place depends on its key alone, so what is kept is a function of the set of entries that were ever offered:
the same for any order, any merge of shards, any restart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from autointerp.crops.ragged import pick, starts_of

Fields = Mapping[str, np.ndarray]

_FIELDS: dict[str, type] = {
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
MAPS: dict[str, npt.DTypeLike] = {"cells": np.uint16, "values": np.float16}
"""Items of an entry that carries its activation map."""
_MOST = np.uint64(2**64 - 1)


class BestEntries:
    """Of each of `groups` groups the `n` entries of smallest key; keys of a group are all different.

    `fields` holds what is kept, one array a field of equal length, sorted by group and key. Each entry has `length`
    items in the arrays of `items`, from its place in `starts` on.
    """

    def __init__(self, groups: int, n: int, items: Mapping[str, npt.DTypeLike] | None = None) -> None:
        self.groups, self.n = groups, n
        self.fields: dict[str, np.ndarray] = {name: np.zeros(0, kind) for name, kind in _FIELDS.items()}
        self.items: dict[str, np.ndarray] = {name: np.zeros(0, kind) for name, kind in (items or {}).items()}
        self.starts = np.zeros(0, np.int64)
        self.limit = np.full(groups, _MOST)
        """Key of a full group's last entry: what is above it can never be kept."""
        self._waiting, self._waiting_items = _Queue(self.fields), _Queue(self.items)
        # Sorting everything anew costs as much as is kept, so candidates wait until they are worth it.
        self._patience = max(groups * n // 4, 4096)

    def fits(self, group: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Which candidates may yet be kept, bool [n]; the others never can be."""
        fits: np.ndarray = key <= self.limit[group] if self.n else np.zeros(len(group), bool)
        return fits

    def offer(
        self, fields: Fields, items: Fields | None = None, starts: np.ndarray | None = None, patience: int = 1
    ) -> None:
        """Offer entries, one array a field; fields that are left out are 0.

        Their items lie end to end, or from `starts` on. With more `patience` more of them wait to be sorted in.
        """
        if not self.n:
            return
        chosen = np.flatnonzero(self.fits(fields["group"], fields["key"]))
        blank = np.zeros(len(chosen), np.int8)
        kept: dict[str, np.ndarray] = {
            name: (fields[name][chosen] if name in fields else blank).astype(kind, copy=False)
            for name, kind in _FIELDS.items()
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
        """Sort in what waits."""
        if not self._waiting.length:
            return
        waiting, items = self._waiting.take(), self._waiting_items.take()
        fields = {name: np.concatenate([self.fields[name], waiting[name]]) for name in _FIELDS}
        starts = np.concatenate([self.starts, self._held() + starts_of(waiting["length"])])
        self.items = {name: np.concatenate([self.items[name], items[name]]) for name in self.items}
        order = first_of_groups(fields["group"], fields["key"], self.n)
        self.fields = {name: array[order] for name, array in fields.items()}
        self.starts = starts[order]
        last = self.ranks() == self.n - 1
        self.limit[self.fields["group"][last]] = self.fields["key"][last]
        # Moving the items costs more than all else, so they stay where they are until half of them are of nobody.
        if self._held() > 2 * self.fields["length"].sum(dtype=np.int64):
            self.compact()

    def _held(self) -> int:
        """Items that are held, those of nobody among them."""
        return len(next(iter(self.items.values()))) if self.items else 0

    def compact(self) -> None:
        """Lay the items end to end, in the order of the entries, and let all others go."""
        begins = starts_of(self.fields["length"])
        # Items of nobody may lie behind all others, where they move no start.
        if self._held() > self.fields["length"].sum(dtype=np.int64) or not np.array_equal(begins, self.starts):
            at = pick(self.starts, self.fields["length"])
            self.items = {name: array[at] for name, array in self.items.items()}
            self.starts = begins

    def ranks(self) -> np.ndarray:
        """Each kept entry's place in its group, int64, from 0."""
        group = self.fields["group"]
        return np.arange(len(group)) - np.searchsorted(group, group)

    def merge(self, other: BestEntries) -> None:
        """Offer all that another keeps."""
        other.settle()
        # As many come at once as are kept: sorting after each would be most of the work.
        self.offer(other.fields, other.items, other.starts, patience=2)

    def state(self, prefix: str) -> dict[str, np.ndarray]:
        """What is kept, as arrays whose names begin with `prefix`."""
        self.settle()
        self.compact()
        return {f"{prefix}.{name}": array for name, array in {**self.fields, **self.items}.items()}

    def restore(self, prefix: str, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` gave."""
        fields = {name: state[f"{prefix}.{name}"] for name in _FIELDS}
        self.offer(fields, {name: state[f"{prefix}.{name}"] for name in self.items})
        self.settle()


class _Queue:
    """Arrays of equal length that are appended to, in memory that is kept for the next ones.

    Many small arrays that live longer than what is made beside them would leave holes all over the heap, and a long
    run's memory would grow though it keeps no more.
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
        """All that was appended, until the next is; the queue is empty then."""
        taken = {name: array[: self.length] for name, array in self._held.items()}
        self.length = 0
        return taken


def first_of_groups(group: np.ndarray, key: np.ndarray, n: int) -> np.ndarray:
    """Positions of each group's n entries of smallest key, sorted by group and key, int64.

    Many small sorts are several times as fast as a large one. So the groups are laid out as the rows of matrices,
    together with others of about their size.
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
        keys = np.where(inside, key[by_group[source]], _MOST)
        order = np.argsort(keys, axis=1)[:, :n]
        chosen = np.take_along_axis(source, order, axis=1)
        stays = np.arange(chosen.shape[1]) < kept[rows, None]
        found[(at[rows, None] + np.arange(chosen.shape[1]))[stays]] = by_group[chosen[stays]]
    return found
