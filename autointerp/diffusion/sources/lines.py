"""Prompts as lines of a file: text, or a JSON object or string a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableSet
from difflib import get_close_matches
from typing import Any

from autointerp.diffusion.sources.prompt import Prompt, check_prompt
from autointerp.errors import AutointerpError, UsageError, nearest
from autointerp.sizes import parse_size

TEXT_KEYS = ("prompt", "caption", "text")
"""Keys of an object, and names of a column, that hold a prompt or a caption."""
_KEYS = (*TEXT_KEYS, "seed", "size", "width", "height")
_OF_A_PICTURE = ("url", "file_name", "filename", "file", "image", "image_id", "image_path", "path")
"""Keys that show that an object describes a picture: its width and height are then that picture's, and no wish."""


def parse_prompts(text: str, spec: str, json_lines: bool, ignored: MutableSet[str] | None = None) -> tuple[Prompt, ...]:
    """Read the prompts of a text: one a line, or one JSON object or string a line.

    Args:
        text: The file's content.
        spec: The file, for errors.
        json_lines: Whether lines are JSON.
        ignored: Receives the keys of objects that say nothing to a prompt.

    Raises:
        AutointerpError: A line is bad; the message names it.
    """
    prompts = []
    # Split at line feeds alone: a prompt may hold the other characters that str.splitlines breaks at.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        line = line.strip()
        if not line or (not json_lines and line.startswith("#")):
            continue
        where = f"{spec}, line {number}"
        prompt = read_entry(_json(line, where), where, ignored) if json_lines else Prompt(line)
        check_prompt(prompt.text, where)
        prompts.append(prompt._replace(place=f"line {number}"))
    return tuple(prompts)


def json_line(line: str, where: str, write: str) -> dict[str, Any]:
    """Read a line that holds a JSON object.

    Args:
        line: The line.
        where: Its place, for errors.
        write: What to write instead, for errors.

    Raises:
        AutointerpError: The line holds no JSON object.
    """
    entry = _json(line, where, write)
    if not isinstance(entry, dict):
        raise AutointerpError(f"{where}: there is no JSON object", write)
    return entry


def _json(line: str, where: str, write: str = 'write {"prompt": "..."}') -> Any:
    """Read a line of JSON."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AutointerpError(f"{where}: no JSON ({error})", write) from None


def read_entry(entry: Any, where: str, ignored: MutableSet[str] | None = None) -> Prompt:
    """Read a prompt of a JSON value: a string, or an object with its text, seed and size.

    Args:
        entry: The value.
        where: Its place, for errors.
        ignored: Receives the keys of the object that say nothing to a prompt.

    Raises:
        AutointerpError: The value holds no prompt, or several, or a bad seed or size, or a key that may be mistyped.
    """
    write = 'write {"prompt": "..."}'
    if isinstance(entry, str):
        entry = {"prompt": entry}
    if not isinstance(entry, dict):
        raise AutointerpError(f"{where}: there is no prompt", write)
    said = {key: entry[key] for key in TEXT_KEYS if entry.get(key) is not None}
    for key, value in said.items():
        if not isinstance(value, str):
            raise AutointerpError(f"{where}: there is no prompt, since {key} is no text", write)
    texts = {text for value in said.values() if (text := value.strip())}
    if not texts:
        raise AutointerpError(f"{where}: there is no prompt", write)
    if len(texts) > 1:
        raise AutointerpError(f"{where}: {' and '.join(said)} differ", "keep the one that is the prompt")
    known = _checked_keys(entry, where, ignored)
    seed = known.get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
        raise AutointerpError(f"{where}: the seed is {seed!r}", "give a whole number of 0 or more")
    size, both = known.get("size"), [known.get("width"), known.get("height")]
    if both != [None, None]:
        if size is not None or None in both:
            raise AutointerpError(f"{where}: the size is not clear", "give width and height, or size alone")
        size = tuple(both)
    try:
        return Prompt(texts.pop(), seed, None if size is None else parse_size(size))
    except UsageError as error:
        raise AutointerpError(f"{where}: {error.message}", error.hint) from None


def _checked_keys(entry: Mapping[str, Any], where: str, ignored: MutableSet[str] | None) -> dict[str, Any]:
    """Return the keys that say something to a prompt.

    Raises:
        AutointerpError: Another key is near to one of them, so it may be mistyped.
    """
    about_picture = any(key in entry for key in _OF_A_PICTURE)
    of_prompt = (*TEXT_KEYS, "seed") if about_picture else _KEYS
    for key in entry:
        if key not in _KEYS and get_close_matches(key, _KEYS, cutoff=0.85):
            raise AutointerpError(f"{where}: unknown key {key!r}", nearest(key, _KEYS))
        if key not in of_prompt and ignored is not None:
            ignored.add(key)
    return {key: entry[key] for key in of_prompt if key in entry}
