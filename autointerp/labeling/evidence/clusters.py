"""Clusters of a feature's crops by their looks: a feature may fire on things that have nothing in common."""

from __future__ import annotations

import numpy as np

APART = 0.2
"""Mean silhouette below which crops stay together; 0 is no better than chance, 1 is clusters that are points."""
LEAST = 3
"""Crops of the smallest cluster."""


def clusters(vectors: np.ndarray, most: int, seed: int = 0) -> list[list[int]]:
    """Part vectors by spherical k-means, into the number of clusters with the best mean silhouette.

    Args:
        vectors: Unit vectors, float32 [n, dim].
        most: Clusters at most.
        seed: Seed of k-means.

    Returns:
        The indices of each cluster in ascending order, the largest cluster first; one cluster of all where no parting
        is clear. Clusters of fewer than `LEAST` vectors are left out, unless all are.
    """
    import faiss

    every = [list(range(len(vectors)))]
    best, parted = APART, every
    for k in range(2, min(most, len(vectors) // LEAST) + 1):
        means = faiss.Kmeans(
            vectors.shape[1], k, niter=25, nredo=5, seed=seed + 1, spherical=True, min_points_per_centroid=1
        )
        rows = np.ascontiguousarray(vectors, np.float32)
        means.train(rows)
        of = means.index.search(rows, 1)[1][:, 0]
        value = silhouette(vectors, of)
        if value > best:
            best = value
            parted = [np.flatnonzero(of == c).tolist() for c in range(k)]
    kept = [group for group in parted if len(group) >= LEAST]
    return sorted(kept, key=lambda group: (-len(group), group)) or every


def silhouette(vectors: np.ndarray, of: np.ndarray) -> float:
    """Return the mean silhouette of a parting under cosine distance (Rousseeuw 1987, "Silhouettes").

    A vector alone in its cluster counts 0.

    Args:
        vectors: Unit vectors [n, dim].
        of: The cluster of each, int [n].
    """
    names = np.unique(of)
    if len(names) < 2:
        return 0.0
    distance = 1.0 - vectors @ vectors.T
    inside = of[:, None] == names
    sums = distance @ inside
    sizes = inside.sum(0)
    own = inside.argmax(1)
    rows = np.arange(len(of))
    near = sums[rows, own] / np.maximum(sizes[own] - 1, 1)
    others = np.where(inside, np.inf, sums / sizes).min(1)
    value = np.where(sizes[own] > 1, (others - near) / np.maximum(np.maximum(others, near), 1e-12), 0.0)
    return float(value.mean())
