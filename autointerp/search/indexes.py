"""FAISS indexes: ids of the database to unit vectors, found by inner product.

Flat up to 100,000 vectors, HNSW above. A file is written whole or not at all, beside a small JSON file that says
what it was made of; an index whose note does not fit is stale, and one that cannot be read is an error that says how
to rebuild it. An index can always be made again from the database.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autointerp.errors import AutointerpError, UsageError

FLAT_LIMIT = 100_000
"""Vectors up to which an index is flat, and so exact."""
_HNSW_LINKS = 32
_HNSW_BUILD = 80
_HNSW_SEARCH = 128


@dataclass(frozen=True)
class IndexNote:
    """What an index was made of: the embedder's name, and a fingerprint of the contents."""

    embedder: str
    fingerprint: str
    kind: str
    dim: int
    size: int


@dataclass(frozen=True)
class VectorIndex:
    """A FAISS index with its note."""

    index: Any
    note: IndexNote

    def search(self, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest ids of each query, best first.

        Args:
            queries: unit vectors, [q, dim].
            n: how many; fewer come back from a smaller index.

        Returns:
            Ids int64 [q, m] and inner products float32 [q, m], m <= n; id -1 where HNSW found fewer.

        Raises:
            UsageError: the queries are of another width than the index.
        """
        queries = np.ascontiguousarray(np.atleast_2d(queries), np.float32)
        if queries.shape[1] != self.note.dim:
            raise UsageError(
                f"the query has {queries.shape[1]} dimensions, the index {self.note.dim}",
                f"use the index's own embedder, {self.note.embedder}",
            )
        n = min(n, self.note.size)
        if n <= 0:
            return np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
        similarities, ids = self.index.search(queries, n)
        return ids, similarities


def build_index(
    vectors: np.ndarray, ids: np.ndarray, embedder: str, fingerprint: str, flat_limit: int = FLAT_LIMIT
) -> VectorIndex:
    """Index unit vectors under the ids of the database.

    Args:
        vectors: float32 [n, dim], unit rows.
        ids: int64 [n], each once.
        embedder: name of the embedder that made the vectors.
        fingerprint: identifies the contents, so that a stale index is known.
        flat_limit: the largest flat index.

    Raises:
        ValueError: shapes do not fit, or an id is there twice.
    """
    import faiss

    vectors, ids = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(ids, np.int64)
    if vectors.ndim != 2 or ids.shape != (len(vectors),):
        raise ValueError(f"vectors {vectors.shape} and ids {ids.shape} do not fit")
    if len(np.unique(ids)) != len(ids):
        raise ValueError("an id is there twice")
    dim = vectors.shape[1]
    kind: str
    inner: Any
    if len(vectors) <= flat_limit:
        kind, inner = "flat", faiss.IndexFlatIP(dim)
    else:
        kind, inner = "hnsw", faiss.IndexHNSWFlat(dim, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        inner.hnsw.efConstruction, inner.hnsw.efSearch = _HNSW_BUILD, _HNSW_SEARCH
    index = faiss.IndexIDMap2(inner)
    if len(vectors):
        index.add_with_ids(vectors, ids)
    return VectorIndex(index, IndexNote(embedder, fingerprint, kind, dim, len(vectors)))


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def write_index(index: VectorIndex, path: Path) -> None:
    """Write an index and its note, the note last: a reader sees the old pair, none, or the new one.

    Raises:
        AutointerpError: the file cannot be written.
    """
    import faiss

    partial, note = path.with_name(path.name + ".part"), _note_path(path)
    partial_note = note.with_name(note.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        faiss.write_index(index.index, str(partial))
        partial_note.write_text(json.dumps(asdict(index.note)), encoding="utf-8")
        note.unlink(missing_ok=True)
        os.replace(partial, path)
        os.replace(partial_note, note)
    except (OSError, RuntimeError) as error:
        for leftover in (partial, partial_note):
            with suppress(OSError):
                leftover.unlink(missing_ok=True)
        raise AutointerpError(f"cannot write the index {path}: {error}", "free space or check the rights") from error


def read_note(path: Path) -> IndexNote | None:
    """The note of the index at `path`; None where there is no complete index, which is then to be built."""
    try:
        if not path.exists():
            return None
        return IndexNote(**json.loads(_note_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_index(path: Path, rebuilt_by: str = "autointerp label") -> VectorIndex:
    """Read an index.

    Raises:
        AutointerpError: it is missing, damaged, or does not fit its note; the hint says what rebuilds it.
    """
    import faiss

    hint = f"it is rebuilt by `{rebuilt_by}`"
    note = read_note(path)
    if note is None:
        what = "lacks its note or is damaged" if path.exists() else "is missing"
        raise AutointerpError(f"the index {path} {what}", hint)
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, OSError) as error:
        raise AutointerpError(f"the index {path} is damaged", hint) from error
    if index.ntotal != note.size or index.d != note.dim:
        raise AutointerpError(f"the index {path} does not fit its note", hint)
    return VectorIndex(index, note)
