"""How long a server asks to wait, and how long a request waits between two attempts."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = r"((?:\d+(?:\.\d+)?\s?(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)\s?)+)"
_TOLD = re.compile(rf"(?:try again|retry|wait)\w* (?:in|after|for|at least)?\s?{_SPAN}", re.IGNORECASE)
_DELAY = re.compile(r'"?retrydelay"?\W+(\d+(?:\.\d+)?)s', re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s?(ms|milli|s|m|h|d)", re.IGNORECASE)
_LEAST = 0.1
"""Seconds of the first wait at least, which double with each attempt, where a server asks for less."""


def told_wait(headers: Mapping[str, str], text: str = "") -> float | None:
    """Return the seconds that a server asks to wait; None where it does not say.

    Args:
        headers: Of the response: `retry-after-ms` in milliseconds, or `retry-after` in seconds or as a date.
        text: What the body says, read where the headers are silent.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if (found := _number(headers.get(name))) is not None:
            return found / 1000
    value = headers.get("retry-after")
    if (found := _number(value)) is not None:
        return found
    if value is not None:
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            pass
    if delay := _DELAY.search(text):
        return float(delay[1])
    if told := _TOLD.search(text):
        parts = _PART.findall(told[1])
        return sum(float(n) * _UNITS["ms" if unit.lower() == "milli" else unit.lower()] for n, unit in parts)
    return None


def _number(value: str | None) -> float | None:
    """Return a header's number, zero at least; None where it is none."""
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if number == number and number != float("inf") else None


def wait_before(attempt: int, told: float | None, longest: float) -> float:
    """Return the seconds that one request waits before its next attempt, beside a pause of all requests.

    Args:
        attempt: How many attempts of the request have failed.
        told: The pause that the server asks for; None where it does not say.
        longest: Seconds at most.
    """
    if told is None:
        # A random part of a span that doubles each time, so that requests do not stay in step.
        span = min(0.5 * 2**attempt, longest)
        return random.uniform(span / 4, span)
    # A server that says "now" again and again is not believed.
    least = min(_LEAST * 2 ** (attempt - 1), longest)
    return 0.0 if told >= least else least * random.uniform(1.0, 1.25)
