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
    found: dict[int, LabelLine] = {}
    several: dict[int, dict[int, LabelLine]] = {}
    for line in queries.catalog.label_lines(session, labelers):
        # Lines come with failures first, then by age, so that the last one of a labeler is current.
        before = found.get(line.feature_id)
        if before is not None and before.labeler_id != line.labeler_id:
            several.setdefault(line.feature_id, {})[before.labeler_id] = before
        found[line.feature_id] = line
        if line.feature_id in several:
            several[line.feature_id][line.labeler_id] = line
    ids = [line.id for by_labeler in several.values() for line in by_labeler.values()]
    values = queries.scores.headline_values(session, ids) if ids else {}
    people = {row.id for row in queries.labelers.with_labels(session) if row.kind == queries.labels.HUMAN}
    for feature_id, by_labeler in several.items():
        lines = sorted(by_labeler.values(), key=lambda line: line.id)
        known = [(line.id, line.status, line.labeler_id in people) for line in lines]
        found[feature_id] = lines[queries.labels.place_that_counts(known, values)]
    return found
