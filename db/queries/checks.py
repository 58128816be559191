"""Queries of `db check`: the rows of a whole workspace, streamed, so that memory does not grow with its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Executable, func, select
from sqlalchemy.orm import Session

from autointerp.db.models import CellRow, Crop, DictionaryRow, Feature, Image, Index, Label, LabelerRow, Run, Score
from autointerp.db.queries import images

ROWS, PICTURES = 2_000, 100
"""Rows in memory at a time; fewer where each holds a picture."""
T = TypeVar("T", bound=tuple[Any, ...])


class StoredPicture(NamedTuple):
    """An image with its picture and the hash of its prompt."""

    image_id: int
    width: int
    height: int
    prompt: str
    prompt_hash: str
    picture: bytes


class GeneratedImage(NamedTuple):
    """An image with the hash of all that made it."""

    image_id: int
    prompt: str
    seed: int
    generation_hash: str


class FinishedHarvest(NamedTuple):
    """The configuration that a finished harvest of a dictionary ran with."""

    dictionary_id: int | None
    config: dict[str, Any]


class PlacedCrop(NamedTuple):
    """A crop with the size of its picture, its prompt, and the stream that its dictionary reads.

    `box` is left, top, right, bottom in pixels, right and bottom exclusive.
    """

    crop_id: int
    step: int | None
    row: int | None
    col: int | None
    box: tuple[int, int, int, int]
    activation: float
    activation_map: bytes | None
    role: str
    split: str
    neighbour: int | None
    sample_probability: float | None
    width: int
    height: int
    prompt: str
    stream: str


class PlacedCell(NamedTuple):
    """A random cell with the size of its picture, its prompt, and the stream that its dictionary reads."""

    cell_id: int
    row: int
    col: int
    grid_rows: int
    grid_cols: int
    split: str
    width: int
    height: int
    prompt: str
    stream: str


class LatentRange(NamedTuple):
    """The features of a dictionary: how many, from which latent to which, and whether it was harvested whole."""

    dictionary: str
    num_latents: int
    features: int
    first: int
    last: int
    harvested: bool


class CheckedLabel(NamedTuple):
    """A label's status with the texts that have to fit it."""

    label_id: int
    status: str
    name: str
    error: str


class ScoreInterval(NamedTuple):
    """A score's value with its 95% confidence interval."""

    score_id: int
    value: float
    ci_low: float | None
    ci_high: float | None


class LabelerConfig(NamedTuple):
    """A labeler's settings with their hash."""

    labeler_id: int
    config: dict[str, Any]
    config_hash: str


class RunState(NamedTuple):
    """How far a run is, what it does, and the hash of its dictionary's weights, if it has one."""

    run_id: int
    kind: str
    status: str
    done: int
    total: int
    identity: str
    config: dict[str, Any]
    weights_sha256: str | None


class WeightsHash(NamedTuple):
    """The SHA-256 that the weights of a dictionary had when they were stored."""

    dictionary: str
    sha256: str


def count_rows(session: Session) -> int:
    """Return how many images and crops there are."""
    return sum(session.scalar(select(func.count()).select_from(table)) or 0 for table in (Image, Crop))


def pictures(session: Session) -> Iterator[StoredPicture]:
    """Stream every image with its picture."""
    columns = (Image.id, Image.width, Image.height, Image.prompt, Image.prompt_hash, Image.picture)
    yield from _streamed(session, select(*columns).order_by(Image.id), StoredPicture, PICTURES)


def harvest_is_unfinished(session: Session) -> bool:
    """Return whether a harvest was begun that is not done."""
    unfinished = select(Run.id).where(Run.kind == "harvest", Run.status != "done").limit(1)
    return session.scalar(unfinished) is not None


def unused_images(session: Session) -> Iterator[int]:
    """Stream the ids of images that no crop and no random cell lies in."""
    query = select(Image.id).where(images.UNUSED)
    yield from session.scalars(query.order_by(Image.id).execution_options(yield_per=ROWS))


def finished_harvests(session: Session) -> list[FinishedHarvest]:
    """Return all finished harvests, oldest first."""
    query = select(Run.dictionary_id, Run.config).where(Run.kind == "harvest", Run.status == "done")
    return [FinishedHarvest(*row) for row in session.execute(query.order_by(Run.id))]


