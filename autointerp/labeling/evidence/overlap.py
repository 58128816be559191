"""How well masks of words or segments fit where a feature is active: intersections over unions of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Return the intersection over the union of two masks, bool [rows, cols]; 0 where both are empty."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0


def mean_ious(active: Sequence[np.ndarray], masks: Sequence[Mapping[str, np.ndarray]]) -> dict[str, float]:
    """Return how well each name's masks fit a feature: the mean of the overlaps in its pictures.

    A picture without a mask of a name counts as no overlap, so that a name has to be shown by most of the pictures.

    Args:
        active: Where the feature is active in each picture, bool [rows, cols].
        masks: For each picture, the mask of each name, bool of the same shape.
    """
    sums: dict[str, float] = {}
    for one, named in zip(active, masks, strict=True):
        for name, mask in named.items():
            sums[name] = sums.get(name, 0.0) + iou(one, mask)
    return {name: total / len(active) for name, total in sums.items()}
