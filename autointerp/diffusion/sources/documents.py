"""Prompts of structured files: JSON and YAML, whatever tool wrote them, and text files that hold such.

A file whose structure is not known is refused by what it is, and never read as lines.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, MutableSet
from typing import Any, NamedTuple

from autointerp.diffusion.sources.lines import TEXT_KEYS, parse_prompts, read_entry
from autointerp.diffusion.sources.prompt import Prompt, check_prompt
from autointerp.diffusion.sources.protocol import counted
from autointerp.errors import AutointerpError
from autointerp.texts import clean

JSON_LINES = (".jsonl", ".ndjson")
_YAML = (".yaml", ".yml")
_LISTS = ("prompts", "captions", "texts", "animation_prompts", "annotations", "data", "rows", "examples")
"""Keys under which tools keep the list: Deforum's settings, COCO's captions, and others."""
_WRITE = 'write a prompt a line, or a JSON list ["...", "..."]'
_FRAME = r"[\d\s+\-*/().]+|.*max_f.*"
"""A frame's number, or the formula of one, as Deforum has them for keys."""
_PICTURE_NAME = r".*\.(?i:png|jpe?g|webp|bmp|tiff?|gif|avif)"
_SHOWS_JSON = r"\s*[\[{]\s*(\n|[\[{\]}\"'])"
"""The beginning of a text that is meant as JSON. Prompts may begin with brackets too: `[cat:dog:0.5]`, `{red|blue}`."""
_STRUCTURES = (
    (r"\A\s*<(\?xml\b|[A-Za-z][^<>]*>).*</[A-Za-z][\w:.-]*>\s*\Z", "is XML"),
    (r"^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(\|[ \t]*:?-{2,}:?[ \t]*)+\|?[ \t]*$", "holds a table in Markdown"),
    (r"^[ \t]*(\d+:)?\d\d:\d\d[.,]\d{3} --> ", "holds subtitles"),
    (r"^[ \t]*(Negative prompt:|Steps: \d+, )", "holds the parameters that pictures were made with"),
)
"""Forms of text that are no prompts line by line, each by what shows it."""
_OPTION = r"(?<!\S)--[a-z][\w-]*"
"""An option of a tool that makes pictures, such as `--ar 16:9`, inside a prompt."""


class ReadPrompts(NamedTuple):
    """What a file holds.

    Attributes:
        prompts: Its prompts, in order.
        notes: What was left out of it, a sentence each.
    """

    prompts: tuple[Prompt, ...]
    notes: tuple[str, ...] = ()


def parse_document(text: str, spec: str, suffix: str) -> ReadPrompts:
    """Read the prompts of a file's text, in the form that its name or its content shows.

    Args:
        text: The content.
        spec: The file, for errors.
        suffix: The ending of its name, in lower case.

    Raises:
        AutointerpError: An entry is bad, or the file is of a form without prompts; the message says which.
    """
    ignored: set[str] = set()
    if suffix in _YAML:
        return _of_value(_yaml(text, spec), spec, ignored)
    is_json = suffix in (".json", *JSON_LINES)
    if is_json or re.match(_SHOWS_JSON, text):
        if _has_json_lines(text, suffix in JSON_LINES):
            return _read(parse_prompts(text, spec, json_lines=True, ignored=ignored), ignored)
        return _of_value(_json(text, spec), spec, ignored)
    _check_plain(text, spec)
    return _read(parse_prompts(text, spec, json_lines=False), ignored)


def _read(prompts: tuple[Prompt, ...], ignored: MutableSet[str], *notes: str) -> ReadPrompts:
    """Return prompts with notes on the keys that were left out, and on options among the words."""
    if ignored:
        shown = ", ".join(clean(key, 40) for key in sorted(ignored)[:8]) + (", ..." if len(ignored) > 8 else "")
        notes = (*notes, f"keys beside the prompts are not read: {shown}")
    options = [found[0] for prompt in prompts if (found := re.search(_OPTION, prompt.text))]
    if options:
        shown = clean(options[0], 40)
        notes = (*notes, f"options such as {shown} are taken as words of {counted(len(options), 'prompt')}")
    return ReadPrompts(prompts, notes)


