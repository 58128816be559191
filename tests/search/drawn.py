"""Drawn vectors and rows, and indexes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from autointerp.search.building import build_index
from autointerp.search.rows import Rows
from autointerp.search.vector_index import VectorIndex

KINDS = {"flat": 100_000, "hnsw": 100}
"""Kind of index -> the largest flat one."""


def unit_vectors(n: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def rows_of(n: int, first: int = 10**10, group: int = 4) -> Rows:
    ids = first + 7 * np.arange(n)
    return Rows(ids, ids // (7 * group), np.arange(n), 1 + np.arange(n) % 3)


def filled(n: int, kind: str = "flat", **how: Any) -> tuple[VectorIndex, Rows, np.ndarray]:
    vectors, rows = unit_vectors(n), rows_of(n, **how)
    return build_index(rows, vectors, "e", "f", KINDS[kind]), rows, vectors


def first_of(index: VectorIndex, vectors: np.ndarray) -> np.ndarray:
    return index.search(vectors, 1)[0][:, 0]
