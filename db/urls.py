"""Database URLs: which are understood, and how one is shown. A password in one is never shown."""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import URL, exc
from sqlalchemy.engine import make_url

from autointerp.db.errors import DatabaseError

POSTGRESQL = "postgresql+psycopg"
_SPELLED = ("postgresql", "postgres", POSTGRESQL)
_FORM = f"write {POSTGRESQL}://USER@HOST:PORT/NAME, or the path of an SQLite file"


def parse_url(given: str | Path) -> URL:
    """The URL that is meant by a URL, or by the path of an SQLite file.

    Raises:
        DatabaseError: It is no URL, or of a database that is not understood. What was given is not repeated, because
            it may hold a password.
    """
    text = str(given)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        raise DatabaseError("the database URL cannot be read", _FORM) from None
    if url.get_backend_name() == "sqlite":
        return url
    if url.drivername not in _SPELLED:
        raise DatabaseError(f"{_scheme(url.drivername)} databases are not supported", _FORM)
    if "@" in (url.host or "") or "/" in (url.database or ""):
        raise DatabaseError(
            "the database URL cannot be read", "write @ and / in a user name or password as %40 and %2F"
        )
    if not url.database:
        raise DatabaseError("the database URL names no database", _FORM)
    return url.set(drivername=POSTGRESQL)


def shown(url: URL) -> str:
    """The URL as people may see it: without password. It can be used where libpq finds the password by itself."""
    kept = {key: value for key, value in url.query.items() if "pass" not in key.lower()}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, kept).render_as_string()


def _scheme(name: str) -> str:
    return name if re.fullmatch(r"[\w+]{1,32}", name) else "these"
