"""Files of other people's names and values: each fault is one line that says where it is and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.text_files import read_text
from autointerp.texts import NAME, clean

Answer = TypeVar("Answer")


def read_names(path: Path, units: Sequence[str]) -> dict[str, str]:
    """Read names of units: JSON lines with `unit` (or `feature`) and `name`.

    Raises:
        UsageError: The file cannot be read, or a line is no name of a unit.
    """

    def name(place: str, line: dict[str, Any]) -> str:
        if not isinstance(line.get("name"), str):
            raise UsageError(f"{place} has no text as its name", 'write {"unit": ..., "name": "red circle"}')
        return clean(line["name"], NAME)

    return _read(path, ("unit", "feature"), units, name)


def read_values(path: Path, labels: Sequence[str]) -> dict[str, float]:
    """Read values of labels: JSON lines with `label` and `value`.

    Raises:
        UsageError: The file cannot be read, or a line is no value of a label.
    """

    def value(place: str, line: dict[str, Any]) -> float:
        found = line.get("value")
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise UsageError(f"{place} has no number as its value", 'write {"label": ..., "value": 0.7}')
        return float(found)

    return _read(path, ("label",), labels, value)


def _read(
    path: Path, keys: tuple[str, ...], known: Sequence[str], answer: Callable[[str, dict[str, Any]], Answer]
) -> dict[str, Answer]:
    """Read an answer for each thing, by the first of some keys that a line has."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", f"write JSON lines, each with {keys[0]}")
    try:
        lines = read_text(path).splitlines()
    except AutointerpError as error:
        raise UsageError(error.message, error.hint) from None
    found: dict[str, Answer] = {}
    places: dict[str, str] = {}
    known_set = set(known)
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        place = f"{path.name}, line {number}"
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict):
            raise UsageError(f"{place} is no JSON object", f'write a line such as {{"{keys[0]}": ...}}')
        key = next((key for key in keys if key in line), keys[0])
        thing = line.get(key)
        if not isinstance(thing, str):
            raise UsageError(f"{place} has no {keys[0]}", f"each line names its {keys[0]}, as in tasks.jsonl")
        if thing not in known_set:
            raise UsageError(f"{place}: there is no {keys[0]} {thing!r}", nearest(thing, known))
        if thing in places:
            raise UsageError(f"{place}: {thing} is in {places[thing]} already", "leave one of them")
        found[thing], places[thing] = answer(place, line), f"line {number}"
    if not found:
        raise UsageError(f"{path} is empty", f"write JSON lines, each with {keys[0]}")
    return found
