"""Work that is under way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.work import UnfinishedWork, work_under_way


def test_only_what_is_not_finished_is_told(workspace: Path) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    assert work_under_way(ctx) == []
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE runs SET status = 'interrupted', done = 10, total = 40 WHERE kind = 'harvest'")
        db.execute("UPDATE runs SET status = 'failed' WHERE kind = 'fit'")
    db.close()
    (one,) = work_under_way(ctx)
    assert one == UnfinishedWork("harvest", "shapes-turbo.mid.topk", "interrupted", 10, 40)
    assert one.share == 0.25
    assert set(one.as_dict()) == {"kind", "dictionary", "status", "done", "total"}
    assert UnfinishedWork("fit", "", "running", 0, 0).share == 0
