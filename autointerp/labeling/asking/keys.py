"""API keys: found in the environment, made fit for a header, and hidden in what servers say of errors.

A key is never stored and never shown, and neither is a text that a person took for the name of a variable.
"""

from __future__ import annotations

import os
import re

from autointerp.errors import NotAvailable, UsageError

_UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
"""Marks without width, which a key that was copied may begin or end with."""
SHORTEST = 8
"""Characters of the shortest secret. Shorter keys are words that people give servers of their own."""
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SHOWN = re.compile(r"(?=.{1,40}$)[A-Z][A-Z0-9]{0,15}(_[A-Z0-9]{1,15})*")
"""Names of variables that are surely no keys."""


def shown_name(variable: str) -> str:
    """Return the name of a variable as it may be shown: not where it may be the key itself."""
    return variable if _SHOWN.fullmatch(variable) else "that --api-key-env names"


def check_variable(variable: str) -> None:
    """Check that a text is the name of a variable.

    Raises:
        UsageError: It is something else, maybe the key itself; the error does not show it.
    """
    if variable not in os.environ and not _VARIABLE.fullmatch(variable):
        raise UsageError(
            "--api-key-env is not the name of an environment variable",
            "name the variable that holds the key, e.g. OPENAI_API_KEY, and not the key itself",
        )


def find_key(variable: str, needed: bool) -> str:
    """Return the key in an environment variable, without blanks and quotes around it; empty where there is none.

    Args:
        variable: Name of the variable.
        needed: Whether the server is known to want a key.

    Raises:
        NotAvailable: There is no key, and one is needed.
        UsageError: The text is no name of a variable, or its value no key. The error shows neither.
    """
    check_variable(variable)
    key = os.environ.get(variable, "").strip().strip(_UNSEEN).strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        key = key[1:-1].strip()
    if key.lower().startswith("bearer "):
        key = key[len("bearer ") :].strip()
    if not key and needed:
        raise NotAvailable(
            f"no API key in the environment variable {shown_name(variable)}",
            f"set {variable}, or name a server of your own with --base-url"
            if _SHOWN.fullmatch(variable)
            else "set it; --api-key-env takes the name of a variable, not the key itself",
        )
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise UsageError(
            f"the key in the variable {shown_name(variable)} has a blank, a line break or a letter that no key has",
            "set it again, to the key alone",
        )
    return key


def hide(text: str, key: str) -> str:
    """Return what a server says of an error without the key, which it may have quoted."""
    return text.replace(key, "***") if len(key) >= SHORTEST else text
