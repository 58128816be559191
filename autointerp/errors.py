"""The one tree of errors that people are meant to read: what went wrong, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutointerpError(Exception):
    """An error for the person at the keyboard.

    `message` says what is wrong, `hint` what to do next, each in one line; `retryable` whether the same call may
    succeed later without any change. The command line prints both and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message, self.hint, self.retryable = message, hint, retryable

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class UsageError(AutointerpError):
    """What was asked for cannot be meant: a wrong value, a name that does not exist."""

    exit_code = 2


class NotAvailable(UsageError):
    """A model that something needs is not there: none is named, or there is no key for it."""


class PartialFailure(AutointerpError):
    """The work is finished, but some units of it failed; the message says which."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """A clause for a hint: the known name that is nearest, and all of them when they are few, else the nearest few.

    >>> nearest("mdi", ["early", "mid", "late"])
    "did you mean 'mid'? known: early, mid, late"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=6, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(known) if len(known) <= 12 else ", ".join((close or known)[:6]) + ", ..."
    return f"{guess}known: {listed}" if known else "none exist yet"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text
