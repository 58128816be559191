"""Runs: begun, stopped and gone on with; the error that stops a run is never hidden."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autointerp.db import queries
from autointerp.db.engine import Database
from autointerp.db.queries.runs import PlannedRun
from autointerp.project.runs import find_run, running

WORK = PlannedRun("harvest", "a" * 64, {"images": 8}, 8)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "x.db")
    database.upgrade()
    yield database
    database.close()


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [(ValueError("no luck"), "failed", "no luck"), (KeyboardInterrupt(), "interrupted", "")],
)
def test_a_run_says_how_it_stopped_and_goes_on(
    database: Database, error: BaseException, status: str, text: str
) -> None:
    opened = []

    def work() -> None:
        with running(database, WORK) as run:
            opened.append(run.id)
            with database.session() as session:
                queries.runs.advance(session, run.id, 4)
            raise error

    with pytest.raises(type(error)):
        work()
    found = find_run(database, "harvest", WORK.identity)
    assert found is not None
    assert (found.status, found.error, found.done) == (status, text, 4)
    with running(database, WORK) as again:
        assert again == (opened[0], 4)
        with database.session() as session:
            queries.runs.finish(session, again.id, result={"crops": 3})
    done = find_run(database, "harvest", WORK.identity)
    assert done is not None
    assert (done.status, done.error, done.done, done.result) == ("done", "", 8, {"crops": 3})
    assert find_run(database, "fit", WORK.identity) is None


@pytest.mark.parametrize("second", [OSError("stale handle"), RuntimeError("gone"), ValueError("?")])
def test_a_second_fault_does_not_hide_the_first(
    database: Database, monkeypatch: pytest.MonkeyPatch, second: Exception
) -> None:
    @contextmanager
    def broken() -> Iterator[Any]:
        raise second
        yield

    def work() -> None:
        with running(database, WORK):
            monkeypatch.setattr(database, "session", broken)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        work()
