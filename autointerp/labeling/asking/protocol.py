"""The seam `Asker`: a VLM that answers chat requests, at a server or on this machine, and how a request fails."""

from __future__ import annotations

from typing import Any, Protocol

from autointerp.errors import PartialFailure

Message = dict[str, Any]
"""A message of Chat Completions, or a content part of one."""


class AskFailed(Exception):
    """One request came to nothing; the message is the reason."""


class WaitsForBatch(AskFailed):
    """The request was put aside for a batch, so it has no answer yet."""

    def __init__(self) -> None:
        super().__init__("it waits for its batch")


class BudgetReached(PartialFailure):
    """The next call would pass `max_calls` or `max_cost`; finished work is kept."""


class Asker(Protocol):
    """A VLM that answers chat requests: `ChatClient` asks a server, and `LocalChat` a model on this machine.

    A request has one of three errors: `AskFailed` (this request alone), `BudgetReached` (stop and keep what is done),
    and any other `AutointerpError` (every request would fail).
    """

    @property
    def kind(self) -> str:
        """Kind of the labelers that ask it: vlm, local-vlm or shapes-vlm."""
        ...

    @property
    def model(self) -> str:
        """Name of the model, by which its results are known."""
        ...

    @property
    def base_url(self) -> str:
        """Address of the server; empty on this machine."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """Options that shape an answer."""
        ...

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """Return the model's answer.

        Raises:
            WaitsForBatch: The request was put aside for a batch.
            AskFailed: This request came to nothing.
            BudgetReached: The call would pass a limit.
            AutointerpError: Every request would fail.
        """
        ...

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """Note why the answer to a request cannot be used, so that a command that asks again is not given it."""
        ...

    def bear(self, jobs: int) -> None:
        """Prepare for that many requests at the same time."""
        ...

    def give_up(self) -> None:
        """Begin no new attempt: requests that wait for one fail."""
        ...
