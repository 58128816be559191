"""What a server says of an error, whatever shape it comes in: objects, lists, plain text, web pages, errors in a 200.

`OpenAI <https://platform.openai.com/docs/guides/error-codes>`_ nests `{"error": {...}}`, Gemini puts that into a list,
vLLM writes the same keys without the nesting, FastAPI gives `{"detail": [...]}`, OpenRouter quotes another server's
answer as JSON in a string, Ollama and LM Studio give `{"error": "..."}`, and proxies answer with a web page.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autointerp.labeling.asking.waits import told_wait
from autointerp.texts import clean

_LONGEST = 300
"""Characters of a server's words that are shown."""
_READ = 2000
"""Characters of one text in a body that are read."""
_ECHOES = frozenset({"input", "ctx", "url", "flagged_input", "failed_generation", "user_id", "request_id", "help"})
"""Keys under which servers quote the request, or point elsewhere: no word of these is about the error."""
_CODES = frozenset({"code", "type", "status", "reason", "quotaid", "error_type", "error_code"})
_MESSAGES = ("message", "msg", "detail", "error", "errors", "error_description", "error_msg", "raw", "title", "reason")
"""Keys under which servers put the words for people, the most telling first."""
_GENERIC = frozenset({"provider returned error", "error", "bad request", "openai error"})
"""Messages that stand before the true ones."""


@dataclass(frozen=True)
class ServerSaid:
    """What a server says of an error.

    Attributes:
        status: The HTTP status, or the one that the body holds where that tells more; 0 where a 200 holds no status.
        words: The server's words for people, in one line.
        codes: Codes, types and reasons of the body, in lower case.
        text: All texts of the body but quotes of the request, in lower case.
        wait: Seconds to wait; None where the server does not say.
    """

    status: int
    words: str
    codes: frozenset[str]
    text: str
    wait: float | None


def said(status: int, body: Any, headers: Mapping[str, str] | None = None) -> ServerSaid:
    """Return what a server says of an error.

    Args:
        status: The HTTP status.
        body: The body: parsed JSON, or its text.
        headers: Of the response, in lower case or without regard to case.
    """
    body = _parsed(body)
    leaves = list(_leaves(body))
    text = " ".join(leaf for _, leaf in leaves)
    codes = frozenset(leaf.lower() for key, leaf in leaves if key in _CODES and len(leaf) <= 80)
    words = clean(_words(body) or text, _LONGEST)
    return ServerSaid(_status(status, codes), words, codes, text.lower(), told_wait(headers or {}, text))


def error_inside(body: Any) -> Any:
    """Return the error that the body of a 200 holds in the place of an answer; None where it holds none."""
    if isinstance(body, list) and body and isinstance(body[0], dict):
        body = body[0]
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    if choices:
        read = [one for one in choices if isinstance(one, dict)] if isinstance(choices, list) else []
        messages = [one.get("message") for one in read]
        if any(isinstance(message, dict) and message.get("content") for message in messages):
            return None
        error = next(filter(None, (one.get("error") for one in (*read, body))), None)
        return {"error": error} if error else None
    if body.get("error") or body.get("errors") or body.get("object") == "error" or body.get("type") == "error":
        return body
    return body if body.get("detail") and "choices" not in body else None


def words_inside(body: Any) -> str:
    """Return the words of the error that the body of a 200 holds; empty where it holds none, or one without words."""
    inside = error_inside(body)
    return "" if inside is None else said(200, inside).words


def _parsed(body: Any) -> Any:
    """Return a body with the JSON in texts parsed, and web pages as their texts."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        begin = body.lstrip()[:1]
        if begin in ("{", "["):
            try:
                return _parsed(json.loads(body))
            except (ValueError, RecursionError):
                return body
        return _of_page(body) if begin == "<" else body
    if isinstance(body, dict):
        return {str(key): _parsed(value) for key, value in body.items() if str(key).lower() not in _ECHOES}
    return [_parsed(value) for value in body] if isinstance(body, list) else body


def _of_page(page: str) -> str:
    """Return the title of a web page, or its text."""
    title = re.search(r"<title[^>]*>(.*?)</title>", page, re.IGNORECASE | re.DOTALL)
    text = (
        title[1]
        if title and title[1].strip()
        else re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    )
    return " ".join(html.unescape(text).split())


def _leaves(body: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts and numbers of a body, each with the key that it stands under."""
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _leaves(value, name.lower())
    elif isinstance(body, list):
        for value in body:
            yield from _leaves(value, key)
    elif body is not None and not isinstance(body, bool):
        yield key, str(body)[:_READ]


def _words(body: Any) -> str:
    """Return the words for people, with what stands behind a generic message; empty where there are none."""
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_words, body[:3])))
    if not isinstance(body, dict):
        return ""
    if "msg" in body and "loc" in body:
        where = body["loc"] if isinstance(body["loc"], list) else [body["loc"]]
        return f"{'.'.join(str(part) for part in where if part != 'body')}: {body['msg']}"
    found = ""
    for key in _MESSAGES:
        found = _words(body.get(key))
        if found:
            break
    if not found or found.lower().rstrip(".") in _GENERIC:
        behind = next(filter(None, (_words(body.get(key)) for key in ("metadata", "innererror", "raw", "details"))), "")
        return f"{found}: {behind}" if found and behind else found or behind
    return found


def _status(status: int, codes: frozenset[str]) -> int:
    """Return the status that tells more: that of HTTP, or one among the codes of the body."""
    inside = [int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)]
    if status in (200, 400, 500, 502) and inside:
        return max(inside) if status == 200 else next((found for found in inside if found != status), status)
    return 0 if status < 300 else status
