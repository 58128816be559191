"""`autointerp.toml` as text: read with one clear line for a mistake, written with every key under its description."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel
from tomlkit.items import KeyType, SingleKey

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.settings import Settings
from autointerp.worlds import UNNAMED_MODEL

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEADER = """\
# Settings of an autointerp workspace. A line that starts with '#' and a key shows a key that is not set.
# Changed settings never delete: what they give gets a new name beside the old.
# What a vision-language model is told can be changed too, by files in prompts/ here: see docs/howto.md.
"""


def read_settings(path: Path) -> Settings:
    """Read a settings file. One that names no model means `shapes`, which was the default when it was written.

    Raises:
        AutointerpError: The file cannot be read, is not TOML, or holds an unknown key or a wrong value; in one line.
    """
    try:
        if path.exists() and not path.is_file():
            raise AutointerpError(f"{path} is no file", "move it away, and write the settings anew: autointerp init")
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AutointerpError(f"{path} cannot be read ({error.strerror})", "check its permissions") from None
    except UnicodeDecodeError:
        raise AutointerpError(f"{path} is not text", "write it anew: autointerp init") from None
    except tomllib.TOMLDecodeError as error:
        raise AutointerpError(
            f"{path} is not valid TOML", f"{' '.join(str(error).split())}; correct that line"
        ) from None
    try:
        return Settings.from_values({"model": UNNAMED_MODEL, **values}, str(path))
    except UsageError as error:
        raise AutointerpError(error.message, error.hint) from None


def settings_of_assignments(assignments: Iterable[str], values: dict[str, Any]) -> Settings:
    """Return settings of `KEY=VALUE` texts, with `values` standing over them.

    A key of a table is written with a dot (`loading.offload`). A value is written as in the file; text needs no quotes.

    Raises:
        UsageError: A text is not written so, or has an unknown key or a wrong value.
    """
    merged: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        *tables, last = [part.strip() for part in key.split(".")]
        if not equals or not last or not all(tables):
            raise UsageError(f"{assignment!r} sets nothing", "write KEY=VALUE, such as loading.offload=model")
        place = merged
        for table in tables:
            place = place.setdefault(table, {})
            if not isinstance(place, dict):
                raise UsageError(f"{key!r} is set in two ways", "give it once")
        if last in place:
            raise UsageError(f"{key!r} is set twice", "give it once")
        place[last] = _value(text.strip())
    return Settings.from_values({**merged, **values})


def _value(text: str) -> Any:
    """Return a value as TOML reads it; text that is not TOML stands for itself."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if len(read) == 1 else text


def settings_text(settings: Settings) -> str:
    """Return the whole file. A key that is not set stands as a comment, so that every key can be found there."""
    tables = [name for name in type(settings).model_fields if isinstance(getattr(settings, name), BaseModel | dict)]
    parts = [HEADER + "\n", _keys(settings, skip=tables)]
    for name in tables:
        table = getattr(settings, name)
        parts.append(f"# {type(settings).model_fields[name].description}\n[{name}]\n\n")
        parts.append(_keys(table) if isinstance(table, BaseModel) else _named(table) + "\n")
    return "".join(parts).rstrip() + "\n"


def _named(table: Mapping[str, Any]) -> str:
    """Return a table whose keys are names of layers and the like; all are quoted, since some hold dots."""
    document = tomlkit.document()
    for name, value in table.items():
        document.add(SingleKey(name, KeyType.Basic), value)
    return tomlkit.dumps(document)


def _keys(table: BaseModel, skip: Sequence[str] = ()) -> str:
    """Return the keys of a table, each with its description above it and a blank line below."""
    document = tomlkit.document()
    for name, field in type(table).model_fields.items():
        if name in skip:
            continue
        document.add(tomlkit.comment(field.description or ""))
        value = getattr(table, name)
        if value is None:
            document.add(tomlkit.comment(f"{name} ="))
        elif isinstance(value, dict):
            inline = tomlkit.inline_table()
            inline.update(value)
            document.add(name, inline)
        else:
            document.add(name, value)
        document.add(tomlkit.nl())
    return tomlkit.dumps(document)
