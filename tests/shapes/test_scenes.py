"""The renderer's truths agree with its pictures and with each other."""

import numpy as np
import pytest

from autointerp.shapes.scenes import (
    ATTRIBUTES,
    COLORS,
    GRID,
    POSITIONS,
    SHAPES,
    SIZE,
    Scene,
    SceneObject,
    held_out,
    render,
    sample_held_out_scene,
    sample_scene,
    sample_training_scene,
)


def lone(shape: str, texture: str = "solid", color: str = "red", background: str = "night") -> Scene:
    thing = SceneObject(shape, color, texture, "large", "center", 48.0, 48.0, 22.0, (0.0, 0.0), (0.0, 0.0, 0.0))
    return Scene((thing,), background, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("color", COLORS)
def test_mask_is_where_the_colour_is(shape, color):
    truth = render(lone(shape, color=color))
    near = np.abs(truth.image.astype(int) - np.array(COLORS[color])).max(-1) <= 2
    sure = (truth.coverage[0] < 0.01) | (truth.coverage[0] > 0.99)
    assert np.array_equal(near[sure], truth.masks()[color][sure])
    assert 300 < truth.masks()[shape].sum() < 44 * 44


@pytest.mark.parametrize("texture", ["striped", "dotted"])
def test_texture_paints_white_inside_the_object_alone(texture):
    plain, inked = render(lone("square")), render(lone("square", texture))
    changed = (plain.image != inked.image).any(-1)
    assert not changed[plain.coverage[0] == 0].any()
    assert 0.15 < changed[plain.masks()["object"]].mean() < 0.85


@pytest.mark.parametrize("seed", range(20))
def test_cells_agree_with_masks(seed):
    truth = render(sample_scene(np.random.default_rng(seed)))
    cells, masks = truth.cells(), truth.masks()
    assert set(cells) == set(ATTRIBUTES)
    step = SIZE // GRID
    object_share = masks["object"].reshape(GRID, step, GRID, step).mean((1, 3))
    assert (cells["part"][object_share > 0.35] >= 0).all()
    assert (cells["part"][object_share < 0.05] == -1).all()
    assert (object_share[cells["part"] == 1] > 0.85).all()
    assert ((cells["background"] >= 0) == (cells["part"] < 0)).all()
    for name in ("color", "shape", "texture", "size"):
        assert ((cells[name] >= 0) == (cells["part"] >= 0)).all()
        for index in np.unique(cells[name][cells[name] >= 0]):
            share = masks[ATTRIBUTES[name][index]].reshape(GRID, step, GRID, step).mean((1, 3))
            assert (share[cells[name] == index] > 0.05).all()


@pytest.mark.parametrize("seed", range(40))
def test_objects_keep_apart_and_to_their_places(seed):
    truth = render(sample_scene(np.random.default_rng(seed)))
    solid = truth.coverage > 0.5
    assert (solid.sum(0) <= 1).all()
    assert not solid[:, [0, -1]].any()
    assert not solid[:, :, [0, -1]].any()
    for o in truth.scene.objects:
        assert np.hypot(o.x - POSITIONS[o.position][0], o.y - POSITIONS[o.position][1]) < 8
    places = [o.position for o in truth.scene.objects]
    assert len(set(places)) == len(places)
    assert "center" not in places or len(places) == 1


def test_rendering_is_repeatable():
    one, other = (render(sample_scene(np.random.default_rng(7))) for _ in range(2))
    assert np.array_equal(one.image, other.image)


def test_caption_says_every_word():
    scene = sample_scene(np.random.default_rng(3))
    for o in scene.objects:
        assert all(w in scene.caption for w in (o.size, o.color, o.texture, o.shape, o.position))
    assert scene.spoken(np.random.default_rng(0), drop=0.0) == scene.caption


def test_training_and_held_out_captions_are_disjoint():
    rng = np.random.default_rng(0)
    training = {sample_training_scene(rng).caption for _ in range(300)}
    kept = {sample_held_out_scene(rng).caption for _ in range(30)}
    assert not training & kept
    assert not any(map(held_out, training))
    assert all(map(held_out, kept))
    share = np.mean([held_out(sample_scene(rng).caption) for _ in range(2000)])
    assert 0.07 < share < 0.14
