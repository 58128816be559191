"""What labelers are called on the command line."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.errors import UsageError, nearest
from autointerp.stages.context import Context


def chosen_labelers(ctx: Context, name: str | None) -> list[int] | None:
    """Ids of the labelers that `--labeler NAME` means: a kind, or KIND@MODEL; None for all.

    Raises:
        UsageError: There is none.
    """
    if name is None:
        return None
    with ctx.db.session() as session:
        rows = queries.labelers_with_labels(session)
        called = {row.id: (row.kind, f"{row.kind}@{row.model}") for row in rows}
    found = [labeler for labeler, names in called.items() if name in names]
    if not found:
        raise UsageError(
            f"no labels here are of a labeler {name!r}", nearest(name, sorted({k for k, _ in called.values()}))
        )
    return found
