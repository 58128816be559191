"""Labels and scores held against truths: stored and read again, told apart, correlated."""

import json

import numpy as np
import pytest

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.shapes.halves import SPLITS, HalfTruths
from autointerp.shapes.held_out import HeldOutCells
from autointerp.shapes.truth import ActiveCells, FeatureTruth
from autointerp.shapes.verdict import Collected, Evaluated, Firing, Truth, accuracy, correlation, truth_auroc


@pytest.fixture
def own(world):
    """Features about red, about nothing, about circles; one that is silent. 100 active cells each."""
    cells, concepts, masks = world
    at = {concept.name: i for i, concept in enumerate(concepts)}
    nothing = np.argwhere(masks[at["sky"]])
    rows = [
        np.concatenate([np.argwhere(masks[at[name]])[:hits], nothing[: 100 - hits]])
        for name, hits in (("red", 90), ("red", 25), ("circle", 70))
    ]
    active = ActiveCells(4, np.repeat([0, 1, 2], 100), *np.concatenate(rows).T)
    truths = [
        FeatureTruth(concepts[at[name]], 0.8, 0.1, 12.0, 7) if name else None for name in ("red", "", "circle", "")
    ]
    rows = np.full((2 * SPLITS, 4), -1, np.int16)
    rows[:, 0] = at["red"]
    return Evaluated(truths, concepts, HeldOutCells(cells, active), HalfTruths(rows, 3))


def test_what_is_stored_is_what_was_measured(own):
    again = Evaluated.from_dict(json.loads(json.dumps(own.as_dict(), allow_nan=False)))
    assert again.truths == own.truths
    assert again.concepts == own.concepts
    assert (again.halves.rows == own.halves.rows).all()
    assert again.halves.seed == 3
    assert np.array_equal(again.precisions, own.precisions, equal_nan=True)
    assert again.precisions[0, [c.name for c in own.concepts].index("red")] == 0.9
    assert np.isnan(again.precisions[3]).all()
    assert (again.ruler.gain("red or circle") == own.ruler.gain("red or circle")).all()


def test_active_is_above_a_fixed_share_of_the_maximum():
    cell = np.array([0, 1, 144 + 5, 2 * 144 + 13])
    acts = np.array([1.0, 0.25, 0.26, 0.9], np.float32)
    firing = Firing(1, np.zeros(4, np.int64), cell, acts, np.ones(1, np.float32))
    everywhere = firing.active(ACTIVE_SHARE, np.ones(3, bool), (12, 12))
    assert (everywhere.image.tolist(), everywhere.row.tolist(), everywhere.col.tolist()) == (
        [0, 1, 2],
        [0, 0, 1],
        [0, 5, 1],
    )
    # Pictures that are left out are not counted, and the others are numbered anew.
    some = firing.active(ACTIVE_SHARE, np.array([False, True, True]), (12, 12))
    assert some.image.tolist() == [0, 1]
    assert len(firing.active(0.95, np.ones(3, bool), (12, 12)).image) == 1


def test_every_picture_counts_for_a_truth(world):
    cells, concepts, masks = world
    row = [concept.name for concept in concepts].index("striped")
    where = np.flatnonzero(masks[row])
    firing = Firing(2, np.zeros(len(where), np.int64), where, np.ones(len(where), np.float32), np.ones(2, np.float32))
    found = Truth(cells, (12, 12)).of(firing, ACTIVE_SHARE)
    assert [None if truth is None else truth.concept.name for truth in found.truths] == ["striped", None]
    assert found.truths[0].images == masks[row].any((1, 2)).sum()
    assert (found.grounded, found.specific) == (0.5, 0.5)


def test_of_several_steps_a_cell_keeps_its_maximum():
    torch = pytest.importorskip("torch")
    from autointerp.dictionaries.protocol import SparseCode

    seen = Collected(3)
    for acts in ([[0.5], [0.0]], [[0.8], [0.2]]):
        seen.add(SparseCode(torch.tensor(acts), torch.tensor([[1], [2]])), 10)
    firing = seen.firing()
    assert (firing.feature.tolist(), firing.cell.tolist()) == ([1, 2], [10, 11])
    assert firing.act.tolist() == pytest.approx([0.8, 0.2])
    assert firing.maximum.tolist() == pytest.approx([0, 0.8, 0.2])


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
