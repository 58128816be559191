"""What `db check` looks at, beyond what SQLite checks by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, inspect, select, text

from autointerp.db.models import Image, Label

if TYPE_CHECKING:
    from autointerp.db.engine import Database

MOST = 20
"""Lines reported of one kind of damage: the first ones say enough."""


def find_problems(database: Database) -> list[str]:
    """One line a problem, none for a sound database."""
    found, head = database.revision(), database.head()
    if found != head:
        return [f"the schema is {found or 'empty'}, not {head}: run `autointerp db upgrade`"]
    problems: list[str] = []
    with database.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            problems += _integrity(connection)
            if problems:
                return problems
            problems += _references(connection) + _words(connection)
        problems += _pictures(connection)
    return problems


def _integrity(connection: Connection) -> list[str]:
    lines = connection.execute(text(f"PRAGMA integrity_check({MOST})")).scalars().all()
    return [] if lines == ["ok"] else [f"integrity: {line}" for line in lines]


def _references(connection: Connection) -> list[str]:
    rows = connection.execute(text("PRAGMA foreign_key_check")).all()
    return [f"{table} row {rowid} refers to a missing row of {parent}" for table, rowid, parent, _ in rows[:MOST]]


def _words(connection: Connection) -> list[str]:
    """The full-text index holds the ok labels and no others, and its own structure is whole."""
    if not inspect(connection).has_table("labels_fts"):
        return ["the word index labels_fts is missing"]
    ok = connection.scalar(select(func.count()).select_from(Label).where(Label.status == "ok"))
    both = connection.scalar(
        text(
            "SELECT count(*) FROM labels JOIN labels_fts ON labels_fts.rowid = labels.id WHERE labels.status = 'ok' "
            "AND labels_fts.name = labels.name AND labels_fts.explanation = labels.explanation"
        )
    )
    indexed = connection.scalar(text("SELECT count(*) FROM labels_fts"))
    if ok == both == indexed:
        return []
    return [f"the word index holds {indexed} labels, {both} of them right, of {ok}"]


def _pictures(connection: Connection) -> list[str]:
    from PIL import Image as Picture

    problems: list[str] = []
    rows = connection.execution_options(yield_per=256).execute(
        select(Image.id, Image.width, Image.height, Image.picture)
    )
    for image_id, width, height, data in rows:
        try:
            with Picture.open(io.BytesIO(data)) as picture:
                picture.load()
                size = picture.size
        except (OSError, SyntaxError, TypeError, ValueError):
            problems.append(f"the picture of image {image_id} does not decode")
        else:
            if size != (width, height):
                problems.append(f"the picture of image {image_id} is {size[0]}x{size[1]}, not {width}x{height}")
        if len(problems) >= MOST:
            break
    rows.close()
    return problems
