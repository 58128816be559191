"""Queries of everything at once: a few columns of all features, labels and scores, for lists of features."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from autointerp.db.models import CellRow, Crop, DictionaryRow, Feature, Image, Judgement, Label, LabelerRow, Score
from autointerp.db.queries import bulk, crops
from autointerp.db.queries.scores import HEADLINE

_IN_PARTS = {"yield_per": 2000}
"""All rows at once would take hundreds of megabytes where there are a hundred thousand features."""


class Stamp(NamedTuple):
    """Counts and newest ids by which a reader notices that features, labels or scores changed."""

    dictionaries: int
    last_dictionary: int
    features: int
    labels: int
    last_label: int
    scores: int
    last_score: int


def stamp(session: Session) -> Stamp:
    """Return the stamp of what is stored now."""
    parts: list[int] = []
    for table, newest in ((DictionaryRow, True), (Feature, False), (Label, True), (Score, True)):
        columns: list[Any] = [func.count(), *([func.max(table.id)] if newest else [])]
        parts += [value or 0 for value in session.execute(select(*columns).select_from(table)).one()]
    return Stamp(*parts)


class FeatureLine(NamedTuple):
    """The columns of a feature by which lists of features are filtered and sorted."""

    id: int
    dictionary_id: int
    latent_index: int
    state: str
    density: float
    max_activation: float
    steps: dict[str, float]


def feature_lines(session: Session) -> Iterator[FeatureLine]:
    """Yield every feature, by dictionary and latent."""
    table = Feature
    query = select(
        table.id,
        table.dictionary_id,
        table.latent_index,
        table.state,
        table.density,
        table.max_activation,
        table.steps,
    ).order_by(table.dictionary_id, table.latent_index)
    for row in session.execute(query, execution_options=_IN_PARTS):
        yield FeatureLine(*row)


class LabelLine(NamedTuple):
    """The columns of a label by which lists of features are filtered and sorted."""

    id: int
    feature_id: int
    labeler_id: int
    status: str
    name: str


def label_lines(session: Session, labelers: Collection[int] | None = None) -> Iterator[LabelLine]:
    """Yield the labels of all labelers, or of some: failures first, then by age, so that the last one is current."""
    query = select(Label.id, Label.feature_id, Label.labeler_id, Label.status, Label.name)
    if labelers is not None:
        query = query.where(Label.labeler_id.in_(labelers))
    query = query.order_by(case((Label.status == "failed", 0), else_=1), Label.id)
    names: dict[str, str] = {}
    for label, feature, labeler, status, name in session.execute(query, execution_options=_IN_PARTS):
        # Many features have the same name.
        yield LabelLine(label, feature, labeler, sys.intern(status), names.setdefault(name, name))


class ScoreLine(NamedTuple):
    """The columns of a score that can stand for its label."""

    label_id: int
    method: str
    value: float
    ci_low: float | None


def score_lines(session: Session) -> Iterator[ScoreLine]:
    """Yield the scores that can stand for a label, oldest first, without controls."""
    query = (
        select(Score.label_id, Score.method, Score.value, Score.ci_low)
        .outerjoin(LabelerRow, LabelerRow.id == Score.judge_id)
        .where(Score.method.in_(HEADLINE), ~Score.shuffled)
        .where(LabelerRow.kind.is_(None) | (LabelerRow.kind != "control"))
        .order_by(Score.id)
    )
    for label_id, method, value, ci_low in session.execute(query, execution_options=_IN_PARTS):
        if value is not None:
            yield ScoreLine(label_id, method, value, ci_low)


class CropLine(NamedTuple):
    """A crop with the size and the prompt of its picture, without pixels."""

    id: int
    feature_id: int
    image_id: int
    width: int
    height: int
    prompt: str
    box: tuple[int, int, int, int]
    role: str
    activation: float
    step: int | None
    cell: tuple[int, int] | None


def strongest_crops(session: Session, feature_ids: Iterable[int], count: int) -> dict[int, list[CropLine]]:
    """Return the few crops on which each feature fires most, strongest first, by the feature's id."""
    found: dict[int, list[CropLine]] = {}
    for some in bulk.chunks(feature_ids):
        query = _crop_lines().where(Crop.feature_id.in_(some), Crop.role == "top", Crop.rank < count)
        for line in map(_crop_line, session.execute(query.order_by(Crop.activation.desc(), Crop.id))):
            own = found.setdefault(line.feature_id, [])
            if len(own) < count:
                own.append(line)
    return found


