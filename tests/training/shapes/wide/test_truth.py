"""The truth of cells in the words of the wider world."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import ATTRIBUTES, GRID, render, sample_scene
from training.shapes.wide.scenes import render_wide, sample_wide_scene
from training.shapes.wide.truth import ATOMS, ROW, cells_of_reading, cells_of_renders, nearest_object, parts_of
from training.shapes.wide.words import PARTS


@pytest.fixture(scope="module")
def renders():
    rng = np.random.default_rng(3)
    return [render_wide(sample_wide_scene(rng)) for _ in range(30)] + [render(sample_scene(rng)) for _ in range(10)]


def test_atoms_of_cells_are_those_of_masks(renders):
    cells = cells_of_renders(renders)
    every = np.arange(len(renders))
    index = np.argwhere(np.ones((len(renders), GRID, GRID), bool))
    hold = cells.atoms_at(*index.T).reshape(len(renders), GRID, GRID, -1)
    for atom in ATOMS[:: len(ATOMS) // 60]:
        assert np.array_equal(hold[..., ROW[atom]], cells.where([atom], every)), atom
    assert np.array_equal(hold.any((1, 2)), cells.present)


def test_the_world_has_the_truth_that_its_own_renders_have(renders):
    cells = cells_of_renders(renders)
    for n in range(30, 40):
        own = renders[n].cells()
        for kind in ("color", "shape", "texture", "size", "background", "part"):
            for i, word in enumerate(ATTRIBUTES[kind]):
                assert np.array_equal(cells.where([("", word)], np.array([n]))[0], own[kind] == i), word


def test_parts_of_a_square_and_what_lies_beside_it():
    owner = np.full((GRID, GRID), -1)
    owner[2:5, 1:4], owner[2:5, 7:9] = 0, 1
    inside = np.zeros((GRID, GRID), bool)
    inside[3, 2] = True
    part = dict(zip(PARTS, parts_of(owner, inside), strict=True))
    assert np.argwhere(part["left side"]).tolist() == [[2, 1], [2, 7], [3, 1], [3, 7], [4, 1], [4, 7]]
    assert {tuple(c) for c in np.argwhere(part["corner"])} >= {(2, 1), (2, 3), (4, 1), (4, 3)}
    assert not part["corner"][3, 2]
    assert part["edge"].sum() == 14
    assert part["inside"].sum() == 1
    assert np.argwhere(part["between"]).tolist() == [[r, c] for r in (2, 3, 4) for c in (4, 5, 6)]
    assert part["above"][:2, 1:4].all()
    assert not part["above"][2:].any()
    assert part["outside"][1, 0]
    assert not part["outside"][0, 0]
    assert part["open"][7:, :].all()
    near = nearest_object(owner)
    assert (near[3, 4], near[3, 6], near[3, 2], near[9, 9]) == (0, 1, -1, -1)


def test_a_reading_of_a_picture_gives_the_truth_of_its_render():
    rng = np.random.default_rng(8)
    made = [render(sample_scene(rng)) for _ in range(30)]
    exact = cells_of_renders(made)
    read = cells_of_reading(Oracle.load().read(np.stack([r.image for r in made])), [r.scene.caption for r in made])
    every = np.arange(30)
    for word in ("red", "circle", "striped", "large", "edge", "left side", "outside", "sky", "object"):
        agree = read.where([("", word)], every) == exact.where([("", word)], every)
        assert agree.mean() > 0.97, word
