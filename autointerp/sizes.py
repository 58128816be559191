"""Picture sizes, written in one way in settings, prompts files, hashes and on the command line."""

from __future__ import annotations

import re
from typing import Any

from autointerp.errors import UsageError

Size = int | str
"""Side of a square picture in pixels, e.g. 1024, or `WIDTHxHEIGHT` of any other, e.g. `1024x768`."""
_LARGEST = 2**16


def parse_size(value: Any) -> Size:
    """Read a size in any form (`768`, `"768"`, `"1024x768"` or `(1024, 768)`) and return it in the one way to write it.

    Squares are numbers, so that hashes made before other shapes existed stay valid.

    Raises:
        UsageError: The value is no size.
    """
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,6})(?:[xX×](\d{1,6}))?", value.strip())):
        value = (int(found[1]), int(found[2] or found[1]))
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(type(side) is int and 0 < side <= _LARGEST for side in both):
        raise UsageError(f"a picture size of {value!r} cannot be", "give pixels, such as 1024, or 1024x768")
    width, height = both
    return width if width == height else f"{width}x{height}"


def sides(size: Size) -> tuple[int, int]:
    """Return (width, height) in pixels."""
    if isinstance(size, int):
        return size, size
    width, _, height = size.partition("x")
    return int(width), int(height)
