"""Long work under the hash of what it does: begun once, gone on with after any stop, marked done at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import select

from autointerp.db.engine import Database
from autointerp.db.models import Run
from autointerp.errors import AutointerpError


def find_run(db: Database, kind: str, run_identity: str) -> Run | None:
    """The run with this identity, detached, without its state."""
    with db.session() as session:
        run = session.scalar(select(Run).where(Run.kind == kind, Run.identity == run_identity))
        if run is not None:
            session.expunge(run)
        return run


def is_done(db: Database, kind: str, run_identity: str) -> bool:
    """Whether this work is finished."""
    run = find_run(db, kind, run_identity)
    return run is not None and run.status == "done"


@contextmanager
def running(
    db: Database, kind: str, run_identity: str, config: dict[str, Any], total: int, dictionary_id: int | None = None
) -> Iterator[tuple[int, int, bytes | None]]:
    """Open a run; yields (its id, units already done, its last checkpoint). Whatever stops it is recorded."""
    with db.session() as session:
        run = session.scalar(select(Run).where(Run.kind == kind, Run.identity == run_identity))
        if run is None:
            run = Run(kind=kind, identity=run_identity, config=config, total=total, dictionary_id=dictionary_id)
            session.add(run)
        run.status, run.error, run.total = "running", "", total
        session.flush()
        run_id, done, state = run.id, run.done, run.state
    try:
        yield run_id, done, state
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | GeneratorExit | SystemExit)
        _note_end(db, run_id, "interrupted" if stopped else "failed", "" if stopped else str(error)[:500])
        raise


def _note_end(db: Database, run_id: int, status: str, error: str) -> None:
    """Record how a run stopped; a database that can no longer be written must not hide why."""
    try:
        with db.session() as session:
            run = session.get(Run, run_id)
            if run is not None and run.status == "running":
                run.status, run.error = status, error  # type: ignore[assignment]
    except Exception as second:
        if not isinstance(second, AutointerpError) and "database" not in type(second).__module__ + str(second):
            raise


def checkpoint(session: Any, run_id: int, done: int, state: bytes | None) -> None:
    """Set a run's progress and checkpoint, in the caller's transaction."""
    run = session.get(Run, run_id)
    run.done, run.state = done, state


def finish(session: Any, run_id: int, dictionary_id: int | None = None, result: dict[str, Any] | None = None) -> None:
    """Mark a run done and let its checkpoint go, in the caller's transaction."""
    run = session.get(Run, run_id)
    run.status, run.done, run.state, run.error = "done", run.total, None, ""
    run.finished_at = datetime.now(timezone.utc)
    if dictionary_id is not None:
        run.dictionary_id = dictionary_id
    if result is not None:
        run.result = result
