"""Work that is under way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from autointerp.progress import NullProgress
from autointerp.project.context import Context
from autointerp.project.following import FollowedProgress
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
    goes_on = "autointerp harvest --layer mid --dictionary shapes-turbo.mid.topk --images 40"
    assert one == UnfinishedWork("harvest", "shapes-turbo.mid.topk", "interrupted", 10, 40, command=goes_on)
    assert one.share == 0.25
    assert set(one.as_dict()) == {"kind", "dictionary", "status", "done", "total", "unit", "note", "command"}
    assert UnfinishedWork("fit", "", "running", 0, 0).share == 0


def test_a_run_whose_process_was_killed_is_not_called_running(workspace: Path) -> None:
    ctx, other = Context(WorkspaceFolder(workspace)), WorkspaceFolder(workspace)
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE runs SET status = 'running', done = 10, total = 40 WHERE kind = 'harvest'")
    db.close()
    assert [one.status for one in work_under_way(ctx)] == ["interrupted"]
    with other.lock():
        assert [(one.status, one.command) for one in work_under_way(ctx)] == [("running", "")]
        # What the holder of the lock is at says which of the runs is alive.
        with FollowedProgress(NullProgress(), other).task("label d", 8, 2, "feature") as bar:
            bar.advance(1, "red")
            bar_line, harvest = work_under_way(ctx)
            assert (bar_line.kind, bar_line.status, bar_line.done, bar_line.total) == ("label d", "running", 2, 8)
            assert (harvest.kind, harvest.status) == ("harvest", "interrupted")
        with FollowedProgress(NullProgress(), other).task("harvest d", 40, 11, "image"):
            (only,) = work_under_way(ctx)
            assert (only.kind, only.done, only.unit) == ("harvest d", 11, "image")
