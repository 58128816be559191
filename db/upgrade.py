"""The schema's revision: which one a database has, and the way to this code's newest."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text

from autointerp.db.errors import DatabaseError, NotWritable

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

HEAD = "0011"
"""The newest revision under migrations/versions. It is repeated here because importing Alembic takes half a second."""


def find_revision(engine: Engine) -> str | None:
    """Return the schema's revision, None for an empty database."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


def upgrade_schema(engine: Engine, where: str) -> bool:
    """Bring the schema to `HEAD`; say whether anything was to do.

    Args:
        engine: Of the database.
        where: The database as errors call it, without its password.

    Raises:
        DatabaseError: The schema is of a newer autointerp, or the tables are another program's.
    """
    found = find_revision(engine)
    if found == HEAD:
        return False
    from alembic import command

    _check_ours(engine, found, where)
    try:
        with _schema_change(engine) as connection:
            command.upgrade(_alembic_config(connection), "head")
    except NotWritable as error:
        if found is None:
            raise
        raise NotWritable(
            f"{where} is of an earlier autointerp (schema {found}), and {error.message}",
            "run `autointerp db upgrade` where it can be written, or on a copy",
        ) from None
    return True


def newest_revisions() -> list[str]:
    """Return the last revisions of migrations/versions: one, unless two migrations follow on the same one."""
    return list(_script_directory().get_heads())


def _check_ours(engine: Engine, found: str | None, where: str) -> None:
    from alembic.util import CommandError

    if found is None:
        tables = inspect(engine).get_table_names()
        # A version table says that another process made the schema just now.
        if tables and "alembic_version" not in tables:
            name = "file" if engine.dialect.name == "sqlite" else "database or schema"
            raise DatabaseError(f"{where} holds another program's tables", f"name another {name}")
        return
    try:
        _script_directory().get_revision(found)
    except CommandError:
        raise DatabaseError(
            f"{where} was made by a newer autointerp (schema {found})",
            "upgrade autointerp: pip install -U autointerp",
        ) from None


@contextmanager
def _schema_change(engine: Engine) -> Iterator[Connection]:
    """Open one transaction around all migrations, so that a killed upgrade leaves the old schema whole.

    Python's sqlite3 begins no transaction before DDL. The transaction is therefore begun here, and at once, so that a
    second process waits and then finds nothing to do. Foreign keys are off meanwhile: a table is rebuilt by dropping
    it, which would delete all rows that refer to it.
    """
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('autointerp schema'))"))
            yield connection
        return
    with engine.connect() as connection:
        # `isolation_level` is sqlite3's own attribute, which SQLAlchemy's type of a connection does not have.
        driver: Any = connection.connection.driver_connection
        driver.isolation_level = None
        try:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
        finally:
            connection.rollback()
            driver.isolation_level = ""
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")


def _alembic_config(connection: Connection | None = None) -> Config:
    from alembic.config import Config

    config = Config()
    folder = importlib.resources.files("autointerp.migrations")
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _script_directory() -> ScriptDirectory:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_alembic_config())
