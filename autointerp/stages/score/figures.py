"""What `evaluate` says of the scores: each method's mean over labels, beside chance and the shuffled control."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Score
from autointerp.labeling.judging import SCORES, score_method
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.shapes.verdict import Evaluated

_RESAMPLES = 1000
"""Bootstrap samples of the interval of a mean."""


@dataclass(frozen=True)
class ScoreFigures:
    """The scores of one method by one judge; the order of the fields is that of `evaluate --json`.

    Attributes:
        method: The method.
        judge: The judge's model; None for a method without a judge.
        labels: Labels with a value.
        valueless: Labels whose score has no value.
        value: Mean over the labels.
        ci_low: Lower end of the mean's 95% interval.
        ci_high: Upper end of the mean's 95% interval.
        chance: The value of a judge that knows nothing.
        shuffled: Mean over labels that were judged by another label's words.
        shuffled_labels: Number of those labels.
        trials: Answers that were asked for.
        unscored: Answers that could not be read.
        truth_auroc: How well the score tells features with a truth from features without one.
        precision_r: Correlation of the score with the precision of what the label says.
        right_auroc: How well the score tells exact labels from others, those of features without a truth included.
        right_low: Lower end of its 95% interval, which resamples concepts.
        right_high: Upper end of its 95% interval.
        right_labels: Number of exact labels among those with a value.
    """

    method: str
    judge: str | None
    labels: int
    valueless: int
    value: float | None
    ci_low: float | None
    ci_high: float | None
    chance: float
    shuffled: float | None
    shuffled_labels: int
    trials: int
    unscored: int
    truth_auroc: float | None
    precision_r: float | None
    right_auroc: float | None
    right_low: float | None
    right_high: float | None
    right_labels: int | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)


class _NamedLatent(NamedTuple):
    latent: int
    name: str


def score_figures(
    ctx: Context, dictionary: DictionaryRow, labelers: Collection[int] | None = None, truths: Evaluated | None = None
) -> list[ScoreFigures]:
    """Return the figures of each method and judge, over the label of each feature that counts.

    Args:
        ctx: The command's view of the workspace.
        dictionary: The dictionary whose labels are meant.
        labelers: Only labels of these labelers; None for all.
        truths: What is true of the features, where that is known.
    """
    with ctx.db.session() as session:
        best = queries.labels.best(session, dictionary.id, labelers, ("ok", "uninterpretable"))
        latents = queries.features.latent_indexes(session, best)
        judged = queries.scores.judged(session, [found.label.id for found in best.values()])
        trials = queries.scores.trial_counts(session, [score.id for score, _ in judged if not score.shuffled])
        named = {found.label.id: _NamedLatent(latents[id_], found.label.name) for id_, found in best.items()}
    groups: dict[tuple[str, str], list[Score]] = {}
    for score, judge in judged:
        groups.setdefault((score.method, "" if judge is None else judge.model), []).append(score)
    return [
        _figures(key, scores, trials, ctx.settings.seed, _agreement(scores, named, truths, ctx.settings.seed))
        for name in SCORES
        for key, scores in sorted(groups.items())
        if key[0] == name
    ]


class _Agreement(NamedTuple):
    """How scores fit to the truth; None where it is not known."""

    truth_auroc: float | None = None
    precision_r: float | None = None
    right_auroc: float | None = None
    right_low: float | None = None
    right_high: float | None = None
    right_labels: int | None = None


def _agreement(
    scores: Sequence[Score], named: Mapping[int, _NamedLatent], truths: Evaluated | None, seed: int
) -> _Agreement:
    if truths is None:
        return _Agreement()
    from autointerp.shapes.label_intervals import right_auroc
    from autointerp.shapes.verdict import correlation, truth_auroc

    own = [(named[score.label_id], score.value) for score in scores if not score.shuffled]
    values = {label.latent: value for label, value in own}
    named_values = {label.latent: (label.name, value) for label, value in own}
    right = right_auroc(truths.ruler, named_values, seed)
    return _Agreement(truth_auroc(truths, values), correlation(truths, named_values), *right)


def _figures(
    key: tuple[str, str], scores: Sequence[Score], trials: Mapping[int, int], seed: int, agreement: _Agreement
) -> ScoreFigures:
    method, judge = key
    own = [score for score in scores if not score.shuffled]
    values = np.array([score.value for score in own if score.value is not None])
    shuffled = [score.value for score in scores if score.shuffled and score.value is not None]
    low, high = _interval(values, seed)
    return ScoreFigures(
        method=method,
        judge=judge or None,
        labels=len(values),
        valueless=len(own) - len(values),
        value=float(values.mean()) if len(values) else None,
        ci_low=low,
        ci_high=high,
        chance=score_method(method).chance,
        shuffled=float(np.mean(shuffled)) if shuffled else None,
        shuffled_labels=len(shuffled),
        trials=sum(trials.get(score.id, 0) for score in own),
        unscored=sum(score.unscored for score in own),
        **agreement._asdict(),
    )


def _interval(values: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """Return the 95% interval of a mean by bootstrap; no ends for fewer than two values."""
    if len(values) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(_RESAMPLES, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
