"""A database on a server: what is said when it cannot be reached or goes away, and one writer at a time."""

from __future__ import annotations

import builtins
import contextlib
import subprocess
import sys
import time

import pytest
from sqlalchemy import text

from autointerp.db import models
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.urls import parse_url, shown

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql+psycopg://me:s3cret@host:5433/name", "postgresql+psycopg://me@host:5433/name"),
        ("postgresql://me:s3cret@host/name", "postgresql+psycopg://me@host/name"),
        ("postgres://host/name?password=s3cret&sslmode=require", "postgresql+psycopg://host/name?sslmode=require"),
        ("postgresql+psycopg://me:%40%2Fs3cret@/name?host=/tmp", "postgresql+psycopg://me@/name?host=%2Ftmp"),
        ("sqlite:///a.db", "sqlite:///a.db"),
    ],
)
def test_urls_are_shown_without_password(url, seen):
    assert shown(parse_url(url)) == seen


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:a@s3cret@host/name",
        "postgresql+psycopg://me:a/s3cret@host/name",
        "postgresql+psycopg://me:s3cret@host:notaport/name",
        "postgresql+asyncpg://me:s3cret@host/name",
        "mysql://me:s3cret@host/name",
        "postgresql://me:s3cret@host",
        "://s3cret",
    ],
)
def test_urls_that_cannot_be_used_are_one_line_without_password(url):
    with pytest.raises(DatabaseError) as caught:
        Database(url).revision()
    assert SECRET not in str(caught.value) and "\n" not in str(caught.value) and caught.value.hint


def refused(database):
    with pytest.raises(DatabaseError) as caught:
        database.upgrade()
    said = str(caught.value)
    assert SECRET not in said and "\n" not in said and len(said) < 300
    return said


def test_a_server_that_cannot_be_used_is_one_line(server):
    def at(**values):
        url = parse_url(server.url("postgres")).set(**values)
        return Database(url.render_as_string(hide_password=False))

    assert "no PostgreSQL server answers" in refused(at(port=1)) and "start it" in refused(at(port=1))
    assert "no PostgreSQL server answers" in refused(at(host="no-such-host.invalid"))
    assert "refuses this user and password" in refused(at(password="not s3cret"))
    assert "refuses this user and password" in refused(Database(server.url("postgres", password=None)))
    # The server does not tell strangers whether a user exists.
    assert "refuses this user and password" in refused(at(username="nobody"))
    missing = refused(at(database="not_made"))
    assert 'no database "not_made"' in missing and "createdb not_made" in missing
    nowhere = refused(at(database="postgres", query={"options": "-csearch_path=nowhere"}))
    assert "schema of its search_path does not exist" in nowhere


def test_without_the_extra_it_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "psycopg":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    assert "pip install 'autointerp[postgres]'" in refused(Database("postgresql+psycopg://me:s3cret@host/name"))


def test_other_programs_tables_are_left_alone(server):
    database = Database(server.create("photos"))
    server.run("CREATE TABLE photos (id int)", "photos")
    assert "another program's tables" in refused(database)
    # A schema of one's own in the same database is empty.
    server.run("CREATE SCHEMA mine", "photos")
    mine = Database(f"{server.url('photos')}?options=-csearch_path%3Dmine")
    assert mine.upgrade() is True and mine.check() == []
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
    assert database.revision() == database.head() and database.check() == []
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
    assert database.upgrade() is True and database.check() == []
    database.close()
    server.drop("stopped")


HOLDER = """
import sys, time
from autointerp.db.engine import Database
with Database(sys.argv[1]).writer():
    print("in", flush=True)
    time.sleep(120)
"""


@contextlib.contextmanager
def holder(database):
    given = database.url.render_as_string(hide_password=False)
    with subprocess.Popen([sys.executable, "-c", HOLDER, given], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "in\n"
            yield process
        finally:
            process.kill()


def test_the_second_writer_is_told_who_is_in_until_that_one_dies(on_server):
    with holder(on_server) as process:
        with pytest.raises(DatabaseError, match=f"is being written by process {process.pid} on ") as caught:
            with on_server.writer():
                pass
        assert SECRET not in str(caught.value)
        # Readers go on, and so does everything that takes no lock.
        assert on_server.check() == []
        process.kill()
        process.wait()
        for _ in range(100):
            with contextlib.suppress(DatabaseError), on_server.writer():
                break
            time.sleep(0.05)
        else:
            pytest.fail("the lock of a killed process was not freed")
    with on_server.writer():
        pass


def test_writers_of_two_databases_and_of_two_schemas_do_not_meet(on_server, server):
    name = on_server.url.database
    server.run("CREATE SCHEMA other", name)
    other = Database(f"{server.url(name)}?options=-csearch_path%3Dother")
    elsewhere = Database(server.url("postgres"))
    with on_server.writer(), other.writer(), elsewhere.writer():
        pass
    other.close()
    elsewhere.close()


def test_a_server_that_goes_away_is_one_line_and_keeps_what_was_committed(server):
    running = type(server)()
    try:
        database = Database(running.create("gone"))
        database.upgrade()
        with database.session() as session:
            session.add(models.Labeler(kind="kept"))
        with pytest.raises(DatabaseError) as caught, database.session() as session:
            session.add(models.Labeler(kind="lost"))
            session.flush()
            running.stop()
            session.add(models.Labeler(kind="lost too"))
        assert "same command again: everything finished so far is kept" in caught.value.hint
        assert SECRET not in str(caught.value)
        assert "no PostgreSQL server answers" in refused(database)
        running.start()
        with database.session() as session:
            assert [labeler.kind for labeler in session.query(models.Labeler)] == ["kept"]
        # The lock went with the server: another writer may be in by now, so this one does not go on.
        with database.writer():
            running.stop()
            running.start()
            with pytest.raises(DatabaseError, match="lock on .* was lost"), database.session() as session:
                session.add(models.Labeler(kind="unlocked"))
        with database.writer(), database.session() as session:
            assert [labeler.kind for labeler in session.query(models.Labeler)] == ["kept"]
        database.close()
    finally:
        running.remove()


def test_an_index_that_is_not_valid_is_found(on_server):
    with on_server.session() as session:
        session.execute(text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_crops_image_id'::regclass"))
    assert on_server.check() == ["integrity: the index ix_crops_image_id is not valid"]
