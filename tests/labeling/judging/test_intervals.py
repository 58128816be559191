from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.judging.intervals import (
    ALIKE,
    MarkedAnswer,
    auroc,
    auroc_interval,
    auroc_score,
    balanced_score,
    clustered_share,
    difference,
    share_of,
    wilson,
)
from autointerp.labeling.protocol import Trial, Verdict

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
    assert 0 <= low <= high <= 1
    assert auroc_interval(p, n, seed) == (value, low, high)
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
    assert few[0] == many[0] == 1.0
    assert few[1] < 0.9 < many[1]


def numbers(truth: bool, values: list[float | None]) -> list[Verdict]:
    return [Verdict(Trial("x", "", None, truth), value=value) for value in values]


def test_auroc_score_is_of_true_against_false_trials() -> None:
    score = auroc_score([*numbers(True, [3, 4, 1, None]), *numbers(False, [2, 0, 0])], "embedding")
    assert score.value == pytest.approx(8 / 9)
    assert score.unscored == 1
    assert score.method == "embedding"
    assert score.ci_low is not None
    assert score.ci_high is not None
    assert score.ci_low < 8 / 9 < score.ci_high


def test_too_few_trials_give_no_value_and_a_note() -> None:
    score = auroc_score([*numbers(True, [3, 4]), *numbers(False, [0.0] * 9)], "embedding")
    assert score.value is None
    assert score.ci_low is None
    assert "2 activating" in score.note


def test_wilson_known_values() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def verdict(truth: bool, holds: bool | None, panel: int | None = None, value: float | None = None) -> Verdict:
    return Verdict(Trial("x", "", None, truth, panel=panel), holds, value=value)


def test_alike_answers_count_for_fewer() -> None:
    apart = clustered_share([MarkedAnswer(i, i < 15) for i in range(20)])
    assert apart == pytest.approx((0.75, *wilson(15, 20)))
    together = clustered_share([MarkedAnswer(i // 4, i < 15) for i in range(20)])
    fewer = 20 / (1 + ALIKE * 3)
    assert together == pytest.approx((0.75, *wilson(0.75 * fewer, fewer)))


def test_weights_count_in_the_share_and_cost_certainty() -> None:
    share = clustered_share([MarkedAnswer(i, i < 2, 5.0 if i < 2 else 1.0) for i in range(12)])
    effective = (2 * 5 + 10) ** 2 / (2 * 25 + 10)
    assert share == pytest.approx((0.5, *wilson(effective / 2, effective)))


def test_intervals_of_unlike_pictures_cover_the_share() -> None:
    """Pictures have different shares, several cells each, and weights that fit how they were drawn."""
    rng, held = np.random.default_rng(0), 0
    chance = rng.beta(2, 1, 4000)
    weight = rng.choice([1.0, 2.0], 4000)
    truth = float(chance @ weight / weight.sum())
    for _ in range(400):
        drawn = rng.integers(4000, size=15)
        answers = [
            MarkedAnswer(n, bool(rng.random() < chance[one]), weight[one]) for n, one in enumerate(drawn) for _ in "ab"
        ]
        share = clustered_share(answers)
        held += share.low <= truth <= share.high
    assert 0.92 < held / 400 < 0.99


def test_balanced_score_counts_and_one_sided_answers() -> None:
    verdicts = [verdict(True, True)] * 6 + [verdict(True, False)] * 2 + [verdict(False, False)] * 3
    verdicts += [verdict(False, True), verdict(True, None), verdict(False, None)]
    score = balanced_score(verdicts, "detection")
    assert (score.tp, score.fn, score.tn, score.fp, score.unscored) == (6, 2, 3, 1, 2)
    assert score.value == pytest.approx(0.75)
    assert score.ci_low < 0.75 < score.ci_high
    one_sided = balanced_score([verdict(True, True), verdict(False, None)], "detection")
    assert one_sided.value is None
    assert "non-activating" in one_sided.note
    assert one_sided.unscored == 1
    assert balanced_score([], "detection").note == "too few held-out crops"


def test_a_rating_counts_by_its_part() -> None:
    rated = [verdict(True, True, value=0.9), verdict(True, False, value=0.3), verdict(False, False, value=0.2)]
    score = balanced_score([*rated, verdict(False, True, value=0.6)], "shabalin")
    assert score.value == pytest.approx((0.9 + 0.3 + 0.8 + 0.4) / 4)
    assert (score.tp, score.fp) == (1, 1)


def test_all_right_is_not_certain() -> None:
    few = balanced_score([verdict(True, True), verdict(False, False)] * 3, "detection")
    many = balanced_score([verdict(True, True), verdict(False, False)] * 300, "detection")
    assert few.value == many.value == few.ci_high == 1.0
    assert few.ci_low < 0.75 < 0.98 < many.ci_low


def test_trials_of_a_panel_are_resampled_together() -> None:
    """A panel's crops say one thing once: five of them are worth no more than one."""
    alone, together = [], []
    for panel in range(30):
        right = panel % 3 != 0
        # The wrong choice condemns one that belongs.
        answers = [(True, True), (True, True), (True, True), (True, right), (False, not right)]
        alone += [verdict(truth, holds) for truth, holds in answers]
        together += [verdict(truth, holds, panel) for truth, holds in answers]
    one, other = balanced_score(alone, "intruder"), balanced_score(together, "intruder")
    assert one.value == other.value == pytest.approx((110 / 120 + 20 / 30) / 2)
    assert other.ci_high - other.ci_low > 1.1 * (one.ci_high - one.ci_low)  # type: ignore[operator]


def test_balanced_interval_covers_the_truth() -> None:
    """Of trials that are right with probability 0.8 and 0.6, about 95% of intervals hold 0.7."""
    rng = np.random.default_rng(0)
    held = 0
    for i in range(150):
        verdicts = [verdict(True, bool(rng.random() < 0.8)) for _ in range(40)]
        verdicts += [verdict(False, bool(rng.random() > 0.6)) for _ in range(40)]
        score = balanced_score(verdicts, "detection", i)
        held += score.ci_low <= 0.7 <= score.ci_high  # type: ignore[operator]
    assert 0.88 <= held / 150 <= 0.99


def test_rounding_puts_no_share_outside_of_its_interval() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        weights = rng.uniform(1, 9, int(rng.integers(2, 20)))
        answers = [MarkedAnswer(int(rng.integers(5)), True, float(weight)) for weight in weights]
        found = clustered_share(answers)
        assert found.low <= found.value <= found.high <= 1.0
        gain = difference(found, share_of(0, 50))
        assert gain.low <= gain.value <= gain.high <= 1.0
