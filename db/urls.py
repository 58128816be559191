"""Database URLs: which ones are understood, and how they are shown without their password."""

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
    """Return the URL that a text or the path of an SQLite file means.

    Raises:
        DatabaseError: The text is no URL, or names a kind of database that is not understood. The message does not
            repeat the text, because it may hold a password.
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
    """Return the URL without its password. It can be used where libpq finds the password by itself."""
    kept = {key: value for key, value in url.query.items() if "pass" not in key.lower()}
    return URL.create(url.drivername, url.username, None, url.host, url.port, url.database, kept).render_as_string()


def _scheme(name: str) -> str:
    """Return the scheme of a URL, if it looks like one: other text could be part of a password."""
    return name if re.fullmatch(r"[\w+]{1,32}", name) else "these"
