"""Queries of batches of requests: a batch is a run from before it is submitted until its answers are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from autointerp.addresses import canonical
from autointerp.db.models import Run

BatchKind = Literal["label", "score"]


@dataclass(frozen=True)
class SubmittedBatch:
    """A batch that is submitted, or about to be, and not collected.

    Attributes:
        run_id: Its row in `runs`.
        file: The server's id of the uploaded file of requests.
        batch: The server's id of the batch; None where the process was stopped before that was known.
        requests: Hash -> purpose of each request in the file.
        submitted_at: When the row was written, in UTC.
    """

    run_id: int
    file: str
    batch: str | None
    requests: Mapping[str, str]
    submitted_at: datetime


def under_way(session: Session, model: str, base_url: str) -> list[SubmittedBatch]:
    """Return the batches of a model that are submitted, or about to be, and not collected; oldest first."""
    query = select(Run).where(Run.kind.in_(("label", "score")), Run.status == "running").order_by(Run.id)
    return [_submitted(run) for run in session.scalars(query) if _is_of(run, model, base_url)]


def _is_of(run: Run, model: str, base_url: str) -> bool:
    batch = run.config.get("batch")
    return batch is not None and batch["model"] == model and canonical(batch["base_url"]) == canonical(base_url)


def _submitted(run: Run) -> SubmittedBatch:
    return SubmittedBatch(
        run.id, run.config["batch"]["file"], run.result.get("batch"), run.config["requests"], run.started_at
    )


def add(session: Session, run: Run) -> SubmittedBatch:
    """Store a batch that is about to be submitted."""
    session.add(run)
    session.flush()
    return _submitted(run)


def name(session: Session, run_id: int, batch: str) -> None:
    """Store the server's id of a batch, once the batch is known to be made."""
    session.get_one(Run, run_id).result = {"batch": batch}


def finish(session: Session, run_id: int, answered: int, problem: str) -> None:
    """Mark a batch as collected.

    Args:
        session: The caller's transaction, which stores the answers too.
        run_id: The batch's row.
        answered: How many of its requests have an answer.
        problem: Why not all of them were worked on; empty where they were.
    """
    run = session.get_one(Run, run_id)
    run.status, run.error = "failed" if problem else "done", problem
    run.done, run.finished_at = answered, datetime.now(timezone.utc)
