"""Labels and scores held against truths: stored and read again, told apart, correlated."""

import json

import numpy as np
import pytest

from autointerp.shapes.concepts import all_concepts
from autointerp.shapes.truth import FeatureTruth
from autointerp.shapes.verdict import Evaluated, accuracy, correlation, truth_auroc


@pytest.fixture
def own():
    """Features about red, about nothing, about circles; one that is silent."""
    concepts = list(all_concepts())
    at = {concept.name: i for i, concept in enumerate(concepts)}
    precisions = np.zeros((4, len(concepts)))
    precisions[0, at["red"]], precisions[1, at["red"]], precisions[2, at["circle"]] = 0.9, 0.25, 0.7
    precisions[3] = np.nan
    truths = [
        FeatureTruth(concepts[at[name]], 0.8, 0.1, 12.0, 7) if name else None for name in ("red", "", "circle", "")
    ]
    return Evaluated(truths, precisions, concepts)


def test_what_is_stored_is_what_was_measured(own):
    again = Evaluated.from_dict(json.loads(json.dumps(own.as_dict(), allow_nan=False)))
    assert again.truths == own.truths
    assert again.concepts == own.concepts
    assert np.array_equal(again.precisions, own.precisions, equal_nan=True)


def test_scores_that_know_truths_from_none(own):
    assert truth_auroc(own, {0: 0.9, 1: 0.4, 2: 0.8, 3: 0.5}) == 1.0
    assert truth_auroc(own, {0: 0.4, 1: 0.9, 2: 0.5, 3: 0.8}) == 0.0
    assert truth_auroc(own, {0: 0.5, 1: 0.5, 2: None, 3: 0.5}) == 0.5
    assert truth_auroc(own, {0: 0.9, 2: 0.1}) is None
    assert truth_auroc(own, {}) is None


def test_scores_that_follow_the_precision_of_what_is_said(own):
    named = {0: ("red", 0.9), 1: ("red", 0.25), 2: ("circle", 0.7), 3: ("star", 1.0)}
    assert correlation(own, named) == pytest.approx(1.0)
    assert correlation(own, {i: (name, 1 - score) for i, (name, score) in named.items()}) == pytest.approx(-1.0)
    assert accuracy(own.truths, {0: "red things", 2: "stars"})["label_accuracy"] == 0.5
