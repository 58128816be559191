"""Queries of crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Select, case, delete, func, select, update
from sqlalchemy.orm import Session

from autointerp.db.models import Crop, Feature, Image, Role, Split
from autointerp.db.queries import bulk, words

FOR_SAMPLE_ALONE = (Crop.role == "quantile") & Crop.quantile.is_(None) & Crop.sample_probability.is_not(None)
"""The condition of a crop that is kept for its feature's sample of active cells, and is no top or quantile crop.

What a feature shows leaves these out. `queries.cells` reads them.
"""
INSERTED = 10_000
"""How many crops are inserted at a time."""


def of_feature(
    session: Session, feature_id: int, split: Split | None = None, role: Role | None = None, limit: int | None = None
) -> list[tuple[Crop, Image]]:
    """Crops that a feature shows with their images: top, then quantiles, then negatives, each by rank.

    The pictures are not loaded with the images; see `pictures`.
    """
    order = case((Crop.role == "top", 0), (Crop.role == "quantile", 1), else_=2)
    query = select(Crop, Image).join(Image, Image.id == Crop.image_id)
    query = query.where(Crop.feature_id == feature_id, ~FOR_SAMPLE_ALONE)
    if split is not None:
        query = query.where(Crop.split == split)
    if role is not None:
        query = query.where(Crop.role == role)
    rows = session.execute(query.order_by(order, Crop.rank, Crop.id).limit(limit)).all()
    return [(crop, image) for crop, image in rows]


def best_prompts(session: Session, feature_ids: Iterable[int]) -> dict[int, str]:
    """Return the prompt of the image in which each feature fires most, by the feature's id."""
    found: dict[int, str] = {}
    for some in bulk.chunks(feature_ids):
        # Each split has a strongest crop. The later row replaces the earlier one, so the stronger of both stays.
        strongest = (
            select(Crop.feature_id, Image.prompt)
            .join(Image, Image.id == Crop.image_id)
            .where(Crop.feature_id.in_(some), Crop.role == "top", Crop.rank == 0)
            .order_by(Crop.activation, Crop.id.desc())
        )
        found.update(session.execute(strongest).all())
    return found


