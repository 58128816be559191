"""Schemas are brought to the newest revision once, whole, or refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import text

from autointerp.db.check import find_problems
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.upgrade import HEAD, newest_revisions

from .conftest import refused


def test_head_is_the_newest_revision():
    assert newest_revisions() == [HEAD]


def test_upgrade_is_done_once(tmp_path):
    database = Database(tmp_path / "a.db")
    assert database.revision() is None
    assert database.upgrade() is True
    assert database.upgrade() is False
    assert database.revision() == database.head()


def test_killed_upgrade_leaves_nothing_half_made(tmp_path, monkeypatch):
    from alembic import op

    database = Database(tmp_path / "a.db")
    monkeypatch.setattr(op, "create_index", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        database.upgrade()
    monkeypatch.undo()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert database.upgrade() is True
    assert find_problems(database) == []


def test_newer_schema_is_refused_and_left_alone(db):
    with db.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer autointerp.*upgrade autointerp"):
        db.upgrade()
    assert db.revision() == "9999"


def test_other_programs_tables_are_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")
    with pytest.raises(DatabaseError, match="another program"):
        Database(tmp_path / "a.db").upgrade()


def test_two_openers_upgrade_once(tmp_path):
    # Alembic keeps its state in a module, so the others are other processes.
    code = f"from autointerp.db.engine import Database; Database({str(tmp_path / 'a.db')!r}).upgrade()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert find_problems(Database(tmp_path / "a.db")) == []


def test_another_schema_of_a_database_in_use_is_empty(server):
    database = Database(server.create("photos"))
    server.run("CREATE TABLE photos (id int)", "photos")
    assert "another program's tables" in refused(database)
    # A schema of one's own in the same database is empty.
    server.run("CREATE SCHEMA mine", "photos")
    mine = Database(f"{server.url('photos')}?options=-csearch_path%3Dmine")
    assert mine.upgrade() is True
    assert find_problems(mine) == []
    assert server.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "photos") == [(1,)]
    mine.close()
    database.close()
    server.drop("photos")


def test_processes_upgrade_at_once(server):
    url = server.create("fresh")
    code = "import sys; from autointerp.db.engine import Database; Database(sys.argv[1]).upgrade()"
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    database = Database(url)
    assert database.revision() == database.head()
    assert find_problems(database) == []
    database.close()
    server.drop("fresh")


def test_an_upgrade_that_is_stopped_leaves_nothing(server, monkeypatch):
    from alembic import op

    database = Database(server.create("stopped"))
    monkeypatch.setattr(op, "add_column", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        database.upgrade()
    monkeypatch.undo()
    assert server.run("SELECT 1 FROM pg_tables WHERE schemaname = 'public'", "stopped") == []
    assert database.upgrade() is True
    assert find_problems(database) == []
    database.close()
    server.drop("stopped")
