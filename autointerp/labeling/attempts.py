"""One HTTP attempt to a Chat Completions server: what its answer says, and what its failure means."""

from __future__ import annotations

import time
from typing import Any

from autointerp.errors import AutointerpError


class AskFailed(Exception):
    """One request came to nothing; the message is the reason."""


class Transient(Exception):
    """An attempt that may succeed when it is made again."""

    def __init__(self, text: str, retry_after: float | None = None, connection: bool = False) -> None:
        super().__init__(text)
        self.retry_after, self.connection = retry_after, connection


class Refused(Exception):
    """The server does not take the request in this form."""


class Empty(Exception):
    """A completion without text."""

    def __init__(self, text: str, tokens: tuple[int, int]) -> None:
        super().__init__(text)
        self.tokens = tokens


def translate(error: Exception, model: str, key: str) -> Exception:
    """What an error of the HTTP client means here; the key is never repeated."""
    import openai

    said = str(error).replace(key, "***") if key else str(error)
    text = " ".join(said.split())[:300] or type(error).__name__
    if isinstance(error, openai.APIStatusError):
        status = error.status_code
        if status in (401, 403):
            return AutointerpError(f"the server refuses the API key ({status})", "check the key and its rights")
        if status == 404:
            return AutointerpError(
                f"the server knows no model {model!r} or no Chat Completions (404)",
                "check --vlm and --base-url (it usually ends in /v1)",
            )
        if status in (400, 415, 422):
            return Refused(text)
        if status in (408, 409, 429) or status >= 500:
            return Transient(text, _retry_after(error.response.headers))
        return AskFailed(text)
    if isinstance(error, openai.APIConnectionError):
        slow = isinstance(error, openai.APITimeoutError)
        return Transient("timed out" if slow else f"connection failed: {text}", connection=not slow)
    return Transient(f"unreadable response: {text}")


def is_transient(error: BaseException) -> bool:
    """Whether the same attempt may succeed later."""
    return isinstance(error, Transient)


def _retry_after(headers: Any) -> float | None:
    """Seconds of a Retry-After header (seconds or an HTTP date)."""
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, TypeError):
            return None


def read(completion: Any) -> tuple[str, tuple[int, int]]:
    """The text and (input, output) tokens of a completion."""
    usage = getattr(completion, "usage", None)
    tokens = (int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)) if usage else (0, 0)
    choices = getattr(completion, "choices", None)
    if not choices:
        raise ValueError("the response is no chat completion")
    message = choices[0].message
    if message.content:
        return message.content, tokens
    refusal = getattr(message, "refusal", None)
    raise Empty(f"the model refuses: {refusal}" if refusal else "empty answer", tokens)
