"""The answer in a text of a model that thinks aloud: what stands after its thoughts, and the JSON objects in it.

A thinking model may write drafts of its answer before the answer. Servers mark thoughts in several ways; some servers
send the closing mark alone, because the opening one is part of the prompt.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_TAGS = r"(?:[\w-]+:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis|scratchpad)"
_CLOSING = re.compile(
    rf"</{_TAGS}\s*>|\[/THINK\]|◁/think▷|<\|(?:/think|end_of_thought)\|>"
    # The channels of gpt-oss, and what is left of them where a server drops the special tokens.
    r"|<\|channel\|>\s*final\b[^<]*<\|message\|>|assistantfinal",
    re.IGNORECASE,
)
_OPENING = re.compile(
    rf"<{_TAGS}\s*>|\[THINK\]|◁think▷|<\|(?:think|begin_of_thought)\|>"
    r"|<\|channel\|>\s*(?:analysis|commentary)\b[^<]*<\|message\|>",
    re.IGNORECASE,
)
_DECODER = json.JSONDecoder(strict=False)
"""Takes line breaks inside strings, which models write."""


class FoundObject(NamedTuple):
    """A JSON object in a text, and the characters from `start` to `end` that it takes."""

    value: dict[str, Any]
    start: int
    end: int


def find_objects(text: str) -> list[FoundObject]:
    """Return the JSON objects of a text in order, outermost objects alone."""
    found, position = [], 0
    while (position := text.find("{", position)) >= 0:
        try:
            value, end = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
            continue
        found.append(FoundObject(value, position, end))
        position = end
    return found


def split_thoughts(text: str) -> tuple[str, str]:
    """Return the part of a text that is the answer, and the thoughts before it or after an opening mark."""
    first = next(iter(find_objects(text)), None)
    if first is not None and not (text[: first.start] + text[first.end :]).strip():
        # The text is one object. A mark inside it is part of a string.
        return text, ""
    closing = list(_CLOSING.finditer(text))
    thoughts, answer = (text[: closing[-1].end()], text[closing[-1].end() :]) if closing else ("", text)
    if opening := _OPENING.search(answer):
        thoughts, answer = thoughts + answer[opening.start() :], answer[: opening.start()]
    return answer, thoughts


def last_words(text: str) -> list[FoundObject]:
    """Return the JSON object with which a text ends, if it ends with one; fences and marks may follow."""
    found = find_objects(text)[-1:]
    return found if found and not _CLOSING.sub("", text[found[0].end :]).strip().strip("`") else []


def answered_objects(text: str) -> list[FoundObject]:
    """Return the JSON objects of the answer in a text.

    Where nothing follows the thoughts, the object with which they end is the answer: some servers put the whole reply
    into them.
    """
    answer, thoughts = split_thoughts(_decoded(text))
    return find_objects(answer) or ([] if answer.strip() else last_words(thoughts))


def is_whole(text: str) -> bool:
    """Return whether the answer in a text that was cut off is whole: its first object is complete."""
    answer, _ = split_thoughts(_decoded(text))
    found = find_objects(answer)
    return bool(found) and found[0].start == answer.find("{")


def _decoded(text: str) -> str:
    """Return the text inside a JSON string: some servers encode an answer twice."""
    if text.lstrip()[:1] != '"':
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str) else text
