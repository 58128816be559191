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
    newest: dict[tuple[int, int], NamedLabel | None] = {}
    names: dict[str, str] = {}
    for row in session.execute(query.order_by(Label.id), execution_options={"yield_per": 2000}):
        # A newer result that is no name takes the place of a name. Many features have the same name.
        named = NamedLabel(row.id, row.feature_id, names.setdefault(row.name, row.name), row.confidence)
        newest[row.feature_id, row.labeler_id] = named if row.status == "ok" else None
    return [one for one in newest.values() if one is not None]


def record(session: Session, index: Index) -> None:
    """Store the row of an index file, in place of the row of that name."""
    session.execute(delete(Index).where(Index.name == index.name))
    session.add(index)
