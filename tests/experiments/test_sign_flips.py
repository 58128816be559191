"""Sign flips: what differs is found, what chance gives is told, and errors over many columns keep their level."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.experiments.sign_flips import flip_signs, paired_ratios


def test_a_column_that_differs_is_found_and_the_others_are_not() -> None:
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(40, 300))
    differences[:, 7] += 2
    differences[:, 8] -= 2
    differences[:, 9] = 0
    found = flip_signs(differences)
    assert set(np.flatnonzero(found.surely)) == {7, 8}
    assert found.rises[7]
    assert not found.rises[8]
    assert found.p[9] == 1.0
    assert not found.alone[9]
    # Each by itself, about one of twenty of the other columns differs, as the swaps say.
    by_chance = found.by_chance(True).value
    assert by_chance is not None
    assert by_chance == pytest.approx(300 * 0.025, rel=0.3)
    assert 2 <= found.alone.sum() <= 40


def test_without_a_difference_any_column_is_found_once_in_twenty_times() -> None:
    rng = np.random.default_rng(1)
    # Columns of one pattern, as features of one picture are.
    runs = [flip_signs(rng.normal(size=(30, 1)) + 0.3 * rng.normal(size=(30, 50)), 200, seed) for seed in range(200)]
    assert 0.01 <= np.mean([run.surely.any() for run in runs]) <= 0.1


def test_a_column_that_differs_in_one_pair_says_nothing() -> None:
    differences = np.zeros((20, 3))
    differences[0, 0] = 5
    differences[:, 1] = np.linspace(1, 2, 20)
    found = flip_signs(differences)
    assert not found.alone[0]
    assert found.p[0] == 1.0
    assert found.surely[1]


def test_few_pairs_find_nothing() -> None:
    assert not flip_signs(np.ones((4, 2)) + np.eye(4)[:, :2]).surely.any()


def test_columns_are_taken_in_parts_without_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    from autointerp.experiments import sign_flips

    differences = np.random.default_rng(2).normal(size=(20, 11))
    whole = flip_signs(differences)
    monkeypatch.setattr(sign_flips, "_COLUMNS", 4)
    parts = flip_signs(differences)
    assert (parts.p == whole.p).all()
    assert (parts.alone == whole.alone).all()
    assert (parts.chance == whole.chance).all()


def test_ratios_of_pairs_and_their_difference() -> None:
    rng = np.random.default_rng(3)
    fired = (rng.integers(0, 5, (50, 2)), rng.integers(0, 5, (50, 2)))
    fired[1][:, 1] = fired[0][:, 1] + 1
    cells = (np.full(50, 10), np.full(50, 20))
    first, second, difference = paired_ratios(fired, cells)
    assert first[0].value == pytest.approx(fired[0][:, 0].sum() / 500)
    assert second[1].value == pytest.approx(fired[1][:, 1].sum() / 1000)
    for one, other, apart in zip(first, second, difference, strict=True):
        assert None not in (one.value, other.value, apart.value, apart.low, apart.high)
        assert apart.value == pytest.approx((other.value or 0) - (one.value or 0))
        assert (apart.low or 0) <= (apart.value or 0) <= (apart.high or 0)
    # Pairs that rise and fall together leave a difference that is known better than either.
    same = (fired[0], fired[0] + 1)
    one, _, apart = (estimates[0] for estimates in paired_ratios(same, (cells[0], cells[0])))
    assert (apart.high or 0) - (apart.low or 0) < 1e-9 < (one.high or 0) - (one.low or 0)
