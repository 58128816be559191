"""The finer list: cells by hand, and words that say them."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.concepts import all_concepts, concept_masks
from autointerp.shapes.fine_concepts import beside, fine_concepts, fine_masks, is_place, neighbour
from autointerp.shapes.scenes import ATTRIBUTES, GRID, render, sample_scene


def picture(*blocks: tuple[int, int, int, str]) -> dict[str, np.ndarray]:
    """One picture on a night background with squares: (first row, first column, side, colour)."""
    cells = {name: np.full((1, GRID, GRID), -1, np.int64) for name in ATTRIBUTES}
    cells["background"][:] = ATTRIBUTES["background"].index("night")
    for row, col, side, color in blocks:
        place = (0, slice(row, row + side), slice(col, col + side))
        inner = (0, slice(row + 1, row + side - 1), slice(col + 1, col + side - 1))
        for name, word in (("color", color), ("shape", "square"), ("texture", "solid"), ("size", "large")):
            cells[name][place] = ATTRIBUTES[name].index(word)
        cells["background"][place] = -1
        cells["part"][place] = ATTRIBUTES["part"].index("edge")
        cells["part"][inner] = ATTRIBUTES["part"].index("inside")
    return cells


def held(cells: dict[str, np.ndarray], name: str) -> set[tuple[int, int]]:
    concepts, masks = fine_masks(cells)
    row = next(i for i, concept in enumerate(concepts) if concept.name == name)
    return {(int(r), int(c)) for _, r, c in np.argwhere(masks[row])}


def test_the_coarse_list_comes_first_as_it_is() -> None:
    rng = np.random.default_rng(0)
    renders = [render(sample_scene(rng)).cells() for _ in range(5)]
    cells = {name: np.stack([one[name] for one in renders]) for name in ATTRIBUTES}
    coarse, coarse_masks = concept_masks(cells)
    fine, masks = fine_masks(cells)
    assert fine[: len(coarse)] == coarse == all_concepts()
    assert np.array_equal(masks[: len(coarse)], coarse_masks)
    assert fine == fine_concepts()
    assert len({concept.name for concept in fine}) == len(fine)
    assert len({concept.words for concept in fine}) == len(fine)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("left edge of object", {(2, 3), (3, 3), (4, 3)}),
        ("top left edge of object", {(2, 3)}),
        ("left edge of red object", {(2, 3), (3, 3), (4, 3)}),
        ("left edge of blue object", set()),
        ("left edge of square", {(2, 3), (3, 3), (4, 3)}),
        ("inside of red object", {(3, 4)}),
        ("above red object", {(1, 3), (1, 4), (1, 5)}),
        ("below object", {(5, 3), (5, 4), (5, 5)}),
        ("left of object", {(2, 2), (3, 2), (4, 2)}),
        ("right of solid object", {(2, 6), (3, 6), (4, 6)}),
        ("inside on night background", {(3, 4)}),
        ("inside on sand background", set()),
        ("top edge of picture", {(0, col) for col in range(GRID)}),
    ],
)
def test_cells_by_hand(name: str, cells: set[tuple[int, int]]) -> None:
    assert held(picture((2, 3, 3, "red")), name) == cells


def test_around_an_object_and_where_two_touch() -> None:
    cells = picture((2, 3, 3, "red"))
    around = {(r, c) for r in range(1, 6) for c in range(2, 7)} - {(r, c) for r in range(2, 5) for c in range(3, 6)}
    assert held(cells, "beside object") == held(cells, "beside red object") == around
    touching = picture((2, 3, 3, "red"), (2, 6, 3, "blue"))
    assert held(touching, "right edge of red object") == set()
    assert held(touching, "right edge of blue object") == {(2, 8), (3, 8), (4, 8)}
    # An object's cell lies beside no other object: it is its own.
    assert not held(touching, "beside blue object") & {(r, c) for r in range(2, 5) for c in range(3, 9)}


def test_places_on_a_background_leave_objects_out() -> None:
    cells = picture((0, 0, 3, "red"))
    found = held(cells, "top left night background")
    assert len(found) == 36 - 9
    assert (0, 0) not in found
    assert len(held(cells, "edge of picture")) == 4 * GRID - 4


def test_neighbours_outside_the_picture_hold_nothing() -> None:
    everywhere = np.ones((1, 3, 3), bool)
    assert neighbour(everywhere, "left")[0].tolist() == [[False, True, True]] * 3
    assert neighbour(everywhere, "bottom")[0].tolist() == [[True] * 3, [True] * 3, [False] * 3]
    assert not beside(everywhere).any()


def test_places_are_those_that_need_no_object_and_no_background() -> None:
    places = {concept.name for concept in fine_concepts() if is_place(concept)}
    assert {"top left", "center", "edge of picture", "left edge of picture"} <= places
    assert not places & {"left edge of object", "top left night background", "object", "sky"}