def _has_json_lines(text: str, named_so: bool) -> bool:
    """Return whether a text holds a JSON value a line, rather than one value over all lines."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # A lone bracket begins a document; any other bad line is reported by its number.
        return bool(lines) and lines[0] not in ("[", "{") and (named_so or _is_json(lines[0]))
    if not named_so or len(lines) > 1:
        return False
    if not isinstance(value, dict):
        return isinstance(value, str)
    keyed = all(re.fullmatch(f"{_FRAME}|{_PICTURE_NAME}", key) for key in value)
    return not keyed and not any(isinstance(one, list | dict) for one in value.values())


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _json(text: str, spec: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        hint = "mend that line (a comma behind the last entry is none of JSON), or write a prompt a line"
        raise AutointerpError(
            f"{spec} begins like JSON but is not valid JSON: line {error.lineno}: {error.msg}", hint
        ) from None
    except (ValueError, RecursionError) as error:
        raise AutointerpError(f"{spec} cannot be read as JSON ({error})", _WRITE) from None


def _yaml(text: str, spec: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        reason = getattr(error, "problem", None) or str(error)
        raise AutointerpError(f"{spec}{line}: no YAML ({' '.join(str(reason).split())})", "mend that line") from None


def _check_plain(text: str, spec: str) -> None:
    """Check that a text file holds prompts as lines, and no table or list under the name of a text.

    Raises:
        AutointerpError: It holds something else.
    """
    for form, what in _STRUCTURES:
        if re.search(form, text, re.MULTILINE | (re.DOTALL if form.startswith(r"\A") else 0)):
            raise AutointerpError(f"{spec} {what}, no prompt a line", _WRITE)
    lines = [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("#")]
    if len(lines) < 2:
        return
    columns = [cell.strip().strip('"').lower() for cell in re.split("[,;\t|]", lines[0])]
    if (
        len(columns) > 1
        and any(name in columns for name in TEXT_KEYS)
        and all(re.fullmatch(r"\w*", c) for c in columns)
    ):
        raise AutointerpError(f"{spec} is a table with the columns {', '.join(columns)}", "let its name end in .csv")
    if all(line.startswith("- ") for line in lines):
        raise AutointerpError(f"{spec} is a YAML list", "let its name end in .yaml, or take the hyphens out")


def _of_value(value: Any, spec: str, ignored: MutableSet[str]) -> ReadPrompts:
    """Return the prompts of a document's value."""
    prompts: list[Prompt] = []
    negative = 0
    for place, entry in _entries(value, spec, ""):
        if isinstance(entry, str):
            if not entry.strip():
                continue
            if place.startswith("frame ") and (parts := re.split(r"\s--neg\b", f" {entry}", maxsplit=1))[1:]:
                entry, negative = parts[0].strip(), negative + 1
        where = f"{spec}, {place}" if place else spec
        prompt = read_entry(entry, where, ignored)
        check_prompt(prompt.text, where)
        prompts.append(prompt._replace(place=place))
    notes = [f"what stands behind --neg is left out of {counted(negative, 'prompt')}"] if negative else []
    return _read(tuple(prompts), ignored, *notes)


def _entries(value: Any, spec: str, key: str) -> Iterator[tuple[str, Any]]:
    """Iterate over (place, entry) of a document; an entry is a text, or an object with one.

    Args:
        value: The document, or the part of it that holds the entries.
        spec: The file, for errors.
        key: The key of that part; empty for the document.

    Raises:
        AutointerpError: The document has no form that is known.
    """
    if isinstance(value, list):
        yield from ((f"entry {number}", entry) for number, entry in enumerate(value, 1))
        return
    if not isinstance(value, dict):
        what = "is empty" if value in (None, "") else f"holds no list of prompts, but {clean(str(value), 40)!r}"
        raise AutointerpError(f"{spec} {what}", _WRITE)
    for name in (*TEXT_KEYS, *_LISTS):
        # A whole column under its name, or the list of another tool's file.
        if isinstance(value.get(name), list | dict):
            yield from _entries(value[name], spec, name)
            return
    if any(isinstance(value.get(name), str) for name in TEXT_KEYS):
        yield key, value
        return
    keys, values = [str(name) for name in value], list(value.values())
    texts = all(isinstance(one, str) for one in values)
    objects = all(isinstance(one, dict) and any(isinstance(one.get(name), str) for name in TEXT_KEYS) for one in values)
    if texts and all(re.fullmatch(_FRAME, name) for name in keys):
        yield from zip((f"frame {name}" for name in keys), values, strict=True)
    elif objects or (texts and all(re.fullmatch(_PICTURE_NAME, name) for name in keys)):
        yield from zip((f"key {name!r}" for name in keys), values, strict=True)
    else:
        shown = ", ".join(clean(name, 40) for name in keys[:6]) + (", ..." if len(keys) > 6 else "")
        raise AutointerpError(
            f"{spec} is an object without prompts that are known; its keys: {shown or 'none'}", _WRITE
        )
