"""FAISS indexes: ids of the database to unit vectors, found by inner product.

Flat, and so exact, up to 100,000 vectors; HNSW above. An index knows what each vector was made of, so it is brought up
to date by adding and removing what changed. HNSW cannot remove: what is removed there stays in the graph, is never
found, and is swept out when it is more than a tenth.

A file is written aside and moved into place whole, and ends in a checksum. One that is damaged, of another form or of
another embedder is never used: an index can always be made again from the database.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from autointerp.errors import AutointerpError, UsageError

FLAT_LIMIT = 100_000
"""Vectors up to which a new index is flat, and so exact."""
SLACK = 0.1
"""A flat index that grows beyond the limit by more than this share becomes HNSW; of HNSW, this share may be removed
before it is built again."""
HNSW_LINKS = 32
HNSW_BUILD = 80
"""efConstruction: how many candidates are looked at when a vector is linked."""
HNSW_SEARCH = 256
"""efSearch: how many candidates are looked at in a search, or as many as are asked for."""

_MAGIC = b"autointerp index 3\n"
_CANDIDATES = 4
"""Vectors of an HNSW index that are looked at for each group that is wanted."""
_BATCH = 65_536
_CHUNK = 2**20
_KEY = np.dtype([("id", "<i8"), ("group", "<i8"), ("digest", "<u8")])
_SLOT = np.dtype([*_KEY.descr, ("weight", "<f4"), ("live", "?")])


def _faiss() -> Any:
    """The library, imported when an index is first used; what its stubs lack is there."""
    import faiss

    return faiss


def digest_of(*content: object) -> int:
    """64 bits that stand for what a vector was made of."""
    made_of = json.dumps(content, ensure_ascii=True).encode()
    return int.from_bytes(hashlib.blake2b(made_of, digest_size=8).digest(), "little")


@dataclass(frozen=True)
class Rows:
    """What an index holds or is to hold, a vector a row.

    `ids` int64 [n], each once. `groups` int64 [n]: what the vector belongs to, as a crop to its feature. `digests`
    uint64 [n]: what the vector is made of (`digest_of`), so that a change is known. `weights` float32 [n]: how much the
    vector counts in its group, as a crop by its activation.

    Raises:
        ValueError: Lengths do not fit, or an id is there twice.
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
        if len(np.unique(self.ids)) != len(self.ids):
            raise ValueError("an id is there twice")

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int, float]]) -> Rows:
        """Rows of (id, group, digest, weight)."""
        table = np.array([(*row, True) for row in rows], dtype=_SLOT)
        return cls(table["id"], table["group"], table["digest"], table["weight"])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, wanted: np.ndarray) -> Rows:
        return Rows(self.ids[wanted], self.groups[wanted], self.digests[wanted], self.weights[wanted])


@dataclass(frozen=True)
class IndexNote:
    """What a file says of itself at its beginning.

    `fingerprint` stands for embedder and contents, as whoever made the index names them. `removed` vectors of an HNSW
    index are never found.
    """

    embedder: str
    fingerprint: str
    kind: str
    dim: int
    size: int
    removed: int = 0


@dataclass
class _Grouped:
    """Slots in the order of their groups: those of `groups[i]` are `slots[starts[i] : starts[i + 1]]`."""

    slots: np.ndarray
    groups: np.ndarray
    starts: np.ndarray
    means: np.ndarray | None = None


