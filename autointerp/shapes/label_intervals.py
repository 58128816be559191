"""Intervals of figures of labels, in which pictures and concepts are what was drawn.

Many features share a concept, and a labeler that knows the concept is right about all of them. So features are not
independent, and intervals resample whole concepts with all features that have one as their truth. What other pictures
would change is measured on half-samples of them, see `halves`. Both errors are joined, and an interval reaches 1.96 of
them to either side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from autointerp.labeling.judging.intervals import wilson
from autointerp.shapes.halves import half_samples, spread
from autointerp.shapes.label_controls import FIGURES, FigureRule
from autointerp.shapes.label_verdict import LabelRuler
from autointerp.shapes.truth import names_truth

if TYPE_CHECKING:
    from autointerp.shapes.verdict import Evaluated

RESAMPLES = 1000
MANY_CLUSTERS = 30
LEAST_CLUSTERS = 3
"""Concepts of either kind of label that an interval needs."""
Interval = tuple[float, float]


def label_intervals(own: Evaluated, names: Mapping[int, str], seed: int) -> dict[str, Interval | None]:
    """Return the 95% interval of each figure of labels, by its key; None where there are too few concepts.

    Args:
        own: The features' truths.
        names: The name of each labeled feature.
        seed: Seed of the resamples.
    """
    row_of = {concept.name: row for row, concept in enumerate(own.concepts)}
    truths = np.array([-1 if t is None else row_of[t.concept.name] for t in own.truths])
    specific = np.array([*(concept.specific for concept in own.concepts), False], bool)
    by_name = cache(lambda rule, name, row: _mark(own, rule, name, row))

    def marks(rule: str, rows: np.ndarray) -> np.ndarray:
        return np.array(
            [row >= 0 and by_name(rule, names.get(f, ""), row) for f, row in enumerate(rows.tolist())], float
        )

    gains = _gain_shares(own, names)
    whole = {"exact": marks("exact", truths), "lenient": marks("lenient", truths), "gain": gains[-1]}
    halved: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {
        "exact": [(rows, marks("exact", rows)) for rows in own.halves.rows],
        "lenient": [(rows, marks("lenient", rows)) for rows in own.halves.rows],
        "gain": [(truths, values) for values in gains[:-1]],
    }
    found: dict[str, Interval | None] = {}
    for key, figure in FIGURES.items():
        value = _mean(figure, whole[figure.rule], truths, specific)
        error = _concept_error(figure, whole[figure.rule], truths, specific, seed)
        if value is None or error is None:
            found[key] = None
            continue
        on_halves = [_mean(figure, values, rows, specific) for rows, values in halved[figure.rule]]
        pictures = spread(np.array([one for one in on_halves if one is not None]))
        if figure.rule == "gain":
            reach = 1.96 * math.hypot(error, pictures)
            found[key] = (value - reach, value + reach)
        else:
            counted = truths[_counted(figure, truths, specific)]
            concepts = len(np.unique(counted))
            found[key] = share_interval(value, error, pictures, concepts, concepts if figure.macro else len(counted))
    return found


def share_interval(value: float, error: float, pictures: float, clusters: int, units: int) -> Interval:
    """Return the 95% interval of a share whose units come in clusters.

    It reaches 1.96 standard errors to either side. Of fewer than `MANY_CLUSTERS` clusters it is Wilson's, of as many
    draws as would have that error: near 0 and 1 a resampled error is too small, and where all units are alike it is 0.
    Such a share counts its clusters as draws.

    Args:
        value: The share.
        error: The standard error that the clusters give it.
        pictures: The standard error that the pictures give it.
        clusters: How many clusters there are.
        units: How many units there are.
    """
    joint = math.hypot(error, pictures)
    if clusters >= MANY_CLUSTERS:
        return max(0.0, value - 1.96 * joint), min(1.0, value + 1.96 * joint)
    variance = value * (1 - value)
    draws = min(units, variance / joint**2) if variance > 0 and joint > 0 else clusters
    return wilson(value * draws, draws)


def feature_intervals(own: Evaluated) -> dict[str, Interval]:
    """Return the 95% intervals of the shares of features with a specific truth and with any, over sets of pictures.

    They are shares of all features that there are, so that no concept is drawn here.
    """
    values = {"specific": own.specific, "grounded": own.grounded}
    found = {}
    for key, on_halves in own.halves.shares(own.concepts).items():
        reach = 1.96 * spread(on_halves)
        found[key] = (max(0.0, values[key] - reach), min(1.0, values[key] + reach))
    return found


def _mark(own: Evaluated, rule: str, name: str, row: int) -> bool:
    if rule == "lenient":
        return names_truth(name, own.concepts[row])
    return own.ruler.verdict(name, own.concepts[row].name) == "exact"


def _counted(figure: FigureRule, rows: np.ndarray, specific: np.ndarray) -> np.ndarray:
    return specific[rows] if figure.specific else rows >= 0


def _mean(figure: FigureRule, marks: np.ndarray, rows: np.ndarray, specific: np.ndarray) -> float | None:
    """Return a figure of marks [features] where the truths are these rows; None without any."""
    counted = _counted(figure, rows, specific)
    if not counted.any():
        return None
    sums, sizes = _by_concept(marks[counted], rows[counted])
    return float((sums / sizes).mean() if figure.macro else sums.sum() / sizes.sum())


def _concept_error(
    figure: FigureRule, marks: np.ndarray, rows: np.ndarray, specific: np.ndarray, seed: int
) -> float | None:
    """Return the standard error that concepts give a figure; None for very few of them."""
    counted = _counted(figure, rows, specific)
    return cluster_error(marks[counted], rows[counted], seed, figure.macro)


def cluster_error(marks: np.ndarray, clusters: np.ndarray, seed: int, macro: bool = False) -> float | None:
    """Return the standard error that clusters give the mean of marks; None for very few of them.

    Args:
        marks: float64 [units].
        clusters: int64 [units], what each unit is drawn with.
        seed: Seed of the resamples.
        macro: Whether the mean is over clusters, and not over units.
    """
    sums, sizes = _by_concept(marks, clusters)
    if len(sums) < LEAST_CLUSTERS:
        return None
    weights = drawn(len(sums), seed)
    if macro:
        return float((weights @ (sums / sizes) / weights.sum(1)).std())
    return float((weights @ sums / (weights @ sizes)).std())


def _by_concept(marks: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, of = np.unique(rows, return_inverse=True)
    return np.bincount(of, marks), np.bincount(of)


def _gain_shares(own: Evaluated, names: Mapping[int, str]) -> np.ndarray:
    """Return the gain shares of features on each half-sample, and on all pictures last: float64 [halves + 1, features].

    Truths are those of all pictures; 0 where there is no truth, no label, or no active cell.
    """
    images, ruler = own.seen.images, own.ruler
    parts = np.concatenate([half_samples(images, own.halves.seed), np.ones((1, images), bool)]).astype(np.float64)
    cells = int(np.prod(ruler.atoms.shape)) // images

    @cache
    def base(name: str) -> np.ndarray:
        by_image = ruler.extension(name).weight.reshape(images, cells).mean(1)
        return np.asarray(parts @ by_image / parts.sum(1))

    shares = np.zeros((len(parts), len(own.truths)))
    for feature, truth in enumerate(own.truths):
        if truth is None or not names.get(feature):
            continue
        at = ruler.activity.positions[slice(*ruler.activity.starts[feature : feature + 2])]
        image = at // cells
        count = parts @ np.bincount(image, minlength=images)
        gains = [
            parts @ np.bincount(image, ruler.extension(name).weight.reshape(-1)[at], minlength=images)
            / np.maximum(count, 1e-12) - base(name)
            for name in (names[feature], truth.concept.name)
        ]  # fmt: skip
        np.divide(gains[0], gains[1], out=shares[:, feature], where=gains[1] > 0)
    return shares


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
    values: np.ndarray, right: np.ndarray, clusters: Sequence[str], seed: int
) -> tuple[float, float | None, float | None]:
    """Return an AUROC with the percentile interval of a bootstrap over clusters; no interval for very few of them.

    Where all resamples agree the interval is Wilson's, so that it is never a point.

    Args:
        values: float64 [labels].
        right: Bool [labels]; of both kinds there is one at least.
        clusters: What each label is drawn with.
        seed: Seed of the resamples.
    """
    difference = values[right][:, None] - values[~right][None, :]
    wins = 0.5 * (1 + np.sign(difference))
    _, of = np.unique(clusters, return_inverse=True)
    fewest = min(len(set(of[right].tolist())), len(set(of[~right].tolist())))
    if fewest < LEAST_CLUSTERS:
        return float(wins.mean()), None, None
    weights = drawn(int(of.max()) + 1, seed)[:, of]
    ours, others = weights[:, right], weights[:, ~right]
    with np.errstate(invalid="ignore"):
        found = np.einsum("bm,bm->b", ours, others @ wins.T) / (ours.sum(1) * others.sum(1))
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [0.025, 0.975]).tolist()
    if low == high:
        # All pairs are in one order, and so is every resample: the clusters of the rarer kind count as draws.
        low, high = wilson(float(wins.mean()) * fewest, fewest)
    return float(wins.mean()), low, high


def drawn(count: int, seed: int) -> np.ndarray:
    """Return how often each of some things is drawn in each resample, float64 [RESAMPLES, count]."""
    rng = np.random.default_rng((seed, 47))
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
