"""Truths on halves of the pictures: whether they repeat, and how much figures owe to the pictures that were drawn.

Half-samples come in pairs that share no picture. A labeler that says the truth of one half would be right on the other
half as often as truths repeat: that is the ceiling of any accuracy. The variance of a figure over half-samples is its
variance over sets of pictures as large as the whole (the delete-half jackknife; Shao and Tu 1995, section 2.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.concepts import Concept
from autointerp.shapes.truth import TruthSearch

SPLITS = 10
"""Pairs of half-samples."""


def half_samples(images: int, seed: int) -> np.ndarray:
    """Draw half-samples of pictures, bool [2 * SPLITS, images]; each two that follow share no picture."""
    draw = np.random.default_rng((seed, 53))
    halves = np.zeros((2 * SPLITS, images), bool)
    for split in range(SPLITS):
        halves[2 * split, draw.permutation(images)[: images // 2]] = True
        halves[2 * split + 1] = ~halves[2 * split]
    return halves


@dataclass(frozen=True)
class HalfTruths:
    """The truths that each half-sample finds.

    Attributes:
        rows: int16 [half-samples, features], rows of the list of concepts; -1 for no truth.
        seed: Seed of the half-samples.
    """

    rows: np.ndarray
    seed: int

    @classmethod
    def of(cls, search: TruthSearch, seed: int) -> HalfTruths:
        """Find the truths on each half-sample of the pictures of a search."""
        row_of = {concept.name: row for row, concept in enumerate(search.concepts)}
        found = [
            [-1 if truth is None else row_of[truth.concept.name] for truth in search.truths(half)]
            for half in half_samples(search.images, seed)
        ]
        return cls(np.array(found, np.int16).reshape(2 * SPLITS, search.num_features), seed)

    def repeats(self, concepts: Sequence[Concept]) -> dict[str, float | None]:
        """Return how often the truth of a half is that of the other half.

        By the keys of the figures that it is the ceiling of: of features with a specific truth on the first half, of
        those with any, and the mean over concepts. None where there are none.
        """
        specific = np.array([*(concept.specific for concept in concepts), False], bool)
        shares: dict[str, list[float]] = {"exact_specific": [], "exact": [], "macro_exact": []}
        for one, other in zip(
            self.rows, self.rows.reshape(SPLITS, 2, -1)[:, ::-1].reshape(self.rows.shape), strict=True
        ):
            same, has = one == other, one >= 0
            if specific[one].any():
                shares["exact_specific"].append(float(same[specific[one]].mean()))
            if has.any():
                shares["exact"].append(float(same[has].mean()))
                sums, sizes = np.bincount(one[has], same[has]), np.bincount(one[has])
                shares["macro_exact"].append(float((sums[sizes > 0] / sizes[sizes > 0]).mean()))
        return {key: float(np.mean(values)) if values else None for key, values in shares.items()}

    def shares(self, concepts: Sequence[Concept]) -> dict[str, np.ndarray]:
        """Return the share of all features with a specific truth, and with any, on each half-sample."""
        specific = np.array([*(concept.specific for concept in concepts), False], bool)
        return {"specific": specific[self.rows].mean(1), "grounded": (self.rows >= 0).mean(1)}


def spread(values: np.ndarray) -> float:
    """Return the standard error that pictures give a figure, from its values on half-samples."""
    return float(np.sqrt(np.mean((values - values.mean()) ** 2))) if len(values) else 0.0
