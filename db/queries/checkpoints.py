"""Queries of checkpoints: the arrays that an unfinished run goes on from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from autointerp.db.models import Checkpoint, Run
from autointerp.db.queries import bulk, runs

if TYPE_CHECKING:
    import numpy as np

PIECE_BYTES = 16 * 2**20
"""The most bytes of an array in one row. Databases limit the size of a value, and a piece is copied in memory."""
PICTURES = "pictures"
"""The array of a harvest's checkpoint with the generation hashes of the pictures that its crops need."""


def write(session: Session, run_id: int, done: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Set a run's progress, and the arrays that it goes on from in place of the last ones."""
    # Imported on use: most commands read no checkpoint.
    import numpy as np

    runs.advance(session, run_id, done)
    drop(session, run_id)
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        about = {"run_id": run_id, "name": name, "dtype": array.dtype.str, "shape": list(array.shape)}
        # An empty array is a row too.
        for part, start in enumerate(range(0, max(len(data), 1), PIECE_BYTES)):
            piece = data[start : start + PIECE_BYTES].tobytes()
            bulk.insert_many(session, Checkpoint, [{**about, "part": part, "data": piece}])


def read(session: Session, run_id: int, names: Collection[str] | None = None) -> dict[str, np.ndarray] | None:
    """Return the arrays of a run's checkpoint, all or those of these names; None where there is none of them."""
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


def drop(session: Session, run_id: int) -> None:
    """Delete a run's checkpoint."""
    session.execute(delete(Checkpoint).where(Checkpoint.run_id == run_id))


def pictures_of_stopped(session: Session, besides: Collection[int] = ()) -> set[str]:
    """Return the generation hashes of the pictures that stopped harvests need, except for the runs `besides`."""
    stopped = select(Run.id).where(Run.kind == "harvest", Run.status != "done")
    found: set[str] = set()
    for run_id in set(session.scalars(stopped)) - set(besides):
        arrays = read(session, run_id, [PICTURES]) or {}
        found.update(*(array.astype(str).tolist() for array in arrays.values()))
    return found
