"""The tree of errors that people read: each says what is wrong, and what to do next."""

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
    """A request that cannot be carried out as it is: a wrong value, or a name that does not exist."""

    exit_code = 2


class NotAvailable(UsageError):
    """A model is missing: none is named, or there is no key for it."""


class PartialFailure(AutointerpError):
    """The work is finished, but some units of it failed. The message names them."""

    exit_code = 3


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a clause for a hint: the nearest known name, then all known names, or the nearest few of many.

    >>> nearest("mdi", ["early", "mid", "late"])
    "did you mean 'mid'? known: early, mid, late"
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, n=6, cutoff=0.5)
    guess = f"did you mean {close[0]!r}? " if close else ""
    listed = ", ".join(known) if len(known) <= 12 else ", ".join((close or known)[:6]) + ", ..."
    return f"{guess}known: {listed}" if known else "none exist yet"


_NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    # What libraries say of a full GPU: those of NVIDIA and AMD, which cannot start without memory either, and SYCL.
    "_status_alloc_failed",
    "cudnn_status_not_initialized",
    "cublas_status_not_initialized",
    "rocblas_status_memory_error",
    "out_of_device_memory",
    "out_of_host_memory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on any device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)
