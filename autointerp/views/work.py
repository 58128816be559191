"""Long work that is under way, or was stopped before its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from autointerp.db import queries
from autointerp.db.models import RunKind, RunStatus
from autointerp.project.context import Context


@dataclass(frozen=True)
class UnfinishedWork:
    """A run that is running or was stopped. Fields have the names of the keys of `work` in `/api/status`.

    Attributes:
        kind: `fit`, `harvest`, `label`, `score`, `index` or `evaluate`.
        dictionary: Name of the dictionary; empty where it does not exist yet.
        status: `running` or `interrupted`. A run whose process was killed stays `running`.
        done: Units finished.
        total: Units in all.
    """

    kind: RunKind
    dictionary: str
    status: RunStatus
    done: int
    total: int

    @property
    def share(self) -> float:
        """The finished part, from 0 to 1."""
        return min(self.done / max(self.total, 1), 1.0)

    def as_dict(self) -> dict[str, Any]:
        """Return an entry of `work`."""
        return asdict(self)


def work_under_way(ctx: Context) -> list[UnfinishedWork]:
    """Read the runs that are running or were stopped, newest first."""
    with ctx.db.session() as session:
        names = {row.id: row.name for row in queries.dictionaries.list_all(session)}
        return [
            UnfinishedWork(run.kind, names.get(run.dictionary_id or 0, ""), run.status, run.done, run.total)
            for run in queries.runs.unfinished(session)
        ]
