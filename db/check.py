"""Damage inside the database: integrity, foreign keys, ranks and pairs of crops, the word index.

`autointerp.upkeep.check` looks at what the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sqlalchemy import Connection, LargeBinary, Table, Text, cast, func, inspect, select, text
from sqlalchemy.orm import Session

from autointerp.db.copy import tables
from autointerp.db.engine import Database
from autointerp.db.models import Crop
from autointerp.db.queries import words

MOST = 20
"""Lines reported of one kind of damage. More would repeat the first ones."""


def find_problems(database: Database) -> list[str]:
    """Return one line for each problem, none for a sound database."""
    with database.translated():
        return _problems(database)


def _problems(database: Database) -> list[str]:
    found, head = database.revision(), database.head()
    if found != head:
        return [f"the schema is {found or 'empty'}, not {head}: run `autointerp db upgrade`"]
    problems: list[str] = []
    with database.session() as session:
        connection = session.connection()
        problems += _integrity(connection) if database.is_sqlite else _readable(connection)
        if problems:
            return problems
        for table in tables():
            problems += first(_dangling(connection, table))
        problems += _ranks(session) + _doubles(session) + _words(session)
    return problems


def first(lines: Iterable[str]) -> list[str]:
    """Return the first lines of many of one kind."""
    return list(islice(lines, MOST))


def _integrity(connection: Connection) -> list[str]:
    lines = connection.execute(text(f"PRAGMA integrity_check({MOST})")).scalars().all()
    return [] if lines == ["ok"] else [f"integrity: {line}" for line in lines]


def _readable(connection: Connection) -> list[str]:
    """Check a PostgreSQL database: every index and constraint is valid, and every value of every row can be read.

    Reading a value on a damaged page raises an error.
    """
    problems = [
        f"integrity: the index {name} is not valid"
        for name in connection.scalars(
            text(
                "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "WHERE NOT i.indisvalid AND c.relnamespace = current_schema()::regnamespace ORDER BY 1"
            )
        )
    ]
    problems += [
        f"integrity: the constraint {name} is not valid"
        for name in connection.scalars(
            text(
                "SELECT conname FROM pg_constraint WHERE NOT convalidated "
                "AND connamespace = current_schema()::regnamespace ORDER BY 1"
            )
        )
    ]
    for table in tables():
        # A digest reads the whole value, also a value stored outside the table's own pages. Bytes are not cast to
        # text, because the text of a large checkpoint would be too long for the server.
        values = [c if isinstance(c.type, LargeBinary) else cast(c, Text) for c in table.c]
        connection.execute(select(*(func.count(func.md5(value)) for value in values))).one()
    return problems


def _dangling(connection: Connection, table: Table) -> Iterable[str]:
    """Find rows whose foreign keys refer to no row."""
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        parent = key.column.table.alias("parent")
        query = (
            select(table.c.id)
            .outerjoin(parent, parent.c[key.column.name] == key.parent)
            .where(key.parent.is_not(None), parent.c[key.column.name].is_(None))
        )
        for row_id in connection.scalars(query.order_by(table.c.id).limit(MOST)):
            yield f"{table.name} row {row_id} refers to a missing row of {key.column.table.name}"


def _ranks(session: Session) -> list[str]:
    """Find features whose crops of a split and role are not ranked 0, 1, 2 ..."""
    group = (Crop.feature_id, Crop.split, Crop.role)
    whole = (func.min(Crop.rank) == 0) & (func.max(Crop.rank) == func.count() - 1)
    whole &= func.count(Crop.rank.distinct()) == func.count()
    query = select(*group).group_by(*group).having(~whole).order_by(*group).limit(MOST)
    return [
        f"the ranks of feature {f}, {split} {role}, have gaps or doubles" for f, split, role in session.execute(query)
    ]


def _doubles(session: Session) -> list[str]:
    """Find features with several crops of one image."""
    pair = (Crop.feature_id, Crop.image_id)
    query = select(*pair).group_by(*pair).having(func.count() > 1).order_by(*pair).limit(MOST)
    return [f"feature {feature} has several crops of image {image}" for feature, image in session.execute(query)]


def _words(session: Session) -> list[str]:
    """Find word indexes that are missing or do not follow their tables."""
    tables = inspect(session.connection())
    missing = [name for name in (words.LABELS, words.PROMPTS) if not tables.has_table(name)]
    return [f"the word index {name} is missing" for name in missing] or words.stale_words(session)
