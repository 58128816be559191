"""Labelers: the number of their labels for each dictionary, mean scores, and how many of the labels count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names
from autointerp.views.counting import labels_that_count


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
        labelers = {row.id: row for row in queries.labelers.with_labels(session)}
        names = labeler_names(list(labelers.values()))
        shown = labels_that_count(session)
        summaries = []
        for row in queries.dictionaries.list_all(session):
            scores = queries.compared.mean_scores(session, row.id)
            features = queries.features.ids_by_index(session, row.id).values()
            counting = Counter(
                shown[feature].labeler_id for feature in features if feature in shown and shown[feature].status == "ok"
            )
            for labeler_id, statuses in sorted(queries.compared.result_counts(session, row.id).items()):
                labeler = labelers[labeler_id]
                means = scores.get(labeler_id, {})
                summaries.append(
                    LabelerSummary(
                        dictionary=row.name,
                        labeler=names[labeler_id],
                        kind=labeler.kind,
                        model=labeler.model,
                        base_url=labeler.base_url,
                        prompt_hash=labeler.prompt_hash,
                        labels=statuses.get("ok", 0),
                        uninterpretable=statuses.get("uninterpretable", 0),
                        failed=statuses.get("failed", 0),
                        counting=counting[labeler_id],
                        scores={method: round(mean, 4) for method, mean in means.items()},
                    )
                )
        return summaries
