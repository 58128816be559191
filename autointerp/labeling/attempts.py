"""One HTTP attempt to a Chat Completions server: what its answer says, and what its failure means."""

from __future__ import annotations

import time
from typing import Any

from autointerp.errors import AutointerpError


class AskFailed(Exception):
    """One request came to nothing; the message is the reason."""


class Transient(Exception):
    """An attempt that may succeed when it is made again.

    `retry_after` is how many seconds the server wants no request at all; `limited` says that it answers others,
    `connection` that nothing answers, `slow` that it may still be working on it.
    """

    def __init__(
        self,
        text: str,
        retry_after: float | None = None,
        limited: bool = False,
        connection: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(text)
        self.retry_after, self.limited, self.connection, self.slow = retry_after, limited, connection, slow


class Refused(Exception):
    """The server does not take the request in this form."""


class Unusable(Exception):
    """A completion that was paid for and holds no whole reply."""

    def __init__(self, text: str, tokens: tuple[int, int]) -> None:
        super().__init__(text)
        self.tokens = tokens


def hide(text: str, key: str) -> str:
    """A text without the key, whatever a server put into it."""
    return text.replace(key, "***") if key else text


def translate(error: Exception, model: str, key: str) -> Exception:
    """What an error of the HTTP client means here; the key is never repeated."""
    import openai

    said = hide(str(error), key)
    text = " ".join(said.split())[:300] or type(error).__name__
    if isinstance(error, openai.APIStatusError):
        return explain(error.status_code, text, model, _retry_after(error.response.headers))
    if isinstance(error, openai.APIConnectionError):
        slow = isinstance(error, openai.APITimeoutError)
        return Transient("timed out" if slow else f"connection failed: {text}", connection=not slow, slow=slow)
    return Transient(f"unreadable response: {text}")


def explain(status: int, text: str, model: str, retry_after: float | None = None) -> Exception:
    """What an HTTP status other than 200 means, with the text that came along."""
    said = text.lower()
    if status in (401, 403):
        return AutointerpError(f"the server refuses the API key ({status})", "check the key and its rights")
    if "image" in said and ("support" in said or "mmproj" in said) and (status == 404 or status >= 500):
        return AutointerpError(f"{model} takes no images: {text}", "name a vision-language model with --vlm")
    if status == 404:
        return AutointerpError(
            f"the server knows no model {model!r} or no Chat Completions (404)",
            "check --vlm and --base-url (it usually ends in /v1)",
        )
    if status == 402 or (status == 429 and "insufficient_quota" in said):
        return AutointerpError(f"the account has no credit left ({status})", "add credit, then run it again to go on")
    if status in (400, 415, 422):
        return Refused(text)
    if status in (408, 409, 429) or status >= 500:
        return Transient(text, retry_after, limited=status == 429)
    return AskFailed(text)


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
    """The text and (input, output) tokens of a completion.

    Raises:
        Unusable: The model refuses, says nothing, or was cut off.
        ValueError: It is no completion.
    """
    usage = getattr(completion, "usage", None)
    tokens = (int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)) if usage else (0, 0)
    choices = getattr(completion, "choices", None)
    if not choices:
        raise ValueError("the response is no chat completion")
    message, ended = choices[0].message, getattr(choices[0], "finish_reason", None)
    refusal = getattr(message, "refusal", None)
    if refusal:
        raise Unusable(f"the model refuses: {refusal}", tokens)
    if ended == "content_filter":
        raise Unusable("the server's content filter held the answer back", tokens)
    if ended == "length":
        at = f" at {tokens[1]} tokens" if tokens[1] else ""
        raise Unusable(f"the answer was cut off{at}", tokens)
    if message.content:
        return message.content, tokens
    raise Unusable("empty answer", tokens)
