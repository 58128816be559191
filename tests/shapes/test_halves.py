"""Truths on halves of the pictures."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.halves import SPLITS, HalfTruths, half_samples, spread
from autointerp.shapes.truth import ActiveCells, TruthSearch


def test_halves_come_in_pairs_that_share_no_picture() -> None:
    halves = half_samples(21, 0)
    assert halves.shape == (2 * SPLITS, 21)
    assert (halves[::2] ^ halves[1::2]).all()
    assert set(halves.sum(1)) == {10, 11}
    assert len({half.tobytes() for half in halves}) == 2 * SPLITS
    assert (half_samples(21, 0) == halves).all()
    assert (half_samples(21, 1) != halves).any()


def test_a_clear_feature_repeats_and_one_of_few_pictures_does_not(world) -> None:
    _, concepts, masks = world
    rows = {concept.name: row for row, concept in enumerate(concepts)}
    circles = np.argwhere(masks[rows["circle"]])
    few = circles[np.isin(circles[:, 0], np.unique(circles[:, 0])[:14])]
    active = [np.argwhere(masks[rows["red"]]), np.argwhere(masks[rows["sky"]]), few]
    feature = np.repeat([0, 1, 2], [len(one) for one in active])
    search = TruthSearch(ActiveCells(4, feature, *np.concatenate(active).T), concepts, masks)
    assert [t and t.concept.name for t in search.truths()] == ["red", "sky", "circle", None]
    halves = HalfTruths.of(search, 0)
    assert (halves.rows[:, :2] == [rows["red"], rows["sky"]]).all()
    assert (halves.rows[:, 3] == -1).all()
    # Fourteen pictures are enough for a truth, and seven are not: at most one half has ten of them.
    of_few = halves.rows[:, 2].reshape(SPLITS, 2)
    assert ((of_few == -1).sum(1) >= 1).all()
    found = halves.repeats(concepts)
    assert 2 / 3 < found["exact"] <= 1
    assert found["exact_specific"] <= found["exact"]
    shares = halves.shares(concepts)
    assert shares["grounded"].min() == 0.5
    assert (shares["grounded"] - shares["specific"] == 0.25).all()


def test_no_truth_on_any_half_has_no_figure(world) -> None:
    _, concepts, masks = world
    none = ActiveCells(2, *(np.zeros(0, np.int64) for _ in range(4)))
    found = HalfTruths.of(TruthSearch(none, concepts, masks), 0).repeats(concepts)
    assert found == {"exact_specific": None, "exact": None, "macro_exact": None}


def test_half_samples_vary_as_whole_sets_do() -> None:
    """The spread of a mean over halves is the standard error of the mean of all."""
    values = np.random.default_rng(0).normal(size=400)
    found = [spread(half_samples(400, seed) @ values / 200) for seed in range(40)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(values.std() / 20, rel=0.1)
    assert spread(np.zeros(0)) == 0
