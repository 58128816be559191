"""The form of a request: how a server is told the JSON schema, the temperature and the longest answer.

Servers differ in what they take. A client begins with the richest form; a part that the server refuses is left out of
all later requests.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from autointerp.labeling.asking.allowances import PLAIN_TOKENS
from autointerp.labeling.asking.protocol import Message

Part = Literal["schema", "temperature", "max_tokens", "length", "length_key", "system"]
"""Part of a request's form that a server may refuse; `length` is the value, `length_key` the name of `max_tokens`."""


SCHEMA: frozenset[Part] = frozenset(("schema",))
"""The part that asks for a reply of a fixed form."""
_TOO_LARGE = ("too large", "maximum", "at most", "exceed", "less than", "range", "no more than", ">")
"""Words with which servers say that a limit is larger than they take."""


@dataclass(frozen=True)
class ChatRequest:
    """A request to a model.

    Attributes:
        key: The hash that identifies the request.
        messages: What the model is told and shown.
        schema: JSON schema of the reply.
        purpose: What the request is for, as the ledger records it.
    """

    key: str
    messages: list[Message]
    schema: dict[str, Any]
    purpose: str


@dataclass(frozen=True)
class RequestForm:
    """The parameters of requests to a server.

    Attributes:
        temperature: None where it is not sent.
        reply: How the form of the reply is asked for: by its schema, as any JSON object, or in words alone.
        length_key: Name of the parameter for the longest answer; None where it is not sent.
        system: Whether there is a system message; else the user's message begins with it.
        most: Tokens of the longest answer that the server takes as a limit; None where it has refused none.
    """

    temperature: float | None
    reply: Literal["json_schema", "json_object", "words"] = "json_schema"
    length_key: Literal["max_tokens", "max_completion_tokens"] | None = "max_tokens"
    system: bool = True
    most: int | None = None

    def payload(self, request: ChatRequest, model: str, max_tokens: int) -> dict[str, Any]:
        """Return the body of a request in this form."""
        messages = request.messages if self.reply == "json_schema" else with_schema(request.messages, request.schema)
        payload: dict[str, Any] = {"model": model, "messages": messages if self.system else without_system(messages)}
        if self.length_key is not None:
            payload[self.length_key] = min(max_tokens, self.most or max_tokens)
        if self.temperature is not None:
            payload["temperature"] = self.temperature
        if self.reply == "json_schema":
            named = {"name": "reply", "strict": True, "schema": request.schema}
            payload["response_format"] = {"type": "json_schema", "json_schema": named}
        elif self.reply == "json_object":
            payload["response_format"] = {"type": "json_object"}
        return payload

    def without(self, parts: Collection[Part], refusal: str = "", longest: int = 0) -> RequestForm | None:
        """Return the form without parts that a server refuses; None where none of them is in it.

        Args:
            parts: The parts; of a schema the next plainer way to ask for a reply remains.
            refusal: What the server said.
            longest: Tokens of the longest answer that were asked for.
        """
        form = self
        if "length_key" in parts and self.length_key == "max_tokens":
            form = replace(form, length_key="max_completion_tokens")
        elif "max_tokens" in parts or "length" in parts:
            if most := _smaller_limit(refusal.lower(), min(longest, self.most or longest)):
                form = replace(form, most=most)
            elif "max_tokens" in parts:
                form = replace(form, length_key=None)
        if "temperature" in parts:
            form = replace(form, temperature=None)
        if "system" in parts:
            form = replace(form, system=False)
        if "schema" in parts and self.reply != "words":
            form = replace(form, reply="json_object" if self.reply == "json_schema" else "words")
        return None if form == self else form


class KnownForm:
    """The form in which a server is asked: the richest that it does not refuse. Many threads may ask.

    A refusal that names a part is remembered at once. Where the refusal names none, one request is tried in plainer
    forms, and the first that is answered is remembered. A form that was answered before is kept: another is then of
    that one request.
    """

    def __init__(self, form: RequestForm) -> None:
        self._form, self._answered = form, False
        self._lock = threading.Lock()

    @property
    def now(self) -> RequestForm:
        """The form of the next request."""
        return self._form

    @property
    def answered(self) -> bool:
        """Whether the form was answered."""
        return self._answered

    def took(self, form: RequestForm) -> None:
        """Note that a request in this form was answered."""
        with self._lock:
            if form == self._form or not self._answered:
                self._form, self._answered = form, True

    def after(self, form: RequestForm, parts: Collection[Part], refusal: str, longest: int) -> RequestForm | None:
        """Return the form for a request that was refused in `form`; None where no other can help.

        Args:
            form: The refused form.
            parts: Parts of the form that the refusal names.
            refusal: What the server said.
            longest: Tokens of the longest answer that were asked for.
        """
        plainer = form.without(parts, refusal, longest)
        if plainer is None:
            return None
        with self._lock:
            if form == self._form and not self._answered:
                self._form = plainer
        return plainer

    def leave_out(self, parts: Collection[Part], refusal: str, longest: int) -> bool:
        """Leave parts out of all later requests, also where the form was answered; return whether that is another.

        A server may refuse in a batch what it takes from a single request.

        Args:
            parts: Parts of the form that the refusals name.
            refusal: What the server said.
            longest: Tokens of the longest answer that were asked for.
        """
        with self._lock:
            plainer = self._form.without(parts, refusal, longest)
            if plainer is not None:
                self._form = plainer
            return plainer is not None


def _smaller_limit(said: str, longest: int) -> int | None:
    """Return the limit to ask for after a server found one too large; None where the refusal is about something else.

    The refusal names what the model can answer at most, or its whole context and what of it the request takes.
    """
    about = any(word in said for word in ("max_tokens", "max_completion_tokens", "context length", "output tokens"))
    too_large = any(word in said for word in _TOO_LARGE)
    if not about or not too_large or longest <= PLAIN_TOKENS:
        return None
    named = [int(number) for number in re.findall(r"(?<![\w.-])\d{3,7}(?![\w-])", said.replace(",", ""))]
    return max((number for number in named if PLAIN_TOKENS <= number < longest), default=PLAIN_TOKENS)


def with_schema(messages: list[Message], schema: dict[str, Any]) -> list[Message]:
    """Return the messages with the schema told in words, for a model that takes no schema beside them."""
    head, *rest = messages
    told = f"The reply must be one JSON object that fits this JSON schema:\n{json.dumps(schema)}"
    return [{**head, "content": f"{head['content']}\n\n{told}"}, *rest]


def without_system(messages: list[Message]) -> list[Message]:
    """Return the messages with a leading system message told at the beginning of the user's."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    head, first, *rest = messages
    content = first["content"]
    joined = (
        f"{head['content']}\n\n{content}"
        if isinstance(content, str)
        else [{"type": "text", "text": head["content"]}, *content]
    )
    return [{**first, "content": joined}, *rest]
