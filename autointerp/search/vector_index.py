"""A FAISS index of unit vectors, found by inner product, with the rows that they stand for.

A flat index is exact. An HNSW index is a graph, for more than 100,000 vectors. FAISS cannot remove vectors from a
graph: a removed one keeps its slot there and is never found, until the index is built again (`building.compacted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np

from autointerp.errors import UsageError
from autointerp.search.groups import GroupedSlots
from autointerp.search.rows import Rows

FLAT_LIMIT = 100_000
"""Vectors up to which a new index is flat, and so exact."""
HNSW_SEARCH = 256
"""efSearch: how many candidates an HNSW search looks at, or as many as are asked for."""

_CANDIDATES = 4
"""Vectors that an HNSW search looks at for each group that is wanted."""
_BATCH = 65_536
"""Vectors that are added at a time."""
_PIECE = 2**20
"""Bytes of a graph that are copied at a time."""

Structure = Literal["flat", "hnsw"]


def load_faiss() -> ModuleType:
    """Import FAISS when an index is first used. Its stubs lack parts that are used here, so nothing of it is typed."""
    import faiss

    return faiss


@dataclass(frozen=True)
class IndexNote:
    """The note at the beginning of an index's file.

    Attributes:
        embedder: Name of what made the vectors.
        fingerprint: Hash of embedder and contents, so that a stale index is noticed.
        kind: `flat` or `hnsw`.
        dim: Width of the vectors.
        size: Vectors that can be found.
        removed: Vectors of an HNSW index that are never found.
    """

    embedder: str
    fingerprint: str
    kind: Structure
    dim: int
    size: int
    removed: int = 0


class NearestRows(NamedTuple):
    """Rows near to some queries, best first, each [q, m].

    Where HNSW found fewer than m rows, ids and groups end in -1.
    """

    ids: np.ndarray
    groups: np.ndarray
    similarities: np.ndarray


class NearestGroups(NamedTuple):
    """Groups near to one query, best first: their ids int64 [m], and the cosines of their means float32 [m]."""

    groups: np.ndarray
    similarities: np.ndarray


class VectorIndex:
    """Unit vectors in FAISS with their rows; changed in memory, and then written (`index_file`).

    Args:
        vectors: The index of FAISS: vectors by slot, without ids. Of an index that is only read, what lies in its
            mapped file: of a flat one the vectors themselves, float32 [slots, dim]; of a graph what FAISS wrote,
            uint8 [bytes].

    Attributes:
        slots: Row of each slot, removed ones included.
        live: Whether the slot's vector can be found, bool [slots].
        embedder: Name of what made the vectors.
        fingerprint: Hash of embedder and contents.
        kind: `flat` or `hnsw`.
    """

    def __init__(
        self, vectors: Any, slots: Rows, live: np.ndarray, embedder: str, fingerprint: str, kind: Structure
    ) -> None:
        given = vectors if isinstance(vectors, np.ndarray) else None
        self._mapped: np.ndarray | None = given if kind == "flat" else None
        self._mapped_graph: np.ndarray | None = given if kind == "hnsw" else None
        self._faiss = vectors if given is None else None if kind == "flat" else _viewed(given)
        self.slots, self.live = slots, live
        self.embedder, self.fingerprint, self.kind = embedder, fingerprint, kind
        self._forget_order()

    def _forget_order(self) -> None:
        """Drop everything that was derived from the slots, as they are about to change."""
        self._selector_of: tuple[bytes, Any] | None = None
        self._grouped: GroupedSlots | None = None
        self._all_means: np.ndarray | None = None
        self._by_id: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def faiss_index(self) -> Any:
        """The index of FAISS. That of a mapped graph can only be read."""
        if self._mapped is not None:
            self._faiss = load_faiss().IndexFlatIP(self.dim)
            self._faiss.add(self._mapped)
            self._mapped = None
        return self._faiss

    def _changeable(self) -> Any:
        """Return the index of FAISS with all that it holds in memory."""
        if self._mapped_graph is not None:
            self._faiss, self._mapped_graph = _copied(self._mapped_graph), None
        return self.faiss_index

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.faiss_index.d if self._mapped is None else self._mapped.shape[1])

    def __len__(self) -> int:
        """Return how many vectors can be found."""
        return int(self.live.sum())

    @property
    def rows(self) -> Rows:
        """The rows that can be found."""
        return self.slots if self.live.all() else self.slots[self.live]

    @property
    def note(self) -> IndexNote:
        """The note that stands at the beginning of the index's file."""
        removed = len(self.live) - len(self)
        return IndexNote(self.embedder, self.fingerprint, self.kind, self.dim, len(self), removed)

    def holds(self, rows: Rows) -> np.ndarray:
        """Tell which of these rows are there unchanged: bool [n]."""
        return rows.are_in(self.rows)

    def vectors(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return the stored vectors of ids, float32 [n, dim].

        Raises:
            KeyError: An id is not there.
        """
        return self.stored()[self._slots_of(ids)]

    def weights(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """Return the weights of ids, float32 [n]; raises `KeyError` as `vectors` does."""
        return self.slots.weights[self._slots_of(ids)]

    def _slots_of(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        ids = np.asarray(ids, np.int64)
        if self._by_id is None:
            slots = np.flatnonzero(self.live)
            slots = slots[np.argsort(self.slots.ids[slots])]
            self._by_id = (self.slots.ids[slots], slots)
        known, slots = self._by_id
        at = np.searchsorted(known, ids)
        if (at == len(known)).any() or not np.array_equal(known[at], ids):
            raise KeyError("not in the index")
        return slots[at]

    def stored(self) -> np.ndarray:
        """Return all vectors by slot, removed ones included, as FAISS or the file holds them.

        The array, float32 [slots, dim], is their own memory and must not be changed.
        """
        if self._mapped is not None:
            return self._mapped
        faiss = load_faiss()

        flat = self.faiss_index if self.kind == "flat" else faiss.downcast_index(self.faiss_index.storage)
        if not flat.ntotal:
            return np.zeros((0, self.dim), np.float32)
        return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * self.dim).reshape(flat.ntotal, self.dim)

    def search(
        self, queries: np.ndarray, n: int, groups: np.ndarray | None = None, ef_search: int = HNSW_SEARCH
    ) -> NearestRows:
        """Return the nearest rows of each query, best first.

        Args:
            queries: Unit vectors, [q, dim].
            n: Rows for each query; fewer come back where there are fewer.
            groups: Only rows of these groups, int64 [m]. Up to `FLAT_LIMIT` of them are all compared, in a graph too.
            ef_search: Candidates of an HNSW search; at least `n` are taken.

        Raises:
            UsageError: The queries have another width than the index.
        """
        queries = np.ascontiguousarray(np.atleast_2d(queries), np.float32)
        if queries.shape[1] != self.dim:
            raise UsageError(
                f"the query has {queries.shape[1]} dimensions, the index {self.dim}",
                f"use the index's own embedder, {self.embedder}",
            )
        allowed = self.live if groups is None else self.live & np.isin(self.slots.groups, groups)
        count = int(allowed.sum())
        n = min(n, count)
        if n <= 0:
            empty = np.zeros((len(queries), 0), np.int64)
            return NearestRows(empty, empty, empty.astype(np.float32))
        if groups is not None and (count <= FLAT_LIMIT or self._mapped is not None):
            slots, similarities = self._compare_all(queries, n, allowed)
        else:
            slots, similarities = self._ask_faiss(queries, n, allowed, ef_search)
        is_missing = slots < 0
        ids, of_groups = self.slots.ids[slots], self.slots.groups[slots]
        ids[is_missing], of_groups[is_missing] = -1, -1
        return NearestRows(ids, of_groups, similarities)

    def _compare_all(self, queries: np.ndarray, n: int, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compare all allowed slots; return slots and similarities, best first, both [q, n]."""
        slots = np.flatnonzero(allowed)
        near = queries @ self.stored()[slots].T
        best = np.argsort(-near, axis=1, kind="stable")[:, :n]
        return slots[best], np.take_along_axis(near, best, axis=1)

    def _ask_faiss(
        self, queries: np.ndarray, n: int, allowed: np.ndarray, ef_search: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search with FAISS among the allowed slots; return slots and similarities, best first, both [q, n]."""
        faiss = load_faiss()

        if self._mapped is not None:
            similarities, slots = faiss.knn(queries, self._mapped, n, faiss.METRIC_INNER_PRODUCT)
            return slots, similarities
        selected = {} if allowed.all() else {"sel": self._selector(allowed)}
        if self.kind == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(ef_search, n), **selected)
        else:
            params = faiss.SearchParameters(**selected) if selected else None
        similarities, slots = self.faiss_index.search(queries, n, params=params)
        return slots, similarities

    def _selector(self, allowed: np.ndarray) -> Any:
        """Return FAISS's selector of the allowed slots; the last one is kept, as its bits must outlive the search."""
        bits = np.packbits(allowed, bitorder="little")
        key = bits.tobytes()
        if self._selector_of is None or self._selector_of[0] != key:
            self._selector_of = (key, load_faiss().IDSelectorBitmap(bits))
        return self._selector_of[1]

    def nearest_groups(
        self, query: np.ndarray, n: int, groups: np.ndarray | None = None, ef_search: int = HNSW_SEARCH
    ) -> NearestGroups:
        """Return the groups whose weighted mean vectors are nearest to a query, best first.

        In a flat index all groups are compared; in HNSW those of the nearest vectors.

        Args:
            query: A unit vector, [dim].
            n: Groups at most.
            groups: Only these, int64 [m].
            ef_search: See `search`.
        """
        query = np.asarray(query, np.float32)
        if self.kind == "hnsw":
            near = self.search(query, n * _CANDIDATES, groups, ef_search).groups
            among = np.unique(near[near >= 0])
        else:
            among = self._in_groups().groups
            among = among if groups is None else among[np.isin(among, groups)]
        if not len(among):
            return NearestGroups(np.zeros(0, np.int64), np.zeros(0, np.float32))
        if self.kind == "hnsw":
            similarities = self._in_groups().means_of(among, self.stored(), self.slots.weights) @ query
        else:
            similarities = self._every_mean() @ query
            if groups is not None:
                similarities = similarities[np.searchsorted(self._in_groups().groups, among)]
        best = np.argsort(-similarities, kind="stable")[:n]
        return NearestGroups(among[best], similarities[best])

    def _in_groups(self) -> GroupedSlots:
        """Return the slots that can be found, by group; kept until the index is changed."""
        if self._grouped is None:
            slots = np.flatnonzero(self.live)
            self._grouped = GroupedSlots(slots, self.slots.groups[slots])
        return self._grouped

    def _every_mean(self) -> np.ndarray:
        """Return the weighted means of all groups, float32 [m, dim]; kept, as a flat index compares all each time."""
        if self._all_means is None:
            self._all_means = self._in_groups().all_means(self.stored(), self.slots.weights)
        return self._all_means

    def remove(self, ids: np.ndarray) -> None:
        """Remove vectors; ids that are not there are ignored."""
        gone = self.live & np.isin(self.slots.ids, np.asarray(ids, np.int64))
        if not gone.any():
            return
        self._forget_order()
        if self.kind == "flat":
            self._changeable().remove_ids(load_faiss().IDSelectorBatch(np.flatnonzero(gone)))
            self.slots, self.live = self.slots[~gone], self.live[~gone]
        else:
            self.live = self.live & ~gone

    def add(self, rows: Rows, vectors: np.ndarray) -> None:
        """Add unit vectors, float32 [n, dim].

        Raises:
            ValueError: Shapes do not fit, or an id is there already.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(rows), self.dim):
            raise ValueError(f"{len(rows)} rows and vectors {vectors.shape} do not fit an index of {self.dim}")
        old = self.slots
        if np.isin(old.ids[self.live], rows.ids).any():
            raise ValueError("an id is there twice")
        if not len(rows):
            return
        self._forget_order()
        faiss_index = self._changeable()
        for start in range(0, len(rows), _BATCH):
            faiss_index.add(vectors[start : start + _BATCH])
        # A vector removed from a graph may come back under its old id. Slots of removed vectors get ids below zero, so
        # that each id stays unique.
        self.slots = Rows(
            np.concatenate([np.where(self.live, old.ids, -1 - np.arange(len(old))), rows.ids]),
            np.concatenate([old.groups, rows.groups]),
            np.concatenate([old.digests, rows.digests]),
            np.concatenate([old.weights, rows.weights]),
        )
        self.live = np.concatenate([self.live, np.ones(len(rows), bool)])


def _viewed(written: np.ndarray) -> Any:
    """Read what FAISS wrote, uint8 [bytes], as an index whose large arrays stay there: it lives no longer than they do.

    FAISS before 1.11 copies them into memory.
    """
    faiss = load_faiss()
    if not hasattr(faiss, "ZeroCopyIOReader"):
        return _copied(written)
    return faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(written), written.nbytes))


def _copied(written: np.ndarray) -> Any:
    """Read what FAISS wrote, uint8 [bytes], into memory, piece by piece."""
    faiss = load_faiss()
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        part = written[at : at + size].tobytes()
        at += len(part)
        return part

    return faiss.read_index(faiss.PyCallbackIOReader(read, _PIECE))
