"""Which of many paired differences are more than chance: signs are flipped pair by pair, for all columns at once.

If two conditions are the same, a pair's two values could as well have been swapped. Swapping turns the sign of the
pair's differences. So what is found after random swaps is what chance gives, with all columns as dependent as they are.
The largest statistic of a swap bounds the errors over all columns (Westfall and Young 1993).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from autointerp.experiments.statistics import RESAMPLES, Estimate

LEVEL = 0.05
_COLUMNS = 2048
"""Columns that are flipped at a time, to bound memory."""
_ROUNDING = 1e-9
"""Statistics that differ by less are equal: sums of one column's values in other orders differ by rounding."""


@dataclass(frozen=True)
class SignFlips:
    """What random swaps say of each column.

    Attributes:
        p: For each column, the chance that any column at all gets as large a statistic: float64 [columns].
        alone: Whether a column differs by itself, at the level of 5%, bool [columns]. Of many columns, one in twenty
            may do so by chance.
        rises: Whether the sum of a column's differences is positive, bool [columns].
        chance: Columns that differ by themselves after each swap, those that rise and those that fall, int64
            [swaps, 2].
    """

    p: np.ndarray
    alone: np.ndarray
    rises: np.ndarray
    chance: np.ndarray

    @property
    def surely(self) -> np.ndarray:
        """Which columns differ with all columns in mind, bool [columns]: any does by chance once in 20 times."""
        return np.asarray(self.p <= LEVEL)

    def by_chance(self, rising: bool) -> Estimate:
        """Return how many columns rise, or fall, by themselves after a swap: the mean, and the ends of 95% of swaps."""
        counts = self.chance[:, 0 if rising else 1]
        low, high = np.quantile(counts, [0.025, 0.975])
        return Estimate(float(counts.mean()), float(low), float(high), len(counts))


def flip_signs(differences: np.ndarray, swaps: int = RESAMPLES, seed: int = 0) -> SignFlips:
    """Test the columns of paired differences.

    The statistic of a column is its sum over the root of its sum of squares, which no flip changes.

    Args:
        differences: Each pair's difference in each column, [pairs, columns].
        swaps: Random swaps.
        seed: Seed of the swaps.
    """
    pairs, columns = differences.shape
    signs = np.random.default_rng(seed).choice(np.array([-1, 1], np.float32), (swaps, pairs))
    largest = np.zeros(swaps)
    observed, alone, rises = np.zeros(columns), np.zeros(columns, bool), np.zeros(columns, bool)
    chance = np.zeros((swaps, 2), np.int64)
    for part in _parts(columns):
        values = differences[:, part].astype(np.float32)
        length = np.sqrt(np.square(values, dtype=np.float64).sum(0))
        # A column that never differs gets the statistic 0.
        values /= np.where(length > 0, length, 1).astype(np.float32)
        own, flipped = values.sum(0, dtype=np.float64), (signs @ values).astype(np.float64)
        sizes = np.abs(flipped)
        largest = np.maximum(largest, sizes.max(1))
        bound = np.quantile(sizes, 1 - LEVEL, axis=0, method="higher") + _ROUNDING
        observed[part], rises[part] = np.abs(own), own > 0
        alone[part] = observed[part] > bound
        beyond = sizes > bound
        chance += np.stack([(beyond & (flipped > 0)).sum(1), (beyond & (flipped < 0)).sum(1)], 1)
    ranked = np.sort(largest)
    as_large = swaps - np.searchsorted(ranked, observed - _ROUNDING, side="left")
    return SignFlips((1 + as_large) / (1 + swaps), alone, rises, chance)


def _parts(columns: int) -> Iterator[slice]:
    for start in range(0, columns, _COLUMNS):
        yield slice(start, min(start + _COLUMNS, columns))


def paired_ratios(
    above: tuple[np.ndarray, np.ndarray], below: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> tuple[list[Estimate], list[Estimate], list[Estimate]]:
    """Return the ratios of sums under two conditions and their difference, with a bootstrap's intervals over pairs.

    Args:
        above: Each pair's part of each numerator, under the first condition and under the second: [pairs, columns].
        below: Each pair's part of the denominator: [pairs].
        seed: Seed of the resampling.

    Returns:
        Of each column the first ratio, the second one, and the second less the first.
    """
    pairs = len(below[0])
    weights = np.random.default_rng(seed).multinomial(pairs, np.full(pairs, 1 / pairs), RESAMPLES).astype(np.float64)
    of = [np.vstack([top.sum(0), weights @ top]) for top in above]
    under = [np.concatenate([[bottom.sum()], weights @ bottom])[:, None] for bottom in below]
    first, second = (top / bottom for top, bottom in zip(of, under, strict=True))
    return tuple([_estimates(samples, pairs) for samples in (first, second, second - first)])  # type: ignore[return-value]


def _estimates(samples: np.ndarray, pairs: int) -> list[Estimate]:
    """Return an estimate of each column, of its value in the first row and resampled values in the others."""
    ends = np.quantile(samples[1:], [0.025, 0.975], axis=0)
    return [
        Estimate(float(value), float(min(low, value)), float(max(high, value)), pairs)
        for value, low, high in zip(samples[0], *ends, strict=True)
    ]
