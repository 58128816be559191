from __future__ import annotations

import numpy as np
import pytest

from autointerp.labeling.evidence.clusters import clusters, silhouette


def spots(count: int, centers: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = rng.integers(centers, size=count)
    vectors = np.eye(24, dtype=np.float32)[of] + 0.1 * rng.normal(size=(count, 24)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), of


def test_as_many_clusters_as_there_are_and_each_whole() -> None:
    for centers in (2, 3):
        vectors, of = spots(30, centers)
        found = clusters(vectors, 4)
        assert sorted(sum(found, [])) == list(range(30))
        assert len(found) == centers
        assert all(len(set(of[group])) == 1 for group in found)
        assert [len(group) for group in found] == sorted((len(group) for group in found), reverse=True)
    assert clusters(vectors, 4) == clusters(vectors, 4)
    assert len(clusters(spots(30, 3)[0], 2)) <= 2


def test_what_is_alike_is_not_parted() -> None:
    rng = np.random.default_rng(0)
    noise = np.ones((30, 24), np.float32) + 0.1 * rng.normal(size=(30, 24)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert clusters(noise, 4) == [list(range(30))]
    assert clusters(noise[:2], 4) == [[0, 1]]


def test_silhouette_is_that_of_its_definition() -> None:
    vectors, of = spots(9, 3)
    vectors, of = np.vstack([vectors, vectors[:1] * -1]), np.append(of, 7)
    distance = 1 - vectors @ vectors.T
    expected = []
    for i in range(len(of)):
        same = [distance[i, j] for j in range(len(of)) if of[j] == of[i] and j != i]
        if not same:
            expected.append(0.0)
            continue
        near = np.mean(same)
        other = min(np.mean(distance[i, of == c]) for c in set(of) - {of[i]})
        expected.append((other - near) / max(other, near))
    assert silhouette(vectors, of) == pytest.approx(np.mean(expected), abs=1e-6)
    assert silhouette(vectors, np.zeros(10, int)) == 0.0
