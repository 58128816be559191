"""Queries of labelers side by side: plain columns of all their results at once, as a hundred thousand are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session, aliased

from autointerp.db.models import Feature, Label, LabelerRow, Score
from autointerp.db.queries.scores import HEADLINE


class SharedResult(NamedTuple):
    """What two labelers say of one feature: the newest result of each that did not fail."""

    dictionary_id: int
    latent_index: int
    label_ids: tuple[int, int]
    names: tuple[str, str]


def shared_results(
    session: Session, first: Collection[int], second: Collection[int], dictionary_id: int | None = None
) -> Iterator[SharedResult]:
    """Yield the features that both have a result for, in no order; a name is empty where none fits.

    Args:
        session: An open session.
        first: Ids of the one labeler.
        second: Ids of the other one.
        dictionary_id: Only features of this dictionary; None for all.
    """
    newest = [_newest(labelers).subquery() for labelers in (first, second)]
    one, other = aliased(Label), aliased(Label)
    query = (
        select(Feature.dictionary_id, Feature.latent_index, one.id, other.id)
        .add_columns(one.status, one.name, other.status, other.name)
        .join(newest[0], newest[0].c.feature_id == Feature.id)
        .join(newest[1], newest[1].c.feature_id == Feature.id)
        .join(one, one.id == newest[0].c.id)
        .join(other, other.id == newest[1].c.id)
    )
    if dictionary_id is not None:
        query = query.where(Feature.dictionary_id == dictionary_id)
    for dictionary, latent, a, b, status, name, other_status, other_name in session.execute(query):
        names = (name if status == "ok" else "", other_name if other_status == "ok" else "")
        yield SharedResult(dictionary, latent, (a, b), names)


def score_columns(session: Session, labelers: Collection[int]) -> dict[tuple[str, int], dict[int, float]]:
    """Return the values of the scores that can stand for a label, of some labelers' newest results.

    They come by method and judge's id (0 without one), and then by label; newest judges come last.
    """
    newest = _newest(labelers).subquery()
    query = (
        select(Score.method, Score.judge_id, Score.label_id, Score.value)
        .join(newest, newest.c.id == Score.label_id)
        .where(Score.method.in_(HEADLINE), *_counted())
        .outerjoin(LabelerRow, LabelerRow.id == Score.judge_id)
    )
    found: dict[tuple[str, int], dict[int, float]] = {}
    for method, judge, label, value in session.execute(query.order_by(Score.id)):
        if value is not None:
            found.setdefault((method, judge or 0), {})[label] = value
    return found


def result_counts(session: Session, dictionary_id: int) -> dict[int, dict[str, int]]:
    """Return labeler's id -> status -> features of which that is the labeler's result.

    A failure is the result only where there is no other.
    """
    given = select(Label.labeler_id, Label.feature_id).join(Feature).where(Feature.dictionary_id == dictionary_id)
    newest = select(func.max(Label.id)).join(Feature).where(Feature.dictionary_id == dictionary_id)
    newest = newest.where(Label.status != "failed").group_by(Label.feature_id, Label.labeler_id)
    found: dict[int, dict[str, int]] = {}
    query = select(Label.labeler_id, Label.status, func.count()).where(Label.id.in_(newest))
    for labeler, status, count in session.execute(query.group_by(Label.labeler_id, Label.status)):
        found.setdefault(labeler, {})[status] = count
    features = given.distinct().subquery()
    every = select(features.c.labeler_id, func.count()).group_by(features.c.labeler_id)
    for labeler, count in session.execute(every):
        own = found.setdefault(labeler, {})
        own["failed"] = count - sum(own.values())
    return found


def mean_scores(session: Session, dictionary_id: int) -> dict[int, dict[str, float]]:
    """Return labeler's id -> method -> mean of the newest scores, without controls, of the labeler's newest results."""
    labels = select(func.max(Label.id)).join(Feature).where(Feature.dictionary_id == dictionary_id)
    labels = labels.where(Label.status != "failed").group_by(Label.feature_id, Label.labeler_id)
    newest = (
        select(func.max(Score.id))
        .outerjoin(LabelerRow, LabelerRow.id == Score.judge_id)
        .where(Score.label_id.in_(labels), *_counted())
        .group_by(Score.label_id, Score.method, Score.judge_id)
    )
    query = select(Label.labeler_id, Score.method, func.avg(Score.value)).join(Label, Label.id == Score.label_id)
    found: dict[int, dict[str, float]] = {}
    grouped = query.where(Score.id.in_(newest)).group_by(Label.labeler_id, Score.method)
    for labeler, method, mean in session.execute(grouped.order_by(Score.method)):
        found.setdefault(labeler, {})[method] = float(mean)
    return found


def _newest(labelers: Collection[int]) -> Select[int, int]:
    """Select the newest result of each feature that some labelers looked at, without failures."""
    query = select(Label.feature_id, func.max(Label.id).label("id"))
    return query.where(Label.labeler_id.in_(labelers), Label.status != "failed").group_by(Label.feature_id)


def _counted() -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that a score has a value and is no control."""
    return (
        Score.value.is_not(None),
        ~Score.shuffled,
        LabelerRow.kind.is_(None) | (LabelerRow.kind != "control"),
    )
