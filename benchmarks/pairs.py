"""Interleaved pairs: the only way to compare two things on a machine that does other work besides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the table: `ours` against `other`, and the median of their ratios pair by pair."""

    benchmark: str
    figure: str
    ours: float
    other: float
    unit: str
    ratio: float
    low: float
    high: float
    coverage: float
    pairs: int

    @classmethod
    def of(cls, benchmark: str, figure: str, unit: str, ours: Sequence[float], other: Sequence[float]) -> Row:
        """A row from one value of each for every pair."""
        ratios = [a / b for a, b in zip(ours, other, strict=True)]
        low, high, coverage = median_interval(ratios)
        return cls(
            benchmark, figure, median(ours), median(other), unit, median(ratios), low, high, coverage, len(ratios)
        )


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The interval of the median that two order statistics enclose, and how often such an interval holds it.

    Free of any assumption but that the values are independent and of one distribution: at least 95% where there are
    six values or more, less below (the smallest and the largest value are then all there is).
    """
    ordered, n = sorted(values), len(values)
    below, cut, coverage = 0.0, 0, 1 - 2 * 0.5**n
    for j in range((n - 1) // 2 + 1):
        below += comb(n, j) * 0.5**n
        if 1 - 2 * below < 0.95:
            break
        cut, coverage = j, 1 - 2 * below
    return ordered[cut], ordered[n - 1 - cut], max(coverage, 0.0)


def interleave(
    pairs: int, ours: Callable[[], dict[str, float]], other: Callable[[], dict[str, float]]
) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Run both `pairs` times, taking turns at being first; each gives its figures by name."""
    mine, theirs = [], []
    for number in range(pairs):
        if number % 2 == 0:
            mine.append(ours())
            theirs.append(other())
        else:
            theirs.append(other())
            mine.append(ours())
    return mine, theirs