def replace_all(session: Session, dictionary_id: int, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write crops, each given by its columns, in place of all crops of a dictionary, and return how many they are."""
    count = 0
    left = iter(rows)
    with words.prompts_indexed_once(session, [dictionary_id]):
        own = select(Feature.id).where(Feature.dictionary_id == dictionary_id)
        session.execute(delete(Crop).where(Crop.feature_id.in_(own)))
        while part := list(islice(left, INSERTED)):
            bulk.insert_many(session, Crop, part)
            count += len(part)
    return count


def add_to_samples(session: Session, dictionary_id: int, rows: Iterable[Mapping[str, Any]]) -> int:
    """Bring a dictionary's crops into samples of active cells, and return how many crops the dictionary then has.

    A crop that is stored already keeps all that it has, and gets the probability alone. So labels, scores and what was
    judged stay as they are.

    Args:
        session: An open session.
        dictionary_id: The dictionary.
        rows: The columns of crops. Those without a `sample_probability` are passed over.
    """
    own = select(Feature.id).where(Feature.dictionary_id == dictionary_id)
    stored = session.execute(select(Crop.feature_id, Crop.image_id, Crop.id, Crop.role).where(Crop.feature_id.in_(own)))
    known = {(row.feature_id, row.image_id): (row.id, row.role) for row in stored}
    new: list[Mapping[str, Any]] = []
    for row in rows:
        probability = row["sample_probability"]
        there = known.get((row["feature_id"], row["image_id"]))
        # On another machine a feature may fire weakly where it was silent. A negative stays one.
        if probability is None or (there is not None and there[1] == "negative"):
            continue
        if there is None:
            new.append({**row, "role": "quantile", "quantile": None})
        else:
            session.execute(update(Crop).where(Crop.id == there[0]).values(sample_probability=probability))
    bulk.insert_many(session, Crop, new)
    return len(known) + len(new)


class PicturedCrop(NamedTuple):
    """A crop with the prompt of its image and the image's picture (WebP bytes)."""

    crop: Crop
    prompt: str
    picture: bytes


def with_pictures(
    session: Session, feature_ids: Sequence[int], split: Split | None = None, hard: bool = False
) -> Iterator[PicturedCrop]:
    """Yield crops that features show with their pictures: by feature, then top, quantiles and negatives, each by rank.

    Args:
        session: An open session, while rows are read.
        feature_ids: The features.
        split: Only crops of this split.
        hard: Yield the hard negatives alone; without it they are left out.
    """
    order = case({"top": 0, "quantile": 1, "negative": 2}, value=Crop.role)
    query = _pictured().where(
        Crop.feature_id.in_(feature_ids),
        ~FOR_SAMPLE_ALONE,
        Crop.neighbour.is_not(None) if hard else Crop.neighbour.is_(None),
    )
    if split is not None:
        query = query.where(Crop.split == split)
    for crop, prompt, picture in session.execute(query.order_by(Crop.feature_id, order, Crop.rank, Crop.id)):
        yield PicturedCrop(crop, prompt, picture)


def pictured_by_id(session: Session, crop_ids: Iterable[int]) -> Iterator[PicturedCrop]:
    """Yield the crops of these ids with their pictures."""
    for some in bulk.chunks(sorted(set(crop_ids))):
        for crop, prompt, picture in session.execute(_pictured().where(Crop.id.in_(some))):
            yield PicturedCrop(crop, prompt, picture)


def _pictured() -> Select[Crop, str, bytes]:
    """Select crops with what `PicturedCrop` holds."""
    return select(Crop, Image.prompt, Image.picture).join(Image, Crop.image_id == Image.id)


class StoredMap(NamedTuple):
    """The stored activation map of a feature in an image."""

    feature_id: int
    image_id: int
    activation_map: bytes


def maps(session: Session, feature_ids: Iterable[int], split: Split) -> Iterator[StoredMap]:
    """Yield the activation maps of features in the images of a split, of all crops that have one."""
    for some in bulk.chunks(feature_ids):
        query = select(Crop.feature_id, Crop.image_id, Crop.activation_map).where(
            Crop.feature_id.in_(some), Crop.split == split, Crop.activation_map.is_not(None)
        )
        for feature_id, image_id, activation_map in session.execute(query):
            yield StoredMap(feature_id, image_id, activation_map or b"")


def any_map(session: Session, dictionary_id: int, image_id: int) -> bytes | None:
    """Return the activation map of a dictionary's first crop in an image that has one."""
    query = (
        select(Crop.activation_map)
        .join(Feature)
        .where(Feature.dictionary_id == dictionary_id, Crop.image_id == image_id, Crop.activation_map.is_not(None))
    )
    return session.scalar(query.order_by(Crop.id).limit(1))


def image_ids(session: Session, dictionary_id: int, split: Split) -> list[int]:
    """Return the images of a split that hold a crop of the dictionary, ascending."""
    query = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id, Crop.split == split)
    return list(session.scalars(query.distinct().order_by(Crop.image_id)))


class NegativeCrop(NamedTuple):
    """An image in which a feature is silent; for a hard negative, the latent of similar direction that fires there."""

    feature_id: int
    image_id: int
    neighbour: int | None


def negatives(session: Session, feature_ids: Iterable[int], split: Split) -> list[NegativeCrop]:
    """Return the negatives of features in a split, by feature and rank."""
    query = select(Crop.feature_id, Crop.image_id, Crop.neighbour).where(
        Crop.feature_id.in_(feature_ids), Crop.role == "negative", Crop.split == split
    )
    return [NegativeCrop(*row) for row in session.execute(query.order_by(Crop.feature_id, Crop.rank, Crop.id))]


