"""Addresses of the browser view, for its pages and for the command line."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8765
SERVER = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
"""The view of `autointerp serve` without options."""


def feature_link(name: str, **query: Any) -> str:
    """Return the address of a feature's page on its server, without the server's own.

    >>> feature_link("shapes.mid.topk:17", sort="doubt")
    '/feature/shapes.mid.topk:17?sort=doubt'
    """
    return "/feature/" + quote(name, safe=":@") + with_query(**query)


def with_query(**query: Any) -> str:
    """Return the query of an address, without what is empty; nothing where all of it is.

    >>> with_query(q="red circle", sort="")
    '?q=red+circle'
    """
    pairs = {key: value for key, value in query.items() if value not in (None, "")}
    return f"?{urlencode(pairs)}" if pairs else ""
