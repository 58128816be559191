"""Long work that is under way, or was stopped before its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import RunStatus
from autointerp.project.context import Context
from autointerp.project.following import bar_under_way


@dataclass(frozen=True)
class UnfinishedWork:
    """Work that is under way or was stopped. Fields have the names of the keys of `work` in `/api/status`.

    Attributes:
        kind: `fit`, `harvest`, `evaluate`, ..., or what the bar of the process at work says.
        dictionary: Name of the dictionary; empty where it does not exist yet, or `kind` names it.
        status: `running` or `interrupted`.
        done: Units finished.
        total: Units in all.
        unit: What a unit is; empty where that is not known.
        note: What is said of the last unit, such as its name.
        command: The command that goes on with it, of a harvest that was stopped; empty otherwise.
    """

    kind: str
    dictionary: str
    status: RunStatus
    done: int
    total: int
    unit: str = ""
    note: str = ""
    command: str = ""

    @property
    def share(self) -> float:
        """The finished part, from 0 to 1."""
        return min(self.done / max(self.total, 1), 1.0)

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `work`."""
        return asdict(self)


def work_under_way(ctx: Context) -> list[UnfinishedWork]:
    """Read what the process that writes the workspace is at, then the runs that were stopped, newest first.

    A run whose process was killed is still called running by its row. It is told by the workspace's lock, which dies
    with its process, and by the bar of the process that holds the lock now.
    """
    bar, is_written = bar_under_way(ctx.workspace), ctx.workspace.is_being_written()
    found = [] if bar is None else [UnfinishedWork(bar.what, "", "running", bar.done, bar.total, bar.unit, bar.note)]
    with ctx.db.session() as session:
        rows = {row.id: row for row in queries.dictionaries.list_all(session)}
        for run in queries.runs.unfinished(session):
            is_running = run.status == "running" and (is_written or "batch" in run.config)
            if bar is not None and is_running and "batch" not in run.config:
                if bar.what.startswith(run.kind):
                    continue
                is_running = False
            status: RunStatus = "running" if is_running else "interrupted"
            row = rows.get(run.dictionary_id or 0)
            command = ""
            if row is not None and run.kind == "harvest" and not is_running:
                command = f"autointerp harvest --layer {row.layer} --dictionary {row.name} --images {run.total}"
            name = "" if row is None else row.name
            found.append(UnfinishedWork(run.kind, name, status, run.done, run.total, command=command))
    return found
