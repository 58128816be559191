"""Standard streams that take whatever is written: any encoding of a terminal, streams that are closed or break.

Data and notes fare differently. Data that cannot be written ends the command. A note that cannot be written does not:
the work goes on when the terminal is gone.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import sys
import unicodedata
from typing import Any

from typing_extensions import override

_HANDLER = "autointerp.plain"
_PLAIN = {"…": "...", "–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "×": "x", "→": "->", "≤": "<="}
_PLAIN |= {block: str(height) for height, block in enumerate("▁▂▃▄▅▆▇█", start=1)}
"""What stands for characters that a terminal lacks. The blocks of a histogram become its heights."""


class OutputGoneError(Exception):
    """Standard output cannot be written. `reason` says why, and is empty where its reader has ended."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Stream(io.TextIOWrapper):
    """A standard stream; characters that its encoding lacks are replaced.

    Click takes a stream of ASCII for a mistake, and would write UTF-8 to it. So the stream calls itself UTF-8, and only
    plain characters are written.

    Args:
        given: The stream that Python has opened.
        has_data: Whether data is written to it, in place of notes.
    """

    def __init__(self, given: io.TextIOWrapper, has_data: bool) -> None:
        self.is_plain = codecs.lookup(given.encoding).name == "ascii"
        self._has_data = has_data
        # It closes the file when it is let go.
        self._given = given
        encoding = "utf-8" if self.is_plain else given.encoding
        super().__init__(given.buffer, encoding, _HANDLER, line_buffering=given.line_buffering or not has_data)

    @override
    def write(self, text: str) -> int:
        """Write a text. See `flush`."""
        if self.is_plain and not text.isascii():
            text = text.encode("ascii", _HANDLER).decode("ascii")
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    @override
    def flush(self) -> None:
        """Write what is waiting.

        Raises:
            OutputGoneError: Data cannot be written. A note that cannot be written is dropped.
        """
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Let all that is written from now on go nowhere, so that Python can end without a second error."""
        with contextlib.suppress(OSError):
            handle = os.open(os.devnull, os.O_WRONLY)
            os.dup2(handle, self.fileno())
            os.close(handle)
        if self._has_data:
            raise OutputGoneError("" if error.errno == errno.EPIPE else error.strerror or str(error)) from error


def prepare_streams() -> None:
    """Make this process's standard streams take whatever is written.

    A stream that was closed is opened on nothing. The next file to be opened, e.g. the database, would get its number.
    """
    codecs.register_error(_HANDLER, _plainly)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        given: Any = getattr(sys, name)
        if given is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  it stays open
        elif mode == "w" and type(given) is io.TextIOWrapper:
            setattr(sys, name, _Stream(given, has_data=name == "stdout"))


def takes_unicode() -> bool:
    """Return whether standard output shows the letters of all languages."""
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return not getattr(stream, "is_plain", False) and codecs.lookup(encoding).name.startswith("utf")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace one character; a byte of a file's name that is no text is written as it is."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    c = error.object[error.start]
    if "\udc80" <= c <= "\udcff" and codecs.lookup(error.encoding).name != "ascii":
        return bytes([ord(c) - 0xDC00]), error.start + 1
    stripped = "".join(part for part in unicodedata.normalize("NFKD", c) if part.isascii())
    return _PLAIN.get(c) or stripped or "?", error.start + 1
