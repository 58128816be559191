"""The words of a user as a query of SQLite's FTS5, in which nothing the user types is an operator."""

from __future__ import annotations

import re

from autointerp.errors import UsageError

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_MAX_WORDS = 64


def words_of(text: str) -> list[str]:
    """The words of a text, lower case, each once, in order."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))[:_MAX_WORDS]


def match_query(text: str) -> str:
    """An FTS5 MATCH string: any of the words, each quoted, to be ordered by `bm25`.

    >>> match_query('red "striped" circle*')
    '"red" OR "striped" OR "circle"'

    Raises:
        UsageError: the text holds no word.
    """
    words = words_of(text)
    if not words:
        raise UsageError("the search text is empty", 'say what to look for, e.g. autointerp search "red circle"')
    return " OR ".join(f'"{word}"' for word in words)
