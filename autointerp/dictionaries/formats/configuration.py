"""What a configuration says, with its type checked, and a note wherever a tool's default takes the place of a word.

The codes of a dictionary depend on a few words of its configuration. So each of these is read through here: a value of
another type is refused, and a value that is missing is either refused or noted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autointerp.errors import AutointerpError
from autointerp.filetypes import check_no_pointer

AGAIN = "fetch it again"
NAMES = ("cfg.json", "config.json", "activation_scaler.json")
"""Files that are a configuration by their name, wherever they lie beside weights."""
LARGEST = 16 << 20
"""A larger JSON or YAML file, in bytes, is no configuration."""


def read_json(path: Path) -> Any:
    """Read a JSON file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        AutointerpError: It does not parse, or is a pointer of git LFS or the like.
    """
    check_no_pointer(path)
    try:
        return json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        reason = "it is empty" if path.exists() and not path.stat().st_size else error
        raise AutointerpError(f"{path} cannot be read as JSON: {reason}", "copy or fetch it again") from None


class Configuration:
    """One configuration, and the notes about what it leaves open.

    Args:
        where: What messages name: the path as it was asked for.
        values: The keys and values; empty where there is no configuration.
        notes: Where notes go.
    """

    def __init__(self, where: object, values: Mapping[str, Any], notes: list[str]) -> None:
        self.where, self.values, self.notes = where, values, notes

    def __getitem__(self, key: str) -> Any:
        return self.values.get(key)

    def flag(self, key: str, default: bool, meaning: str = "") -> bool:
        """Return a true or false value; where it is missing, the default, with a note if it has a `meaning`.

        Raises:
            AutointerpError: It is something else.
        """
        return bool(self._typed(key, default, meaning, "neither true nor false"))

    def word(self, key: str, default: str, meaning: str = "") -> str:
        """Return a word; where it is missing, the default, with a note if it has a `meaning`.

        Raises:
            AutointerpError: It is something else.
        """
        return str(self._typed(key, default, meaning, "no word"))

    def _typed(self, key: str, default: bool | str, meaning: str, else_: str) -> bool | str:
        """Return a value of the default's type; `else_` says what a value of another type is."""
        value = self.values.get(key)
        if value is None:
            if meaning:
                self.notes.append(f"{key} is not said: {meaning}")
            return default
        if not isinstance(value, type(default)):
            raise self.refusal(key, else_)
        return value

    def mapping(self, key: str) -> dict[str, Any]:
        """Return an object; empty where it is missing.

        Raises:
            AutointerpError: It is something else.
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            raise self.refusal(key, "no object")
        return dict(value or {})

    def number(self, key: str) -> float | None:
        """Return a positive number; None where it is missing.

        Raises:
            AutointerpError: It is something else.
        """
        value = self.values.get(key)
        if value is None:
            return None
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise self.refusal(key, "no positive number")
        return float(value)

    def count(self, key: str, most: int | None = None) -> int | None:
        """Return a positive whole number, at most `most`; None where it is missing.

        Raises:
            AutointerpError: It is something else.
        """
        return checked_count(self.where, key, self.values.get(key), most)

    def refusal(self, key: str, why: str) -> AutointerpError:
        """Return the error for a value that cannot be used."""
        return AutointerpError(f"{self.where}: {key} is {self.values.get(key)!r}, {why}", AGAIN)

    def needed_k(self, stored: Any, given: int | None, latents: int, name: str = "k") -> int:
        """Return the number of latents that fire: what the files say, else the user's, with a note.

        Raises:
            AutointerpError: Neither says, or it is no positive whole number of at most `latents`.
        """
        k = checked_count(self.where, name, stored, latents)
        if k is None and given is None:
            raise AutointerpError(f"{self.where}: the files do not say {name}", "give it with -k, or fetch them again")
        if k is None:
            self.notes.append(f"{name} {given} is yours; the files do not say it")
        return k or checked_count(self.where, name, given, latents) or 0


def checked_count(where: object, name: str, value: Any, most: int | None = None) -> int | None:
    """Return a positive whole number, at most `most`; None for None.

    Raises:
        AutointerpError: It is something else.
    """
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value != int(value) or value < 1:
        raise AutointerpError(f"{where}: {name} is {value!r}, no positive whole number", AGAIN)
    if most is not None and value > most:
        raise AutointerpError(f"{where}: {name} is {int(value)}, but there are {most} latents", AGAIN)
    return int(value)


def is_of_shape(said: Any, size: int) -> bool:
    """Return whether a configuration agrees with a size of the weights, or leaves it open."""
    return said is None or (said == size and not isinstance(said, bool))
