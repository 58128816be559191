"""Figures with 95% intervals: shares by Wilson, means and ratios by a bootstrap over pictures, cases or features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autointerp.labeling.judging.intervals import wilson

RESAMPLES = 1000
_LEAST = 2


class Estimate(NamedTuple):
    """A value with its 95% interval and the number of independent units behind it; None where it is not known."""

    value: float | None
    low: float | None
    high: float | None
    n: int


UNKNOWN = Estimate(None, None, None, 0)


def share(yes: float, asked: int) -> Estimate:
    """Return a share of independent yes-or-no answers with Wilson's interval."""
    return Estimate(yes / asked, *wilson(yes, asked), asked) if asked else UNKNOWN


def mean(values: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean of independent values, with a bootstrap's interval. Values that are not finite are left out."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[np.isfinite(numbers)]
    return ratio(numbers, np.ones_like(numbers), seed)


def ratio(above: Sequence[float] | np.ndarray, below: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Return a ratio of sums over independent units, with a bootstrap's interval.

    Args:
        above: Each unit's part of the numerator, float [n].
        below: Each unit's part of the denominator, float [n].
        seed: Seed of the resampling.
    """
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    n = len(top)
    if n == 0 or bottom.sum() == 0:
        return UNKNOWN
    value = float(top.sum() / bottom.sum())
    if n < _LEAST:
        return Estimate(value, None, None, n)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    tops, bottoms = weights @ top, weights @ bottom
    samples = tops[bottoms != 0] / bottoms[bottoms != 0]
    low, high = (float(end) for end in np.quantile(samples, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), n)


def combined(parts: Sequence[tuple[float, Estimate]]) -> Estimate:
    """Return a weighted sum of figures with its interval: the method of variance estimates recovery.

    The interval follows from the intervals of the parts (Zou and Donner, 2008), which are taken as independent. So a
    difference of figures of the same pictures, which rise and fall together, gets an interval that is too wide rather
    than too narrow.

    Args:
        parts: Each figure with its weight.
    """
    if not parts or any(one.value is None for _, one in parts):
        return UNKNOWN
    value = sum(weight * one.value for weight, one in parts if one.value is not None)
    n = min(one.n for _, one in parts)
    below = above = 0.0
    for weight, one in parts:
        if one.value is None or one.low is None or one.high is None:
            return Estimate(value, None, None, n)
        ends = sorted((weight * one.low, weight * one.high))
        below += (weight * one.value - ends[0]) ** 2
        above += (ends[1] - weight * one.value) ** 2
    return Estimate(value, value - math.sqrt(below), value + math.sqrt(above), n)


def area(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the mean height of a curve by the trapezoid rule, with x scaled to a width of 1."""
    places, heights = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(places) < _LEAST or places[-1] == places[0]:
        return float(heights.mean()) if len(heights) else float("nan")
    return float((np.diff(places) * (heights[1:] + heights[:-1]) / 2).sum() / (places[-1] - places[0]))


def mean_ratio(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Estimate:
    """Return the mean over columns of ratios of sums, with a bootstrap over the rows.

    Args:
        above: Each unit's part of each numerator, [units, columns].
        below: Each unit's part of each denominator; a column whose sum is 0 is left out.
        seed: Seed of the resampling.
    """
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    there = bottom.sum(0) > 0
    n = len(top)
    if n == 0 or not there.any():
        return UNKNOWN
    top, bottom = top[:, there], bottom[:, there]
    value = float((top.sum(0) / bottom.sum(0)).mean())
    if n < _LEAST:
        return Estimate(value, None, None, n)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), RESAMPLES)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = (weights @ top) / (weights @ bottom)
    # A resample may have no unit with anything below the line.
    samples = np.nanmean(ratios[np.isfinite(ratios).any(1)], axis=1)
    low, high = (float(end) for end in np.quantile(samples, [0.025, 0.975]))
    return Estimate(value, min(low, value), max(high, value), n)
