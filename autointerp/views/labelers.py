"""Labelers: the number of their labels for each dictionary, mean scores, and how many of the labels count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names

if TYPE_CHECKING:
    from autointerp.db import Session


@dataclass(frozen=True)
class LabelerSummary:
    """The labels of one labeler for one dictionary. Fields are named and ordered as keys of `labels list --json`.

    Attributes:
        dictionary: The dictionary's name.
        labeler: The labeler's name, as `--labeler` takes it.
        kind: The labeler's kind, e.g. `clip`.
        model: The labeler's model; empty where it needs none.
        base_url: Address of the server that was asked; empty where there is none.
        prompt_hash: Hash of the prompt files.
        labels: Features that the labeler named.
        uninterpretable: Features for which the labeler found no fitting name.
        failed: Features for which labeling failed.
        counting: Labels that are shown for their features.
        scores: Method -> mean score of the labels.
    """

    dictionary: str
    labeler: str
    kind: str
    model: str
    base_url: str
    prompt_hash: str
    labels: int
    uninterpretable: int
    failed: int
    counting: int
    scores: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `labels list --json`."""
        return asdict(self)


def list_labelers(ctx: Context) -> list[LabelerSummary]:
    """Read a summary for each dictionary and labeler, the oldest first."""
    with ctx.db.session() as session:
        names = labeler_names(queries.labelers.with_labels(session))
        dictionaries = queries.dictionaries.list_all(session)
        return [summary for row in dictionaries for summary in _summaries(session, row, names)]


def _summaries(session: Session, row: DictionaryRow, names: Mapping[int, str]) -> list[LabelerSummary]:
    """Summarize each labeler of a dictionary, in the order of their ids."""
    said = queries.labels.current(session, row.id)
    best = queries.labels.best(session, row.id, feature_ids=said)
    counting = Counter(one.labeler.id for one in best.values())
    by_labeler: dict[int, list[queries.labels.BestLabel]] = {}
    for several in said.values():
        for one in several:
            by_labeler.setdefault(one.labeler.id, []).append(one)
    summaries = []
    for labeler_id, labels in sorted(by_labeler.items()):
        labeler = labels[0].labeler
        statuses = Counter(one.label.status for one in labels)
        summaries.append(
            LabelerSummary(
                dictionary=row.name,
                labeler=names[labeler_id],
                kind=labeler.kind,
                model=labeler.model,
                base_url=labeler.base_url,
                prompt_hash=labeler.prompt_hash,
                labels=statuses["ok"],
                uninterpretable=statuses["uninterpretable"],
                failed=statuses["failed"],
                counting=counting[labeler_id],
                scores=_mean_scores(session, [one.label.id for one in labels]),
            )
        )
    return summaries


def _mean_scores(session: Session, label_ids: Sequence[int]) -> dict[str, float]:
    """Return the mean score of some labels by method, rounded to four decimals."""
    values: dict[str, list[float]] = {}
    for scores in queries.scores.of_labels(session, label_ids).values():
        for score in scores:
            if score.value is not None:
                values.setdefault(score.method, []).append(score.value)
    return {method: round(fmean(values[method]), 4) for method in sorted(values)}
