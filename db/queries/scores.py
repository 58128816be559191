"""Queries of scores and their trials: storing them, and the figures that stand for a label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from autointerp.db.models import Judgement, LabelerRow, Score
from autointerp.db.queries import bulk

FLOORED = ("detection", "embedding")
"""Scores that a floor without a method is held against, the more telling one first."""

HEADLINE = ("gain", *FLOORED)
"""Scores that stand for a label, the more telling one first."""

CHANCE = {"gain": 0.0, "detection": 0.5, "embedding": 0.5}
"""The value of each of them for a label that says nothing."""

_MANY = 20_000
"""Labels from which on the scores of all labels are read at once."""


@dataclass(frozen=True)
class ScoreSlot:
    """The place of one score among the scores of a label.

    Attributes:
        method: The name of the method.
        judge_id: The judge; None for a method without one.
        shuffled: Whether the words of another label are scored in its place: the control.
    """

    method: str
    judge_id: int | None = None
    shuffled: bool = False

    @property
    def condition(self) -> ColumnElement[bool]:
        """The SQL condition that a score stands in this place."""
        judge = Score.judge_id.is_(None) if self.judge_id is None else Score.judge_id == self.judge_id
        return and_(Score.method == self.method, Score.shuffled == self.shuffled, judge)


@dataclass(frozen=True)
class StoredTrial:
    """One trial of a score, as a row of `judgements` keeps it; the columns' meanings are in docs/schema.md."""

    crop_id: int | None
    kind: str
    panel: int | None
    shown: Mapping[str, Any]
    truth: bool
    holds: bool | None
    value: float | None
    error: str


def store(session: Session, score: Score, trials: Sequence[StoredTrial]) -> None:
    """Store a score and its trials, in place of one that got no readable answer."""
    # Columns have their defaults only once the row is flushed.
    slot = ScoreSlot(score.method, score.judge_id, bool(score.shuffled))
    unread = (Score.label_id == score.label_id, Score.value.is_(None), Score.unscored > 0)
    session.execute(delete(Score).where(slot.condition, *unread))
    session.add(score)
    session.flush()
    rows = [asdict(trial) | {"score_id": score.id, "trial": number} for number, trial in enumerate(trials)]
    bulk.insert_many(session, Judgement, rows)


def headline_values(session: Session, label_ids: Iterable[int]) -> dict[int, dict[tuple[str, int], float]]:
    """Return label id -> (method, judge's id or 0) -> the newest value of a score that can stand for the label."""
    found: dict[int, dict[tuple[str, int], float]] = {}
    wanted = set(label_ids)
    query = (
        select(Score.label_id, Score.method, Score.judge_id, Score.value)
        .outerjoin(LabelerRow, LabelerRow.id == Score.judge_id)
        .where(Score.method.in_(HEADLINE), ~Score.shuffled)
        .where(or_(LabelerRow.kind.is_(None), LabelerRow.kind != "control"))
        .order_by(Score.id)
    )
    # To read all scores at once is faster than to ask for those of many labels in parts.
    parts = [query.where(Score.label_id.in_(some)) for some in bulk.chunks(wanted)] if len(wanted) < _MANY else [query]
    for part in parts:
        for label_id, method, judge_id, value in session.execute(part):
            if value is not None and label_id in wanted:
                found.setdefault(label_id, {})[method, judge_id or 0] = value
    return found


def methods(session: Session) -> set[str]:
    """Return the methods of which some label has a value."""
    return set(session.scalars(select(Score.method).where(Score.value.is_not(None), ~Score.shuffled).distinct()))


def of_labels(session: Session, label_ids: Iterable[int]) -> dict[int, list[Score]]:
    """Return label id -> its newest score of each method and judge, without controls."""
    found: dict[int, list[Score]] = {}
    for score, judge in judged(session, label_ids):
        if not score.shuffled and (judge is None or judge.kind != "control"):
            found.setdefault(score.label_id, []).append(score)
    return found


def judged(session: Session, label_ids: Iterable[int]) -> list[tuple[Score, LabelerRow | None]]:
    """Return the newest score of each label, method and judge, shuffled or not, with the judge; oldest first."""
    newest: dict[tuple[int, str, int | None, bool], tuple[Score, LabelerRow | None]] = {}
    for some in bulk.chunks(label_ids):
        query = select(Score, LabelerRow).outerjoin(LabelerRow, LabelerRow.id == Score.judge_id)
        for score, judge in session.execute(query.where(Score.label_id.in_(some)).order_by(Score.id)):
            newest[score.label_id, score.method, score.judge_id, score.shuffled] = (score, judge)
    return list(newest.values())


def trial_counts(session: Session, score_ids: Iterable[int]) -> dict[int, int]:
    """Return score id -> number of its trials."""
    found: dict[int, int] = {}
    for some in bulk.chunks(score_ids):
        query = select(Judgement.score_id, func.count()).where(Judgement.score_id.in_(some))
        found.update(session.execute(query.group_by(Judgement.score_id)).all())
    return found


def headline(scores: Sequence[Score], methods: Sequence[str] = HEADLINE) -> float | None:
    """Return the one figure that is shown for a label: the value of the first of `methods` that it has."""
    for method in methods:
        values = [s.value for s in scores if s.method == method and s.value is not None]
        if values:
            return round(values[-1], 4)
    return None


def headline_method(scores: Sequence[Score]) -> str:
    """Return the method of the figure that is shown for a label; empty where it has none."""
    has = {score.method for score in scores if score.value is not None}
    return next((method for method in HEADLINE if method in has), "")


def headline_rank(scores: Sequence[Score]) -> int:
    """Return the place of a label's headline score in `HEADLINE`, so that only scores of one method are ranked."""
    method = headline_method(scores)
    return HEADLINE.index(method) if method else len(HEADLINE)


@dataclass(frozen=True)
class ScoreFloor:
    """The least score that a label must have.

    Attributes:
        value: The least value.
        method: The score that is held against it. Empty: detection where a judge gave one, else embedding; a label
            without either then counts as 0.
    """

    value: float
    method: str = ""

    def __str__(self) -> str:
        return f"{self.method}={self.value:g}" if self.method else f"{self.value:g}"

    def reached_by(self, scores: Sequence[Score]) -> bool:
        """Return whether a label with these scores reaches the floor."""
        if not self.method:
            return (headline(scores, FLOORED) or 0.0) >= self.value
        value = headline(scores, (self.method,))
        return value is not None and value >= self.value
