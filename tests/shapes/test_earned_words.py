"""A word belongs to a truth only where it is more frequent than the other words and the activity make it."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.concepts import Concept, concept_masks
from autointerp.shapes.earned_words import ActiveEntries, EarnedWords
from autointerp.shapes.fine_concepts import fine_masks
from autointerp.shapes.scenes import ATTRIBUTES, render, sample_scene
from autointerp.shapes.truth import MIN_PRECISION, ActiveCells, TruthSearch

IMAGES = 600


@pytest.fixture(scope="module")
def cells() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    seen = [render(sample_scene(rng)).cells() for _ in range(IMAGES)]
    return {name: np.stack([one[name] for one in seen]) for name in ATTRIBUTES}


def entries(mask: np.ndarray) -> ActiveEntries:
    cell = np.flatnonzero(mask)
    return ActiveEntries(cell, cell // 144)


def truth_of(masks: np.ndarray, concepts: list[Concept], active: np.ndarray) -> str | None:
    where = np.argwhere(active)
    search = TruthSearch(ActiveCells(1, np.zeros(len(where), np.int64), *where.T), concepts, masks)
    (truth,) = search.truths()
    return None if truth is None else truth.concept.name


def test_what_the_world_makes_frequent_is_no_part_of_a_truth(cells) -> None:
    """A feature that is 98% dotted, in a world where most insides are large, is about dotted things alone."""
    concepts, masks = concept_masks(cells)
    by_name = {concept.name: mask for concept, mask in zip(concepts, masks, strict=True)}
    rng = np.random.default_rng(0)
    inside = by_name["inside"]
    dotted, other = (inside & by_name["dotted"], inside & ~by_name["dotted"])
    assert by_name["large"][inside].mean() > 0.74
    fires = dotted & (rng.random(inside.shape) < 0.5)
    fires |= other & (rng.random(inside.shape) < 0.02 * fires.sum() / other.sum())
    # Some pictures of small ones are left out, as may happen to be so, until `large dotted` is above the bar.
    for picture in rng.permutation(np.unique(np.nonzero(fires & ~by_name["large"])[0])):
        if by_name["large dotted"][fires].mean() > MIN_PRECISION + 0.005:
            break
        fires[picture] &= by_name["large"][picture]
    assert by_name["dotted"][fires].mean() == pytest.approx(0.98, abs=0.01)
    assert by_name["large dotted"][fires].mean() > MIN_PRECISION
    assert truth_of(masks, concepts, fires) == "dotted"


def test_what_is_about_both_words_keeps_both(cells) -> None:
    concepts, masks = concept_masks(cells)
    rng = np.random.default_rng(1)
    for name in ("large dotted", "small dotted", "red circle", "large top left", "blue solid"):
        mask = next(m for c, m in zip(concepts, masks, strict=True) if c.name == name)
        assert truth_of(masks, concepts, mask & (rng.random(mask.shape) < 0.3)) == name


def test_the_picture_is_the_unit(cells) -> None:
    """Many cells of few pictures prove nothing."""
    concepts, masks = concept_masks(cells)
    rows = {concept.name: row for row, concept in enumerate(concepts)}
    test, once = EarnedWords(concepts, masks), np.ones(IMAGES)
    both, dotted = masks[rows["large dotted"]], masks[rows["dotted"]]
    few = np.zeros(IMAGES, bool)
    few[np.flatnonzero(both.any((1, 2)) & (dotted == both).all((1, 2)))[:4]] = True
    assert both[few].sum() > 60
    assert not test.holds(rows["large dotted"], entries(dotted & few[:, None, None]), once)
    assert test.holds(rows["large dotted"], entries(both), once)
    assert not test.holds(rows["large dotted"], entries(dotted), once)
    # A picture that counts ten times is ten pictures; one that counts nothing is none.
    assert test.holds(rows["large dotted"], entries(both & few[:, None, None]), np.where(few, 10.0, 1.0))
    assert not test.holds(rows["large dotted"], entries(both), np.zeros(IMAGES))


def test_broader_concepts(cells) -> None:
    concepts, masks = fine_masks({name: values[:60] for name, values in cells.items()})
    rows = {concept.name: row for row, concept in enumerate(concepts)}
    test = EarnedWords(concepts, masks)

    def broader(name: str) -> set[str]:
        return {concepts[row].name for row in test.broader(rows[name])}

    assert broader("red") == broader("object") == set()
    assert broader("red circle") == {"red", "circle"}
    assert broader("edge of red object") == {"edge", "red"}
    assert broader("left edge of red object") == {"left edge of object", "red"}
    assert broader("beside red object") == {"beside object"}
    assert broader("top left night background") == {"top left", "night"}
    assert broader("edge on night background") == {"edge", "object on night background"}
