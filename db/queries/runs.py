"""Queries of runs: begun, gone on with, stopped, finished."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from autointerp.db.models import Checkpoint, Run, RunKind, RunStatus


@dataclass(frozen=True)
class PlannedRun:
    """A piece of long work: its kind, the hash of what it does and what that is the hash of, and its units in all."""

    kind: RunKind
    identity: str
    config: dict[str, Any]
    total: int
    dictionary_id: int | None = None


def by_identity(session: Session, kind: RunKind, identity: str) -> Run | None:
    """The run that does exactly this, whatever became of it."""
    return session.scalar(select(Run).where(Run.kind == kind, Run.identity == identity))


def last_harvest(session: Session, dictionary_id: int) -> Run | None:
    """The last finished harvest of a dictionary."""
    query = select(Run).where(Run.dictionary_id == dictionary_id, Run.kind == "harvest", Run.status == "done")
    return session.scalar(query.order_by(Run.id.desc()).limit(1))


def begin(session: Session, work: PlannedRun) -> Run:
    """Return the run of this work, new or as it was stopped, with the status `running`."""
    run = by_identity(session, work.kind, work.identity)
    if run is None:
        run = Run(
            kind=work.kind,
            identity=work.identity,
            config=work.config,
            total=work.total,
            dictionary_id=work.dictionary_id,
        )
        session.add(run)
    run.status, run.error, run.total = "running", "", work.total
    session.flush()
    return run


def stop(session: Session, run_id: int, status: RunStatus, error: str) -> None:
    """Record how a run stopped, unless it is finished or gone."""
    run = session.get(Run, run_id)
    if run is not None and run.status == "running":
        run.status, run.error = status, error


def advance(session: Session, run_id: int, done: int) -> None:
    """Set how many units of a run are done."""
    session.get_one(Run, run_id).done = done


def finish(
    session: Session, run_id: int, dictionary_id: int | None = None, result: dict[str, Any] | None = None
) -> None:
    """Mark a run done, with its dictionary and result where given, and delete its checkpoint."""
    run = session.get_one(Run, run_id)
    run.status, run.done, run.error = "done", run.total, ""
    run.finished_at = datetime.now(timezone.utc)
    session.execute(delete(Checkpoint).where(Checkpoint.run_id == run_id))
    if dictionary_id is not None:
        run.dictionary_id = dictionary_id
    if result is not None:
        run.result = result


def has_other_harvest(session: Session, dictionary_id: int, identities: Collection[str]) -> bool:
    """Whether a dictionary has a harvest that must stay beside the one of these identities."""
    other = select(Run.id).where(
        Run.kind == "harvest", Run.dictionary_id == dictionary_id, Run.identity.not_in(identities)
    )
    return session.scalar(other.limit(1)) is not None


def replace(session: Session, identity: str) -> None:
    """Delete the run of an identity, whose result another run has taken over."""
    session.execute(delete(Run).where(Run.identity == identity))


def newest_harvest(session: Session, dictionary_id: int) -> str:
    """Return the identity of a dictionary's newest harvest; empty where there is none."""
    query = select(Run.identity).where(Run.kind == "harvest", Run.dictionary_id == dictionary_id)
    return session.scalar(query.order_by(Run.id.desc()).limit(1)) or ""


def ids_of_dictionary(session: Session, dictionary_id: int) -> list[int]:
    """Return the ids of all runs about a dictionary."""
    return list(session.scalars(select(Run.id).where(Run.dictionary_id == dictionary_id)))


def unfinished(session: Session, count: int = 8) -> list[Run]:
    """Return the runs that are running, or were stopped before their end, newest first."""
    query = select(Run).where(Run.status.in_(("running", "interrupted"))).order_by(Run.id.desc())
    return list(session.scalars(query.limit(count)))


def last_done(session: Session, kind: RunKind, dictionary_id: int) -> Run | None:
    """Return the newest finished run of a kind on a dictionary."""
    query = select(Run).where(Run.kind == kind, Run.dictionary_id == dictionary_id, Run.status == "done")
    return session.scalar(query.order_by(Run.id.desc()).limit(1))


def last_done_id(session: Session, kind: RunKind, dictionary_id: int) -> int | None:
    """Return the id of the newest finished run of a kind on a dictionary, without its result, which may be large."""
    query = select(Run.id).where(Run.kind == kind, Run.dictionary_id == dictionary_id, Run.status == "done")
    return session.scalar(query.order_by(Run.id.desc()).limit(1))


def result(session: Session, run_id: int) -> dict[str, Any]:
    """Return the result of a run; empty where the run is gone."""
    return session.scalar(select(Run.result).where(Run.id == run_id)) or {}
