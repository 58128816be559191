"""How true a label is: figures with their 95% confidence intervals.

`embedding`: AUROC of the similarity of the label's words with held-out crops on which the feature fires, against crops
on which it does not. `detection`: balanced accuracy of a judge's answers. An answer that could not be read is counted
as unscored and enters no figure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autointerp.labeling.protocol import ScoreResult, Verdict
from autointerp.labeling.windows import REGIONS

_Z = 1.959964
_RESAMPLES = 1000


def text_for_embedding(name: str) -> str:
    """The words of a label's name that a crop can show: without the place, unless nothing else is named."""
    parts = [part.strip() for part in name.split(",")]
    shown = [part for part in parts if part and part not in REGIONS]
    return " ".join(shown) or name


def auroc(positive: np.ndarray, negative: np.ndarray) -> float:
    """P(a positive value lies above a negative one), ties half: from `positive` [m] and `negative` [n]."""
    return float(_wins(positive, negative).mean())


def _wins(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    difference = np.asarray(positive, np.float64)[:, None] - np.asarray(negative, np.float64)[None, :]
    return 0.5 * (1 + np.sign(difference))


def auroc_interval(positive: np.ndarray, negative: np.ndarray, seed: int) -> tuple[float, float, float]:
    """AUROC with its bootstrap percentile interval; positives and negatives are resampled each by themselves.

    Where no resample differs (perfect separation), the interval reaches as far as Hanley and McNeil's (1982) standard
    error of one misplaced pair in the smaller group does: a few crops cannot prove perfection.
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


def embedding_score(
    label_vector: np.ndarray,
    activating: np.ndarray,
    non_activating: np.ndarray,
    seed: int = 0,
    min_crops: int = 3,
) -> ScoreResult:
    """The embedding score of one label.

    Args:
        label_vector: the unit vector of the label's words, [dim].
        activating: unit vectors of held-out crops on which the feature fires, [m, dim].
        non_activating: unit vectors of held-out crops on which it does not, [n, dim].
        seed: of the bootstrap.
        min_crops: with fewer of either kind there is no score.
    """
    m, n = len(activating), len(non_activating)
    if m < min_crops or n < min_crops:
        return ScoreResult("embedding", None, note=f"too few held-out crops ({m} activating, {n} others)")
    value, low, high = auroc_interval(activating @ label_vector, non_activating @ label_vector, seed)
    return ScoreResult("embedding", value, low, high)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z * _Z
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials)) / (1 + z2 / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def detection_score(verdicts: Sequence[Verdict], method: str = "detection") -> ScoreResult:
    """Balanced accuracy (TPR + TNR) / 2 of a judge's verdicts.

    The interval joins Wilson's of both shares as Newcombe (1998) does for a difference. With no readable answer
    of one kind there is no value.
    """
    read = [(v.trial.truth, v.holds) for v in verdicts if v.holds is not None]
    tp, fn = read.count((True, True)), read.count((True, False))
    tn, fp = read.count((False, False)), read.count((False, True))
    unscored, kept = len(verdicts) - len(read), tuple(verdicts)
    if tp + fn == 0 or tn + fp == 0:
        which = "activating" if tp + fn == 0 else "non-activating"
        note = f"no readable answer on {which} images"
        return ScoreResult(method, None, None, None, tp, fp, tn, fn, unscored, note, kept)
    tpr, tnr = tp / (tp + fn), tn / (tn + fp)
    (low_p, high_p), (low_n, high_n) = wilson(tp, tp + fn), wilson(tn, tn + fp)
    value = (tpr + tnr) / 2
    low = value - math.hypot(tpr - low_p, tnr - low_n) / 2
    high = value + math.hypot(high_p - tpr, high_n - tnr) / 2
    return ScoreResult(method, value, max(0.0, low), min(1.0, high), tp, fp, tn, fn, unscored, "", kept)
