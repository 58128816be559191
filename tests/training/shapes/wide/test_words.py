"""The words of the wider world are four times those of the world, and others."""

from __future__ import annotations

from autointerp.shapes.scenes import ATTRIBUTES
from training.shapes.wide.words import EXCLUSIVE, LEFT_OUT, NEVER_SEEN, WORDS, WORLD, is_left_out


def test_there_are_more_than_four_times_the_words_of_the_world():
    assert len(set(WORDS)) == len(WORDS)
    assert len(set(WORDS) - set(NEVER_SEEN)) >= 4 * len(WORLD)
    for kind, values in EXCLUSIVE.items():
        assert values[: len(ATTRIBUTES[kind])] == ATTRIBUTES[kind]


def test_pairs_that_are_left_out_are_of_words_that_are_seen():
    seen = set(WORDS) - set(NEVER_SEEN)
    assert len({frozenset(pair) for pair in LEFT_OUT}) == len(LEFT_OUT) >= 20
    assert all(set(pair) <= seen for pair in LEFT_OUT)
    assert is_left_out({"red", "heart", "solid"})
    assert is_left_out({NEVER_SEEN[0]})
    assert not is_left_out({"red", "circle"})
