"""Verdicts and gain shares of labels: what looks right is right, and listing earns nothing."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.concepts import all_concepts, concept_masks
from autointerp.shapes.label_controls import Marking, constant_labels, majority_label
from autointerp.shapes.label_verdict import VERDICTS, Activity, LabelRuler, relation
from autointerp.shapes.truth import ActiveCells, FeatureTruth, feature_truths

NAMES = [
    *["edge"] * 9, *["inside"] * 4, *["dotted"] * 3, *["striped"] * 3, "large dotted", "red", "blue", "pink circle",
    "star", *["sky"] * 4, *["night"] * 4, *["sand"] * 3, *["checkered"] * 3, *["object"] * 6,
]  # fmt: skip
"""What the features of the fixture are about: a world of truths like that of a real dictionary."""
LISTS = ("edge inside dotted large pink", "edge inside object sky night sand checkered background")
"""Strings that the lenient rule took for right names of most features."""


def active_where(masks: list[np.ndarray]) -> ActiveCells:
    where = [np.argwhere(mask) for mask in masks]
    feature = np.concatenate([np.full(len(w), i) for i, w in enumerate(where)])
    return ActiveCells(len(masks), feature, *np.concatenate(where).T)


@pytest.fixture(scope="module")
def ruler(world) -> LabelRuler:
    """Features that fire on a part of what they are about, and sometimes elsewhere; the last one anywhere."""
    cells, concepts, masks = world
    rng, by_name = np.random.default_rng(3), {c.name: m for c, m in zip(concepts, masks, strict=True)}
    masked = [by_name[name] for name in NAMES]
    fires = [np.where(m, rng.random(m.shape) < 0.4, rng.random(m.shape) < 0.03 * m.mean()) for m in masked]
    active = active_where([*fires, rng.random(masks[0].shape) < 0.05])
    return LabelRuler.of(cells, active, feature_truths(active, concepts, masks))


def test_relations_of_sets() -> None:
    truth = np.arange(1000) < 500
    assert relation(truth, truth) == "exact"
    assert relation(np.arange(1000) < 600, truth) == "too broad"
    assert relation(np.arange(1000) < 300, truth) == "too narrow"
    assert relation((np.arange(1000) >= 400) & (np.arange(1000) < 700), truth) == "overlapping"
    assert relation(~truth, truth) == relation(np.zeros(1000, bool), truth) == "wrong"
    # What the oracle misreads, up to a hundredth, is no difference.
    assert relation(np.arange(1000) < 505, truth) == "exact"
    assert relation(np.arange(1000) < 506, truth) == "too broad"
    assert relation((np.arange(1000) >= 3) & (np.arange(1000) < 900), truth) == "too broad"
    # An entry may stand for many cells.
    assert relation(np.array([1, 1, 0], bool), np.array([1, 0, 0], bool), np.array([200.0, 1.0, 5.0])) == "exact"


def test_truths_are_what_the_features_are_about(ruler) -> None:
    found = [None if truth is None else truth.concept.name for truth in ruler.truths]
    assert found[-1] is None
    assert found[:-1] == NAMES


def test_a_label_that_says_the_truth_is_exact_and_gains_all(ruler) -> None:
    marking = Marking(ruler.truths, ruler.rules())
    right = dict(enumerate(NAMES))
    assert all(value == pytest.approx(1.0) for value in marking.of_names(right).values())
    assert ruler.counts(right) == {**dict.fromkeys(VERDICTS, 0), "exact": len(NAMES)}
    other = {**right, 0: "edge of circles", 13: "objects", 20: "red or blue", 21: "blue circle", 22: "sky", 23: ""}
    counts = ruler.counts(other)
    assert counts == {"exact": len(NAMES) - 6, "too broad": 2, "too narrow": 2, "overlapping": 0, "wrong": 2}
    assert ruler.unreadable({0: "zeppelin", 1: "red", 2: ""}) == {"zeppelin": "the world has no word 'zeppelin'"}


def test_gain_shares(ruler) -> None:
    red = NAMES.index("red")
    assert ruler.gain_share("red")[red] == pytest.approx(1)
    assert 0 < ruler.gain_share("red or blue")[red] < 0.6
    assert 0 < ruler.gain_share("red circle")[red] < 0.4
    assert ruler.gain_share("background")[red] < -0.5
    assert ruler.gain_share("zeppelin")[red] == 0
    assert ruler.gain_share("red")[-1] == 0
    # A broader name than the truth may tell more: nearly all that fires is on objects.
    assert ruler.gain_share("red")[red] < ruler.gain_share("object")[NAMES.index("object")] + 0.01
    precise = ruler.activity.mean(ruler.extension("red").weight)[red]
    assert ruler.gain("red")[red] == pytest.approx(precise - ruler.extension("red").holds.mean())


@pytest.mark.parametrize("text", LISTS)
def test_lists_get_at_most_what_the_best_concept_gets(ruler, text: str) -> None:
    marking = Marking(ruler.truths, ruler.rules())
    for key, figure in marking.figures.items():
        best = max(marking.mean(key, marking.marks(figure.rule, concept.name)) or 0 for concept in all_concepts())
        listed = marking.mean(key, marking.marks(figure.rule, text))
        assert listed is not None
        if figure.rule == "lenient":
            assert listed > best
        else:
            assert listed <= best + 1e-6, key


def test_no_list_that_a_search_finds_is_better_than_a_concept(ruler) -> None:
    states = Marking(ruler.truths, ruler.on_states().rules())
    found, majority = constant_labels(states), majority_label(states)
    assert found["exact"] <= majority["exact"] == pytest.approx(9 / len(NAMES))
    assert found["names"]["exact_specific"] == "edge"
    for key in ("gain_share", "gain_share_specific", "macro_gain_share"):
        name = found["names"][key]
        alternatives = ruler.extension(name)
        assert (alternatives.weight == alternatives.holds).all(), name


def test_states_say_the_same_as_cells(ruler) -> None:
    states = ruler.on_states()
    for name in ("edge", "red or blue", "left edge of circle", "top left", "dotted on sky", "zeppelin", *LISTS):
        assert states.gain_share(name) == pytest.approx(ruler.gain_share(name), abs=1e-5)
        assert (states.exact(name) == ruler.exact(name)).all()


def test_means_over_active_cells() -> None:
    activity = Activity(np.array([0, 2, 2, 3]), np.array([0, 2, 1]), np.array([1.0, 3.0, 2.0]))
    found = activity.mean(np.array([1.0, 0.5, 0.0]))
    assert found[[0, 2]].tolist() == [0.25, 0.5]
    assert np.isnan(found[1])


def test_a_feature_without_a_truth_has_no_verdict(world) -> None:
    cells, _, masks = world
    concepts, _ = concept_masks(cells)
    truths = [None, FeatureTruth(concepts[0], 0.9, 0.1, 20.0, 30)]
    ruler = LabelRuler.of(cells, active_where([masks[3], masks[0]]), truths)
    assert sum(ruler.counts({0: "red", 1: concepts[0].name}).values()) == 1
    assert ruler.exact(concepts[0].name).tolist() == [0, 1]
