"""The models are the migrations' tables, and PostgreSQL's too."""

from __future__ import annotations

import io

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from autointerp.db.base import Base


def test_models_and_migrations_agree(db):
    with db.engine.connect() as connection:
        ours = {"include_name": lambda name, kind, parent: not (name or "").startswith(("labels_fts", "features_fts"))}
        context = MigrationContext.configure(connection, opts={"compare_type": True, **ours})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_of_models_and_migrations_agree(db):
    declared = {str(c.name) for t in Base.metadata.tables.values() for c in t.constraints if "ck_" in str(c.name)}
    tables = inspect(db.engine)
    found = {check["name"] for table in Base.metadata.tables for check in tables.get_check_constraints(table)}
    assert declared
    assert found == declared


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: table.name)
def test_tables_compile_for_postgresql(table):
    dialect = postgresql.dialect()
    assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
    for index in table.indexes:
        assert "CREATE INDEX" in str(CreateIndex(index).compile(dialect=dialect))
    # PostgreSQL cuts longer names off, and two could become one.
    names = [str(c.name) for c in table.constraints] + [str(i.name) for i in table.indexes]
    assert all(name != "None" and len(name) <= 63 for name in names)


def test_migration_is_portable():
    """Offline, for PostgreSQL: nothing of SQLite's word index, and a foreign key that cascades."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    from autointerp.migrations import versions

    module = __import__(f"{versions.__name__}.0001_the_first_schema", fromlist=["upgrade"])
    buffer = io.StringIO()
    context = MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True, "output_buffer": buffer})
    with Operations.context(context) as op:
        op.get_bind = lambda: type("Bind", (), {"dialect": context.dialect})()  # type: ignore[method-assign]
        module.upgrade()
    written = buffer.getvalue()
    assert "CREATE TABLE dictionaries" in written
    assert "ON DELETE CASCADE" in written
    assert "fts5" not in written
    assert "BYTEA" in written
