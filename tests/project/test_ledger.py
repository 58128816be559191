"""Calls that several threads record at the same time share commits, and none is lost."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from autointerp.db import waiting
from autointerp.db.engine import Database
from autointerp.labeling.asking.ledger import CallRecord
from autointerp.project import ledger as project_ledger
from autointerp.project.ledger import DatabaseLedger


def call(key: str, answer: str | None = "x", error: str = "") -> CallRecord:
    return CallRecord(key, "label", "m", answer, error, 1, 1, None, 1.0)


@pytest.fixture
def database(tmp_path):
    database = Database(tmp_path / "a.db")
    database.upgrade()
    yield database
    database.close()


class SlowDatabase:
    """A database that counts its sessions and waits in the first one."""

    def __init__(self, database, error=None):
        self.database, self.error = database, error
        self.sessions, self.entered, self.go_on = 0, Event(), Event()
        self.engine = database.engine

    @contextmanager
    def session(self):
        self.sessions += 1
        if self.sessions == 1:
            self.entered.set()
            self.go_on.wait(10)
        elif self.error is not None:
            raise self.error
        with self.database.session() as session:
            yield session


def record_while_one_writes(slow):
    """Eight threads record while another is in its commit; returns what became of each."""
    ledger = DatabaseLedger(slow)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(ledger.record, [call("first")])
        assert slow.entered.wait(10)
        others = [pool.submit(ledger.record, [call(str(i))]) for i in range(8)]
        while sum(future.running() for future in others) < 8:
            Event().wait(0.01)
        Event().wait(0.2)
        slow.go_on.set()
        first.result(10)
        return ledger, [future.exception(10) for future in others]


def test_threads_share_a_commit(database):
    slow = SlowDatabase(database)
    ledger, errors = record_while_one_writes(slow)
    assert errors == [None] * 8
    assert slow.sessions == 2
    assert all(ledger.find(key).text == "x" for key in ["first", *map(str, range(8))])


def test_a_commit_that_fails_fails_for_all_of_it(database):
    slow = SlowDatabase(database, error=OSError("full"))
    ledger, errors = record_while_one_writes(slow)
    assert {type(error) for error in errors} == {OSError}
    assert ledger.find("0") is None
    slow.error = None
    ledger.record([call("0")])
    assert ledger.find("0").text == "x"


def test_answers_of_no_use_are_forgotten_by_a_ledger_that_begins_afresh(database):
    ledger = DatabaseLedger(database)
    ledger.record([call("a")])
    ledger.reject("a", "no name in it")
    assert ledger.find("a").error == "no name in it"
    afresh = DatabaseLedger(database, afresh=True)
    assert afresh.find("a") is None
    afresh.record([call("a", "", "empty")])
    assert afresh.find("a").error == "empty"


def test_paid_answers_wait_as_long_as_another_process_holds_the_database(database, monkeypatch):
    monkeypatch.setattr(waiting, "SLICE_MS", 10)
    monkeypatch.setattr(waiting, "BUSY_MS", 50)
    monkeypatch.setattr(project_ledger, "_PAUSE_SECONDS", 0.01)
    database.close()
    viewer = sqlite3.connect(database.path, isolation_level=None, check_same_thread=False)
    viewer.execute("BEGIN IMMEDIATE")
    said = []

    def on_wait(text):
        said.append(text)
        # The patience of the database has ended several times before the viewer lets go.
        if sum("paid for" in line for line in said) == 3:
            viewer.execute("ROLLBACK")

    database.on_wait = on_wait
    ledger = DatabaseLedger(database)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.record([call(str(number))]), range(4)))
    viewer.close()
    assert all(ledger.find(str(number)) is not None for number in range(4))
    assert any("answers that are paid for wait to be recorded" in line and "a.db" in line for line in said)
    assert any("waiting for" in line for line in said)


def test_a_failed_answer_that_is_passed_over_can_be_asked_about(database):
    DatabaseLedger(database).record([call("a", "", "the answer was cut off at 700 tokens"), call("b")])
    afresh = DatabaseLedger(database, afresh=True)
    assert afresh.find("a") is None
    assert afresh.forgotten("a") == "the answer was cut off at 700 tokens"
    assert afresh.forgotten("b") == afresh.forgotten("c") == ""
    assert DatabaseLedger(database).forgotten("a") == ""