class FiringCrop(NamedTuple):
    """A crop of the latent of a feature that fires in an image."""

    image_id: int
    latent_index: int
    crop_id: int


def firing_in(session: Session, dictionary_id: int, image_ids: Iterable[int]) -> list[FiringCrop]:
    """Return the crops that a dictionary's features show in some images in which they fire, by latent."""
    found: list[FiringCrop] = []
    for some in bulk.chunks(sorted(set(image_ids))):
        firing = (
            select(Crop.image_id, Feature.latent_index, Crop.id)
            .join(Feature)
            .where(Feature.dictionary_id == dictionary_id, Crop.image_id.in_(some), Crop.role != "negative")
            .where(~FOR_SAMPLE_ALONE)
        )
        found += [FiringCrop(*row) for row in session.execute(firing.order_by(Feature.latent_index))]
    return found


def strongest(session: Session, feature_ids: Iterable[int], split: Split) -> dict[int, int]:
    """Return the id of each feature's strongest crop in a split, by the feature's id."""
    found: dict[int, int] = {}
    for some in bulk.chunks(sorted(set(feature_ids))):
        query = select(Crop.feature_id, Crop.id).where(
            Crop.feature_id.in_(some), Crop.split == split, Crop.role != "negative"
        )
        # The later row replaces the earlier one: the strongest stays, and of equal ones the first.
        rows = session.execute(query.order_by(Crop.activation, Crop.id.desc()))
        found.update({row.feature_id: row.id for row in rows})
    return found


def firing_ids(session: Session, dictionary_id: int, split: Split) -> list[int]:
    """Return the ids of the crops of a split that a dictionary's features show where they fire, in order."""
    query = (
        select(Crop.id)
        .join(Feature)
        .where(Feature.dictionary_id == dictionary_id, Crop.split == split, Crop.role != "negative")
        .where(~FOR_SAMPLE_ALONE)
    )
    return list(session.scalars(query.order_by(Crop.id)))


def shown_often(session: Session, dictionary_id: int, least: int) -> set[int]:
    """Return the features that fire in at least so many kept images of either split."""
    query = (
        select(Crop.feature_id, Crop.split)
        .join(Feature)
        .where(Feature.dictionary_id == dictionary_id, Crop.role != "negative", ~FOR_SAMPLE_ALONE)
        .group_by(Crop.feature_id, Crop.split)
        .having(func.count() >= least)
    )
    splits: dict[int, int] = {}
    for row in session.execute(query):
        splits[row.feature_id] = splits.get(row.feature_id, 0) + 1
    return {feature for feature, count in splits.items() if count == 2}


class IndexedCrop(NamedTuple):
    """A crop as an index of crops holds it."""

    crop_id: int
    feature_id: int
    activation: float


def to_index(session: Session, dictionary_id: int) -> Iterator[IndexedCrop]:
    """Yield the crops that a dictionary's features show where they fire, without those of dead features, by id."""
    query = (
        select(Crop.id, Crop.feature_id, Crop.activation)
        .join(Feature, Feature.id == Crop.feature_id)
        .where(Feature.dictionary_id == dictionary_id, Feature.state != "dead", Crop.role != "negative")
        .where(~FOR_SAMPLE_ALONE)
    )
    for row in session.execute(query.order_by(Crop.id)):
        yield IndexedCrop(*row)


class IdRange(NamedTuple):
    """How many rows there are, and the smallest and the largest id; None where there is none."""

    rows: int
    first: int | None
    last: int | None


def id_range(session: Session, dictionary_id: int) -> IdRange:
    """Return the range of the ids of a dictionary's crops. The same harvest has other ids in another database."""
    ids = (func.count(Crop.id), func.min(Crop.id), func.max(Crop.id))
    return IdRange(*session.execute(select(*ids).join(Feature).where(Feature.dictionary_id == dictionary_id)).one())
