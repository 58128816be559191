"""What is said of a server that cannot be used."""

from __future__ import annotations

import sqlite3

from autointerp.db.engine import Database
from autointerp.db.errors import translate
from autointerp.db.urls import parse_url

from .conftest import refused


def test_translate_leaves_other_errors_alone():
    assert translate(sqlite3.OperationalError("no such table: x"), "a.db") is None


def test_a_server_that_cannot_be_used_is_one_line(server):
    def at(**values):
        url = parse_url(server.url("postgres")).set(**values)
        return Database(url.render_as_string(hide_password=False))

    assert "no PostgreSQL server answers" in refused(at(port=1))
    assert "start it" in refused(at(port=1))
    assert "no PostgreSQL server answers" in refused(at(host="no-such-host.invalid"))
    assert "refuses this user and password" in refused(at(password="not s3cret"))
    assert "refuses this user and password" in refused(Database(server.url("postgres", password=None)))
    # The server does not tell strangers whether a user exists.
    assert "refuses this user and password" in refused(at(username="nobody"))
    missing = refused(at(database="not_made"))
    assert 'no database "not_made"' in missing
    assert "createdb not_made" in missing
    nowhere = refused(at(database="postgres", query={"options": "-csearch_path=nowhere"}))
    assert "schema of its search_path does not exist" in nowhere
