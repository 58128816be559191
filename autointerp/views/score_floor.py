"""The least score that a list of features asks for, as METHOD=X, and what it is held against."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING

from autointerp.db import queries
from autointerp.db.queries.scores import CHANCE, FLOORED, HEADLINE, ScoreFloor
from autointerp.errors import UsageError
from autointerp.labeling.judging import SCORES

if TYPE_CHECKING:
    from autointerp.project.context import Context

__all__ = ["FLOORED", "ScoreFloor", "held_against", "parse_floor", "read_floor"]


def parse_floor(text: str) -> ScoreFloor:
    """Return the floor that METHOD=X means; X alone is of detection, else embedding.

    Raises:
        UsageError: There is no such score, or X is no value of it.
    """
    method, named, value = text.rpartition("=")
    method = SCORES.check(method).name if named else ""
    least = -1.0 if CHANCE.get(method) == 0 else 0.0
    found = math.nan
    with suppress(ValueError):
        found = float(value)
    if not least <= found <= 1:
        raise UsageError(f"{text!r} is no score", f"write METHOD=X, X from {least:g} to 1, e.g. gain=0.5")
    return ScoreFloor(found, method)


def read_floor(text: str) -> ScoreFloor | None:
    """Return the floor of an address; None for an empty text.

    Raises:
        UsageError: It is no score by which lists can be filtered.
    """
    if not text:
        return None
    floor = parse_floor(text)
    if floor.method not in ("", *HEADLINE):
        raise UsageError(f"lists have no score {floor.method!r}", f"known: {', '.join(HEADLINE)}")
    return floor


def held_against(ctx: Context) -> list[str]:
    """Return which of the scores that a floor without a method may be of some label of the workspace has, in order."""
    with ctx.db.session() as session:
        present = queries.scores.methods(session)
    return [method for method in FLOORED if method in present]
