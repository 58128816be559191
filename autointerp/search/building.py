"""Building indexes, and bringing them up to date by adding and removing only what changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autointerp.search.rows import Rows
from autointerp.search.vector_index import FLAT_LIMIT, Structure, VectorIndex, load_faiss

SLACK = 0.1
"""Share by which a flat index may outgrow the limit before it becomes HNSW, and share of an HNSW index that may be
removed before it is built again."""
HNSW_LINKS = 32
"""Links of each vector in a graph."""
HNSW_BUILD = 80
"""efConstruction: how many candidates are looked at when a vector is linked."""


def build_index(
    rows: Rows, vectors: np.ndarray, embedder: str, fingerprint: str, flat_limit: int = FLAT_LIMIT
) -> VectorIndex:
    """Index unit vectors, flat or as HNSW by their number.

    Args:
        rows: What the vectors stand for.
        vectors: Unit vectors, float32 [n, dim].
        embedder: Name of what made them.
        fingerprint: Hash of embedder and contents, so that a stale index is noticed.
        flat_limit: Size of the largest flat index.

    Raises:
        ValueError: Shapes do not fit.
    """
    faiss = load_faiss()

    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise ValueError(f"vectors {vectors.shape} do not fit")
    kind: Structure = "flat"
    inner = faiss.IndexFlatIP(vectors.shape[1])
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
    """Return an index of exactly these rows: `known` with what changed added and removed, or a new one.

    Args:
        known: The index so far, which is changed. None, or an index of another embedder, is not used.
        rows: What is to be held.
        embedder: Name of what makes the vectors.
        fingerprint: Hash of embedder and contents.
        embed: Makes the unit vectors [m, dim] of the rows at some positions [m].
        flat_limit: Size of the largest new flat index.
    """
    if known is not None and known.embedder == embedder and (held := known.holds(rows)).any():
        missing = np.flatnonzero(~held)
        vectors = embed(missing)
        if not len(missing) or vectors.shape[1] == known.dim:
            known.remove(known.rows.ids[~known.rows.are_in(rows)])
            known.add(rows[missing], vectors.reshape(len(missing), known.dim))
            known.fingerprint = fingerprint
            return compacted(known, flat_limit)
    return build_index(rows, embed(np.arange(len(rows))), embedder, fingerprint, flat_limit)


def compacted(index: VectorIndex, flat_limit: int = FLAT_LIMIT) -> VectorIndex:
    """Return the index, or one built again of the same vectors where the index has outgrown its structure."""
    slots, removed = len(index.live), len(index.live) - len(index)
    is_fit = len(index) <= flat_limit * (1 + SLACK) if index.kind == "flat" else removed <= SLACK * slots
    if is_fit:
        return index
    return build_index(index.rows, index.stored()[index.live], index.embedder, index.fingerprint, flat_limit)
