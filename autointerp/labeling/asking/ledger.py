"""The seam `Ledger`: where calls to a model are recorded, so that no answer is paid for twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from autointerp.labeling.asking.pictures import Picture
from autointerp.labeling.asking.protocol import Message


@dataclass(frozen=True)
class CallRecord:
    """One attempt to get an answer of a model, or one line of a batch: a row of the `calls` table.

    Attributes:
        request_hash: Identity of the request.
        purpose: What the request is for.
        model: The model that was asked.
        answer: None where no completion came. Empty where a paid completion holds no whole reply.
        error: Why there is no answer, or why it is of no use.
        input_tokens: Tokens that the model read.
        output_tokens: Tokens that the model wrote.
        cost: US dollars; None where the price is not known.
        latency_ms: Milliseconds from the request to its end.
    """

    request_hash: str
    purpose: str
    model: str
    answer: str | None
    error: str
    input_tokens: int
    output_tokens: int
    cost: float | None
    latency_ms: float


@dataclass(frozen=True)
class KnownAnswer:
    """An earlier answer to a request: `text`, or nothing and the reason in `error`."""

    text: str
    error: str


class Ledger(Protocol):
    """A record of calls, in which the answer to an earlier request is found again."""

    def find(self, request_hash: str) -> KnownAnswer | None:
        """Return the newest answer to this request; None where none came."""
        ...

    def forgotten(self, request_hash: str) -> str:
        """Return why the newest answer to this request is of no use, where `find` passes over it; else empty."""
        ...

    def record(self, calls: Sequence[CallRecord]) -> None:
        """Keep some attempts, all of them or none; they are stored when the call returns."""
        ...

    def reject(self, request_hash: str, error: str) -> None:
        """Note why the newest answer to a request is of no use; `find` still returns it."""
        ...


class MemoryLedger:
    """A ledger that lasts as long as the process: the default without a database, and for tests."""

    def __init__(self) -> None:
        self.calls: list[CallRecord] = []

    def find(self, request_hash: str) -> KnownAnswer | None:
        """See `Ledger`."""
        at = self._newest(request_hash)
        return None if at is None else KnownAnswer(self.calls[at].answer or "", self.calls[at].error)

    def forgotten(self, request_hash: str) -> str:
        """See `Ledger`; nothing is forgotten."""
        del request_hash
        return ""

    def record(self, calls: Sequence[CallRecord]) -> None:
        """See `Ledger`."""
        self.calls += calls

    def reject(self, request_hash: str, error: str) -> None:
        """See `Ledger`."""
        at = self._newest(request_hash)
        if at is not None:
            self.calls[at] = replace(self.calls[at], error=error)

    def _newest(self, request_hash: str) -> int | None:
        """Return the index of the newest call that got an answer to this request."""
        known = (i for i, c in enumerate(self.calls) if c.request_hash == request_hash and c.answer is not None)
        return max(known, default=None)


def request_hash(
    model: str, base_url: str, messages: list[Message], schema: dict[str, Any], options: dict[str, Any]
) -> str:
    """Return the identity of a request: a hash of model, address, messages with their image bytes, schema, options."""
    asked = {"model": model, "base_url": base_url, "messages": messages, "schema": schema, **options}
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=_digest)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(value: Any) -> str:
    """Return what stands for a picture in memory; anything else that JSON does not know is an error."""
    if isinstance(value, Picture):
        return value.digest
    raise TypeError(f"{type(value).__name__} is no part of a request")
