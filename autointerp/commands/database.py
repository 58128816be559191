"""Commands that look after the database and remove dictionaries from it."""

from __future__ import annotations

from pathlib import Path

import click

from autointerp.commands.calls import note, open_context
from autointerp.commands.declaring import command, group
from autointerp.commands.options import PATH, shared_options
from autointerp.errors import AutointerpError


@command()
@click.argument("dictionary")
@shared_options
def rm(dictionary: str) -> None:
    """Delete a dictionary with its features, crops, labels and indexes."""
    from autointerp.upkeep.remove import remove_dictionary

    remove_dictionary(open_context(), dictionary)
    note(f"removed {dictionary}")


@group()
@shared_options
def db() -> None:
    """Look after the database."""


@db.command("path")
@shared_options
def db_path() -> None:
    """Print where the database is; a password in its URL is left out."""
    from autointerp.db.engine import Database

    # Not opened: it is told where no server answers, too.
    click.echo(Database(open_context().workspace.database_url).where)


@db.command("upgrade")
@shared_options
def db_upgrade() -> None:
    """Bring the database to the newest schema."""
    click.echo(open_context().db.revision())


@db.command("check")
@shared_options
def db_check() -> None:
    """Check that the workspace is whole: exit 1 with a line for each thing that is wrong.

    Looks at the database itself, at what its rows mean (pictures, activation maps, checkpoints, hashes, splits, ranks),
    at the weights and at the indexes. Only reads.
    """
    from autointerp.upkeep.check import run_check

    problems = run_check(open_context())
    for problem in problems:
        click.echo(problem)
    if problems:
        raise AutointerpError(
            f"{len(problems)} problems found", "restore a backup, or `rm` and make again what is hurt"
        )
    note("the workspace is whole")


@db.command("backup")
@click.argument("path", type=PATH)
@shared_options
def db_backup(path: Path) -> None:
    """Copy the database into the SQLite file PATH, safely while it is in use.

    The copy is one moment of it, whole or not there at all. It can take the place of autointerp.db, whichever kind of
    database it is a copy of.
    """
    from autointerp.db.backup import back_up

    ctx = open_context()
    if not path.exists():
        note(f"copying the database to {path}")
    back_up(ctx.db, path)
    click.echo(path)


@db.command("copy")
@click.argument("target", metavar="URL|PATH")
@shared_options
def db_copy(target: str) -> None:
    """Move the database: copy all rows into an empty PostgreSQL database or a new SQLite file.

    Nothing in the old one changes. The line that is printed makes autointerp.toml name the new one.
    """
    from autointerp.upkeep.move import run_copy

    line = run_copy(open_context(), target)
    note("copied; put this line into autointerp.toml, above the first [table]:")
    click.echo(line)
