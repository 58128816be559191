"""`rm`: delete a dictionary with all under it, rows first, so that a stop in between leaves no row without its file."""

from __future__ import annotations

import shutil

from sqlalchemy import select

from autointerp.db import queries
from autointerp.db.models import Run
from autointerp.stages.context import Context
from autointerp.stages.harvest import pictures_of_stopped
from autointerp.stages.index import remove_indexes
from autointerp.stages.read import find_dictionary


def remove_dictionary(ctx: Context, name: str) -> None:
    """Remove a dictionary: its rows, its images that nothing else uses or needs to go on, its indexes and its weights.

    Raises:
        UsageError: There is none of this name.
    """
    row = find_dictionary(ctx, None, name)
    with ctx.workspace.lock():
        with ctx.db.session() as session:
            mine = session.scalars(select(Run.id).where(Run.dictionary_id == row.id)).all()
            queries.remove_dictionary(session, name, pictures_of_stopped(session, mine))
        remove_indexes(ctx, name)
        shutil.rmtree(ctx.workspace.dictionary_dir(name), ignore_errors=True)
