"""Queries of indexes: the labels that an index holds, and the row that records an index file."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from autointerp.db.models import Feature, Index, Label


class NamedLabel(NamedTuple):
    """A label's name, and how sure its labeler is."""

    label_id: int
    feature_id: int
    name: str
    confidence: float


def labels_to_index(session: Session, dictionary_id: int) -> list[NamedLabel]:
    """Return the newest result of each labeler for each feature of a dictionary, where that result is a name."""
    query = (
        select(Label.id, Label.feature_id, Label.labeler_id, Label.status, Label.name, Label.confidence)
        .join(Feature, Feature.id == Label.feature_id)
        .where(Feature.dictionary_id == dictionary_id, Label.status != "failed")
    )
    newest = {(row.feature_id, row.labeler_id): row for row in session.execute(query.order_by(Label.id))}
    return [
        NamedLabel(row.id, row.feature_id, row.name, row.confidence) for row in newest.values() if row.status == "ok"
    ]


def record(session: Session, index: Index) -> None:
    """Store the row of an index file, in place of the row of that name."""
    session.execute(delete(Index).where(Index.name == index.name))
    session.add(index)
