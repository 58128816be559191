"""The labels of a dictionary, a line each: names, scores, and what tells features of nearly the same name apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, LabelStatus
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers, labeler_names


@dataclass(frozen=True)
class ListedLabel:
    """A label in a list. Fields are named and ordered as keys of `labels list --layer L --json`.

    Attributes:
        feature: The feature's name.
        status: `ok`, `uninterpretable` or `failed`.
        name: Its label's name; empty where the status is not `ok`.
        labeler: The labeler's name, as `--labeler` takes it.
        confidence: From 0 to 1, the labeler's own.
        method: The score that stands for the label; empty without one.
        score: Its value.
        difference: What only this feature has, of those that it was told apart from.
        told_apart_from: Features of nearly the same name that it was told apart from, nearest first.
        same_as: Those that respond to the same, by the same answer.
        name_before: Its name before that, where it changed.
    """

    feature: str
    status: LabelStatus
    name: str
    labeler: str
    confidence: float
    method: str
    score: float | None
    difference: str
    told_apart_from: tuple[str, ...]
    same_as: tuple[str, ...]
    name_before: str

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `labels list --layer L --json`."""
        return asdict(self)


def list_labels(ctx: Context, row: DictionaryRow, labeler: str | None = None) -> list[ListedLabel]:
    """Read the label of each labeled feature, in the order of the latents.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        labeler: Only what this labeler said; None reads the labels that count.

    Raises:
        UsageError: There is no such labeler.
    """
    chosen = chosen_labelers(ctx, labeler)
    with ctx.db.session() as session:
        names = labeler_names(queries.labelers.with_labels(session))
        best = queries.labels.best(session, row.id, chosen, statuses=("ok", "uninterpretable", "failed"))
        scores = queries.scores.of_labels(session, [one.label.id for one in best.values()])
        latents = queries.features.latent_indexes(session, best)

        found = []
        for feature_id in sorted(best, key=lambda one: latents[one]):
            label, by = best[feature_id].label, best[feature_id].labeler
            own = scores.get(label.id, [])
            found.append(
                ListedLabel(
                    feature=f"{row.name}:{latents[feature_id]}",
                    status=label.status,
                    name=label.name,
                    labeler=names[by.id],
                    confidence=label.confidence,
                    method=queries.scores.headline_method(own),
                    score=queries.scores.headline(own),
                    difference=label.difference,
                    told_apart_from=_features(row, label.told_apart_from),
                    same_as=_features(row, label.same_as),
                    name_before=label.name_before,
                )
            )
    return found


def _features(row: DictionaryRow, latents: Sequence[int] | None) -> tuple[str, ...]:
    return tuple(f"{row.name}:{latent}" for latent in latents or ())
