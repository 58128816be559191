"""Queries of calls to models: the ledger's, and what all calls came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from autointerp.db.models import Call, Feature, Label, LabelerRow
from autointerp.db.queries import bulk

_PURPOSE, _ERROR = 32, 400
"""Characters of a purpose and of the reason for a rejection that are kept."""


LOCAL_KINDS = ("local-vlm", "shapes-vlm")
"""Kinds of labelers whose model runs on this machine, so that its calls cost nothing."""


class Attempt(Protocol):
    """One attempt to ask a model, as a row of `calls` keeps it."""

    @property
    def request_hash(self) -> str:
        """Hash of the whole request."""

    @property
    def purpose(self) -> str:
        """What the request was for: label, repair, detection, ..."""

    @property
    def model(self) -> str:
        """The model that was asked."""

    @property
    def answer(self) -> str | None:
        """The answer; None where none came."""

    @property
    def error(self) -> str:
        """Why no answer came, or why it is of no use."""

    @property
    def input_tokens(self) -> int:
        """Tokens of the request, as the server counted."""

    @property
    def output_tokens(self) -> int:
        """Tokens of the answer, as the server counted."""

    @property
    def cost(self) -> float | None:
        """Dollars; None where the price is unknown."""

    @property
    def latency_ms(self) -> float:
        """Milliseconds from sending to the whole answer."""


class Answer(NamedTuple):
    """The stored answer of a request.

    Attributes:
        text: The answer; empty where it held no whole reply.
        error: Why it is of no use; empty for a good one.
    """

    text: str
    error: str


# Built once: building the statement takes longer than running it.
_ANSWERS = (
    select(Call.answer, Call.error)
    .where(Call.request_hash == bindparam("request"), Call.answer.is_not(None))
    .where((Call.error == "") | (Call.id > bindparam("after")))
    .order_by(Call.id.desc())
    .limit(1)
)


def find_answer(connection: Connection, request_hash: str, after: int = 0) -> Answer | None:
    """Return the newest answer of a request, None if no call with it was answered.

    Args:
        connection: A connection in place of a session, which would double the time of a lookup.
        request_hash: Hash of the request.
        after: An answer of no use counts only if its call has a larger id than this one.
    """
    row = connection.execute(_ANSWERS, {"request": request_hash, "after": after}).first()
    return None if row is None else Answer(row.answer or "", row.error)


def newest_id(session: Session) -> int:
    """Return the id of the newest call, 0 if there is none."""
    return session.scalar(select(func.max(Call.id))) or 0


def record(session: Session, attempts: Sequence[Attempt]) -> None:
    """Add attempts to the ledger."""
    rows = [
        {
            "request_hash": one.request_hash,
            "purpose": one.purpose[:_PURPOSE],
            "model": one.model,
            "answer": one.answer,
            "error": one.error,
            "input_tokens": one.input_tokens,
            "output_tokens": one.output_tokens,
            "cost": one.cost,
            "latency_ms": one.latency_ms,
        }
        for one in attempts
    ]
    bulk.insert_many(session, Call, rows)


def reject(session: Session, request_hash: str, error: str) -> None:
    """Note why the newest answer of a request is of no use."""
    newest = select(func.max(Call.id)).where(Call.request_hash == request_hash, Call.answer.is_not(None))
    session.execute(update(Call).where(Call.id == newest.scalar_subquery()).values(error=error[:_ERROR]))


@dataclass(frozen=True)
class CallCounts:
    """What all calls to models came to.

    Attributes:
        calls: Attempts.
        answers: Attempts with an answer.
        input_tokens: Tokens of all requests.
        output_tokens: Tokens of all answers.
        spent: Dollars.
        unpriced: Answers of unknown price.
        named: Features with a label by a remote model.
        unnamed: Live features without such a label, in dictionaries that have such labels.
    """

    calls: int
    answers: int
    input_tokens: int
    output_tokens: int
    spent: float
    unpriced: int
    named: int
    unnamed: int


def counts(session: Session) -> CallCounts:
    """Count all calls so far, and the features that they were about."""
    # Calls of versions that recorded no cost of a model on this machine.
    free = select(LabelerRow.model).where(LabelerRow.kind.in_(LOCAL_KINDS))
    answered = Call.answer.is_not(None) & Call.model.not_in(free)
    row = session.execute(
        select(
            func.count(),
            func.count(Call.answer),
            func.coalesce(func.sum(Call.input_tokens), 0),
            func.coalesce(func.sum(Call.output_tokens), 0),
            func.coalesce(func.sum(Call.cost), 0.0),
            func.count(case((answered & Call.cost.is_(None), 1))),
        )
    ).one()
    labels = select(Label.feature_id).join(LabelerRow).where(LabelerRow.kind == "vlm", Label.status != "failed")
    mine = select(Feature.dictionary_id).where(Feature.id.in_(labels))
    live = select(func.count()).select_from(Feature).where(Feature.state == "live", Feature.dictionary_id.in_(mine))
    every, named = session.scalar(live) or 0, session.scalar(live.where(Feature.id.in_(labels))) or 0
    return CallCounts(*row[:4], row[4] or 0.0, row[5], named, every - named)
