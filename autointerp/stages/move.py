"""Stage `move`: the rows of a workspace's database, copied to another one that can take its place."""

from __future__ import annotations

from pathlib import Path

from autointerp.db.copy import copy_rows, count_rows
from autointerp.db.engine import Database, whole_file
from autointerp.stages.context import Context


def run_copy(ctx: Context, target: str) -> str:
    """Copy all rows into the empty database `target` (a URL, or a path for a new SQLite file), whole or not at all.

    Nobody may write to the workspace meanwhile. Returns the line that makes `autointerp.toml` name the new database;
    a password is left out of it.

    Raises:
        DatabaseError: The target is not empty, or cannot be used.
    """
    database = Database(Path(target).expanduser() if "://" not in target else target)
    with ctx.workspace.lock():
        if database.path is not None:
            with whole_file(database.path) as partial:
                _copy(ctx, Database(partial))
            named = str(database.path.resolve())
        else:
            with database.writer():
                _copy(ctx, database)
            named = database.where
    return f'database = "{named}"'


def _copy(ctx: Context, database: Database) -> None:
    try:
        with ctx.progress.task("copy", count_rows(ctx.db), unit="row") as bar:
            copy_rows(ctx.db, database, bar.advance)
    finally:
        database.close()
