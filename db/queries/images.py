"""Queries of images and their stored pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, exists, func, select
from sqlalchemy.orm import Session

from autointerp.db.models import CellRow, Crop, Feature, Image, Split
from autointerp.db.queries import bulk

UNUSED = ~exists().where(Crop.image_id == Image.id) & ~exists().where(CellRow.image_id == Image.id)
"""The condition of an image that no crop lies in, and no random cell."""


def remove_orphans(session: Session, among: Iterable[int] | None = None) -> int:
    """Delete images (of these ids, or any) that no crop or random cell refers to; how many there were."""
    orphaned = delete(Image).where(UNUSED).returning(Image.id)
    if among is None:
        return len(session.execute(orphaned).all())
    return sum(len(session.execute(orphaned.where(Image.id.in_(some))).all()) for some in bulk.chunks(among))


def pictures(session: Session, image_ids: Iterable[int]) -> dict[int, bytes]:
    """The stored WebP of each image id."""
    found: dict[int, bytes] = {}
    for some in bulk.chunks(set(image_ids)):
        rows = session.execute(select(Image.id, Image.picture).where(Image.id.in_(some)))
        found.update(rows.all())
    return found


def picture(session: Session, generation_hash: str) -> bytes | None:
    """The stored picture of an image, if there is one."""
    return session.scalar(select(Image.picture).where(Image.generation_hash == generation_hash))


def ids(session: Session, generation_hashes: Iterable[str]) -> dict[str, int]:
    """Generation hash -> image id, for those that are stored."""
    found: dict[str, int] = {}
    hashes = list(generation_hashes)
    for i in range(0, len(hashes), bulk.CHUNK):
        some = hashes[i : i + bulk.CHUNK]
        rows = session.execute(select(Image.generation_hash, Image.id).where(Image.generation_hash.in_(some)))
        found.update(rows.all())
    return found


def prompts_of(session: Session, dictionary_id: int, split: Split) -> list[str]:
    """The prompt of every image of a split that a crop of the dictionary lies in, one entry an image."""
    used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id, Crop.split == split)
    return list(session.scalars(select(Image.prompt).where(Image.id.in_(used)).order_by(Image.id)))


def first_prompt(session: Session) -> str:
    """Return the prompt of the oldest image that has one; empty where there is none."""
    query = select(Image.prompt).where(Image.prompt != "").order_by(Image.id).limit(1)
    return session.scalar(query) or ""


def count_prompts(session: Session, dictionary_id: int) -> int:
    """How many prompts the images have that crops of a dictionary lie in."""
    used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    return session.scalar(select(func.count(Image.prompt.distinct())).where(Image.id.in_(used))) or 0


class PromptedImage(NamedTuple):
    """The size of a stored picture in pixels, and its prompt."""

    width: int
    height: int
    prompt: str


def sizes_and_prompts(session: Session, image_ids: Iterable[int]) -> dict[int, PromptedImage]:
    """The size and the prompt of each image id."""
    found: dict[int, PromptedImage] = {}
    for some in bulk.chunks(image_ids):
        query = select(Image.id, Image.width, Image.height, Image.prompt).where(Image.id.in_(some))
        found.update({row.id: PromptedImage(row.width, row.height, row.prompt) for row in session.execute(query)})
    return found


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert images, each given by its columns."""
    bulk.insert_many(session, Image, rows)


def sizes(session: Session, image_ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return the (width, height) of each image id."""
    found: dict[int, tuple[int, int]] = {}
    for some in bulk.chunks(image_ids):
        rows = session.execute(select(Image.id, Image.width, Image.height).where(Image.id.in_(some)))
        found.update({row.id: (row.width, row.height) for row in rows})
    return found


def prompts_in_order(session: Session, dictionary_id: int, split: Split) -> list[str]:
    """Return the prompt of every image of a split that has a crop of the dictionary, by the image's index."""
    used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id, Crop.split == split)
    return list(session.scalars(select(Image.prompt).where(Image.id.in_(used)).order_by(Image.image_index)))


class ImageSource(NamedTuple):
    """What an image was generated from: its number in the run, prompt, seed, and the hash of all that made it."""

    image_index: int
    prompt: str
    seed: int
    generation_hash: str


def sources(session: Session, image_ids: Iterable[int]) -> dict[int, ImageSource]:
    """Return what each image id was generated from."""
    found: dict[int, ImageSource] = {}
    for some in bulk.chunks(image_ids):
        query = select(Image.id, Image.image_index, Image.prompt, Image.seed, Image.generation_hash)
        rows = session.execute(query.where(Image.id.in_(some)))
        found.update({row.id: ImageSource(*row[1:]) for row in rows})
    return found
