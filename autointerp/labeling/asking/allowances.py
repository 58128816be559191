"""How long an answer may be, and how long it may take, where no setting says: models that think need more of both."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

PLAIN_TOKENS, THINKING_TOKENS = 700, 16_000
"""Tokens of the longest answer of a model that answers at once, and of one that thinks first. Both are limits alone:
an answer costs the tokens that it has."""
PLAIN_SECONDS, THINKING_SECONDS, LOCAL_SECONDS = 120.0, 600.0, 900.0
"""Seconds to wait for an answer of such models, and of a server on a private address, which may be a laptop."""

_THINKING = re.compile(
    r"\b(gpt-(?!5-chat|5\.\d-chat)([5-9]|\d\d)|gpt-oss|o[1-9]\b"
    r"|gemini-(?!2\.0)([2-9]\.\d|[3-9]|flash-latest|pro-latest)"
    r"|claude-(3[-.]7|(opus|sonnet|haiku)-[4-9]|[4-9])"
    r"|grok-(3-mini|[4-9])|deepseek-(r\d|reasoner|v[4-9])|qwq|qvq|qwen-?[3-9]|magistral|kimi-(vl|k[2-9])"
    r"|glm-(4\.[1-9]|[5-9])|step-?3|minimax-m|nemotron|mimo|keye|internvl3\.5|gemma-?[4-9])"
    r"|think|reason|(?<![a-z])r1(?![a-z0-9])",
    re.IGNORECASE,
)


def thinks(model: str) -> bool:
    """Return whether a model thinks before it answers, or may do so, by its name."""
    return bool(_THINKING.search(model))


def longest_answer(model: str) -> int:
    """Return the tokens that the longest answer of a model may have, its thoughts among them."""
    return THINKING_TOKENS if thinks(model) else PLAIN_TOKENS


def longest_wait(model: str, base_url: str) -> float:
    """Return for how many seconds to wait for an answer of a model at an address; empty for OpenAI's."""
    if is_private(base_url):
        return LOCAL_SECONDS
    return THINKING_SECONDS if thinks(model) else PLAIN_SECONDS


def is_private(base_url: str) -> bool:
    """Return whether an address is of this machine or of a private network."""
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith((".local", ".lan", ".internal", ".home", ".localhost")))
