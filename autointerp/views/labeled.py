"""Features with the label that counts: what exports carry, and the features that are worth a look first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature, Score
from autointerp.db.queries.scores import ScoreFloor
from autointerp.errors import AutointerpError
from autointerp.export.rows import ExportRow, ExportScore
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.db import Session


@dataclass(frozen=True)
class LabeledFeature:
    """A feature with the label that counts, and that label's scores.

    Attributes:
        feature: The stored feature.
        label: The label with its labeler. None where the feature has no label, or a filter left it out.
        scores: The newest score of each method and judge.
    """

    feature: Feature
    label: queries.labels.BestLabel | None
    scores: Sequence[Score]

    @property
    def name(self) -> str:
        """The label's name; empty without a label."""
        return self.label.label.name if self.label else ""

    @property
    def score(self) -> float | None:
        """The one figure that stands for the label."""
        return queries.scores.headline(self.scores)

    @property
    def method(self) -> str:
        """The method of that figure; empty without one."""
        return queries.scores.headline_method(self.scores)

    @property
    def row(self) -> ExportRow:
        """The feature's line of `labels.jsonl`."""
        feature, best = self.feature, self.label
        return ExportRow(
            index=feature.latent_index,
            name=self.name,
            explanation=best.label.explanation if best else "",
            status=best.label.status if best else "unlabeled",
            confidence=best.label.confidence if best else None,
            labeler=best.labeler.kind if best else "",
            scores=tuple(
                ExportScore(method=s.method, value=s.value, ci_low=s.ci_low, ci_high=s.ci_high) for s in self.scores
            ),
            state=feature.state,
            density=feature.density,
            max_activation=feature.max_activation,
            mean_activation=feature.mean_activation,
            told_apart_from=tuple(best.label.told_apart_from or ()) if best else (),
            difference=best.label.difference if best else "",
            name_before=best.label.name_before if best else "",
            same_as=tuple(best.label.same_as or ()) if best else (),
        )


def labeled_features(
    session: Session, row: DictionaryRow, min_score: ScoreFloor | None = None, labelers: Collection[int] | None = None
) -> list[LabeledFeature]:
    """Read all features of a dictionary, in the order of the latents, each with the label that an export carries.

    Args:
        session: An open session.
        row: The dictionary.
        min_score: Leave out labels that do not reach this score. Their features stay.
        labelers: Ids of the labelers whose labels alone are read; None reads the labels that count.
    """
    best = queries.labels.best(session, row.id, labelers, statuses=("ok", "uninterpretable"))
    scores = queries.scores.of_labels(session, [b.label.id for b in best.values()])
    features = []
    for feature in queries.features.of_dictionary(session, row.id):
        label = best.get(feature.id)
        one = LabeledFeature(feature, label, scores.get(label.label.id, []) if label else [])
        if label and min_score is not None and not min_score.reached_by(one.scores):
            one = replace(one, label=None, scores=[])
        features.append(one)
    return sorted(features, key=lambda one: one.feature.latent_index)


def export_rows(
    ctx: Context, row: DictionaryRow, min_score: ScoreFloor | None = None, labelers: Collection[int] | None = None
) -> list[ExportRow]:
    """Read the lines of `labels.jsonl`, one for each feature; see `labeled_features` for the arguments.

    Raises:
        AutointerpError: The dictionary has no features yet.
    """
    with ctx.db.session() as session:
        rows = [one.row for one in labeled_features(session, row, min_score, labelers)]
    if not rows:
        raise AutointerpError(f"{row.name} has no features yet", f"run `autointerp label --layer {row.layer}` first")
    return rows


def best_features(ctx: Context, row: DictionaryRow, count: int) -> list[LabeledFeature]:
    """Read the live features that are worth a look first, detached.

    Features are ordered by score times confidence. Scores of different methods are never compared: features with the
    score `gain` come first, then those with detection, then those with embedding alone. Of features with the same name
    only the first is taken.
    """
    with ctx.db.session() as session:
        live = {f.id: f for f in queries.features.of_dictionary(session, row.id, state="live")}
        best = queries.labels.best(session, row.id)
        scores = queries.scores.of_labels(session, [b.label.id for b in best.values()])
        features = [
            LabeledFeature(live[feature_id], label, scores.get(label.label.id, []))
            for feature_id, label in best.items()
            if feature_id in live
        ]
        session.expunge_all()
    features.sort(key=_worth)
    first: dict[str, LabeledFeature] = {}
    for one in features:
        first.setdefault(one.name, one)
    return list(first.values())[:count]


def _worth(one: LabeledFeature) -> tuple[int, float, int]:
    """Return the key that sorts features by the method of their score, then by score times confidence."""
    confidence = one.label.label.confidence if one.label else 0.0
    return queries.scores.headline_rank(one.scores), -(one.score or 0.0) * confidence, one.feature.latent_index
