"""The registry of tasks, and what a task has at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.db import DatabaseError, queries
from autointerp.progress import NullProgress
from autointerp.web.workers.tasks import TASKS, Workbench


def test_each_task_leads_to_a_function() -> None:
    assert all(callable(kind.load()) for kind in TASKS.values())


def test_the_workspace_is_opened_once_to_read_and_anew_to_write(workspace: Path, query: Any) -> None:
    bench = Workbench(workspace, NullProgress())
    assert bench.reading is bench.reading
    first = bench.reading
    bench.renew()
    assert bench.reading is first
    assert bench.open(batch_size=3).settings.batch_size == 3
    assert bench.open() is not bench.open()
    with bench.reading.db.session() as session:
        (row, *_) = queries.dictionaries.list_all(session)
        row.name = "another"
        with pytest.raises(DatabaseError):
            session.flush()
        session.rollback()
    assert query(workspace, "SELECT name FROM dictionaries WHERE name = 'another'") == []


def test_settings_that_were_changed_are_noticed(workspace: Path) -> None:
    bench = Workbench(workspace, NullProgress())
    first = bench.reading
    bench.kept["a picture"] = "of the old settings"
    settings = workspace / "autointerp.toml"
    settings.write_text("batch_size = 3\nmodel = 'shapes'\n", encoding="utf-8")
    assert bench.reading is first
    bench.renew()
    assert bench.reading.settings.batch_size == 3
    assert bench.kept == {}
