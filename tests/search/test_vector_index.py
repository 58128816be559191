"""Vectors are found, added and removed, whatever the kind of the index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autointerp.errors import UsageError
from autointerp.search import vector_index
from autointerp.search.building import build_index
from autointerp.search.index_file import read_index, write_index
from autointerp.search.rows import Rows

from .drawn import KINDS, filled, first_of, rows_of, unit_vectors


def test_flat_is_exact_and_keeps_ids_and_groups() -> None:
    index, rows, vectors = filled(300)
    queries = unit_vectors(5, seed=1)
    found, groups, similarities = index.search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert (found == rows.ids[expected]).all()
    assert (groups == rows.groups[expected]).all()
    assert np.allclose(similarities, np.sort(queries @ vectors.T)[:, ::-1][:, :10], atol=1e-6)
    assert index.search(queries[0], 1000)[0].shape == (1, 300)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_never_found_and_may_come_back(kind: str, tmp_path: Path) -> None:
    index, rows, vectors = filled(600, kind)
    assert index.kind == kind
    assert np.mean(first_of(index, vectors) == rows.ids) > 0.95
    gone = np.arange(0, 40)
    index.remove(rows.ids[gone])
    index.remove(np.array([5]))
    assert len(index) == 560
    assert index.note.removed == (40 if kind == "hnsw" else 0)
    write_index(index, tmp_path / "i")
    index = read_index(tmp_path / "i")
    found, groups, similarities = index.search(vectors, 560)
    assert not set(rows.ids[gone]) & set(found.ravel())
    assert (np.diff(similarities, axis=1) <= 1e-6).all()
    assert np.mean(first_of(index, vectors[40:]) == rows.ids[40:]) > 0.95
    with pytest.raises(KeyError):
        index.vectors(rows.ids[:1])
    # Under the old id stands another vector now.
    index.add(rows[gone], vectors[gone][::-1])
    assert np.mean(first_of(index, vectors[gone]) == rows.ids[gone][::-1]) > 0.95
    assert np.allclose(index.vectors(rows.ids[gone]), vectors[gone][::-1])
    assert (index.weights(rows.ids[::-1]) == rows.weights[::-1]).all()
    assert sorted(index.rows.ids) == sorted(rows.ids)
    assert len(index) == 600


@pytest.mark.parametrize("kind", KINDS)
def test_search_among_groups_is_exact(kind: str) -> None:
    index, rows, vectors = filled(600, kind)
    groups = np.unique(rows.groups)[[3, 50, 99]]
    queries = unit_vectors(4, seed=2)
    found, of, _ = index.search(queries, 50, groups)
    inside = np.flatnonzero(np.isin(rows.groups, groups))
    assert found.shape == (4, len(inside))
    assert set(of.ravel()) == set(groups)
    expected = inside[np.argsort(-(queries @ vectors[inside].T), axis=1)]
    assert (found == rows.ids[expected]).all()
    assert index.search(queries, 5, np.array([], np.int64))[0].shape == (4, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_by_their_weighted_means(kind: str) -> None:
    # Groups of four around centres of their own, so that a graph finds all of those that are near.
    rows, centres = rows_of(600), unit_vectors(151, seed=7)
    vectors = centres[rows.groups - rows.groups[0]] + 0.5 * unit_vectors(600, seed=8)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = build_index(rows, vectors, "e", "f", KINDS[kind])
    index.remove(rows.ids[::5])
    kept = np.delete(np.arange(600), np.arange(0, 600, 5))
    every = np.unique(rows.groups[kept])
    sums = np.stack([(vectors * rows.weights[:, None])[kept][rows.groups[kept] == g].sum(0) for g in every])
    means = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    for at in (0, 40, 140):
        near = means @ means[at]
        found, similarities = index.nearest_groups(means[at], 5)
        assert found[0] == every[at]
        assert np.allclose(similarities, np.sort(near)[::-1][:5], atol=0.05)
        assert np.allclose(similarities, near[np.searchsorted(every, found)], atol=1e-5)
        among = every[[at, 3, 77]]
        assert set(index.nearest_groups(means[at], 5, among)[0]) == set(among)
    assert index.nearest_groups(means[0], 5, np.array([1]))[0].shape == (0,)


def test_a_graph_is_filtered_where_too_many_are_left_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "FLAT_LIMIT", 100)
    index, rows, vectors = filled(600, "hnsw")
    half = np.unique(rows.groups)[::2]
    found, of, _ = index.search(vectors, 3, half)
    assert set(of.ravel()) <= set(half)
    inside = np.isin(rows.groups, half)
    assert np.mean(found[inside, 0] == rows.ids[inside]) > 0.95


def test_empty_index(tmp_path: Path) -> None:
    index = build_index(Rows.of([]), np.zeros((0, 8), np.float32), "e", "f")
    write_index(index, tmp_path / "i")
    index = read_index(tmp_path / "i")
    assert index.search(np.ones(8), 5)[0].shape == (1, 0)
    assert index.vectors([]).shape == (0, 8)
    index.add(rows_of(3), unit_vectors(3, 8))
    assert len(index) == 3


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="fit"):
        build_index(rows_of(1), unit_vectors(2), "e", "f")
    index, rows, _ = filled(3)
    with pytest.raises(ValueError, match="twice"):
        index.add(rows[np.array([1])], unit_vectors(1))
    with pytest.raises(UsageError, match="dimensions"):
        index.search(np.ones((1, 3)), 1)
