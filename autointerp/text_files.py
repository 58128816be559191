"""Text files that people bring: decoded by their byte order mark, or named for what they are.

A file of another kind (a Parquet table, an archive, a web page) is refused by its name, so that nobody has to guess why
its content looks wrong.
"""

from __future__ import annotations

import codecs
from pathlib import Path

from autointerp.errors import AutointerpError
from autointerp.filetypes import text_type

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # The mark of UTF-32 begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks, each with the encoding that it shows."""


def decode_text(data: bytes, named: str) -> str:
    """Decode the content of a text file: UTF-8, or what its byte order mark says.

    Args:
        data: The content.
        named: What an error calls the file.

    Raises:
        AutointerpError: The content is no text; the message says what it is, where that is known.
    """
    if (found := text_type(data)) is not None:
        raise AutointerpError(f"{named} is {found.name}", found.text_hint)
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise AutointerpError(f"{named} is not text in UTF-8 (line {line})", "save it as UTF-8") from None
    if "\0" in text:
        raise AutointerpError(f"{named} is not text: it holds NUL characters", "save it as UTF-8")
    return text


def read_text(path: Path, named: str = "") -> str:
    """Read a text file; see `decode_text`.

    Args:
        path: The file.
        named: What an error calls it; its path by default.

    Raises:
        OSError: The file cannot be read.
        AutointerpError: It is no text.
    """
    return decode_text(path.read_bytes(), named or str(path))
