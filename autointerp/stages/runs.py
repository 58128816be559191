"""Long work under the hash of what it does: begun once, gone on with after any stop, marked done at the end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.models import Checkpoint, Run
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    import numpy as np

PIECE_BYTES = 16 * 2**20
"""The most of an array in one row: databases take no values of any size, and no memory is wanted twice."""


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
) -> Iterator[tuple[int, int]]:
    """Open a run; yields its id and the units already done. Whatever stops it is recorded."""
    with db.session() as session:
        run = session.scalar(select(Run).where(Run.kind == kind, Run.identity == run_identity))
        if run is None:
            run = Run(kind=kind, identity=run_identity, config=config, total=total, dictionary_id=dictionary_id)
            session.add(run)
        run.status, run.error, run.total = "running", "", total
        session.flush()
        run_id, done = run.id, run.done
    try:
        yield run_id, done
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


def advance(session: Any, run_id: int, done: int) -> None:
    """Set a run's progress, in the caller's transaction."""
    session.get(Run, run_id).done = done


def write_checkpoint(session: Any, run_id: int, done: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Set a run's progress and what it goes on from, in the caller's transaction."""
    import numpy as np

    advance(session, run_id, done)
    _drop_checkpoint(session, run_id)
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        about = {"run_id": run_id, "name": name, "dtype": array.dtype.str, "shape": list(array.shape)}
        # An empty array is a row too.
        for part, start in enumerate(range(0, max(len(data), 1), PIECE_BYTES)):
            piece = data[start : start + PIECE_BYTES].tobytes()
            queries.insert_many(session, Checkpoint, [{**about, "part": part, "data": piece}])


def read_checkpoint(session: Any, run_id: int, names: Collection[str] | None = None) -> dict[str, np.ndarray] | None:
    """What `write_checkpoint` wrote last, all or the arrays of these names; None where there is nothing."""
    import numpy as np

    columns = (Checkpoint.name, Checkpoint.dtype, Checkpoint.shape, Checkpoint.data)
    query = select(*columns).where(Checkpoint.run_id == run_id).order_by(Checkpoint.id)
    if names is not None:
        query = query.where(Checkpoint.name.in_(names))
    rows = session.execute(query.execution_options(yield_per=1))
    pieces: dict[str, tuple[str, list[int], bytearray]] = {}
    for name, dtype, shape, data in rows:
        pieces.setdefault(name, (dtype, shape, bytearray()))[2].extend(data)
    found = {name: np.frombuffer(data, np.dtype(dtype)).reshape(shape) for name, (dtype, shape, data) in pieces.items()}
    return found or None


def _drop_checkpoint(session: Any, run_id: int) -> None:
    session.execute(delete(Checkpoint).where(Checkpoint.run_id == run_id))


def finish(session: Any, run_id: int, dictionary_id: int | None = None, result: dict[str, Any] | None = None) -> None:
    """Mark a run done and let its checkpoint go, in the caller's transaction."""
    run = session.get(Run, run_id)
    run.status, run.done, run.error = "done", run.total, ""
    run.finished_at = datetime.now(timezone.utc)
    _drop_checkpoint(session, run_id)
    if dictionary_id is not None:
        run.dictionary_id = dictionary_id
    if result is not None:
        run.result = result
