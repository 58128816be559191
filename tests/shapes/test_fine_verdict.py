"""Features against the finer list: exact ones get full marks, noise gets none, and moved ones find places alone."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.shapes.fine_concepts import fine_masks
from autointerp.shapes.fine_verdict import FineTruth, fine_figures, fine_label_figures, moved
from autointerp.shapes.scenes import ATTRIBUTES, GRID, render, sample_scene
from autointerp.shapes.verdict import Firing, Truth

IMAGES = 300
NAMES = [
    "left edge of object",
    "left edge of large object",
    "above object",
    "beside striped object",
    "edge of dotted object",
    "top left night background",
    "edge on sand background",
    "edge of picture",
    "bottom right",
    "red",
]


@pytest.fixture(scope="module")
def cells() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    renders = [render(sample_scene(rng)).cells() for _ in range(IMAGES)]
    return {name: np.stack([one[name] for one in renders]) for name in ATTRIBUTES}


@pytest.fixture(scope="module")
def truth(cells: dict[str, np.ndarray]) -> FineTruth:
    return FineTruth(cells, (GRID, GRID), np.arange(IMAGES) < IMAGES // 2)


def firing_in(masks: list[np.ndarray]) -> Firing:
    """One feature a mask, that fires at 1 in its cells."""
    where = [np.flatnonzero(mask) for mask in masks]
    feature = np.concatenate([np.full(len(cell), i) for i, cell in enumerate(where)])
    cell = np.concatenate(where)
    return Firing(len(masks), feature, cell, np.ones(len(cell), np.float32), np.ones(len(masks), np.float32))


@pytest.fixture(scope="module")
def exact(cells: dict[str, np.ndarray]) -> Firing:
    concepts, masks = fine_masks(cells)
    of = {concept.name: mask for concept, mask in zip(concepts, masks, strict=True)}
    return firing_in([of[name] for name in NAMES])


def test_features_that_are_concepts_get_full_marks(
    truth: FineTruth, exact: Firing, cells: dict[str, np.ndarray]
) -> None:
    found = truth.of(exact, ACTIVE_SHARE)
    assert [concept.name if concept else None for concept in found] == NAMES
    figures = fine_figures(truth, exact, ACTIVE_SHARE)
    assert figures["grounded"] == figures["specific"] == 1.0
    assert figures["narrower"] == 8 / 10
    assert figures["distinct"] == 10
    assert figures["truths"] == NAMES
    # The list that knows no sides takes most of them for something wider, or for nothing.
    coarse = Truth(cells, (GRID, GRID)).of(exact, ACTIVE_SHARE)
    assert sum(one is not None and one.concept.name in NAMES for one in coarse.truths) == 2


def test_labels_against_the_finer_list(exact: Firing, cells: dict[str, np.ndarray]) -> None:
    ruler = Truth(cells, (GRID, GRID)).of(exact, ACTIVE_SHARE).ruler
    said = {0: "left edges of objects", 1: "left edge of objects", 4: "edges of dotted things", 8: "bottom right"}
    found = fine_label_figures(ruler, NAMES, said)
    assert found == {"exact": 3 / 10, "exact_narrower": 2 / 8}
    assert fine_label_figures(ruler, NAMES, dict(enumerate(NAMES))) == {"exact": 1.0, "exact_narrower": 1.0}
    assert fine_label_figures(ruler, [None] * 10, said) == {"exact": None, "exact_narrower": None}


def test_noise_gets_none(truth: FineTruth) -> None:
    rng = np.random.default_rng(1)
    noise = [rng.random((IMAGES, GRID, GRID)) < share for share in (0.5, 0.1, 0.02, 0.005)]
    figures = fine_figures(truth, firing_in(noise), ACTIVE_SHARE)
    assert figures["grounded"] == figures["narrower"] == figures["moved"]["grounded"] == 0
    assert figures["kinds"] == {}


def test_what_is_moved_to_other_pictures_finds_places_alone(truth: FineTruth, exact: Firing) -> None:
    figures = fine_figures(truth, exact, ACTIVE_SHARE)
    # A corner on a background is that corner alone, once its cells lie in pictures of other backgrounds.
    assert figures["moved"] == {"grounded": 0.3, "places": 0.3}
    elsewhere = truth.of(moved(exact, truth.choosing, (GRID, GRID)), ACTIVE_SHARE)
    assert [concept.name for concept in elsewhere if concept] == ["top left", "edge of picture", "bottom right"]


def test_moving_keeps_cells_and_parts(exact: Firing) -> None:
    choosing = np.arange(IMAGES) < 100
    there = moved(exact, choosing, (GRID, GRID), seed=3)
    tokens = GRID * GRID
    assert np.array_equal(there.cell % tokens, exact.cell % tokens)
    before, after = exact.cell // tokens, there.cell // tokens
    assert np.array_equal(choosing[before], choosing[after])
    assert not (before == after).any()
    assert len(set(zip(before.tolist(), after.tolist(), strict=True))) == len(set(before.tolist()))


def test_a_truth_counts_where_it_holds_on_the_other_pictures_too(truth: FineTruth, exact: Firing) -> None:
    """A feature of red things on the choosing pictures, and of anything on the others, is about nothing."""
    red = exact.cell[exact.feature == NAMES.index("red")]
    chosen = red[truth.choosing[red // (GRID * GRID)]]
    rng = np.random.default_rng(2)
    others = np.flatnonzero(np.repeat(~truth.choosing, GRID * GRID) & (rng.random(IMAGES * GRID * GRID) < 0.05))
    cell = np.concatenate([chosen, others])
    firing = Firing(1, np.zeros(len(cell), np.int64), cell, np.ones(len(cell), np.float32), np.ones(1, np.float32))
    assert truth.of(firing, ACTIVE_SHARE) == [None]
