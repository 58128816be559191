"""One writer at a time, from whatever process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest

from autointerp.db import models
from autointerp.db.check import find_problems
from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError

from .conftest import SECRET, refused

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
        refusal = pytest.raises(DatabaseError, match=f"is being written by process {process.pid} on ")
        with refusal as caught, on_server.writer():
            pass
        assert SECRET not in str(caught.value)
        # Readers go on, and so does everything that takes no lock.
        assert find_problems(on_server) == []
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
            session.add(models.LabelerRow(kind="kept"))

        def write_while_it_stops():
            with database.session() as session:
                session.add(models.LabelerRow(kind="lost"))
                session.flush()
                running.stop()
                session.add(models.LabelerRow(kind="lost too"))

        with pytest.raises(DatabaseError) as caught:
            write_while_it_stops()
        assert "same command again: everything finished so far is kept" in caught.value.hint
        assert SECRET not in str(caught.value)
        assert "no PostgreSQL server answers" in refused(database)
        running.start()
        with database.session() as session:
            assert [labeler.kind for labeler in session.query(models.LabelerRow)] == ["kept"]
        # The lock went with the server: another writer may be in by now, so this one does not go on.
        with database.writer():
            running.stop()
            running.start()
            with pytest.raises(DatabaseError, match="lock on .* was lost"), database.session() as session:
                session.add(models.LabelerRow(kind="unlocked"))
        with database.writer(), database.session() as session:
            assert [labeler.kind for labeler in session.query(models.LabelerRow)] == ["kept"]
        database.close()
    finally:
        running.remove()
