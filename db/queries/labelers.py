"""Queries of labelers and judges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from autointerp.addresses import canonical
from autointerp.db.models import Feature, Label, LabelerRow


@dataclass(frozen=True)
class LabelerKey:
    """The columns that identify a labeler or judge: rows that agree in all of them are the same labeler.

    Attributes:
        kind: Its name on the command line, e.g. `clip`.
        model: The model that is asked; empty where there is none.
        base_url: The server that is asked, in any spelling of its address; empty where there is none.
        prompt_hash: Hash of its prompt files.
        config_hash: Hash of its other settings.
    """

    kind: str
    model: str = ""
    base_url: str = ""
    prompt_hash: str = ""
    config_hash: str = ""


def find(session: Session, key: LabelerKey) -> int | None:
    """Return the id of a labeler, None if it is not stored yet."""
    found = _stored(session, key)
    return None if found is None else found.id


def _stored(session: Session, key: LabelerKey) -> LabelerRow | None:
    """Return a labeler's row, which may hold another spelling of its server's address; the same spelling first."""
    others = {name: value for name, value in asdict(key).items() if name != "base_url"}
    rows = session.scalars(select(LabelerRow).filter_by(**others).order_by(LabelerRow.id)).all()
    same = [row for row in rows if canonical(row.base_url) == canonical(key.base_url)]
    return min(same, key=lambda row: row.base_url != key.base_url, default=None)


def ensure(session: Session, key: LabelerKey, config: Mapping[str, Any] | None = None) -> LabelerRow:
    """Return a labeler's row; add the row, with the settings that its hash is of, if it is new."""
    found = _stored(session, key)
    if found is None:
        found = LabelerRow(**asdict(key), config=dict(config or {}))
        session.add(found)
        session.flush()
    return found


def with_labels(session: Session) -> list[LabelerRow]:
    """Return every labeler that has a label, oldest first."""
    labeled = exists().where(Label.labeler_id == LabelerRow.id)
    return list(session.scalars(select(LabelerRow).where(labeled).order_by(LabelerRow.id)))


def counts(session: Session) -> dict[int, int]:
    """Return how many labelers have labeled each dictionary, by the dictionary's id."""
    query = select(Feature.dictionary_id, func.count(Label.labeler_id.distinct())).join(Label)
    return dict(session.execute(query.group_by(Feature.dictionary_id)).all())


def of_dictionary(session: Session, dictionary_id: int) -> list[LabelerRow]:
    """Every labeler that has labeled a feature of a dictionary, oldest first."""
    labeled = select(Label.labeler_id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    return list(session.scalars(select(LabelerRow).where(LabelerRow.id.in_(labeled)).order_by(LabelerRow.id)))


def newest_first(session: Session, dictionary_id: int, labeler_ids: Iterable[int]) -> list[int]:
    """Return those of some labelers that have labeled a dictionary, the one of the newest label first."""
    newest = func.max(Label.id)
    query = select(Label.labeler_id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    wanted = query.where(Label.labeler_id.in_(list(labeler_ids)))
    return list(session.scalars(wanted.group_by(Label.labeler_id).order_by(newest.desc())))


def by_ids(session: Session, labeler_ids: Iterable[int]) -> list[LabelerRow]:
    """Return labelers and judges by their ids, oldest first."""
    return list(session.scalars(select(LabelerRow).where(LabelerRow.id.in_(list(labeler_ids))).order_by(LabelerRow.id)))
