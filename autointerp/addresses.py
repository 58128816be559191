"""Addresses of servers: each has one spelling, by which its answers and labelers are known, and none holds a secret."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlsplit, urlunsplit

from autointerp.errors import UsageError

OPENAI = "https://api.openai.com/v1"
"""OpenAI's own address, which is spelled as no address at all."""

_PORTS = {"http": 80, "https": 443}
_ENDPOINT = "/chat/completions"
_PUBLIC = re.compile(r"[\w.:+-]{1,24}")
"""A value of a query that may be kept, such as a version or a date."""
_SECRET = re.compile(r"key|token|secret|sig|pass|pwd|auth|cred|code", re.IGNORECASE)
"""Names of values in a query that are secrets."""


def canonical(address: str) -> str:
    """Return the one spelling of an address; OpenAI's own is empty. A text that is no address stays as it is.

    >>> canonical(" HTTP://Localhost:80/v1/ ")
    'http://localhost/v1'
    """
    address = address.strip()
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return address
    if parts.scheme not in _PORTS or not parts.hostname:
        return address
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user, at, _ = parts.netloc.rpartition("@")
    where = f"{user}{at}{host}" + (f":{port}" if port is not None and port != _PORTS[parts.scheme] else "")
    path = parts.path.rstrip("/").removesuffix(_ENDPOINT).rstrip("/")
    spelled = urlunsplit(SplitResult(parts.scheme, where, path, parts.query, ""))
    return "" if spelled == OPENAI else spelled


def spellings(address: str) -> list[str]:
    """Return the canonical spelling of an address, and others under which the same server may be stored."""
    spelled = canonical(address)
    other = [OPENAI, f"{OPENAI}/"] if not spelled else [f"{spelled}/"]
    return list(dict.fromkeys([spelled, address, *other]))


def parse_address(address: str, named: str = "--base-url") -> str:
    """Return the canonical spelling of an address that a person gives.

    Args:
        address: The address; empty for OpenAI's.
        named: What an error calls it.

    Raises:
        UsageError: It is no address of HTTP, or it holds a secret, which the error does not show.
    """
    address = address.strip()
    if not address:
        return ""
    hint = "write it as http://localhost:8000/v1"
    if re.search(r"[\s\x00-\x1f\x7f]", address):
        raise UsageError(f"{named} holds a blank or a control character", hint)
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{named} is no address of a server ({type(error).__name__})", hint) from None
    if parts.scheme not in _PORTS:
        raise UsageError(f"{named} does not begin with http:// or https://", hint)
    if not parts.hostname or port == 0:
        raise UsageError(f"{named} names no server", hint)
    if "@" in parts.netloc:
        raise UsageError(
            f"{named} holds a user or a password, which would be stored", "put the key into the variable OPENAI_API_KEY"
        )
    for name, value in parse_qsl(parts.query, keep_blank_values=True) if parts.query else ():
        if _SECRET.search(name) or not _PUBLIC.fullmatch(value):
            raise UsageError(
                f"{named} holds a secret after the ?, which would be stored",
                "put the key into the variable OPENAI_API_KEY, and leave it out of the address",
            )
    if parts.fragment:
        raise UsageError(f"{named} has a part after a #, which no server gets", hint)
    return canonical(address)


def endpoint(address: str) -> str:
    """Return the whole address that requests are posted to, for messages."""
    parts = urlsplit(address or OPENAI)
    return urlunsplit(parts._replace(path=parts.path + _ENDPOINT, query=""))