def crops_by_id(session: Session, crop_ids: Iterable[int]) -> dict[int, CropLine]:
    """Return the crops of these ids."""
    found: dict[int, CropLine] = {}
    for some in bulk.chunks(sorted(set(crop_ids))):
        found |= {line.id: line for line in map(_crop_line, session.execute(_crop_lines().where(Crop.id.in_(some))))}
    return found


class MappedCrop(NamedTuple):
    """A crop with its packed activation map, and of a hard negative the latent that fires there."""

    crop: CropLine
    neighbour: int | None
    packed_map: bytes | None


def crop_lines(session: Session, feature_id: int) -> list[MappedCrop]:
    """Return the crops that a feature shows.

    Top crops come first, then quantiles, then negatives, each by rank.
    """
    order = case({"top": 0, "quantile": 1, "negative": 2}, value=Crop.role)
    query = _crop_lines(Crop.neighbour, Crop.activation_map).where(
        Crop.feature_id == feature_id, ~crops.FOR_SAMPLE_ALONE
    )
    rows = session.execute(query.order_by(order, Crop.rank, Crop.id))
    return [MappedCrop(_crop_line(row), row.neighbour, row.activation_map) for row in rows]


def activation_map(session: Session, crop_id: int) -> bytes | None:
    """Return the packed activation map of a crop; None where there is no such crop, or no map."""
    return session.scalar(select(Crop.activation_map).where(Crop.id == crop_id))


def picture(session: Session, image_id: int) -> bytes | None:
    """Return the stored picture of an image (WebP); None where there is no such image."""
    return session.scalar(select(Image.picture).where(Image.id == image_id))


def trials(session: Session, score_id: int) -> list[Judgement]:
    """Return the trials of a score, in their order."""
    return list(session.scalars(select(Judgement).where(Judgement.score_id == score_id).order_by(Judgement.trial)))


def score(session: Session, score_id: int) -> Score | None:
    """Return the score of that id."""
    return session.get(Score, score_id)


def _crop_lines(*more: Any) -> Any:
    columns: Sequence[Any] = (
        *(Crop.id, Crop.feature_id, Crop.image_id, Image.width, Image.height, Image.prompt),
        *(Crop.box_left, Crop.box_top, Crop.box_right, Crop.box_bottom),
        *(Crop.role, Crop.activation, Crop.step, Crop.row, Crop.col),
    )
    return select(*columns, *more).join(Image, Image.id == Crop.image_id)


def _crop_line(row: Any) -> CropLine:
    cell = None if row.row is None or row.col is None else (row.row, row.col)
    box = (row.box_left, row.box_top, row.box_right, row.box_bottom)
    about = (row.id, row.feature_id, row.image_id, row.width, row.height, row.prompt)
    return CropLine(*about, box, row.role, row.activation, row.step, cell)


class CellPicture(NamedTuple):
    """The picture in which a cell of a dictionary's layer lies."""

    image_id: int
    width: int
    height: int


def cell_pictures(
    session: Session, dictionary_id: int, prompts: Iterable[str]
) -> dict[tuple[str, int, int], CellPicture]:
    """Return the pictures of a dictionary's random cells, by prompt, row and column, for some prompts."""
    found: dict[tuple[str, int, int], CellPicture] = {}
    columns = (Image.prompt, CellRow.row, CellRow.col, Image.id, Image.width, Image.height)
    for some in bulk.chunks(set(prompts)):  # type: ignore[arg-type]
        query = select(*columns).join(Image, Image.id == CellRow.image_id)
        query = query.where(CellRow.dictionary_id == dictionary_id, Image.prompt.in_(some))
        for row in session.execute(query.order_by(CellRow.id.desc())):
            found[row.prompt, row.row, row.col] = CellPicture(row.id, row.width, row.height)
    return found
