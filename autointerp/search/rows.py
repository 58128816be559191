"""Rows of an index: which thing each vector stands for, what it belongs to, and what it was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_KEY = np.dtype([("id", "<i8"), ("group", "<i8"), ("digest", "<u8")])
SLOT = np.dtype([*_KEY.descr, ("weight", "<f4"), ("live", "?")])
"""A row as it is stored; `live` is false for a vector that was removed."""


def digest_of(*content: object) -> int:
    """Return 64 bits that stand for what a vector was made of: JSON values."""
    made_of = json.dumps(content, ensure_ascii=True).encode()
    return int.from_bytes(hashlib.blake2b(made_of, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Rows:
    """Rows that an index holds, or is to hold, one for each vector.

    Attributes:
        ids: int64 [n], each once.
        groups: The group of each vector, e.g. a crop's feature, int64 [n].
        digests: Digest of what each vector was made of (`digest_of`), so that a change is noticed, uint64 [n].
        weights: Weight of each vector in its group, e.g. a crop's activation, float32 [n].

    Raises:
        ValueError: The lengths differ, or an id is there twice.
    """

    ids: np.ndarray
    groups: np.ndarray
    digests: np.ndarray
    weights: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (("ids", np.int64), ("groups", np.int64), ("digests", np.uint64), ("weights", np.float32)):
            column = np.asarray(getattr(self, name), kind)
            object.__setattr__(self, name, column)
            if column.shape != (len(self.ids),):
                raise ValueError(f"{len(self.ids)} ids and {name} {column.shape} do not fit")
        is_ascending = not (self.ids[1:] <= self.ids[:-1]).any()
        if not is_ascending and len(np.unique(self.ids)) != len(self.ids):
            raise ValueError("an id is there twice")

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, float]]) -> Rows:
        """Make rows of tuples (id, group, digest, weight)."""
        return cls.from_table(np.array([(*row, True) for row in rows], dtype=SLOT))

    @classmethod
    def from_table(cls, table: np.ndarray) -> Rows:
        """Make rows of a structured array of `SLOT`, removed ones included."""
        return cls(table["id"], table["group"], table["digest"], table["weight"])

    def table(self, live: np.ndarray) -> np.ndarray:
        """Return the structured array of `SLOT` that is stored; `live` is bool [n]."""
        return np.rec.fromarrays([self.ids, self.groups, self.digests, self.weights, live], dtype=SLOT)

    def are_in(self, others: Rows) -> np.ndarray:
        """Tell which rows stand in others with the same id, group and digest: bool [n]. Weights may differ."""
        return np.isin(self._keys(), others._keys())

    def _keys(self) -> np.ndarray:
        return np.rec.fromarrays([self.ids, self.groups, self.digests], dtype=_KEY).view("V24")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, wanted: np.ndarray) -> Rows:
        return Rows(self.ids[wanted], self.groups[wanted], self.digests[wanted], self.weights[wanted])
