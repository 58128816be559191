"""The least score that a list of features asks for, as an address writes it."""

from __future__ import annotations

import math

from autointerp.db.queries.scores import HEADLINE, ScoreFloor
from autointerp.errors import UsageError

__all__ = ["ScoreFloor", "read_floor"]


def read_floor(text: str) -> ScoreFloor | None:
    """Return the floor that METHOD=X means; X alone is of detection, else embedding; None for an empty text.

    Raises:
        UsageError: It is no score by which lists can be filtered.
    """
    if not text:
        return None
    method, _, value = text.rpartition("=")
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not -1 <= found <= 1 or method not in ("", *HEADLINE):
        raise UsageError(f"{text!r} is no score", "write METHOD=X, e.g. gain=0.5")
    return ScoreFloor(found, method)
