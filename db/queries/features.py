"""Queries of features."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Select, case, select, update
from sqlalchemy.orm import Session

from autointerp.db.models import DictionaryRow, Feature, State
from autointerp.db.queries import bulk


def in_order(dictionary_id: int) -> Select[Any]:
    """A query of features in their one fixed order, so that `-n N` takes the same ones every time."""
    live_first = case((Feature.state == "live", 0), else_=1)
    wanted = select(Feature).where(Feature.dictionary_id == dictionary_id)
    return wanted.order_by(live_first, Feature.latent_index)


def of_dictionary(
    session: Session, dictionary_id: int, state: State | None = None, limit: int | None = None, offset: int = 0
) -> list[Feature]:
    """Features in their one fixed order: live ones first, then by latent index."""
    query = in_order(dictionary_id)
    if state is not None:
        query = query.where(Feature.state == state)
    return list(session.scalars(query.limit(limit).offset(offset)))


def latent_indexes(session: Session, feature_ids: Iterable[int]) -> dict[int, int]:
    """Return feature id -> latent index."""
    found: dict[int, int] = {}
    for some in bulk.chunks(feature_ids):
        found.update(session.execute(select(Feature.id, Feature.latent_index).where(Feature.id.in_(some))).all())
    return found


def by_index(session: Session, dictionary_name: str, latent_index: int) -> Feature | None:
    """The feature `DICTIONARY:INDEX`."""
    query = select(Feature).join(DictionaryRow)
    return session.scalar(query.where(DictionaryRow.name == dictionary_name, Feature.latent_index == latent_index))


def ids_by_index(session: Session, dictionary_id: int) -> dict[int, int]:
    """Latent index -> feature id, of all features of a dictionary, in the order of the latents."""
    query = select(Feature.latent_index, Feature.id).where(Feature.dictionary_id == dictionary_id)
    return {row.latent_index: row.id for row in session.execute(query.order_by(Feature.latent_index))}


class FeatureOfDictionary(NamedTuple):
    """A feature with the dictionary that it belongs to."""

    feature: Feature
    dictionary: DictionaryRow


def with_dictionaries(session: Session, feature_ids: Iterable[int]) -> dict[int, FeatureOfDictionary]:
    """Return features with their dictionaries, by the feature's id."""
    found: dict[int, FeatureOfDictionary] = {}
    for some in bulk.chunks(feature_ids):
        rows = session.execute(select(Feature, DictionaryRow).join(DictionaryRow).where(Feature.id.in_(some)))
        found |= {feature.id: FeatureOfDictionary(feature, dictionary) for feature, dictionary in rows}
    return found


def among(session: Session, feature_ids: Iterable[int], dictionary_ids: Collection[int]) -> set[int]:
    """Return those of the features that belong to one of the dictionaries."""
    found: set[int] = set()
    for some in bulk.chunks(feature_ids):
        own = select(Feature.id).where(Feature.id.in_(some), Feature.dictionary_id.in_(dictionary_ids))
        found.update(session.scalars(own))
    return found


def steps_by_id(
    session: Session,
    dictionary_ids: Collection[int],
    state: str | None = None,
    density: tuple[float, float] | None = None,
) -> dict[int, dict[str, float]]:
    """Return each feature's share of activation by denoising step, by the feature's id.

    Args:
        session: An open session.
        dictionary_ids: Only features of these dictionaries.
        state: Only features in this state.
        density: Only features whose density lies in this range, both ends included.
    """
    query = select(Feature.id, Feature.steps).where(Feature.dictionary_id.in_(dictionary_ids))
    if state is not None:
        query = query.where(Feature.state == state)
    if density is not None:
        query = query.where(Feature.density.between(*density))
    return dict(session.execute(query).all())


def store(session: Session, dictionary_id: int, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Write the features of a dictionary, and return their ids by latent index.

    A feature that is stored already, as it came with an import, stays the same row, so that its labels stay with it.

    Args:
        session: An open session.
        dictionary_id: The dictionary that they belong to.
        rows: The other columns of each feature, `latent_index` among them.
    """
    known = ids_by_index(session, dictionary_id)
    whole = [{**row, "dictionary_id": dictionary_id} for row in rows]
    changed = [{**row, "id": known[row["latent_index"]]} for row in whole if row["latent_index"] in known]
    if changed:
        session.execute(update(Feature), changed)
    bulk.insert_many(session, Feature, [row for row in whole if row["latent_index"] not in known])
    return ids_by_index(session, dictionary_id)


def ids_in_state(session: Session, dictionary_id: int, state: State) -> list[int]:
    """Return the ids of a dictionary's features in a state, in the order of the latents."""
    query = select(Feature.id).where(Feature.dictionary_id == dictionary_id, Feature.state == state)
    return list(session.scalars(query.order_by(Feature.latent_index)))


def latents_that_fire(session: Session, dictionary_id: int) -> dict[int, int]:
    """Return the latent index of each feature of a dictionary that is not dead, by the feature's id."""
    query = select(Feature.id, Feature.latent_index).where(Feature.dictionary_id == dictionary_id)
    return {row.id: row.latent_index for row in session.execute(query.where(Feature.state != "dead"))}


def peaks(session: Session, dictionary_id: int) -> dict[int, float]:
    """Return the largest activation of each feature of a dictionary, by its id."""
    query = select(Feature.id, Feature.max_activation).where(Feature.dictionary_id == dictionary_id)
    return {row.id: row.max_activation for row in session.execute(query)}


def ids_by_latents(session: Session, dictionary_id: int, latents: Iterable[int]) -> dict[int, int]:
    """Return the ids of some features of a dictionary, by latent index."""
    found: dict[int, int] = {}
    for some in bulk.chunks(latents):
        query = select(Feature.latent_index, Feature.id)
        found.update(
            session.execute(query.where(Feature.dictionary_id == dictionary_id, Feature.latent_index.in_(some))).all()
        )
    return found


def densities(session: Session, dictionary_id: int) -> dict[int, float]:
    """Return the density of each feature of a dictionary, by its latent."""
    query = select(Feature.latent_index, Feature.density).where(Feature.dictionary_id == dictionary_id)
    return {row.latent_index: row.density for row in session.execute(query)}