class VectorIndex:
    """Unit vectors in FAISS with the rows they belong to; changed in memory, and then written."""

    def __init__(self, inner: Any, rows: Rows, live: np.ndarray, embedder: str, fingerprint: str, kind: str) -> None:
        self._inner, self._rows, self._live = inner, rows, live
        self.embedder, self.fingerprint, self.kind = embedder, fingerprint, kind
        self._selected: tuple[bytes, Any] | None = None
        self._grouped: _Grouped | None = None
        self._sorted: np.ndarray | None = None

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self._inner.d)

    def __len__(self) -> int:
        """How many vectors can be found."""
        return int(self._live.sum())

    @property
    def rows(self) -> Rows:
        """What can be found."""
        return self._rows if self._live.all() else self._rows[self._live]

    @property
    def note(self) -> IndexNote:
        """What it is made of."""
        removed = len(self._live) - len(self)
        return IndexNote(self.embedder, self.fingerprint, self.kind, self.dim, len(self), removed)

    def holds(self, rows: Rows) -> np.ndarray:
        """Which of these rows are there as they are: bool [n]."""
        return np.isin(_keys(rows), _keys(self.rows))

    def _slots_of(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        ids = np.asarray(ids, np.int64)
        if self._sorted is None:
            slots = np.flatnonzero(self._live)
            self._sorted = slots[np.argsort(self._rows.ids[slots])]
        known = self._rows.ids[self._sorted]
        at = np.searchsorted(known, ids)
        if (at == len(known)).any() or not np.array_equal(known[at], ids):
            raise KeyError("not in the index")
        return self._sorted[at]

    def vectors(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """The stored vectors of ids, float32 [n, dim].

        Raises:
            KeyError: An id is not there.
        """
        return self._stored()[self._slots_of(ids)]

    def weights(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """The weights of ids, float32 [n]; raises `KeyError` as `vectors` does."""
        return self._rows.weights[self._slots_of(ids)]

    def search(
        self,
        queries: np.ndarray,
        n: int,
        groups: np.ndarray | None = None,
        ef_search: int = HNSW_SEARCH,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nearest rows of each query, best first.

        Args:
            queries: Unit vectors, [q, dim].
            n: How many; fewer come back where there are fewer.
            groups: Only rows of these groups, int64 [m]. Few enough are all compared, whatever the kind.
            ef_search: Candidates of an HNSW search; at least `n` are taken.

        Returns:
            Ids int64 [q, m], groups int64 [q, m] and inner products float32 [q, m], m <= n; id and group -1 where HNSW
            found fewer.

        Raises:
            UsageError: The queries are of another width than the index.
        """
        faiss = _faiss()

        queries = np.ascontiguousarray(np.atleast_2d(queries), np.float32)
        if queries.shape[1] != self.dim:
            raise UsageError(
                f"the query has {queries.shape[1]} dimensions, the index {self.dim}",
                f"use the index's own embedder, {self.embedder}",
            )
        allowed = self._live if groups is None else self._live & np.isin(self._rows.groups, groups)
        count = int(allowed.sum())
        n = min(n, count)
        if n <= 0:
            empty = np.zeros((len(queries), 0), np.int64)
            return empty, empty, empty.astype(np.float32)
        if groups is not None and count <= FLAT_LIMIT:
            slots = np.flatnonzero(allowed)
            near = queries @ self._stored()[slots].T
            best = np.argsort(-near, axis=1, kind="stable")[:, :n]
            found, similarities = slots[best], np.take_along_axis(near, best, axis=1)
        else:
            chosen = {} if count == len(allowed) else {"sel": self._selector(allowed)}
            if self.kind == "hnsw":
                params = faiss.SearchParametersHNSW(efSearch=max(ef_search, n), **chosen)
            else:
                params = faiss.SearchParameters(**chosen) if chosen else None
            similarities, found = self._inner.search(queries, n, params=params)
        missing = found < 0
        ids, of = self._rows.ids[found], self._rows.groups[found]
        ids[missing], of[missing] = -1, -1
        return ids, of, similarities

    def nearest_groups(
        self, query: np.ndarray, n: int, groups: np.ndarray | None = None, ef_search: int = HNSW_SEARCH
    ) -> tuple[np.ndarray, np.ndarray]:
        """The groups whose weighted mean vector is nearest to a query, best first.

        In a flat index all groups are compared; in HNSW those of the nearest vectors.

        Args:
            query: A unit vector, [dim].
            n: How many groups at most.
            groups: Only these, int64 [m].
            ef_search: As of `search`.

        Returns:
            Groups int64 [m] and inner products with their means, made unit vectors, float32 [m].
        """
        query = np.asarray(query, np.float32)
        if self.kind == "flat":
            among = np.unique(self.rows.groups)
            among = among if groups is None else among[np.isin(among, groups)]
        else:
            _, near, _ = self.search(query, n * _CANDIDATES, groups, ef_search)
            among = np.unique(near[near >= 0])
        if not len(among):
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        similarities = self._means_of(among) @ query
        best = np.argsort(-similarities, kind="stable")[:n]
        return among[best], similarities[best]

    def _means_of(self, groups: np.ndarray) -> np.ndarray:
        """Weighted mean vectors of groups that are there, ascending, made unit vectors: float32 [n, dim]."""
        if self._grouped is None:
            slots = np.flatnonzero(self._live)
            slots = slots[np.argsort(self._rows.groups[slots], kind="stable")]
            every, starts = np.unique(self._rows.groups[slots], return_index=True)
            self._grouped = _Grouped(slots, every, np.append(starts, len(slots)))
        held = self._grouped
        if self.kind == "flat":
            if held.means is None:
                held.means = self._weighted(held.slots, held.starts[:-1])
            return held.means[np.searchsorted(held.groups, groups)]
        at = np.searchsorted(held.groups, groups)
        parts = [held.slots[held.starts[i] : held.starts[i + 1]] for i in at.tolist()]
        return self._weighted(np.concatenate(parts), np.cumsum([0, *map(len, parts[:-1])]))

    def _weighted(self, slots: np.ndarray, starts: np.ndarray) -> np.ndarray:
        vectors = self._stored()[slots] * np.maximum(self._rows.weights[slots], 1e-12)[:, None]
        sums = np.add.reduceat(vectors, starts, axis=0)
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-30)

    def _selector(self, allowed: np.ndarray) -> Any:
        faiss = _faiss()

        bits = np.packbits(allowed, bitorder="little")
        key = bits.tobytes()
        if self._selected is None or self._selected[0] != key:
            self._selected = (key, faiss.IDSelectorBitmap(bits))
        return self._selected[1]

    def _stored(self) -> np.ndarray:
        """All vectors, removed ones too, as they lie in FAISS: float32 [slots, dim], not to be changed."""
        faiss = _faiss()

        flat = self._inner if self.kind == "flat" else faiss.downcast_index(self._inner.storage)
        if not flat.ntotal:
            return np.zeros((0, self.dim), np.float32)
        return faiss.rev_swig_ptr(flat.get_xb(), flat.ntotal * self.dim).reshape(flat.ntotal, self.dim)

    def remove(self, ids: np.ndarray) -> None:
        """Let go of vectors; ids that are not there do not matter."""
        faiss = _faiss()

        gone = self._live & np.isin(self._rows.ids, np.asarray(ids, np.int64))
        if not gone.any():
            return
        self._selected = self._grouped = self._sorted = None
        if self.kind == "flat":
            self._inner.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(gone)))
            self._rows, self._live = self._rows[~gone], self._live[~gone]
        else:
            self._live = self._live & ~gone

    def add(self, rows: Rows, vectors: np.ndarray) -> None:
        """Take in unit vectors, float32 [n, dim].

        Raises:
            ValueError: Shapes do not fit, or an id is there already.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(rows), self.dim):
            raise ValueError(f"{len(rows)} rows and vectors {vectors.shape} do not fit an index of {self.dim}")
        known = self._rows.ids
        if np.isin(known[self._live], rows.ids).any():
            raise ValueError("an id is there twice")
        if not len(rows):
            return
        self._selected = self._grouped = self._sorted = None
        for start in range(0, len(rows), _BATCH):
            self._inner.add(vectors[start : start + _BATCH])
        # What was removed from a graph may come back under its old id: the old row then has none.
        old = self._rows
        self._rows = Rows(
            np.concatenate([np.where(self._live, known, -1 - np.arange(len(known))), rows.ids]),
            np.concatenate([old.groups, rows.groups]),
            np.concatenate([old.digests, rows.digests]),
            np.concatenate([old.weights, rows.weights]),
        )
        self._live = np.concatenate([self._live, np.ones(len(rows), bool)])

    def compacted(self, flat_limit: int = FLAT_LIMIT) -> VectorIndex:
        """This index, or one built again of the same vectors where this one has outgrown its kind."""
        slots = len(self._live)
        if self.kind == "flat":
            fits = len(self) <= flat_limit * (1 + SLACK)
        else:
            fits = slots - len(self) <= SLACK * slots
        if fits:
            return self
        return build_index(self.rows, self._stored()[self._live], self.embedder, self.fingerprint, flat_limit)


def build_index(
    rows: Rows, vectors: np.ndarray, embedder: str, fingerprint: str, flat_limit: int = FLAT_LIMIT
) -> VectorIndex:
    """Index unit vectors, float32 [n, dim], flat or as HNSW by their number.

    Args:
        rows: What the vectors belong to.
        vectors: Unit rows.
        embedder: Name of what made them.
        fingerprint: Identifies embedder and contents, so that a stale index is known.
        flat_limit: The largest flat index.

    Raises:
        ValueError: Shapes do not fit.
    """
    faiss = _faiss()

    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"vectors {vectors.shape} do not fit")
    kind, inner = "flat", faiss.IndexFlatIP(vectors.shape[1])
    if len(vectors) > flat_limit:
        kind, inner = "hnsw", faiss.IndexHNSWFlat(vectors.shape[1], HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        inner.hnsw.efConstruction = HNSW_BUILD
    index = VectorIndex(inner, Rows.of([]), np.zeros(0, bool), embedder, fingerprint, kind)
    index.add(rows, vectors)
    return index


def update_index(
    known: VectorIndex | None,
    rows: Rows,
    embedder: str,
    fingerprint: str,
    embed: Callable[[np.ndarray], np.ndarray],
    flat_limit: int = FLAT_LIMIT,
) -> VectorIndex:
    """An index of exactly these rows: `known` with what changed added and removed, or a new one.

    Args:
        known: What there is; None, or one of another embedder, is no help. It is changed.
        rows: What is to be held.
        embedder: Name of what makes the vectors.
        fingerprint: Of embedder and contents.
        embed: Makes the unit vectors [m, dim] of the rows at some positions [m].
        flat_limit: The largest new flat index.
    """
    if known is not None and known.embedder == embedder and (held := known.holds(rows)).any():
        missing = np.flatnonzero(~held)
        vectors = embed(missing)
        if not len(missing) or vectors.shape[1] == known.dim:
            known.remove(known.rows.ids[~np.isin(_keys(known.rows), _keys(rows))])
            known.add(rows[missing], vectors.reshape(len(missing), known.dim))
            known.fingerprint = fingerprint
            return known.compacted(flat_limit)
    return build_index(rows, embed(np.arange(len(rows))), embedder, fingerprint, flat_limit)


def _keys(rows: Rows) -> np.ndarray:
    return np.rec.fromarrays([rows.ids, rows.groups, rows.digests], dtype=_KEY).view("V24")


class _Checked:
    """A file that is read or written in a row, with the checksum of all that went through."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.crc = file, 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.crc = zlib.crc32(data, self.crc)
        return data

    def readline(self, size: int = -1) -> bytes:
        data = self.file.readline(size)
        self.crc = zlib.crc32(data, self.crc)
        return data

    def write(self, data: bytes | memoryview) -> int:
        self.crc = zlib.crc32(data, self.crc)
        return self.file.write(data)


def _reserve(file: IO[bytes], size: int) -> None:
    """Room for a file to be written, where the system can: ext4 flushes one without when it takes another's place."""
    if hasattr(os, "posix_fallocate"):
        # A disk without room says so when it is written to.
        with suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, size)


def write_index(index: VectorIndex, path: Path) -> None:
    """Write an index in one file: a reader sees the old one, none, or the new one.

    Raises:
        AutointerpError: The file cannot be written.
    """
    faiss = _faiss()

    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        note = _MAGIC + json.dumps(asdict(index.note)).encode() + b"\n"
        rows = index._rows
        table = np.rec.fromarrays([rows.ids, rows.groups, rows.digests, rows.weights, index._live], dtype=_SLOT)
        with partial.open("wb") as file:
            checked = _Checked(file)
            if index.kind == "flat":
                # Nothing but the vectors, as they lie in memory: twice as fast as through FAISS.
                vectors = index._stored().reshape(-1).view(np.uint8).data
                _reserve(file, len(note) + table.nbytes + len(vectors) + 4)
            checked.write(note)
            checked.write(table.tobytes())
            if index.kind == "flat":
                checked.write(vectors)
            else:
                faiss.write_index(index._inner, faiss.PyCallbackIOWriter(checked.write, _CHUNK))
            file.write(checked.crc.to_bytes(4, "little"))
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise AutointerpError(f"cannot write the index {path}: {error}", "free space or check the rights") from error


class _OlderForm(ValueError):
    """An index as an earlier version wrote it."""


def _read_note(file: Any) -> IndexNote:
    """The note at the beginning of a file; `ValueError` or `TypeError` where this is no index."""
    begin = file.readline(len(_MAGIC))
    if begin != _MAGIC:
        raise _OlderForm if begin.startswith(_MAGIC.rstrip(b"0123456789\n")) else ValueError("this is no index")
    return IndexNote(**json.loads(file.readline(_CHUNK)))


def read_note(path: Path) -> IndexNote | None:
    """The note of the index at `path`; None where there is no index."""
    try:
        with path.open("rb") as file:
            return _read_note(file)
    except (OSError, ValueError, TypeError):
        return None


def read_index(path: Path, rebuilt_by: str = "autointerp label") -> VectorIndex:
    """Read an index.

    Raises:
        AutointerpError: It is missing, damaged or of another form; the hint says what rebuilds it.
    """
    faiss = _faiss()

    hint = f"it is rebuilt by `{rebuilt_by}`"
    try:
        with path.open("rb") as file:
            checked = _Checked(file)
            note = _read_note(checked)
            table = np.frombuffer(checked.read((note.size + note.removed) * _SLOT.itemsize), _SLOT)
            rows = Rows(table["id"], table["group"], table["digest"], table["weight"])
            if note.kind == "flat":
                stored = np.frombuffer(checked.read(4 * note.size * note.dim), np.float32)
                inner = faiss.IndexFlatIP(note.dim)
                inner.add(stored.reshape(note.size, note.dim))
                del stored
            else:
                # FAISS reads as far as its own data go, which is up to the checksum.
                inner = faiss.read_index(faiss.PyCallbackIOReader(checked.read, _CHUNK))
            whole = file.read() == checked.crc.to_bytes(4, "little")
        index = VectorIndex(inner, rows, table["live"].astype(bool), note.embedder, note.fingerprint, note.kind)
    except FileNotFoundError:
        raise AutointerpError(f"the index {path} is missing", hint) from None
    except _OlderForm:
        raise AutointerpError(f"the index {path} is of an older form", hint) from None
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
        raise AutointerpError(f"the index {path} is damaged", hint) from error
    if not whole or inner.ntotal != len(rows) or index.note != note:
        raise AutointerpError(f"the index {path} is damaged", hint)
    return index
