"""The rule of what a sample of cells speaks for agrees with the rule of truths, over the same cells."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.earned_words import ActiveEntries, EarnedWords
from autointerp.shapes.scenes import ATTRIBUTES
from autointerp.shapes.truth import MIN_ODDS_RATIO, odds_ratios
from training.shapes.refine.sampled import AGREE, SampleRule
from training.shapes.vlm_pool import joined
from training.shapes.vlm_questions import Shown


@pytest.fixture(scope="module")
def rule(pool):
    return SampleRule(pool)


def sample(mask, rng, count=20):
    """One cell of each of `count` pictures in which a mask holds."""
    pictures = rng.permutation(np.flatnonzero(mask.any((1, 2))))[:count]
    shown = []
    for picture in pictures.tolist():
        row, col = rng.permutation(np.argwhere(mask[picture]))[0].tolist()
        shown.append(Shown(picture, (row, col)))
    return shown


def mask_of(pool, name):
    return pool.masks[[concept.name for concept in pool.concepts].index(name)]


@pytest.mark.parametrize("name", ["edge", "dotted", "night", "object", "red"])
def test_cells_of_a_concept_speak_for_it(pool, rule, name):
    """Not for the pair with a word that most of its cells have anyway."""
    said = [rule.spoken(sample(mask_of(pool, name), np.random.default_rng(seed))).common[-1] for seed in range(10)]
    assert [one.name if one else "" for one in said].count(name) >= 8


def test_cells_of_any_kind_speak_for_nothing(pool, rule):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        half = sample(mask_of(pool, "edge"), rng, 12) + sample(mask_of(pool, "night"), rng, 12)
        assert rule.spoken(half).common[-1] is None


def test_the_rule_is_that_of_truths_over_the_same_cells(pool, rule):
    """Precision, odds ratio and earned words, against the slow code that evaluation uses."""
    # Of so many pictures that the error of base rates, which the slow code counts too, is small.
    many = joined([pool] * 16)
    earned = EarnedWords(many.concepts, many.masks)
    row_of = {concept.name: i for i, concept in enumerate(pool.concepts)}
    agreeing = 0
    for seed, name in enumerate(("large dotted", "edge", "dotted", "red striped", "object", "small")):
        shown = sample(mask_of(pool, name), np.random.default_rng(seed), 16)
        cells = np.array([(s.picture, *s.cell) for s in shown])
        hold = pool.masks[:, cells[:, 0], cells[:, 1], cells[:, 2]].mean(1)
        good = (hold >= AGREE) & (odds_ratios(hold, np.maximum(pool.base_rates, 1e-4)) >= MIN_ODDS_RATIO)
        flat = cells[:, 0] * 144 + cells[:, 1] * 12 + cells[:, 2]
        active, weights = ActiveEntries(flat, cells[:, 0]), np.ones(len(many))
        lifts = {
            concept.name: hold[i] / pool.base_rates[i]
            for i, concept in enumerate(pool.concepts)
            if good[i] and earned.holds(i, active, weights)
        }
        said = rule.spoken(shown).common[-1]
        agreeing += bool(said) == bool(lifts) and (not lifts or said.name == max(lifts, key=lifts.__getitem__))
        assert said is None or hold[row_of[said.name]] >= AGREE
    assert agreeing == 6


def test_what_is_said_after_each_cell_is_what_is_said_of_the_first_cells(pool, rule):
    shown = sample(mask_of(pool, "dotted"), np.random.default_rng(4))
    spoken = rule.spoken(shown)
    assert [rule.spoken(shown[:n]).common[-1] for n in (1, 5, 20)] == [spoken.common[n - 1] for n in (1, 5, 20)]
    assert 0 <= spoken.confidence <= 1
    assert spoken.share >= AGREE


def test_a_word_that_the_others_bring_along_is_not_said(pool, rule):
    """Most insides are large: of dotted insides `large` says nothing."""
    inside = pool.cells["part"] == ATTRIBUTES["part"].index("inside")
    said = [
        rule.spoken(sample(mask_of(pool, "dotted") & inside, np.random.default_rng(n))).common[-1] for n in range(8)
    ]
    assert "large dotted" not in [one.name if one else "" for one in said]