def images_of(session: Session, dictionary_id: int | None) -> Iterator[GeneratedImage]:
    """Stream the images that crops and random cells of a dictionary lie in."""
    used = select(Crop.image_id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    drawn = select(CellRow.image_id).where(CellRow.dictionary_id == dictionary_id)
    query = select(Image.id, Image.prompt, Image.seed, Image.generation_hash)
    query = query.where(Image.id.in_(used) | Image.id.in_(drawn))
    yield from _streamed(session, query.order_by(Image.id), GeneratedImage)


def crops(session: Session) -> Iterator[PlacedCrop]:
    """Stream every crop; as values and not as objects, which a session would keep."""
    query = (
        select(Crop.id, Crop.step, Crop.row, Crop.col)
        .add_columns(Crop.box_left, Crop.box_top, Crop.box_right, Crop.box_bottom)
        .add_columns(Crop.activation, Crop.activation_map, Crop.role, Crop.split, Crop.neighbour)
        .add_columns(Crop.sample_probability)
        .add_columns(Image.width, Image.height, Image.prompt, DictionaryRow.stream)
        .join(Image, Image.id == Crop.image_id)
        .join(Feature, Feature.id == Crop.feature_id)
        .join(DictionaryRow, DictionaryRow.id == Feature.dictionary_id)
        .order_by(Crop.id)
    )
    for row in session.execute(query.execution_options(yield_per=ROWS)):
        values: tuple[Any, ...] = tuple(row)
        yield PlacedCrop._make((*values[:4], values[4:8], *values[8:]))


def cells(session: Session) -> Iterator[PlacedCell]:
    """Stream every random cell."""
    query = (
        select(CellRow.id, CellRow.row, CellRow.col, CellRow.grid_rows)
        .add_columns(CellRow.grid_cols, CellRow.split, Image.width, Image.height, Image.prompt, DictionaryRow.stream)
        .join(Image, Image.id == CellRow.image_id)
        .join(DictionaryRow, DictionaryRow.id == CellRow.dictionary_id)
        .order_by(CellRow.id)
    )
    yield from _streamed(session, query, PlacedCell)


def latent_ranges(session: Session) -> Iterator[LatentRange]:
    """Stream the range of features of each dictionary that has any."""
    harvested = select(Run.dictionary_id).where(Run.kind == "harvest", Run.status == "done")
    query = (
        select(DictionaryRow.name, DictionaryRow.num_latents, func.count(), func.min(Feature.latent_index))
        .add_columns(func.max(Feature.latent_index), DictionaryRow.id.in_(harvested))
        .join(Feature)
        .group_by(DictionaryRow.id, DictionaryRow.name, DictionaryRow.num_latents)
        .order_by(DictionaryRow.id)
    )
    yield from _streamed(session, query, LatentRange)


def label_results(session: Session) -> Iterator[CheckedLabel]:
    """Stream every label."""
    query = select(Label.id, Label.status, Label.name, Label.error).order_by(Label.id)
    yield from _streamed(session, query, CheckedLabel)


def score_intervals(session: Session) -> Iterator[ScoreInterval]:
    """Stream every score that has a value."""
    query = select(Score.id, Score.value, Score.ci_low, Score.ci_high).where(Score.value.is_not(None))
    yield from _streamed(session, query, ScoreInterval)


def labeler_configs(session: Session) -> Iterator[LabelerConfig]:
    """Stream every labeler and judge."""
    yield from _streamed(session, select(LabelerRow.id, LabelerRow.config, LabelerRow.config_hash), LabelerConfig)


def run_states(session: Session) -> Iterator[RunState]:
    """Stream every run, one in memory at a time."""
    query = (
        select(Run.id, Run.kind, Run.status, Run.done, Run.total, Run.identity, Run.config)
        .add_columns(DictionaryRow.weights_sha256)
        .outerjoin(DictionaryRow, DictionaryRow.id == Run.dictionary_id)
        .order_by(Run.id)
    )
    yield from _streamed(session, query, RunState, 1)


def weights_hashes(session: Session) -> Iterator[WeightsHash]:
    """Stream the hash of every dictionary's weights."""
    query = select(DictionaryRow.name, DictionaryRow.weights_sha256).order_by(DictionaryRow.id)
    yield from _streamed(session, query, WeightsHash)


def indexes(session: Session) -> list[tuple[Index, DictionaryRow]]:
    """Return every index with its dictionary, detached."""
    query = select(Index, DictionaryRow).join(DictionaryRow).order_by(Index.id)
    rows = [(index, dictionary) for index, dictionary in session.execute(query).all()]
    session.expunge_all()
    return rows


def _streamed(session: Session, query: Executable, row_type: type[T], size: int | None = None) -> Iterator[T]:
    """Yield the rows of a query as values of a type, `size` (`ROWS` by default) of them in memory at a time."""
    for row in session.execute(query.execution_options(yield_per=size or ROWS)):
        yield row_type(*row)
