"""Checks of runs: progress and status agree, checkpoints load, and identities can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autointerp.crops.collect import CropCollector
from autointerp.db import queries
from autointerp.project.context import identity

if TYPE_CHECKING:
    from autointerp.db.queries.checks import RunState
    from autointerp.progress import Task
    from autointerp.project.context import Context


def check_runs(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the runs that could not go on, or that are not what their identity says."""
    del bar
    with ctx.db.session() as session:
        for run in queries.checks.run_states(session):
            if not 0 <= run.done <= run.total or (run.status == "done" and run.done != run.total):
                yield f"run {run.run_id} ({run.kind}) is {run.status} at {run.done} of {run.total}"
            yield from _checkpoint_problems(ctx, run)
            if run.kind == "harvest" and run.weights_sha256 is not None:
                made_of = {"weights": run.weights_sha256, "harvest": run.config}
                if run.identity != identity(made_of):
                    yield f"the identity of run {run.run_id} (harvest) is not that of its weights and config"
            if run.kind == "evaluate" and run.identity != identity({"evaluate": run.config}):
                yield f"the identity of run {run.run_id} (evaluate) is not that of its config"


def _checkpoint_problems(ctx: Context, run: RunState) -> Iterator[str]:
    """Yield why a run could not go on from its checkpoint."""
    try:
        with ctx.db.session() as session:
            state = queries.checkpoints.read(session, run.run_id)
        if state is not None and run.status == "done":
            yield f"run {run.run_id} ({run.kind}) is done and has a checkpoint"
        if state is not None:
            CropCollector.from_state(state)
    # Damaged arrays may raise any error.
    except Exception as error:
        yield f"the checkpoint of run {run.run_id} ({run.kind}) does not load: {str(error)[:80]}"
