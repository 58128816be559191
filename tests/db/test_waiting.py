"""What is said and done while another process writes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import count

import pytest
from sqlalchemy import text

from autointerp.db import models, waiting
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError

pytestmark = pytest.mark.sqlite

VIEWER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
print("holds it", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def viewer(in_file):
    """Starts a process that holds the database until it is told to let go."""
    running = []

    def start(statement="BEGIN IMMEDIATE"):
        process = subprocess.Popen(
            [sys.executable, "-c", VIEWER, str(in_file.path), statement],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout.readline() == "holds it\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


NUMBERS = count()


def write(db):
    with db.session() as session:
        session.add_all(models.LabelerRow(kind="clip", model=str(next(NUMBERS))) for _ in range(2))


def test_who_is_waited_for_is_said_and_the_write_succeeds_when_it_lets_go(in_file, viewer, monkeypatch):
    monkeypatch.setattr(waiting, "SLICE_MS", 50)
    in_file.close()
    process = viewer()
    said = []

    def on_wait(line):
        said.append(line)
        process.stdin.write("\n")
        process.stdin.flush()

    in_file.on_wait = on_wait
    write(in_file)
    (line,) = said
    assert str(in_file.path) in line
    if os.path.exists("/proc/locks"):
        assert f"process {process.pid}" in line
    with in_file.session() as session:
        assert session.query(models.LabelerRow).count() == 2


def test_patience_ends_in_one_line_and_loses_nothing(in_file, viewer, monkeypatch):
    monkeypatch.setattr(waiting, "SLICE_MS", 20)
    monkeypatch.setattr(waiting, "BUSY_MS", 200)
    in_file.close()
    write(in_file)
    in_file.close()
    process = viewer()
    with pytest.raises(DatabaseError, match="in use by another process.*wait"):
        write(in_file)
    with in_file.session() as session:  # readers do not wait for a writer
        assert session.query(models.LabelerRow).count() == 2
    process.kill()
    process.wait()
    write(in_file)


def test_a_holder_of_the_whole_file_is_named_on_opening(in_file, viewer, monkeypatch):
    monkeypatch.setattr(waiting, "SLICE_MS", 20)
    monkeypatch.setattr(waiting, "BUSY_MS", 200)
    in_file.close()
    process = viewer("PRAGMA journal_mode = DELETE")
    process.kill()
    process.wait()
    holder = viewer("BEGIN EXCLUSIVE")
    said = []
    second = Database(in_file.path)
    second.on_wait = said.append
    with pytest.raises(DatabaseError, match="in use by another process"):
        second.revision()
    assert len(said) == 1
    if os.path.exists("/proc/locks"):
        assert f"process {holder.pid}" in said[0]


def test_a_state_that_is_too_old_to_write_upon_is_not_tried_again(in_file, monkeypatch):
    if not hasattr(waiting.sqlite3.OperationalError(), "sqlite_errorcode") and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 does not tell SQLite's code")
    monkeypatch.setattr(waiting, "BUSY_MS", 60_000)
    said = []
    in_file.on_wait = said.append
    with in_file.engine.connect() as reading:
        reading.exec_driver_sql("BEGIN")
        reading.execute(text("SELECT count(*) FROM labelers")).scalar()
        writer = threading.Thread(target=write, args=(in_file,))
        writer.start()
        writer.join()
        with pytest.raises(DatabaseError, match="in use"):
            reading.execute(text("DELETE FROM labelers"))
    assert said == []


def test_nobody_holds_a_file_at_rest(in_file, tmp_path):
    in_file.close()
    assert waiting.holder_of(in_file.path) is None
    assert waiting.holder_of(tmp_path / "missing.db") is None
