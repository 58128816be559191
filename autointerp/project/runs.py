"""Long work under the hash of what it does: begun once, gone on with after any stop, marked done at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from autointerp.db import queries

if TYPE_CHECKING:
    from autointerp.db.engine import Database
    from autointerp.db.models import Run, RunKind, RunStatus
    from autointerp.db.queries.runs import PlannedRun


class OpenRun(NamedTuple):
    """A run under way: its id, and how many units were done when it was opened."""

    id: int
    done: int


def find_run(db: Database, kind: RunKind, run_identity: str) -> Run | None:
    """Return the run with this identity, detached; None where there is none."""
    with db.session() as session:
        run = queries.runs.by_identity(session, kind, run_identity)
        if run is not None:
            session.expunge(run)
        return run


@contextmanager
def running(db: Database, work: PlannedRun) -> Iterator[OpenRun]:
    """Open the run of some work. Whatever error leaves the block is recorded as the way in which the run stopped."""
    with db.session() as session:
        run = queries.runs.begin(session, work)
        opened = OpenRun(run.id, run.done)
    try:
        yield opened
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | GeneratorExit | SystemExit)
        _record_stop(db, opened.id, "interrupted" if stopped else "failed", "" if stopped else str(error)[:500])
        raise


def _record_stop(db: Database, run_id: int, status: RunStatus, error: str) -> None:
    """Record how a run stopped, if the database can still be written.

    The error that stopped the run is on its way to the user. A second one, of this note, must not take its place.
    """
    with suppress(Exception), db.session() as session:
        queries.runs.stop(session, run_id, status, error)
