"""Controls of labels: each finds what it must find, on worlds where that is known."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.concepts import all_concepts
from autointerp.shapes.label_controls import (
    FIGURES,
    Marking,
    constant_labels,
    lenient_rule,
    majority_label,
    search_constant,
    shuffled_labels,
    truthless_named,
)
from autointerp.shapes.truth import FeatureTruth
from autointerp.shapes.verdict import accuracy, shuffled_accuracy

CONCEPTS = {concept.name: concept for concept in all_concepts()}


def truths_of(**counts: int) -> list[FeatureTruth | None]:
    return [
        None if name == "nothing" else FeatureTruth(CONCEPTS[name.replace("_", " ")], 0.9, 0.1, 20.0, 30)
        for name, count in counts.items()
        for _ in range(count)
    ]


def exact_rule(truths: list[FeatureTruth | None]):
    """A rule for tests: the name is the concept's own."""
    return lambda name: np.array([t is not None and t.concept.name == name for t in truths], np.float64)


def marking_of(truths: list[FeatureTruth | None]) -> Marking:
    return Marking(truths, {"lenient": lenient_rule(truths), "exact": exact_rule(truths)})


def test_where_all_truths_are_edge_the_constant_is_edge() -> None:
    marking = marking_of(truths_of(edge=12, nothing=5))
    found, majority = constant_labels(marking), majority_label(marking)
    assert set(found) == {*(key for key, figure in FIGURES.items() if figure.rule != "gain"), "names"}
    for key in marking.figures:
        assert found["names"][key] == majority["names"][key] == "edge"
        assert found[key] == majority[key] == 1.0


def test_a_lenient_rule_is_beaten_by_a_string_and_an_exact_one_is_not() -> None:
    """A world like that of a real dictionary: half of the specific truths are parts."""
    counts = {"edge": 35, "inside": 15, "dotted": 12, "large_pink": 4, "large_dotted": 10, "red": 4, "circle": 3}
    grounds = {"object": 20, "sky": 20, "night": 15, "sand": 10, "checkered": 10}
    marking = marking_of(truths_of(**counts, **grounds, nothing=20))
    found, majority = constant_labels(marking), majority_label(marking)
    assert {"edge", "inside", "dotted", "large"} <= set(found["names"]["lenient_specific"].split())
    assert {"edge", "inside", "object", "sky", "night", "sand", "checkered"} <= set(found["names"]["lenient"].split())
    assert found["lenient_specific"] > 0.9
    assert found["lenient"] > 0.9
    assert majority["lenient"] == pytest.approx(35 / 158)
    # By the exact rule nothing is better than one concept, whatever is searched.
    assert found["names"]["exact"] == "edge"
    assert found["exact"] == majority["exact"] == pytest.approx(35 / 158)
    assert found["exact_specific"] == pytest.approx(35 / 83)
    assert found["macro_exact"] == majority["macro_exact"] == pytest.approx(1 / 12)


def test_a_search_goes_over_words_that_pay_together_alone() -> None:
    marking = marking_of(truths_of(red_circle=9, nothing=3))
    name = search_constant(marking, "lenient")
    assert set(name.split()) == {"red", "circle"}
    # Words of one attribute exclude each other under that rule, so listing two of them is never found.
    marking = marking_of(truths_of(red=6, blue=5))
    assert search_constant(marking, "lenient") == "red"


def test_the_constant_is_marked_on_features_that_it_was_not_chosen_on() -> None:
    """Every truth but one is another's: what is searched on one half is worth nothing on the other half."""
    names = ["red", "blue", "green", "star", "ring", "cross", "red_star", "blue_ring"]
    marking = marking_of(truths_of(**dict.fromkeys(names, 1)))
    found = constant_labels(marking)
    assert found["exact"] == 0.0
    assert majority_label(marking)["exact"] == 1 / 8


def test_no_truth_at_all() -> None:
    marking = marking_of(truths_of(nothing=4))
    assert constant_labels(marking)["lenient"] is None
    assert majority_label(marking)["exact"] is None
    assert marking.of_names({0: "red"})["exact"] is None
    assert truthless_named([], {}) is None


def test_names_of_features_without_a_truth() -> None:
    truths = truths_of(red=2, nothing=4)
    assert truthless_named(truths, {0: "red", 2: "red", 3: "star", 5: ""}) == 0.5
    assert truthless_named(truths, {}) == 0.0
    assert truthless_named(truths_of(red=2), {0: "red"}) is None


def test_labels_are_marked_by_feature_and_by_concept() -> None:
    marking = marking_of(truths_of(edge=3, red=1, sky=1, nothing=1))
    found = marking.of_names({0: "edge", 1: "edge", 2: "edge", 3: "blue", 5: "edge"})
    assert found["exact"] == found["lenient"] == 3 / 5
    assert found["exact_specific"] == 3 / 4
    assert found["macro_exact"] == pytest.approx((1 + 0 + 0) / 3)


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_labels_keep_their_words_and_lose_their_features(seed: int) -> None:
    truths = truths_of(edge=40, red=40, nothing=20)
    right = {i: t.concept.name for i, t in enumerate(truths) if t is not None}
    marking = marking_of(truths)
    assert marking.of_names(right)["exact"] == 1.0
    shuffled = shuffled_labels(marking, right, seed)
    assert shuffled == shuffled_labels(marking, right, seed)
    # Of two names on equally many features, half are still right by chance.
    assert shuffled["exact"] == pytest.approx(0.5, abs=0.06)
    assert shuffled["lenient"] == shuffled_accuracy(truths, right, seed)["label_accuracy"]
    assert accuracy(truths, right)["label_accuracy"] == 1.0
    # One name for all is its own shuffle.
    same = dict.fromkeys(range(80), "edge")
    assert shuffled_labels(marking, same, seed) == marking.of_names(same)
    assert shuffled_accuracy(truths, same, seed) == accuracy(truths, same)
