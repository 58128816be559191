"""One way to ask a remote model: Chat Completions, with every attempt recorded and nothing paid twice.

A request is known by a hash of what is asked; an answer in the ledger is used instead of asking. What a server refuses
of the request's form (a JSON schema, a temperature) is left out for all later requests. Errors come in three kinds:
`AskFailed` (this request; go on with the next), `BudgetReached` (stop cleanly), and any other `AutointerpError` (the
key, the model, the address: every request would fail).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from autointerp.errors import AutointerpError, NotAvailable, PartialFailure
from autointerp.labeling.attempts import AskFailed, Empty, Refused, Transient, is_transient, read, translate
from autointerp.labeling.messages import Message, guess_tokens
from autointerp.labeling.prices import load_price, price_file
from autointerp.labeling.protocol import CallRecord, Ledger


class BudgetReached(PartialFailure):
    """The next call would pass `max_calls` or `max_cost`; what is done is kept."""


@dataclass(frozen=True)
class ChatOptions:
    """How to ask."""

    temperature: float | None = 0.0
    max_tokens: int = 700
    timeout: float = 120.0
    attempts: int = 6
    """Attempts of one request, over rate limits, server errors, time-outs and dropped connections."""
    longest_wait: float = 60.0
    """Seconds to wait at most between two attempts, whatever the server says."""
    max_calls: int | None = None
    """HTTP attempts of this client."""
    max_cost: float | None = None
    """US dollars of this client."""
    prices: Path | None = None
    """A price file of one's own."""


