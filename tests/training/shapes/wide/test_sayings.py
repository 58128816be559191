"""Concepts as they are said."""

from __future__ import annotations

import numpy as np

from autointerp.shapes.truth import SYNONYMS as MEASURED
from training.shapes.wide.sayings import SYNONYMS, phrase, reworded
from training.shapes.wide.words import FINE, NEVER_SEEN, WORDS


def test_synonyms_are_others_than_those_of_the_measure_and_more():
    own = {(word, other) for word, others in SYNONYMS.items() for other in others}
    measured = {(word, other) for word, others in MEASURED.items() for other in others}
    assert len(own - measured) > 2 * len(measured)
    assert not {other for _, other in own} & set(WORDS)
    assert not set(SYNONYMS) & set(NEVER_SEEN)
    assert set(SYNONYMS) <= set(WORDS)


def test_concepts_are_said_in_the_order_of_english():
    def said(*words):
        return phrase([tuple(word.split(":")) if ":" in word else ("", word) for word in words])

    assert said("circle", "red") == "red circle"
    assert said("striped", "large") == "large striped"
    assert said("edge") == "edge of objects"
    assert said("left side", "maroon", "heart") == "left side of maroon hearts"
    assert said("outside", "near:red") == "outside of red objects"
    assert said("above", "near:cross") == "above crosses"
    assert said("night", "top left") == "night background top left"
    assert said("red", "top left") == "red top left"
    assert said("edge", "on:sky") == "edge of objects on sky background"
    assert said("top half") == "top half"
    assert said("object") == "object"
    assert said("open") == "open background"


def test_words_are_said_otherwise():
    rng = np.random.default_rng(0)
    names = {reworded("maroon heart", ["maroon", "heart"], rng, 0.5) for _ in range(60)}
    assert {"maroon heart", "maroon valentine", "burgundy heart"} <= names
    assert FINE
