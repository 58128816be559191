"""Queries of dictionaries, and how far each is."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import case, delete, func, select
from sqlalchemy.orm import Session

from autointerp.db.models import Crop, DictionaryRow, Feature, Image, Label, Score
from autointerp.db.queries import images


@dataclass(frozen=True)
class DictionaryCounts:
    """How far a dictionary is: features by state, labels by status, crops, images, scores."""

    features: dict[str, int]
    labels: dict[str, int]
    crops: int
    images: int
    scores: int


def list_all(session: Session) -> list[DictionaryRow]:
    """Every dictionary, oldest first."""
    return list(session.scalars(select(DictionaryRow).order_by(DictionaryRow.id)))


def by_name(session: Session, name: str) -> DictionaryRow | None:
    """The dictionary of that name."""
    return session.scalar(select(DictionaryRow).where(DictionaryRow.name == name))


def by_identity(session: Session, identity: str) -> DictionaryRow | None:
    """The dictionary made by exactly this."""
    return session.scalar(select(DictionaryRow).where(DictionaryRow.identity == identity))


def add(session: Session, row: DictionaryRow) -> int:
    """Store a new dictionary; return its id."""
    session.add(row)
    session.flush()
    return row.id


def detached(session: Session, dictionary_id: int) -> DictionaryRow:
    """The dictionary of that id, with all columns as they are stored, to be used after the session."""
    row = session.get_one(DictionaryRow, dictionary_id)
    session.refresh(row)
    session.expunge(row)
    return row


def copy(session: Session, row: DictionaryRow, name: str, identity: str) -> DictionaryRow:
    """Store a dictionary once more, under another name and identity. Returns the copy, detached."""
    own = ("id", "created_at")
    columns = {c.name: getattr(row, c.name) for c in DictionaryRow.__table__.columns if c.name not in own}
    return detached(session, add(session, DictionaryRow(**{**columns, "name": name, "identity": identity})))


def of_layer(session: Session, layer: str) -> list[DictionaryRow]:
    """Dictionaries of a layer, given by alias or hookpoint, newest first."""
    wanted = (DictionaryRow.layer == layer) | (DictionaryRow.hookpoint == layer)
    return list(session.scalars(select(DictionaryRow).where(wanted).order_by(DictionaryRow.id.desc())))


def free_name(session: Session, wanted: str) -> str:
    """`wanted`, or with the first free `-2`, `-3` ...: what exists keeps its name."""
    taken = set(session.scalars(select(DictionaryRow.name)))
    candidate, number = wanted, 2
    while candidate in taken:
        candidate, number = f"{wanted}-{number}", number + 1
    return candidate


def remove(session: Session, name: str, spared: Collection[str] = ()) -> bool:
    """Delete a dictionary with all under it; False if there is none.

    Images that no crop or random cell needs any more go too, but for those of the generation hashes `spared`.
    """
    dictionary = by_name(session, name)
    if dictionary is None:
        return False
    session.execute(delete(DictionaryRow).where(DictionaryRow.id == dictionary.id))
    orphaned = select(Image.id, Image.generation_hash).where(images.UNUSED)
    images.remove_orphans(session, [image for image, found in session.execute(orphaned).all() if found not in spared])
    session.expire_all()
    return True


def counts(session: Session, dictionary_id: int) -> DictionaryCounts:
    """How far a dictionary is."""
    mine = Feature.dictionary_id == dictionary_id
    by_state = select(Feature.state, func.count()).where(mine).group_by(Feature.state)
    # Labels of several labelers stand side by side; a feature counts once, by its newest result, or else its failure.
    result = func.max(case((Label.status != "failed", Label.id)))
    newest = select(func.coalesce(result, func.max(Label.id))).join(Feature).where(mine).group_by(Label.feature_id)
    by_status = select(Label.status, func.count()).where(Label.id.in_(newest)).group_by(Label.status)
    crops = select(func.count(), func.count(Crop.image_id.distinct())).select_from(Crop).join(Feature).where(mine)
    scores = select(func.count()).select_from(Score).join(Label).join(Feature).where(mine, ~Score.shuffled)
    crop_count, image_count = session.execute(crops).one()
    return DictionaryCounts(
        features=dict(session.execute(by_state).all()),
        labels=dict(session.execute(by_status).all()),
        crops=crop_count,
        images=image_count,
        scores=session.scalar(scores) or 0,
    )
