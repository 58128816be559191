"""Intervals of figures of labels, in which the concepts are what was drawn.

Many features share a concept, and a labeler that knows the concept is right about all of them. So features are not
independent, and intervals resample whole concepts with all features that have one as their truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from autointerp.shapes.label_verdict import LabelRuler

RESAMPLES = 1000
LEAST_CLUSTERS = 3
"""Concepts of either kind of label that an interval needs."""


class RightAuroc(NamedTuple):
    """How well a score tells exact labels from others; no value without labels of both kinds.

    `low` and `high` are the ends of the 95% interval.
    """

    value: float | None
    low: float | None
    high: float | None
    exact: int


def right_auroc(ruler: LabelRuler, named: Mapping[int, tuple[str, float | None]], seed: int) -> RightAuroc:
    """Return the AUROC of exact labels against all others, those of features without a truth included.

    Args:
        ruler: What holds labels against truths.
        named: The name and the score's value of each feature's label.
        seed: Seed of the resamples.
    """
    features = [feature for feature, (_, value) in named.items() if value is not None]
    values = np.array([named[feature][1] for feature in features], np.float64)
    truths = [ruler.truths[feature] for feature in features]
    right = np.array(
        [
            truth is not None and ruler.verdict(named[feature][0], truth.concept.name) == "exact"
            for feature, truth in zip(features, truths, strict=True)
        ],
        bool,
    )
    clusters = [f":{f}" if t is None else t.concept.name for f, t in zip(features, truths, strict=True)]
    if right.all() or not right.any():
        return RightAuroc(None, None, None, int(right.sum()))
    return RightAuroc(*clustered_auroc(values, right, clusters, seed), int(right.sum()))


def clustered_auroc(
    values: np.ndarray, right: np.ndarray, clusters: list[str], seed: int
) -> tuple[float, float | None, float | None]:
    """Return an AUROC with the percentile interval of a bootstrap over clusters; no interval for very few of them.

    Args:
        values: float64 [labels].
        right: Bool [labels]; of both kinds there is one at least.
        clusters: What each label is drawn with.
        seed: Seed of the resamples.
    """
    difference = values[right][:, None] - values[~right][None, :]
    wins = 0.5 * (1 + np.sign(difference))
    _, of = np.unique(clusters, return_inverse=True)
    if min(len(set(of[right].tolist())), len(set(of[~right].tolist()))) < LEAST_CLUSTERS:
        return float(wins.mean()), None, None
    weights = drawn(int(of.max()) + 1, seed)[:, of]
    ours, others = weights[:, right], weights[:, ~right]
    with np.errstate(invalid="ignore"):
        found = np.einsum("bm,bm->b", ours, others @ wins.T) / (ours.sum(1) * others.sum(1))
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [0.025, 0.975])
    return float(wins.mean()), float(low), float(high)


def drawn(count: int, seed: int) -> np.ndarray:
    """Return how often each of some things is drawn in each resample, float64 [RESAMPLES, count]."""
    rng = np.random.default_rng((seed, 47))
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
