"""Arrays of a checkpoint come back as they were, whatever their size, and go with the run's end."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.db import queries
from autointerp.db.queries.runs import PlannedRun


def begun(db, identity, kind="harvest"):
    with db.session() as session:
        return queries.runs.begin(session, PlannedRun(kind, identity, {}, 8)).id


def test_arrays_come_back_in_pieces_as_they_were(db, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(queries.checkpoints, "PIECE_BYTES", 16)
    run = begun(db, "a")
    arrays: dict[str, np.ndarray] = {
        "empty": np.zeros((0, 2), np.int64),
        "long": np.arange(50, dtype=np.float32).reshape(5, 10),
        "names": np.array(["a" * 64], "S64"),
        "one": np.array(True),
    }
    with db.session() as session:
        assert queries.checkpoints.read(session, run) is None
        queries.checkpoints.write(session, run, 3, {"old": np.zeros(3)})
        queries.checkpoints.write(session, run, 4, arrays)
    with db.session() as session:
        found = queries.checkpoints.read(session, run) or {}
        assert set(found) == set(arrays)
        for name, array in arrays.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert np.array_equal(found[name], array)
        assert set(queries.checkpoints.read(session, run, ["long"]) or {}) == {"long"}
        assert queries.runs.by_identity(session, "harvest", "a").done == 4
        queries.runs.finish(session, run)
    with db.session() as session:
        assert queries.checkpoints.read(session, run) is None


def test_pictures_of_stopped_harvests_are_those_of_no_other_run(db):
    arrays = {queries.checkpoints.PICTURES: np.array(["x" * 64, "y" * 64], "S64")}
    other = {queries.checkpoints.PICTURES: np.array(["z" * 64], "S64")}
    first, second, done = begun(db, "a"), begun(db, "b"), begun(db, "c")
    with db.session() as session:
        for run, content in ((first, arrays), (second, other), (done, other)):
            queries.checkpoints.write(session, run, 1, content)
        queries.runs.finish(session, done)
    with db.session() as session:
        assert queries.checkpoints.pictures_of_stopped(session) == {"x" * 64, "y" * 64, "z" * 64}
        assert queries.checkpoints.pictures_of_stopped(session, [first]) == {"z" * 64}
