"""`rm`: delete a dictionary with all under it.

The rows go first. A command that is stopped in between leaves files without rows, which do no harm, and no rows
without their files.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.stages.index.opening import remove_indexes

if TYPE_CHECKING:
    from autointerp.project.context import Context


def remove_dictionary(ctx: Context, name: str) -> None:
    """Remove a dictionary: its rows, its indexes, its weights, and the images that nothing else needs.

    Images that another dictionary uses, or that an unfinished harvest goes on from, stay.

    Raises:
        UsageError: There is no dictionary of this name.
    """
    row = ctx.dictionary_named(name)
    with ctx.workspace.lock():
        ctx.progress.note(f"removing {name} with its features, crops, labels and indexes")
        with ctx.db.session() as session:
            own = queries.runs.ids_of_dictionary(session, row.id)
            needed = queries.checkpoints.pictures_of_stopped(session, own)
            queries.dictionaries.remove(session, name, needed)
        remove_indexes(ctx, name)
        shutil.rmtree(ctx.workspace.dictionary_dir(name), ignore_errors=True)
