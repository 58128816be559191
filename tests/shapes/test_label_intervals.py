"""Intervals that take concepts as what was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.extensions import Atoms
from autointerp.shapes.label_intervals import RESAMPLES, clustered_auroc, drawn, right_auroc
from autointerp.shapes.label_verdict import Activity, LabelRuler
from autointerp.shapes.truth import FeatureTruth


def test_an_auroc_is_that_of_pairs() -> None:
    values, right = np.array([0.9, 0.5, 0.8, 0.5, 0.1, 0.2]), np.arange(6) < 3
    value, low, high = clustered_auroc(values, right, list("abcdef"), 0)
    assert value == pytest.approx(8.5 / 9)
    assert low is not None
    assert high is not None
    assert low <= value <= high == 1.0


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
