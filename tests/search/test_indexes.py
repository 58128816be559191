"""FAISS indexes: found, added, removed, written and read, whatever their kind; never trusted when damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.search.indexes import (
    Rows,
    VectorIndex,
    build_index,
    digest_of,
    read_index,
    read_note,
    update_index,
    write_index,
)

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


def test_flat_is_exact_and_keeps_ids_and_groups() -> None:
    index, rows, vectors = filled(300)
    queries = unit_vectors(5, seed=1)
    found, groups, similarities = index.search(queries, 10)
    expected = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    assert (found == rows.ids[expected]).all() and (groups == rows.groups[expected]).all()
    assert np.allclose(similarities, np.sort(queries @ vectors.T)[:, ::-1][:, :10], atol=1e-6)
    assert index.search(queries[0], 1000)[0].shape == (1, 300)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_removed_is_never_found_and_may_come_back(kind: str, tmp_path: Path) -> None:
    index, rows, vectors = filled(600, kind)
    assert index.kind == kind and np.mean(first_of(index, vectors) == rows.ids) > 0.95
    gone = np.arange(0, 40)
    index.remove(rows.ids[gone])
    index.remove(np.array([5]))
    assert len(index) == 560 and index.note.removed == (40 if kind == "hnsw" else 0)
    write_index(index, tmp_path / "i")
    index = read_index(tmp_path / "i")
    found, groups, similarities = index.search(vectors, 560)
    assert not set(rows.ids[gone]) & set(found.ravel()) and (np.diff(similarities, axis=1) <= 1e-6).all()
    assert np.mean(first_of(index, vectors[40:]) == rows.ids[40:]) > 0.95
    with pytest.raises(KeyError):
        index.vectors(rows.ids[:1])
    # Under the old id stands another vector now.
    index.add(rows[gone], vectors[gone][::-1])
    assert np.mean(first_of(index, vectors[gone]) == rows.ids[gone][::-1]) > 0.95
    assert np.allclose(index.vectors(rows.ids[gone]), vectors[gone][::-1])
    assert (index.weights(rows.ids[::-1]) == rows.weights[::-1]).all()
    assert sorted(index.rows.ids) == sorted(rows.ids) and len(index) == 600


@pytest.mark.parametrize("kind", KINDS)
def test_search_among_groups_is_exact(kind: str) -> None:
    index, rows, vectors = filled(600, kind)
    groups = np.unique(rows.groups)[[3, 50, 99]]
    queries = unit_vectors(4, seed=2)
    found, of, _ = index.search(queries, 50, groups)
    inside = np.flatnonzero(np.isin(rows.groups, groups))
    assert found.shape == (4, len(inside)) and set(of.ravel()) == set(groups)
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
        assert found[0] == every[at] and np.allclose(similarities, np.sort(near)[::-1][:5], atol=0.05)
        assert np.allclose(similarities, near[np.searchsorted(every, found)], atol=1e-5)
        among = every[[at, 3, 77]]
        assert set(index.nearest_groups(means[at], 5, among)[0]) == set(among)
    assert index.nearest_groups(means[0], 5, np.array([1]))[0].shape == (0,)


def test_a_graph_is_filtered_where_too_many_are_left_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.search import indexes

    monkeypatch.setattr(indexes, "FLAT_LIMIT", 100)
    index, rows, vectors = filled(600, "hnsw")
    half = np.unique(rows.groups)[::2]
    found, of, _ = index.search(vectors, 3, half)
    assert set(of.ravel()) <= set(half)
    inside = np.isin(rows.groups, half)
    assert np.mean(found[inside, 0] == rows.ids[inside]) > 0.95


def test_a_graph_is_swept_when_more_than_a_tenth_is_gone() -> None:
    index, rows, vectors = filled(600, "hnsw")
    index.remove(rows.ids[:60])
    assert index.compacted(100) is index
    index.remove(rows.ids[60:61])
    swept = index.compacted(100)
    assert swept.note.removed == 0 and len(swept) == 539 and (swept.embedder, swept.fingerprint) == ("e", "f")
    assert np.mean(first_of(swept, vectors[61:]) == rows.ids[61:]) > 0.95
    swept.remove(rows.ids[61:550])
    assert swept.compacted(100).kind == "flat"


def test_a_flat_index_may_grow_a_tenth_beyond_the_limit() -> None:
    index, _, _ = filled(100)
    index.add(rows_of(10, first=1), unit_vectors(10, seed=3))
    assert index.compacted(100).kind == "flat"
    index.add(rows_of(1, first=500), unit_vectors(1, seed=4))
    assert index.compacted(100).kind == "hnsw" and len(index.compacted(100)) == 111


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_changed_is_embedded(kind: str) -> None:
    index, rows, vectors = filled(300, kind)
    changed = np.arange(10, 20)
    wanted = Rows(rows.ids[10:], rows.groups[10:], rows.digests[10:].copy(), rows.weights[10:])
    wanted.digests[changed - 10] += 10**6
    asked: list[int] = []
    new = unit_vectors(10, seed=5)

    def embed(at: np.ndarray) -> np.ndarray:
        asked.extend(at.tolist())
        return new

    updated = update_index(index, wanted, "e", "g", embed, KINDS[kind])
    assert asked == (changed - 10).tolist() and updated is index and updated.fingerprint == "g"
    assert updated.holds(wanted).all() and len(updated) == 290
    assert np.allclose(updated.vectors(rows.ids[changed]), new)
    assert np.allclose(updated.vectors(rows.ids[20:]), vectors[20:])


def test_of_another_embedder_or_width_nothing_is_kept() -> None:
    for embedder, width in (("other", 32), ("e", 16)):
        index, rows, _ = filled(50)
        asked: list[int] = []

        def embed(at: np.ndarray, asked: list[int] = asked, width: int = width) -> np.ndarray:
            asked.extend(at.tolist())
            return unit_vectors(len(at), width, seed=6)

        more = Rows(*(np.append(column, 1) for column in (rows.ids, rows.groups, rows.digests, rows.weights)))
        updated = update_index(index, more, embedder, "g", embed)
        assert asked[-51:] == list(range(51)) and (updated.embedder, updated.dim) == (embedder, width)
        assert len(updated) == 51


def test_empty_index(tmp_path: Path) -> None:
    index = build_index(Rows.of([]), np.zeros((0, 8), np.float32), "e", "f")
    write_index(index, tmp_path / "i")
    index = read_index(tmp_path / "i")
    assert index.search(np.ones(8), 5)[0].shape == (1, 0) and index.vectors([]).shape == (0, 8)
    index.add(rows_of(3), unit_vectors(3, 8))
    assert len(index) == 3


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Rows.of([(1, 1, 1, 1.0), (1, 2, 3, 1.0)])
    with pytest.raises(ValueError, match="groups"):
        Rows(np.array([1, 2]), np.array([1]), np.array([1, 1]), np.ones(2))
    with pytest.raises(ValueError, match="fit"):
        build_index(rows_of(1), unit_vectors(2), "e", "f")
    index, rows, _ = filled(3)
    with pytest.raises(ValueError, match="twice"):
        index.add(rows[np.array([1])], unit_vectors(1))
    with pytest.raises(UsageError, match="dimensions"):
        index.search(np.ones((1, 3)), 1)


def test_digests_tell_contents_apart() -> None:
    assert digest_of("a", 1) == digest_of("a", 1) and 0 <= digest_of("ü") < 2**64
    assert len({digest_of("a", "b"), digest_of("ab"), digest_of("b", "a"), digest_of("a"), digest_of(1)}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_any_byte_changed_or_cut_short_is_damaged(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "i"
    assert read_note(path) is None
    with pytest.raises(AutointerpError, match="missing") as caught:
        read_index(path, "autointerp label --layer mid")
    assert "autointerp label --layer mid" in caught.value.hint
    index, _, _ = filled(150, kind)
    write_index(index, path)
    whole = path.read_bytes()
    assert read_note(path) == index.note == read_index(path).note
    # Every part of the file: its note, its rows, what FAISS wrote, the checksum.
    for at in sorted({*range(0, len(whole), 397), *range(0, 400, 7), len(whole) - 1}):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(AutointerpError, match="damaged"):
            read_index(path)
    for size in (0, 5, 300, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(AutointerpError, match="damaged"):
            read_index(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(AutointerpError, match="damaged"):
        read_index(path)


def test_writing_replaces_whole_and_leaves_nothing_behind(tmp_path: Path) -> None:
    for n in (10, 30):
        write_index(filled(n)[0], tmp_path / "a" / "i")
    assert len(read_index(tmp_path / "a" / "i")) == 30
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["i"]
    (tmp_path / "file").write_text("")
    with pytest.raises(AutointerpError, match="cannot write"):
        write_index(filled(3)[0], tmp_path / "file" / "i")
