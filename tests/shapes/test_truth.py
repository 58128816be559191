"""The truth of a feature, on cases made by hand and against a slow reference."""

import numpy as np
import pytest

from autointerp.shapes.concepts import Concept
from autointerp.shapes.scenes import GRID
from autointerp.shapes.truth import (
    ActiveCells,
    TruthSearch,
    feature_precisions,
    feature_truths,
    names_truth,
    odds_ratios,
)

IMAGES = 200
"""Renders of the fixture `world`."""


def active_from(masks: list[np.ndarray]) -> ActiveCells:
    where = [np.argwhere(m) for m in masks]
    feature = np.concatenate([np.full(len(w), i) for i, w in enumerate(where)])
    image, row, col = np.concatenate(where).T
    return ActiveCells(len(masks), feature, image, row, col)


def test_precisions_against_naive(world):
    _, concepts, masks = world
    rng = np.random.default_rng(1)
    features = [rng.random((IMAGES, GRID, GRID)) < p for p in (0.0005, 0.01, 0.3)] + [np.zeros_like(masks[0])]
    active = active_from(features)
    shuffle = rng.permutation(len(active.feature))
    active = ActiveCells(4, *(x[shuffle] for x in (active.feature, active.image, active.row, active.col)))
    precision = feature_precisions(active, masks)
    for f in range(3):
        for c in range(len(concepts)):
            assert precision[f, c] == pytest.approx(masks[c][features[f]].mean(), abs=1e-12)
    assert np.isnan(precision[3]).all()
    assert TruthSearch(active, concepts, masks).images_active().tolist() == [int(f.any((1, 2)).sum()) for f in features]


def test_truth_is_the_narrowest(world):
    _, concepts, masks = world
    of = {c.name: m for c, m in zip(concepts, masks, strict=True)}
    left_of_red = of["red"] & (np.arange(GRID) % 2 == 0)
    truths = feature_truths(
        active_from(
            [
                of["red"],
                left_of_red,
                of["striped circle"],
                of["object"],
                of["sky"],
                np.ones_like(of["sky"]),
                np.zeros_like(of["sky"]),
                of["bottom right"],
            ]
        ),
        concepts,
        masks,
    )
    names = [t.concept.name if t else None for t in truths]
    assert names == ["red", "red", "striped circle", "object", "sky", None, None, "bottom right"]
    assert truths[0].precision == 1
    assert truths[0].lift == pytest.approx(1 / of["red"].mean())


def test_bounds_hold(world):
    _, concepts, masks = world
    of = {c.name: m for c, m in zip(concepts, masks, strict=True)}
    red, elsewhere = np.argwhere(of["red"]), np.argwhere(~of["object"])
    rng = np.random.default_rng(0)

    def truth(hits: int, misses: int, **bounds) -> str | None:
        rows = np.concatenate([rng.permutation(red)[:hits], rng.permutation(elsewhere)[:misses]])
        active = ActiveCells(1, np.zeros(len(rows), int), *rows.T)
        found = feature_truths(active, concepts, masks, **bounds)[0]
        return found.concept.name if found else None

    assert len(red) >= 100
    assert truth(80, 20) == "red"
    assert truth(78, 22) is None
    assert truth(78, 22, min_precision=0.75) == "red"
    assert truth(100, 0, min_images=IMAGES + 1) is None
    few = red[np.isin(red[:, 0], np.unique(red[:, 0])[:9])]
    assert feature_truths(ActiveCells(1, np.zeros(len(few), int), *few.T), concepts, masks) == [None]


def test_odds_ratio():
    assert odds_ratios(np.array(0.8), np.array(0.8 / 3)) == pytest.approx(11.0)
    assert odds_ratios(np.array(1.0), np.array(0.5)) == pytest.approx(19.0)
    assert odds_ratios(np.array(1.0), np.array(0.0)) == 0


def test_ties_go_to_the_simpler_concept():
    concepts = [Concept("a b", ("a", "b"), "pair", True), Concept("b", ("b",), "shape", True)]
    masks = np.zeros((2, 40, 2, 2), bool)
    masks[:, :, 0, 0] = True
    assert feature_truths(active_from([masks[0]]), concepts, masks)[0].concept.name == "b"


@pytest.mark.parametrize(
    ("label", "words", "kind", "right"),
    [
        ("red circle", ("red", "circle"), "pair", True),
        ("circles, reddish", ("red", "circle"), "pair", True),
        ("red things", ("red", "circle"), "pair", False),
        ("large red striped circle", ("red", "circle"), "pair", True),
        ("red or blue circle", ("red", "circle"), "pair", False),
        ("red, green, blue", ("red",), "color", False),
        ("hundred circles", ("red",), "color", False),
        ("Stripes", ("striped",), "texture", True),
        ("polka dots", ("dotted",), "texture", True),
        ("plain surface", ("solid",), "texture", True),
        ("upper left corner", ("top left",), "position", True),
        ("top right", ("top left",), "position", False),
        ("left side", ("top left",), "position", False),
        ("red object in the top left", ("red", "top left"), "pair", True),
        ("middle of the picture", ("center",), "position", True),
        ("outline of a star", ("edge",), "part", True),
        ("interior of objects", ("inside",), "part", True),
        ("night sky", ("night",), "background", True),
        ("", ("object",), "object", False),
    ],
)
def test_names_truth(label, words, kind, right):
    assert names_truth(label, Concept(" ".join(words), words, kind, True)) is right
