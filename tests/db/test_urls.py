"""Which URLs are understood, and how they are shown."""

from __future__ import annotations

import pytest

from autointerp.db.engine import Database
from autointerp.db.errors import DatabaseError
from autointerp.db.urls import parse_url, shown

from .conftest import SECRET


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
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
