"""Words to look for in full text. Only letters and digits are passed on, so that no typed text is an operator."""

from __future__ import annotations

import re

from autointerp.errors import UsageError

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_MAX_WORDS = 64


def query_words(text: str) -> list[str]:
    """Return the words of a text: letters and digits alone, lower case, each once, in order.

    >>> query_words('Red "striped" circle*')
    ['red', 'striped', 'circle']

    Raises:
        UsageError: The text holds no word.
    """
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(text)))[:_MAX_WORDS]
    if not words:
        raise UsageError("the search text is empty", 'say what to look for, e.g. autointerp search "red circle"')
    return words
