"""Queries of cells: each feature's sample of images by the number of active cells, and random cells of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from autointerp.db.models import CellRow, Crop, Feature, Image, Split
from autointerp.db.queries import bulk
from autointerp.db.queries.crops import PicturedCrop


class PicturedCell(NamedTuple):
    """A random cell with the prompt of its image and the image's picture (WebP bytes)."""

    cell: CellRow
    prompt: str
    picture: bytes


def replace_all(session: Session, dictionary_id: int, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write random cells, each given by its columns, in place of all of a dictionary."""
    session.execute(delete(CellRow).where(CellRow.dictionary_id == dictionary_id))
    bulk.insert_many(session, CellRow, list(rows))


def sampled(session: Session, feature_ids: Sequence[int], split: Split) -> Iterator[PicturedCrop]:
    """Yield the crops of the features' samples of a split with their pictures, by feature, then by image."""
    for some in bulk.chunks(feature_ids):
        query = (
            select(Crop, Image.prompt, Image.picture)
            .join(Image, Crop.image_id == Image.id)
            .where(Crop.feature_id.in_(some), Crop.split == split, Crop.sample_probability.is_not(None))
            # The ids of crops and images differ from one database to another.
            .order_by(Crop.feature_id, Image.generation_hash)
        )
        for crop, prompt, picture in session.execute(query):
            yield PicturedCrop(crop, prompt, picture)


def random_ids(session: Session, dictionary_id: int, split: Split) -> list[int]:
    """Return the ids of the random cells of a dictionary's layer in a split, in their random order."""
    query = select(CellRow.id).where(CellRow.dictionary_id == dictionary_id, CellRow.split == split)
    return list(session.scalars(query.order_by(CellRow.id)))


def pictured_by_id(session: Session, cell_ids: Iterable[int]) -> Iterator[PicturedCell]:
    """Yield the random cells of these ids with their pictures."""
    for some in bulk.chunks(sorted(set(cell_ids))):
        query = select(CellRow, Image.prompt, Image.picture).join(Image, CellRow.image_id == Image.id)
        for cell, prompt, picture in session.execute(query.where(CellRow.id.in_(some))):
            yield PicturedCell(cell, prompt, picture)


def are_kept(session: Session, dictionary_id: int) -> bool:
    """Return whether the harvest of a dictionary kept samples of active cells."""
    query = select(Crop.id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    return bool(session.scalar(select(exists(query.where(Crop.sample_probability.is_not(None))))))
