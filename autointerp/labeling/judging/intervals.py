"""From verdicts to a value with its 95% confidence interval.

An answer that could not be read is counted as unscored and enters no value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autointerp.labeling.protocol import ScoreResult, ShareEstimate, Verdict

_Z = 1.959964
_RESAMPLES = 1000
ALIKE = 0.4
"""Intraclass correlation that is assumed of answers on cells of one picture."""


class MarkedAnswer(NamedTuple):
    """A yes or no on a marked cell of a picture, which stands for `weight` cells."""

    picture: int
    yes: bool
    weight: float = 1.0


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """Return the probability that a positive value lies above a negative one; ties count half.

    Args:
        positive: float [m].
        negative: float [n].
    """
    return float(_wins(positive, negative).mean())


def _wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Return 1 where a positive value lies above a negative one, 0.5 for a tie, else 0: float64 [m, n]."""
    difference = np.asarray(positive, np.float64)[:, None] - np.asarray(negative, np.float64)[None, :]
    return 0.5 * (1 + np.sign(difference))


def auroc_interval(positive: np.ndarray, negative: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Return the AUROC with its bootstrap percentile interval; positives and negatives are resampled separately.

    After perfect separation all resamples are equal. The interval is then that of Hanley and McNeil's (1982) standard
    error for one misplaced pair in the smaller group, because a few crops cannot prove perfection.
    """
    wins = _wins(positive, negative)
    m, n = wins.shape
    value = float(wins.mean())
    rng = np.random.default_rng(seed)
    weights_m = rng.multinomial(m, np.full(m, 1 / m), _RESAMPLES) / m
    weights_n = rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES) / n
    samples = np.einsum("bm,mn,bn->b", weights_m, wins, weights_n, optimize=True)
    low, high = (float(v) for v in np.quantile(samples, [0.025, 0.975]))
    if high - low < 1e-9:
        a = min(max(value, 0.5 / min(m, n)), 1 - 0.5 / min(m, n))
        q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
        error = math.sqrt(max(0.0, a * (1 - a) + (m - 1) * (q1 - a * a) + (n - 1) * (q2 - a * a)) / (m * n))
        low, high = min(low, a - _Z * error), max(high, a + _Z * error)
    return value, max(0.0, low), min(1.0, high)


def auroc_score(verdicts: Sequence[Verdict], method: str, seed: int = 0, least: int = 3) -> ScoreResult:
    """Return the AUROC of the verdicts' numbers, those of true trials against those of false trials.

    There is no value with fewer than `least` numbers of either kind.
    """
    read = [(v.trial.truth, v.value) for v in verdicts if v.value is not None]
    positive, negative = (np.array([value for truth, value in read if truth is side]) for side in (True, False))
    unscored, kept = len(verdicts) - len(read), tuple(verdicts)
    if min(len(positive), len(negative)) < least:
        note = f"too few trials ({len(positive)} activating, {len(negative)} others)"
        return ScoreResult(method, None, unscored=unscored, note=note, verdicts=kept)
    value, low, high = auroc_interval(positive, negative, seed)
    return ScoreResult(method, value, low, high, unscored=unscored, verdicts=kept)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Return Wilson's 95% interval of a share."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z * _Z
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    # Rounding must not put the share outside of its own interval.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def share_of(yes: float, asked: float) -> ShareEstimate:
    """Return a share with Wilson's interval."""
    return ShareEstimate(yes / asked, *wilson(yes, asked))


def clustered_share(answers: Sequence[MarkedAnswer]) -> ShareEstimate:
    """Return the weighted share of yes among cells of several pictures, with Wilson's interval.

    Cells of one picture are alike, and cells of unlike weights say less than as many of one weight. So the number of
    answers is divided by the design effect of both (Kish 1965), for an intraclass correlation of `ALIKE`.

    Args:
        answers: The answers, at least one.
    """
    weight = np.array([one.weight for one in answers])
    yes = np.array([one.yes for one in answers], np.float64)
    value = min(1.0, float(weight @ yes / weight.sum()))
    _, picture = np.unique([one.picture for one in answers], return_inverse=True)
    of_picture = np.bincount(picture, weight)
    alike = (1 - ALIKE) * (weight @ weight) + ALIKE * (of_picture @ of_picture)
    effective = float(weight.sum() ** 2 / alike)
    return ShareEstimate(value, *wilson(value * effective, effective))


def difference(one: ShareEstimate, other: ShareEstimate) -> ShareEstimate:
    """Return the difference of two independent shares; its interval joins theirs as in Newcombe (1998)."""
    value = one.value - other.value
    low = value - math.hypot(one.value - one.low, other.high - other.value)
    high = value + math.hypot(one.high - one.value, other.value - other.low)
    return ShareEstimate(value, max(-1.0, low), min(1.0, high))


def balanced_score(verdicts: Sequence[Verdict], method: str, seed: int = 0) -> ScoreResult:
    """Return the balanced accuracy (TPR + TNR) / 2 of a judge's verdicts; a rating from 0 to 1 counts as a part.

    The interval is a bootstrap's, in which trials of one panel stay together. All resamples are equal where all answers
    are right, or all are of one kind. The interval is then made of Wilson's intervals of both shares, joined as in
    Newcombe (1998). There is no value without a readable answer to a true trial and to a false one.
    """
    read = [v for v in verdicts if v.holds is not None]
    tp, fn = (sum(v.trial.truth and v.holds is holds for v in read) for holds in (True, False))
    fp, tn = (sum(not v.trial.truth and v.holds is holds for v in read) for holds in (True, False))
    unscored, kept = len(verdicts) - len(read), tuple(verdicts)
    if tp + fn == 0 or tn + fp == 0:
        note = "too few held-out crops"
        if verdicts:
            note = f"no readable answer on {'activating' if tp + fn == 0 else 'non-activating'} images"
        return ScoreResult(method, None, None, None, tp, fp, tn, fn, unscored, note, kept)
    units = _units(read)
    right, asked = units.sum(0)
    value = float((right / asked).mean())
    low, high = _balanced_interval(units, seed)
    if high - low < 1e-9:
        panels = (units[:, 1] > 0).sum(0)
        (low_p, high_p), (low_n, high_n) = (wilson(r / a * n, n) for r, a, n in zip(right, asked, panels, strict=True))
        tpr, tnr = right / asked
        low = value - math.hypot(tpr - low_p, tnr - low_n) / 2
        high = value + math.hypot(high_p - tpr, high_n - tnr) / 2
    return ScoreResult(method, value, max(0.0, low), min(1.0, high), tp, fp, tn, fn, unscored, "", kept)


def _units(verdicts: Sequence[Verdict]) -> np.ndarray:
    """Return the right answers and the trials, of true and of false trials: float64 [units, true or false, 2].

    A unit is answered at once: a panel, or a trial by itself.
    """
    units: dict[tuple[int | None, int], np.ndarray] = {}
    for number, verdict in enumerate(verdicts):
        truth, panel = verdict.trial.truth, verdict.trial.panel
        unit = units.setdefault((panel, number if panel is None else 0), np.zeros((2, 2)))
        rating = float(bool(verdict.holds)) if verdict.value is None else verdict.value
        unit[:, 0 if truth else 1] += (rating if truth else 1 - rating, 1)
    return np.array(list(units.values()))


def _balanced_interval(units: np.ndarray, seed: int) -> tuple[float, float]:
    """Return the bootstrap percentile interval; units of the same numbers of trials are resampled together."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((_RESAMPLES, 2, 2))
    _, stratum = np.unique(units[:, 1], axis=0, return_inverse=True)
    for one in range(stratum.max() + 1):
        alike = units[stratum.reshape(-1) == one]
        weights = rng.multinomial(len(alike), np.full(len(alike), 1 / len(alike)), _RESAMPLES)
        sums += np.einsum("bu,urk->brk", weights, alike)
    samples = (sums[:, 0] / sums[:, 1]).mean(1)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)
