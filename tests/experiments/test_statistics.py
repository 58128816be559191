"""Intervals hold their value, cover what they should, and depend on the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.experiments.statistics import UNKNOWN, area, mean, mean_ratio, ratio, share


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_an_interval_holds_its_value(values: list[float]) -> None:
    found = mean(values)
    assert found.n == len(values)
    assert found.value == pytest.approx(np.mean(values), abs=1e-6)
    if found.low is not None:
        assert found.low <= found.value <= found.high


def test_a_ratio_is_of_sums_and_not_a_mean_of_ratios() -> None:
    assert ratio([1, 30], [10, 100]).value == pytest.approx(31 / 110)
    assert ratio([1, 30], [10, 100]) == ratio([1, 30], [10, 100])


def test_about_nineteen_of_twenty_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = mean(rng.normal(3.0, 1.0, 60))
        covered += found.low <= 3.0 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_nothing_measured_is_unknown_and_not_zero() -> None:
    assert mean([]) == UNKNOWN
    assert ratio([1.0], [0.0]) == UNKNOWN
    assert share(0, 0) == UNKNOWN
    assert mean([float("nan"), 2.0]).value == 2.0
    assert mean([2.0]).low is None


def test_a_share_has_room_on_both_sides() -> None:
    found = share(10, 10)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.6 < found.low < 0.8


def test_the_area_is_the_mean_height() -> None:
    assert area([0, 1, 3], [2, 2, 2]) == pytest.approx(2.0)
    assert area([1, 2, 4], [0, 1, 1]) == pytest.approx((0.5 + 2) / 3)
    assert area([5], [0.3]) == pytest.approx(0.3)


@pytest.mark.filterwarnings("error")
def test_a_resample_without_any_unit_below_the_line_is_left_out() -> None:
    above, below = np.zeros((5, 1)), np.zeros((5, 1))
    above[0], below[0] = 1, 2
    found = mean_ratio(above, below)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
