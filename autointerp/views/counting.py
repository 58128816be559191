"""The labels that count, of all features at once and in plain columns: a hundred thousand are read in a second."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from autointerp.db import queries

if TYPE_CHECKING:
    from autointerp.db import Session
    from autointerp.db.queries.catalog import LabelLine


def labels_that_count(session: Session, labelers: Collection[int] | None = None) -> dict[int, LabelLine]:
    """Return the label that counts of each feature that has one, by the feature's id; see `queries.labels.best`.

    Labels of any status count here, failures where there is nothing else.

    Args:
        session: An open session.
        labelers: Only labels of these labelers; None for all.
    """
    said: dict[int, dict[int, LabelLine]] = {}
    for line in queries.catalog.label_lines(session, labelers):
        # Lines come with failures first, then by age, so that the last one of a labeler is current.
        said.setdefault(line.feature_id, {})[line.labeler_id] = line
    several = [line.id for by_labeler in said.values() if len(by_labeler) > 1 for line in by_labeler.values()]
    values = queries.scores.headline_values(session, several) if several else {}
    people = {row.id for row in queries.labelers.with_labels(session) if row.kind == queries.labels.HUMAN}
    found = {}
    for feature_id, by_labeler in said.items():
        lines = sorted(by_labeler.values(), key=lambda line: line.id)
        known = [(line.id, line.status, line.labeler_id in people) for line in lines]
        found[feature_id] = lines[queries.labels.place_that_counts(known, values)]
    return found
