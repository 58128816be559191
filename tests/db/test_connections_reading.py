"""A database that may not be written to is read whole: with logs or without, on a full disk, while others write."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from autointerp.db import models
from autointerp.db.connections import Reader
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError, NotWritable
from tests.unwritable import read_only, run_as_others

pytestmark = pytest.mark.sqlite

READ = """
import sys
from autointerp.db import models
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
db = Database(sys.argv[1])
try:
    db.upgrade()
    for _ in range(3):
        with db.session() as session:
            print(session.query(models.LabelerRow).count(), end=" ")
    with db.session() as session:
        session.add(models.LabelerRow(kind="vlm"))
except DatabaseError as error:
    print(error)
"""


@pytest.fixture
def stopped(in_file, tmp_path):
    """The folder of a database whose process was killed: its last commit is in the log alone."""
    folder = tmp_path / "stopped"
    folder.mkdir()
    in_file.close()
    with in_file.session() as session:
        session.add(models.LabelerRow(kind="clip"))
    for path in tmp_path.glob("a.db*"):
        shutil.copy(path, folder)
    assert {path.name for path in folder.iterdir()} == {"a.db", "a.db-wal", "a.db-shm"}
    return folder


@pytest.mark.parametrize("left", ["all", "no index of the log", "no log"])
def test_a_folder_without_the_right_to_write(stopped, left):
    if left == "no log":
        with sqlite3.connect(stopped / "a.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    elif left == "no index of the log":
        (stopped / "a.db-shm").unlink()
    before = {path.name: path.read_bytes() for path in stopped.iterdir()}
    with read_only(stopped):
        done = run_as_others("-c", READ, stopped / "a.db")
    assert done.stderr == ""
    assert done.stdout.startswith("1 1 1 ")
    assert "cannot be written: check the permissions" in done.stdout
    assert {path.name: path.read_bytes() for path in stopped.iterdir()} == before


def test_a_file_without_the_right_to_write(stopped):
    (stopped / "a.db").chmod(0o444)
    done = run_as_others("-c", READ, stopped / "a.db")
    assert done.stdout.startswith("1 1 1 ")
    assert "cannot be written: check the permissions" in done.stdout


def test_an_earlier_schema_that_cannot_be_upgraded_is_named(stopped):
    with sqlite3.connect(stopped / "a.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0005'")
    connection.close()
    with read_only(stopped):
        done = run_as_others("-c", READ, stopped / "a.db")
    assert done.stdout.count("\n") == 1
    assert "schema 0005" in done.stdout
    assert "autointerp db upgrade" in done.stdout


def test_a_reader_sees_what_is_written_between_its_sessions(stopped, monkeypatch):
    """Nothing is locked for it, so that it starts afresh with each session."""
    from autointerp.db import connections

    real = connections.set_pragmas

    def refused(connection):
        raise sqlite3.OperationalError("unable to open database file")

    (stopped / "a.db-shm").unlink()
    database = Database(stopped / "a.db")
    monkeypatch.setattr(connections, "set_pragmas", refused)
    with database.session() as session:
        assert isinstance(session.connection().connection.driver_connection, Reader)
        assert session.query(models.LabelerRow).count() == 1
    monkeypatch.setattr(connections, "set_pragmas", real)
    with Database(stopped / "a.db").session() as session:
        session.add(models.LabelerRow(kind="vlm"))
    with database.session() as session:
        assert session.query(models.LabelerRow).count() == 2
        session.add(models.LabelerRow(kind="words"))  # and may write again, where that is possible again
    database.close()


def test_a_full_disk_can_be_read(stopped, monkeypatch):
    from autointerp.db import connections

    def refused(connection):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(connections, "set_pragmas", refused)
    database = Database(stopped / "a.db")
    with database.session() as session:
        assert session.query(models.LabelerRow).count() == 1

    def write():
        with database.session() as session:
            session.add(models.LabelerRow(kind="vlm"))

    with pytest.raises(NotWritable, match="disk is full while writing.*free some space"):
        write()
    database.close()


def test_other_faults_are_told_as_before(tmp_path):
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\x00" + b"rubbish" * 500)
    with pytest.raises(DatabaseError, match="not an SQLite database|damaged"):
        Database(tmp_path / "a.db").revision()
    (tmp_path / "empty.db").touch()
    database = Database(tmp_path / "empty.db")
    database.upgrade()
    database.forbid_writing()
    with database.session() as session:
        assert session.query(models.LabelerRow).count() == 0
    with pytest.raises(NotWritable), database.session() as session:
        session.add(models.LabelerRow(kind="vlm"))
    database.close()
