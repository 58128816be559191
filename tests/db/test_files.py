"""What is said of a bad file, and a new file that is whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autointerp.db import models
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.files import new_sqlite_file


@pytest.mark.parametrize("content", [b"just some text\n", b"\x00" * 2000, b"SQLite format 3\x00" + b"rubbish" * 500])
def test_not_sqlite(tmp_path, content):
    path = tmp_path / "a.db"
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="not an SQLite database|damaged"):
        Database(path).upgrade()
    assert path.read_bytes() == content


def test_paths_that_cannot_be_a_database(tmp_path):
    with pytest.raises(DatabaseError, match="is a folder"):
        Database(tmp_path).upgrade()
    with pytest.raises(DatabaseError, match="does not exist"):
        Database(tmp_path / "no" / "a.db").upgrade()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.write_bytes(b"x")], ids=["a pipe", "one byte"])
def test_files_that_sqlite_would_take(tmp_path, make):
    make(tmp_path / "a.db")
    with pytest.raises(DatabaseError, match="is not an SQLite database"):
        Database(tmp_path / "a.db").upgrade()


@pytest.mark.sqlite
def test_a_second_opening_keeps_the_locks_of_the_first(db):
    """Closing any handle of the file would drop the locks; another process would then delete the log."""
    elsewhere = (
        f"import sqlite3; c = sqlite3.connect({str(db.path)!r}); print(c.execute({{}}).fetchone()[0]); c.close()"
    )

    def other_process(query):
        command = [sys.executable, "-c", elsewhere.format(repr(query))]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    with db.session() as session:
        session.add(models.LabelerRow(kind="clip"))
    log = db.path.with_name(db.path.name + "-wal")
    before = log.stat().st_ino
    second = Database(db.path)
    with second.session() as session:
        assert session.query(models.LabelerRow).count() == 1
    second.close()
    assert other_process("SELECT count(*) FROM labelers") == "1"
    assert log.stat().st_ino == before
    with db.session() as session:
        session.add(models.LabelerRow(kind="vlm"))
    assert other_process("SELECT count(*) FROM labelers") == "2"
    db.close()
    assert other_process("SELECT count(*) FROM labelers") == "2"


def test_a_backup_whose_log_could_not_be_moved_in_is_no_backup(tmp_path):
    def write():
        with new_sqlite_file(tmp_path / "copy.db") as partial:
            partial.write_bytes(b"SQLite format 3")
            partial.with_name(partial.name + "-wal").write_bytes(b"rows")

    with pytest.raises(DatabaseError, match="disk is full while writing .*copy.db"):
        write()
    assert list(tmp_path.iterdir()) == []
