"""Queries of indexes: the labels that an index holds, and the row that records an index file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session, aliased

from autointerp.db.models import Feature, Index, Label


class NamedLabel(NamedTuple):
    """A label's name, and how sure its labeler is."""

    label_id: int
    feature_id: int
    name: str
    confidence: float


def labels_to_index(session: Session, dictionary_id: int) -> Iterator[NamedLabel]:
    """Yield the newest result of each labeler for each feature of a dictionary where it is a name, by id."""
    later = aliased(Label)
    superseded = exists().where(
        later.feature_id == Label.feature_id,
        later.labeler_id == Label.labeler_id,
        later.id > Label.id,
        later.status != "failed",
    )
    query = (
        select(Label.id, Label.feature_id, Label.name, Label.confidence)
        .join(Feature, Feature.id == Label.feature_id)
        .where(Feature.dictionary_id == dictionary_id, Label.status == "ok", ~superseded)
        .order_by(Label.id)
    )
    # Many features have the same name. All rows at once would take hundreds of megabytes.
    names: dict[str, str] = {}
    for label, feature, name, confidence in session.execute(query, execution_options={"yield_per": 2000}):
        yield NamedLabel(label, feature, names.setdefault(name, name), confidence)


def record(session: Session, index: Index) -> None:
    """Store the row of an index file, in place of the row of that name."""
    session.execute(delete(Index).where(Index.name == index.name))
    session.add(index)
