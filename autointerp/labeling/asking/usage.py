"""The tokens of a response: servers name, nest and omit the counts differently, and any of them may be null."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_INPUT = ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_eval_count")
_OUTPUT = ("completion_tokens", "output_tokens", "candidatesTokenCount", "eval_count")
_TOTAL = ("total_tokens", "totalTokenCount")
_PLACES = ("usage", "usageMetadata", "usage_metadata", "x_groq", "message", "choices", "response")
_DEEPEST = 4
"""Levels of nesting at which counts are looked for."""


def read_usage(body: Any) -> tuple[int, int]:
    """Return the (input, output) tokens of the body of a response, parsed from JSON; 0 where a count is not given.

    Some servers leave thoughts out of the output, though not out of the total. Whatever the total holds beyond the
    input is therefore output.
    """
    for counts in _counts(body, 0):
        given, made, total = (_first(counts, names) for names in (_INPUT, _OUTPUT, _TOTAL))
        if given or made or total:
            return given or (max(total - made, 0) if made else total), max(made, total - given if given else 0)
    return 0, 0


def _counts(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Yield the objects that may hold counts, outermost first."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for one in value:
            yield from _counts(one, depth + 1)
    elif isinstance(value, dict):
        yield value
        for name in _PLACES:
            yield from _counts(value.get(name), depth + 1)


def _first(counts: dict[str, Any], names: tuple[str, ...]) -> int:
    """Return the first of some counts that is more than 0."""
    return next((number for name in names if (number := _number(counts.get(name)))), 0)


def _number(value: Any) -> int:
    """Return a count as a number that is not negative; 0 for what is no count."""
    if isinstance(value, dict):
        return _number(value.get("total") or value.get("total_tokens"))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        # A count beyond this is none, and the database could not hold it.
        return int(min(max(float(value), 0.0), 1e12))
    except (ValueError, OverflowError):
        return 0
