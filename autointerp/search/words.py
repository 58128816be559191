"""The words of a user, as all that full-text search is told: nothing the user types is an operator."""

from __future__ import annotations

import re

from autointerp.errors import UsageError

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_MAX_WORDS = 64


def query_words(text: str) -> list[str]:
    """The words to look for, any of which may be found: letters and digits alone, lower case, each once, in order.

    >>> query_words('Red "striped" circle*')
    ['red', 'striped', 'circle']

    Raises:
        UsageError: The text holds no word.
    """
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))[:_MAX_WORDS]
    if not words:
        raise UsageError("the search text is empty", 'say what to look for, e.g. autointerp search "red circle"')
    return words
