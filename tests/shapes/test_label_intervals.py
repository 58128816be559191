"""Intervals that take concepts as what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_controls import FIGURES, Marking
from autointerp.shapes.label_intervals import (
    RESAMPLES,
    clustered_auroc,
    drawn,
    feature_intervals,
    label_intervals,
    right_auroc,
    share_interval,
)
from autointerp.shapes.label_verdict import Activity, LabelRuler
from autointerp.shapes.truth import FeatureTruth
from autointerp.shapes.verdict import Evaluated, Firing, Truth


def test_an_auroc_is_that_of_pairs() -> None:
    values, right = np.array([0.9, 0.5, 0.8, 0.5, 0.1, 0.2]), np.arange(6) < 3
    value, low, high = clustered_auroc(values, right, list("abcdef"), 0)
    assert value == pytest.approx(8.5 / 9)
    assert low is not None
    assert high is not None
    assert low <= value <= high == 1.0


def test_perfect_order_has_an_interval() -> None:
    values, right = np.arange(12.0), np.arange(12) >= 8
    value, low, high = clustered_auroc(values, right, [str(i) for i in range(12)], 0)
    assert low is not None
    assert (value, high) == (1.0, 1.0)
    assert 0.4 < low < 0.6  # four of the rarer kind
    assert clustered_auroc(-values, right, [str(i) for i in range(12)], 0)[1] == 0.0


def test_features_of_one_concept_are_drawn_together() -> None:
    rng = np.random.default_rng(0)
    concept = np.repeat(np.arange(8), 25)
    # What a concept gets, all of its features get, so that there are eight cases and not two hundred.
    right, values = concept % 2 == 0, rng.normal(size=8)[concept] + (concept % 2 == 0)
    each = clustered_auroc(values, right, [str(i) for i in range(200)], 0)
    together = clustered_auroc(values, right, [str(c) for c in concept], 0)
    assert each[0] == together[0]
    assert together[2] - together[1] > 3 * (each[2] - each[1])


def test_too_few_of_a_kind_have_no_interval() -> None:
    value, low, high = clustered_auroc(np.array([1.0, 0.0]), np.array([True, False]), ["a", "b"], 0)
    assert (value, low, high) == (1.0, None, None)


def test_resamples_keep_their_size() -> None:
    weights = drawn(7, 1)
    assert weights.shape == (RESAMPLES, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean() == pytest.approx(1, abs=1e-9)


def test_a_score_that_knows_right_names(world) -> None:
    cells, concepts, masks = world
    by_name = {concept.name: concept for concept in concepts}
    truths = [FeatureTruth(by_name[name], 0.9, 0.1, 20.0, 30) for name in ("red", "blue", "star", "ring")] + [None]
    none = Activity(np.zeros(6, np.int64), np.zeros(0, np.int64), np.zeros(0))
    ruler = LabelRuler(Atoms.of_cells(cells), none, truths)
    names = {0: ("red", 0.9), 1: ("blue circle", 0.2), 2: ("stars", 0.8), 3: ("rings", None), 4: ("red", 0.1)}
    found = right_auroc(ruler, names, 0)
    assert (found.value, found.exact) == (1.0, 2)
    assert right_auroc(ruler, {0: ("red", 0.9)}, 0) == (None, None, None, 1)
    assert len(masks) == len(concepts)


ABOUT = ["edge"] * 12 + ["red", "blue", "star", "ring", "dotted", "striped", "sky", "night"]


@pytest.fixture(scope="module")
def own(world) -> Evaluated:
    """Features that fire on a part of what they are about, and two that fire anywhere."""
    cells, concepts, masks = world
    by_name, rng = {c.name: m for c, m in zip(concepts, masks, strict=True)}, np.random.default_rng(0)
    fires = [by_name[name] & (rng.random(masks[0].shape) < 0.3) for name in ABOUT]
    fires += [rng.random(masks[0].shape) < 0.05 for _ in range(2)]
    where = [np.flatnonzero(one) for one in fires]
    feature, cell = np.repeat(np.arange(len(fires)), [len(w) for w in where]), np.concatenate(where)
    acts = np.ones(len(cell), np.float32)
    return Truth(cells, (12, 12)).of(Firing(len(fires), feature, cell, acts, acts[: len(fires)]), ACTIVE_SHARE)


def test_an_interval_near_the_ends_is_not_empty() -> None:
    # All of twelve concepts are right: the resampled error is 0.
    low, high = share_interval(1.0, 0.0, 0.0, 12, 12)
    assert 0.7 < low < 0.8
    assert high == 1.0
    low, high = share_interval(0.0, 0.0, 0.0, 12, 40)
    assert (low, round(high, 2)) == (0.0, 0.24)
    low, high = share_interval(11 / 12, 0.08, 0.0, 12, 12)
    assert low < 11 / 12 - 1.96 * 0.08 < 11 / 12 < high < 1
    # Of many concepts it reaches 1.96 errors to either side.
    assert share_interval(0.5, 0.03, 0.04, 40, 200) == pytest.approx((0.402, 0.598))


def test_every_figure_lies_in_its_interval(own) -> None:
    names = {f: name for f, name in enumerate(ABOUT) if f % 3}
    values = Marking(own.truths, own.ruler.rules()).of_names(names)
    found = label_intervals(own, names, 0)
    assert set(found) == set(FIGURES)
    for key, ends in found.items():
        assert ends is not None
        assert ends[0] < values[key] < ends[1], key
    assert found == label_intervals(own, names, 0)


def test_concepts_are_what_is_drawn(own) -> None:
    """Half of the features have one concept, so that what it gets decides much of a figure."""
    edge = dict.fromkeys(range(12), "edge")
    ends = label_intervals(own, edge, 0)["exact"]
    assert ends is not None
    assert ends[1] - ends[0] > 0.4
    every = label_intervals(own, dict(enumerate(ABOUT)), 0)["exact"]
    assert every is not None
    low, high = every
    assert 0.5 < low < 0.8
    assert high == 1


def test_shares_of_features(own) -> None:
    found = feature_intervals(own)
    assert found["specific"][0] <= own.specific <= found["specific"][1]
    assert found["grounded"][0] <= own.grounded <= found["grounded"][1] <= 1


def test_few_concepts_have_no_interval(world, own) -> None:
    few = Evaluated([None] * 21 + own.truths[:1], own.concepts, own.seen, own.halves)
    assert label_intervals(few, {0: "red"}, 0)["exact"] is None
