"""The models must also be PostgreSQL's, and one SQLite file must bear several writers at once."""

from __future__ import annotations

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from autointerp.db import models
from autointerp.db.base import Base
from autointerp.db.engine import Database


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
    assert "CREATE TABLE dictionaries" in written and "ON DELETE CASCADE" in written
    assert "fts5" not in written and "BYTEA" in written


def test_threads_write_at_once(db):
    def record(number):
        with db.session() as session:
            session.add(models.Call(request_hash=str(number), purpose="label", model="m", answer="x" * 100))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(80)))
    with db.session() as session:
        assert session.query(models.Call).count() == 80


def test_two_openers_upgrade_once(tmp_path):
    # Alembic keeps its state in a module, so the others are other processes.
    code = f"from autointerp.db.engine import Database; Database({str(tmp_path / 'a.db')!r}).upgrade()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert Database(tmp_path / "a.db").check() == []
