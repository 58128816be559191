from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.protocol import Trial, Verdict
from autointerp.labeling.scores import (
    auroc,
    auroc_interval,
    detection_score,
    embedding_score,
    text_for_embedding,
    wilson,
)

VALUES = st.lists(st.floats(-5, 5).map(lambda v: round(v, 2)), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_auroc_is_the_share_of_pairs(positive: list[float], negative: list[float]) -> None:
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    assert auroc(np.array(positive), np.array(negative)) == pytest.approx(sum(pairs) / len(pairs))
    flipped = auroc(np.array(negative), np.array(positive))
    assert auroc(np.array(positive), np.array(negative)) + flipped == pytest.approx(1)


@given(VALUES, VALUES, st.integers(0, 5))
def test_interval_holds_the_value_and_repeats(positive: list[float], negative: list[float], seed: int) -> None:
    p, n = np.array(positive), np.array(negative)
    value, low, high = auroc_interval(p, n, seed)
    assert 0 <= low <= high <= 1 and auroc_interval(p, n, seed) == (value, low, high)
    assert low - 1e-9 <= value <= high + 1e-9


def test_interval_covers_the_truth() -> None:
    """Over many draws from known distributions, about 95% of intervals hold the true AUROC, Phi(1 / sqrt 2)."""
    rng = np.random.default_rng(0)
    held = 0
    for i in range(300):
        _, low, high = auroc_interval(rng.normal(1, 1, 30), rng.normal(0, 1, 30), i)
        held += low <= 0.7602 <= high
    assert 0.88 <= held / 300 <= 0.99


def test_few_crops_cannot_prove_perfection() -> None:
    few = auroc_interval(np.ones(4), np.zeros(4), 0)
    many = auroc_interval(np.ones(200), np.zeros(200), 0)
    assert few[0] == many[0] == 1.0 and few[1] < 0.9 < many[1]


def unit(rng: np.random.Generator, center: np.ndarray, n: int) -> np.ndarray:
    rows = center + 0.3 * rng.normal(size=(n, len(center)))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_embedding_score_tells_true_from_shuffled() -> None:
    rng = np.random.default_rng(0)
    axes = np.eye(16)
    scores, shuffled = [], []
    for i in range(16):
        own = unit(rng, axes[i], 15)
        others = np.concatenate([unit(rng, axes[j], 2) for j in range(16) if j != i])
        scores.append(embedding_score(axes[i], own, others).value or 0)
        shuffled.append(embedding_score(axes[(i + 5) % 16], own, others).value or 0)
    assert np.mean(scores) > 0.95 and abs(np.mean(shuffled) - 0.5) < 0.1


def test_too_few_crops_give_no_value_and_a_note() -> None:
    score = embedding_score(np.ones(4), np.ones((2, 4)), np.ones((9, 4)))
    assert score.value is None and score.ci_low is None and "2 activating" in score.note


def test_place_is_left_out_of_what_is_embedded() -> None:
    assert text_for_embedding("red circle, top left") == "red circle"
    assert text_for_embedding("top left") == "top left"
    assert text_for_embedding("red, round") == "red round"


def test_wilson_known_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0) and wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def verdict(truth: bool, holds: bool | None) -> Verdict:
    return Verdict(Trial("x", "", None, truth), holds)  # type: ignore[arg-type]


def test_detection_counts_and_one_sided_answers() -> None:
    verdicts = [verdict(True, True)] * 6 + [verdict(True, False)] * 2 + [verdict(False, False)] * 3
    verdicts += [verdict(False, True), verdict(True, None), verdict(False, None)]
    score = detection_score(verdicts)
    assert (score.tp, score.fn, score.tn, score.fp, score.unscored) == (6, 2, 3, 1, 2)
    assert score.value == pytest.approx(0.75) and score.ci_low < 0.75 < score.ci_high  # type: ignore[operator]
    one_sided = detection_score([verdict(True, True), verdict(False, None)])
    assert one_sided.value is None and "non-activating" in one_sided.note and one_sided.unscored == 1
