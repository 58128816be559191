"""What is counted as right of a name, and what is asked of held-out renders."""

from __future__ import annotations

import numpy as np

from autointerp.shapes.scenes import held_out
from training.shapes.wide.measure import asked_about, names_words, pairs_left_out, pairs_seen, words_of
from training.shapes.wide.pool import renders_pool
from training.shapes.wide.scenes import sample_wide_scene
from training.shapes.wide.words import WORLD, is_left_out


def test_names_are_read_to_words():
    assert words_of("left side of red circles") == {"left side", "red", "circle"}
    assert words_of("leaves background top left") == {"leaves", "top left"}
    assert words_of("two leaves") == {"leaf"}
    assert words_of("something else") == frozenset()


def test_a_second_word_of_the_kind_is_wrong():
    assert names_words("large red heart", {"heart", "red"})
    assert names_words("large red heart", {"heart"})
    assert not names_words("red or blue heart", {"red"})
    assert not names_words("heart", {"heart", "red"})


def test_pairs_to_compare_are_none_that_is_left_out():
    seen = pairs_seen()
    assert len(seen) == len(pairs_left_out()) >= 20
    assert not any(set(pair) <= WORLD for pair in (*seen, *pairs_left_out()))
    assert not any(is_left_out(set(pair)) for pair in seen)


def test_held_out_renders_show_what_is_asked_about():
    scenes = [sample_wide_scene(np.random.default_rng((3, n)), False, ("black", "fish")) for n in range(24)]
    assert all(held_out(scene.caption) and {"black", "fish"} <= scene.objects[0].words for scene in scenes)
    asked = asked_about(renders_pool(scenes), [frozenset(("black", "fish")), frozenset(["kite"])], 2)
    assert [sorted(words) for words, _ in asked] == [["black", "fish"]] * 2
    for words, question in asked:
        assert words == question.words
        assert len({shown.picture for shown in question.crops}) == 20
