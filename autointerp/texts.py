"""Text from outside (a model's reply, a person's file), made safe to keep and to show.

Control characters could drive a terminal, and direction marks could show a text as another one. They are taken out
where a text comes in and where it is shown. In JSON they are escaped, so that no data is lost.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

NAME, EXPLANATION, REASON = 120, 600, 400
"""The most characters of a label's name, of its explanation, and of why something failed."""

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Categories of Unicode: control, format (direction marks), halves of pairs, private use, ends of lines and pages."""


def visible(text: str) -> str:
    """Return a text as one line, without characters that cannot be seen. Spaces stay as they are."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in re.sub(r"[^\S ]", " ", text) if unicodedata.category(c) not in _HIDDEN)


def clean(text: str, limit: int) -> str:
    """Return `visible(text)` with single spaces, cut to `limit` characters."""
    return " ".join(visible(text).split())[:limit].rstrip()


def to_json(value: Any, **options: Any) -> str:
    """Return a value as JSON. Letters of all languages stay; characters that cannot be seen are escaped.

    Args:
        value: A value that JSON can hold.
        options: Of `json.dumps`.
    """
    written = json.dumps(value, ensure_ascii=False, **options)
    if written.isascii() and "\x7f" not in written:
        return written
    # Outside of strings there is nothing but the line breaks of an indent.
    return "".join(_escaped(c) if c != "\n" and unicodedata.category(c) in _HIDDEN else c for c in written)


def _escaped(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
