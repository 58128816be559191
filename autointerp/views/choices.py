"""What lists of features offer to choose from: layers, dictionaries, labelers and denoising steps."""

from __future__ import annotations

from dataclasses import dataclass

from autointerp.db import queries
from autointerp.project.context import Context
from autointerp.project.labeler_names import labeler_names


@dataclass(frozen=True)
class ListChoices:
    """The names that the filters of a list offer, each once."""

    layers: tuple[str, ...]
    dictionaries: tuple[str, ...]
    labelers: tuple[str, ...]
    steps: tuple[str, ...]


def read_choices(ctx: Context) -> ListChoices:
    """Read what the workspace's dictionaries and labels let a reader choose from."""
    with ctx.db.session() as session:
        rows = queries.dictionaries.list_all(session)
        return ListChoices(
            layers=tuple(dict.fromkeys(row.layer for row in rows)),
            dictionaries=tuple(row.name for row in rows),
            labelers=tuple(labeler_names(queries.labelers.with_labels(session)).values()),
            steps=tuple(str(step) for step in sorted({step for row in rows for step in row.steps})),
        )
