"""Crops where the feature fires are read from the index, and negatives are embedded, each in its place."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from autointerp.stages.score import crop_vectors
from autointerp.stages.score.crop_vectors import CropVectors


def test_vectors_come_in_the_order_of_the_crops(monkeypatch):
    crops = [
        SimpleNamespace(role=role, crop_id=i) for i, role in enumerate(["negative", "top", "negative", "quantile"])
    ]
    asked = []

    def embed(some):
        asked.append([crop.crop_id for crop in some])
        return np.array([[crop.crop_id, 0] for crop in some], np.float32)

    def read(index, some):
        assert index == "index"
        return np.array([[crop.crop_id, 1] for crop in some], np.float32)

    monkeypatch.setattr(crop_vectors, "crop_vectors", read)
    ctx = SimpleNamespace(embedder=SimpleNamespace(dim=2), windows=embed)
    vectors = CropVectors(ctx, "index")(crops)
    assert vectors.tolist() == [[0, 0], [1, 1], [2, 0], [3, 1]]
    assert vectors.dtype == np.float32
    assert asked == [[0, 2]]
