"""Scenes of the wider world hold what training may see, and draw what the world draws."""

from __future__ import annotations

import numpy as np

from autointerp.shapes.scenes import Scene, SceneObject, held_out, render
from training.shapes.wide.scenes import WideObject, WideScene, is_for_training, render_wide, sample_wide_scene
from training.shapes.wide.words import BACKGROUNDS, COLORS, LEFT_OUT, NEVER_SEEN, PATTERNS, SHAPES

LOOK = (48.0, 48.0, 22.0, (0.2, 0.7), (3.0, -2.0, 1.0))


def test_training_sees_no_pair_that_is_left_out_and_no_held_out_caption():
    rng = np.random.default_rng(0)
    for _ in range(300):
        scene = sample_wide_scene(rng)
        assert not held_out(scene.caption)
        assert scene.background not in NEVER_SEEN
        for thing in scene.objects:
            assert thing.words.isdisjoint(NEVER_SEEN)
            assert not any(set(pair) <= thing.words for pair in LEFT_OUT)
    assert all(held_out(sample_wide_scene(rng, training=False).caption) for _ in range(5))
    of_pair = WideObject("heart", "red", "solid", "large", "center", *LOOK)
    assert not is_for_training(WideScene((of_pair,), "sky", 0.0, 0))


def test_what_the_world_has_is_drawn_as_the_world_draws_it():
    for texture in ("solid", "striped", "dotted"):
        ours = render_wide(WideScene((WideObject("star", "blue", texture, "large", "center", *LOOK),), "sand", 2.0, 0))
        theirs = render(Scene((SceneObject("star", "blue", texture, "large", "center", *LOOK),), "sand", 2.0))
        assert np.abs(ours.image.astype(int) - theirs.image).max() <= 2
        assert np.array_equal(ours.coverage, theirs.coverage)


def test_every_word_is_drawn_and_no_two_alike():
    drawn = {}
    for kind, words in (
        ("shape", SHAPES),
        ("color", tuple(COLORS)),
        ("texture", PATTERNS),
        ("background", BACKGROUNDS),
    ):
        for word in words:
            said = {"shape": "circle", "color": "red", "texture": "solid", "background": "sky"} | {kind: word}
            thing = WideObject(said["shape"], said["color"], said["texture"], "large", "center", *LOOK)
            drawn[kind, word] = render_wide(WideScene((thing,), said["background"], 0.0, 5)).image.astype(int)
    for (kind, word), picture in drawn.items():
        others = [o for (k, w), o in drawn.items() if k == kind and w != word]
        assert min(np.abs(picture - other).mean() for other in others) > 0.5, word