def request_hash(
    model: str, base_url: str, messages: list[Message], schema: dict[str, Any], options: dict[str, Any]
) -> str:
    """What identifies a request: model, address, messages with their image bytes, schema, and what shapes an answer."""
    asked = {"model": model, "base_url": base_url, "messages": messages, "schema": schema, **options}
    return hashlib.sha256(json.dumps(asked, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_schema(messages: list[Message], schema: dict[str, Any]) -> list[Message]:
    """The messages with the schema told in words, for who takes none beside them."""
    head, *rest = messages
    told = f"The reply must be one JSON object that fits this JSON schema:\n{json.dumps(schema)}"
    return [{**head, "content": f"{head['content']}\n\n{told}"}, *rest]


class Asker(Protocol):
    """Who answers chat requests: `ChatClient` at a server, or `labeling.local.LocalChat` on this machine."""

    @property
    def kind(self) -> str:
        """The labeler that it makes: vlm, local-vlm or shapes-vlm."""
        ...

    @property
    def model(self) -> str:
        """What answers, by the name that its results are known by."""
        ...

    @property
    def base_url(self) -> str:
        """Where it is; empty on this machine."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """The options that shape an answer."""
        ...

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """The model's answer.

        Raises:
            AskFailed: This request came to nothing.
            BudgetReached: The call would pass a limit.
            AutointerpError: Every request would fail.
        """
        ...


class MemoryLedger:
    """A ledger that forgets when the process ends: the default without a database, and for tests."""

    def __init__(self) -> None:
        self.calls: list[CallRecord] = []

    def find(self, request_hash: str) -> str | None:
        """The answer of an earlier call with this request, if one came."""
        return next((c.answer for c in self.calls if c.request_hash == request_hash and c.answer is not None), None)

    def record(self, call: CallRecord) -> None:
        """Keep one attempt."""
        self.calls.append(call)


class ChatClient:
    """Asks one model at one address. Safe to use from many threads."""

    kind = "vlm"

    def __init__(
        self,
        model: str,
        base_url: str = "",
        api_key_env: str = "OPENAI_API_KEY",
        ledger: Ledger | None = None,
        options: ChatOptions | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the model's name, where it is, and where its key is found; no request is made yet.

        Raises:
            NotAvailable: no key where one is needed.
            AutointerpError: a cost limit for a model of unknown price.
        """
        key = os.environ.get(api_key_env, "")
        if not key and not base_url:
            raise NotAvailable(
                f"no API key in the environment variable {api_key_env}",
                f"set {api_key_env}, or name a server of your own with --base-url",
            )
        self.model, self.base_url = model, base_url
        self.options = options or ChatOptions()
        self.price = load_price(model, self.options.prices)
        if self.options.max_cost is not None and self.price is None:
            raise AutointerpError(
                f"the price of {model} is not known, so --max-cost cannot be kept",
                f"add it to {self.options.prices or price_file()}, or use --max-calls",
            )
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.calls = 0
        self.spent = 0.0
        self._key, self._sleep = key, sleep
        self._lock = threading.RLock()
        self._reserved = 0.0
        self._mode = 0
        self._temperature = self.options.temperature
        self._length_key = "max_tokens"
        self._answered = False
        self._hopeless: AutointerpError | None = None
        self._openai: Any = None

    @property
    def config(self) -> dict[str, Any]:
        """The options that shape an answer."""
        return {k: v for k, v in asdict(self.options).items() if k in ("temperature", "max_tokens")}

    def request_hash(self, messages: list[Message], schema: dict[str, Any]) -> str:
        """What identifies a request: model, address, messages with their image bytes, schema, temperature."""
        return request_hash(self.model, self.base_url, messages, schema, self.config)

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """The model's answer: from the ledger, or asked now with retries.

        Raises:
            AskFailed: this request came to nothing.
            BudgetReached: the call would pass a limit.
            AutointerpError: every request would fail.
        """
        if self._hopeless is not None:
            raise self._hopeless
        try:
            return self._ask(messages, schema, purpose)
        except BudgetReached:
            raise
        except AutointerpError as error:
            self._hopeless = error
            raise

    def _ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        key = self.request_hash(messages, schema)
        with self._lock:
            known = self.ledger.find(key)
        if known is not None:
            return known
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            stop=tenacity.stop_after_attempt(self.options.attempts),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._attempt_in_form, key, messages, schema, purpose)
        except Transient as error:
            if error.connection and not self._answered:
                raise AutointerpError(
                    f"cannot reach {self.base_url or 'the API'}: {error}", "check --base-url and that the server runs"
                ) from error
            raise AskFailed(f"{error} ({self.options.attempts} attempts)") from error

    def _wait(self, state: Any) -> float:
        import tenacity

        error = state.outcome.exception()
        if error.retry_after is not None:
            return min(error.retry_after, self.options.longest_wait)
        return float(tenacity.wait_random_exponential(multiplier=0.5, max=self.options.longest_wait)(state))

    def _attempt_in_form(self, key: str, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """One attempt in the richest form that the server takes; a refused form is not tried again."""
        while True:
            with self._lock:
                form = (self._mode, self._temperature, self._length_key)
            try:
                return self._attempt(key, messages, schema, purpose, form)
            except Refused as error:
                with self._lock:
                    if (self._mode, self._temperature, self._length_key) != form:
                        continue
                    said = str(error).lower()
                    if "max_completion_tokens" in said and self._length_key == "max_tokens":
                        self._length_key = "max_completion_tokens"
                    elif "temperature" in said and self._temperature is not None:
                        self._temperature = None
                    elif self._mode < 2 and not (self._answered and "response_format" not in said):
                        self._mode += 1
                    elif self._answered:
                        raise AskFailed(str(error)) from error
                    else:
                        raise AutointerpError(
                            f"{self.model} refuses the request: {error}", "is it a model that takes images?"
                        ) from error

    def _payload(self, messages: list[Message], schema: dict[str, Any], form: tuple[int, float | None, str]) -> Any:
        mode, temperature, length_key = form
        payload: dict[str, Any] = {"model": self.model, "messages": messages, length_key: self.options.max_tokens}
        if temperature is not None:
            payload["temperature"] = temperature
        if mode == 0:
            named = {"name": "reply", "strict": True, "schema": schema}
            payload["response_format"] = {"type": "json_schema", "json_schema": named}
            return payload
        if mode == 1:
            payload["response_format"] = {"type": "json_object"}
        payload["messages"] = with_schema(messages, schema)
        return payload

    def _client(self) -> Any:
        with self._lock:
            if self._openai is None:
                import openai

                self._openai = openai.OpenAI(
                    api_key=self._key or "none",
                    base_url=self.base_url or None,
                    max_retries=0,
                    timeout=self.options.timeout,
                )
            return self._openai

    def _reserve(self, messages: list[Message]) -> float:
        """Hold the budget of one call, or refuse it."""
        guess = self.price.of(guess_tokens(messages), self.options.max_tokens) if self.price else 0.0
        with self._lock:
            if self.options.max_calls is not None and self.calls >= self.options.max_calls:
                raise BudgetReached(f"stopped at {self.calls} calls", "raise --max-calls and run again to go on")
            limit = self.options.max_cost
            if limit is not None and self.spent + self._reserved + guess > limit:
                raise BudgetReached(
                    f"stopped at ${self.spent:.4f} of ${limit:g}", "raise --max-cost and run again to go on"
                )
            self.calls += 1
            self._reserved += guess
        return guess

    def _attempt(
        self,
        key: str,
        messages: list[Message],
        schema: dict[str, Any],
        purpose: str,
        form: tuple[int, float | None, str],
    ) -> str:
        client, payload = self._client(), self._payload(messages, schema, form)
        held = self._reserve(messages)
        started = time.monotonic()
        answer, problem, tokens = None, "interrupted", (0, 0)
        try:
            answer, tokens = read(client.chat.completions.create(**payload))
            problem = ""
            with self._lock:
                self._answered = True
            return answer
        except Empty as error:
            problem, tokens = str(error), error.tokens
            with self._lock:
                self._answered = True
            raise AskFailed(problem) from error
        except Exception as error:
            found = translate(error, self.model, self._key)
            problem = str(found)
            raise found from error
        finally:
            cost = self.price.of(*tokens) if self.price and any(tokens) else None
            took = 1000 * (time.monotonic() - started)
            with self._lock:
                self._reserved -= held
                self.spent += cost or 0.0
                self.ledger.record(CallRecord(key, purpose, self.model, answer, problem, *tokens, cost, took))
