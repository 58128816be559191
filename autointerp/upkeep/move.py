"""`db copy`: copy the rows of a workspace's database to another database, which can take its place."""

from __future__ import annotations

from autointerp.db.copy import copy_rows, count_rows
from autointerp.db.engine import Database
from autointerp.db.files import new_sqlite_file
from autointerp.files import expanded
from autointerp.project.context import Context


def run_copy(ctx: Context, target: str) -> str:
    """Copy all rows of the workspace's database, whole or not at all.

    The workspace is locked meanwhile, so that no other command writes to it.

    Args:
        ctx: The workspace.
        target: The URL of an empty database, or a path for a new SQLite file.

    Returns:
        The line that makes `autointerp.toml` name the new database, without the password.

    Raises:
        DatabaseError: The target is not empty, or cannot be used.
    """
    database = Database(expanded(target) if "://" not in target else target)
    with ctx.workspace.lock():
        if database.path is not None:
            with new_sqlite_file(database.path) as partial:
                _copy(ctx, Database(partial))
            named = str(database.path.resolve())
        else:
            with database.writer():
                _copy(ctx, database)
            named = database.where
    return f'database = "{named}"'


def _copy(ctx: Context, database: Database) -> None:
    """Copy the rows with a progress bar, and close the target."""
    try:
        with ctx.progress.task("copy", count_rows(ctx.db), unit="row") as bar:
            copy_rows(ctx.db, database, bar.advance)
    finally:
        database.close()
