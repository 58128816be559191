"""One way to ask a remote model: Chat Completions, with every attempt recorded and nothing paid twice.

A request is known by a hash of what is asked; an answer in the ledger is used instead of asking, and of several threads
that ask the same at once one asks. What a server refuses of the request's form (a JSON schema, a temperature) is left
out for all later requests. Errors come in three kinds: `AskFailed` (this request; go on with the next), `BudgetReached`
(stop cleanly), and any other `AutointerpError` (the key, the model, the address: every request would fail).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from autointerp.errors import AutointerpError, NotAvailable, UsageError
from autointerp.labeling.attempts import AskFailed, Refused, Transient, Unusable, hide, read, translate
from autointerp.labeling.limits import Budget, BudgetReached as BudgetReached, Held, Limiter
from autointerp.labeling.messages import Message, guess_tokens
from autointerp.labeling.prices import BATCH_SHARE, PICTURE_TOKENS, load_price, price_file
from autointerp.labeling.protocol import CallRecord, KnownAnswer, Ledger

WAITS_FOR_BATCH = "it waits for its batch"
"""Why a request that was put aside has no answer yet."""


@dataclass(frozen=True)
class ChatOptions:
    """How to ask."""

    temperature: float | None = 0.0
    max_tokens: int = 700
    timeout: float = 120.0
    """Seconds to wait for an answer."""
    attempts: int = 6
    """Attempts of one request, over server errors, time-outs and dropped connections."""
    rate_limited: int = 20
    """Attempts of one request that may be answered by a rate limit (429)."""
    in_vain: int = 10
    """Requests one after the other that come to nothing through the server's fault, after which all would."""
    longest_wait: float = 60.0
    """Seconds to wait at most between two attempts, whatever the server says."""
    max_calls: int | None = None
    """HTTP attempts of this client."""
    max_cost: float | None = None
    """US dollars of this client."""
    prices: Path | None = None
    """A price file of one's own, which need not exist."""


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

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """Note that the answer to a request cannot be used, and why: who asks afresh is not given it again."""
        ...

    def bear(self, jobs: int) -> None:
        """Know that so many requests will be asked at once."""
        ...

    def give_up(self) -> None:
        """Begin no new attempt: whoever waits to make one fails."""
        ...


class MemoryLedger:
    """A ledger that forgets when the process ends: the default without a database, and for tests."""

    def __init__(self) -> None:
        self.calls: list[CallRecord] = []

    def find(self, request_hash: str) -> KnownAnswer | None:
        """See `Ledger`."""
        at = self._newest(request_hash)
        return None if at is None else KnownAnswer(self.calls[at].answer or "", self.calls[at].error)

    def record(self, calls: Sequence[CallRecord]) -> None:
        """See `Ledger`."""
        self.calls += calls

    def reject(self, request_hash: str, error: str) -> None:
        """See `Ledger`."""
        at = self._newest(request_hash)
        if at is not None:
            self.calls[at] = replace(self.calls[at], error=error)

    def _newest(self, request_hash: str) -> int | None:
        known = (i for i, c in enumerate(self.calls) if c.request_hash == request_hash and c.answer is not None)
        return max(known, default=None)


class Aside(Protocol):
    """Takes requests that are to be sent later, together."""

    def failed(self, request_hash: str) -> str:
        """Why a request has failed that was sent so, or nothing."""
        ...

    def has(self, request_hash: str) -> bool:
        """Whether a request was put aside."""
        ...

    def put(self, request_hash: str, purpose: str, payload: dict[str, Any], held: Held) -> None:
        """Take a request, with what is set aside for its price."""
        ...


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
        sleep: Callable[[float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the model's name, where it is, and where its key is found; no request is made yet.

        Raises:
            NotAvailable: no key where one is needed.
            UsageError: the address holds a password.
            AutointerpError: a cost limit for a model of unknown price.
        """
        key = os.environ.get(api_key_env, "")
        if not key and not base_url:
            raise NotAvailable(
                f"no API key in the environment variable {api_key_env}",
                f"set {api_key_env}, or name a server of your own with --base-url",
            )
        if base_url and urlsplit(base_url).password:
            raise UsageError(
                "--base-url holds a password, which would be stored", f"put the key into the variable {api_key_env}"
            )
        self.model, self.base_url = model, base_url
        self.options = options or ChatOptions()
        price = load_price(model, self.options.prices)
        if self.options.max_cost is not None and price is None:
            raise AutointerpError(
                f"the price of {model} is not known, so --max-cost cannot be kept",
                f"add it to {self.options.prices or price_file()}, or use --max-calls",
            )
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.budget = Budget(price, self.options.max_calls, self.options.max_cost)
        self._key = key
        self._given_up = threading.Event()
        self._sleep = self._given_up.wait if sleep is None else sleep
        self.limiter = Limiter(1, self.options.longest_wait, self._sleep, clock)
        self._lock, self._first = threading.RLock(), threading.Lock()
        self._under_way: dict[str, Future[str]] = {}
        self._aside: Aside | None = None
        self._mode = 0
        self._temperature = self.options.temperature
        self._length_key = "max_tokens"
        self._answered = False
        self._in_vain = 0
        self._hopeless: Exception | None = None
        self._openai: Any = None

    @property
    def config(self) -> dict[str, Any]:
        """The options that shape an answer."""
        return {k: v for k, v in asdict(self.options).items() if k in ("temperature", "max_tokens")}

    @property
    def spent(self) -> float:
        """US dollars so far, as far as prices are known."""
        return self.budget.spent

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
        key = self.request_hash(messages, schema)
        with self._lock:
            if self._hopeless is not None:
                raise self._hopeless
            under_way = self._under_way.get(key)
            if under_way is None:
                mine = self._under_way[key] = Future[str]()
        if under_way is not None:
            return under_way.result()
        try:
            answer = self._ask(key, messages, schema, purpose)
        except BaseException as error:
            if isinstance(error, AutointerpError) and not isinstance(error, BudgetReached):
                self._hopeless = error
            mine.set_exception(error)
            raise
        else:
            mine.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._under_way[key]

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """Note that the answer to a request cannot be used, and why: who asks afresh is not given it again."""
        self.ledger.reject(self.request_hash(messages, schema), self.hidden(error))

    def bear(self, jobs: int) -> None:
        """Let that many run at once, if the server bears it."""
        self.limiter.bear(jobs)

    def give_up(self) -> None:
        """Begin no new attempt: whoever waits to make one fails."""
        with self._lock:
            self._hopeless = self._hopeless or AutointerpError("given up", "run it again to go on")
        self._given_up.set()

    @contextmanager
    def putting_aside(self, aside: Aside) -> Iterator[None]:
        """In this block requests without a known answer are not sent but put aside, and fail for now.

        The very first is sent all the same: key, model and the form of requests are known to be right after it.
        """
        self._aside = aside
        try:
            yield
        finally:
            self._aside = None

    def _ask(self, key: str, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        known = self.ledger.find(key)
        if known is not None:
            if not known.text:
                raise AskFailed(known.error)
            return known.text
        if self._aside is not None:
            if reason := self._aside.failed(key):
                raise AskFailed(reason)
            with self._first:
                if not self._answered:
                    return self._tried(key, messages, schema, purpose)
            form = self._form
            if not self._aside.has(key):
                held = self.budget.hold(self._guess(messages), self.options.max_tokens, BATCH_SHARE, wait=False)
                self._aside.put(key, purpose, self._payload(messages, schema, form), held)
            raise AskFailed(WAITS_FOR_BATCH)
        return self._tried(key, messages, schema, purpose)

    def _guess(self, messages: list[Message]) -> int:
        return guess_tokens(messages, self.budget.price.picture if self.budget.price else PICTURE_TOKENS)

    def _tried(self, key: str, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """The answer, with as many attempts as it takes."""
        limited = failed = 0
        while True:
            try:
                return self._attempt_in_form(key, messages, schema, purpose)
            except Transient as error:
                limited, failed = limited + error.limited, failed + (not error.limited)
                if failed >= self.options.attempts or limited >= self.options.rate_limited:
                    raise self._unanswered(error, failed + limited) from None
                if error.retry_after is None:
                    # Any moment of a span that doubles each time, so that those that failed together part.
                    longest = min(0.5 * 2 ** (failed + limited), self.options.longest_wait)
                    self._sleep(random.uniform(0, longest))

    def _unanswered(self, error: Transient, attempts: int) -> Exception:
        """What it means that no attempt got an answer: for this request, or for all."""
        with self._lock:
            self._in_vain += 1
            many = self._in_vain >= self.options.in_vain
            if error.connection and (many or not self._answered):
                where = self.base_url or "the API"
                return AutointerpError(f"cannot reach {where}: {error}", "check --base-url and that the server runs")
            if many:
                where = self.base_url or "the API"
                return AutointerpError(
                    f"{where} has answered none of {self._in_vain} requests: {error}", "run it again when it works"
                )
        return AskFailed(f"{error} ({attempts} attempts)")

    def _attempt_in_form(self, key: str, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """One attempt in the richest form that the server takes; a refused form is not tried again."""
        while True:
            form = self._form
            try:
                return self._attempt(key, messages, schema, purpose, form)
            except Refused as error:
                with self._lock:
                    if self._form != form:
                        continue
                    said = str(error).lower()
                    if "max_completion_tokens" in said and self._length_key == "max_tokens":
                        self._length_key = "max_completion_tokens"
                    elif "temperature" in said and self._temperature is not None:
                        self._temperature = None
                    elif self._mode < 2 and not (self._answered and "response_format" not in said):
                        self._mode += 1
                    elif self._answered:
                        raise AskFailed(str(error)) from None
                    else:
                        raise AutointerpError(
                            f"{self.model} refuses the request: {error}", "is it a model that takes images?"
                        ) from None

    @property
    def _form(self) -> tuple[int, float | None, str]:
        """What requests look like: how far without a schema, the temperature, the name of the longest length."""
        with self._lock:
            return self._mode, self._temperature, self._length_key

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

    @property
    def api(self) -> Any:
        """The HTTP client, made on first use."""
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

    def translated(self, error: Exception) -> Exception:
        """What an error of `api` means; the key is not in it."""
        return translate(error, self.model, self._key)

    def hidden(self, text: str) -> str:
        """A text without the key."""
        return hide(text, self._key)

    def read(self, completion: Any) -> tuple[str, str, tuple[int, int]]:
        """Answer, why it is empty, and (input, output) tokens of a completion; the key is not in them.

        Raises:
            ValueError: It is no completion.
        """
        try:
            text, tokens = read(completion)
            return self.hidden(text), "", tokens
        except Unusable as error:
            return "", self.hidden(str(error)), error.tokens

    def _attempt(
        self,
        key: str,
        messages: list[Message],
        schema: dict[str, Any],
        purpose: str,
        form: tuple[int, float | None, str],
    ) -> str:
        payload = self._payload(messages, schema, form)
        # The place is kept until the answer is recorded: a kill loses no more answers than requests may run.
        with self.limiter.place() as round_:
            if self._hopeless is not None:
                raise self._hopeless
            if form != self._form:
                raise Refused("this form was refused while the request waited")
            held = self.budget.hold(self._guess(messages), self.options.max_tokens)
            started = time.monotonic()
            answer, problem, tokens, paid = None, "interrupted", (0, 0), True
            try:
                answer, problem, tokens = self.read(self._sent(payload))
            except Exception as error:
                found = self.translated(error)
                problem, paid = str(found), isinstance(found, Transient) and found.slow
                if isinstance(found, Transient):
                    self.limiter.refused(round_, found.retry_after)
                # The error of the HTTP client may quote the key.
                raise found from None
            finally:
                cost = self.budget.settle(held, tokens, paid)
                took = 1000 * (time.monotonic() - started)
                self._record(CallRecord(key, purpose, self.model, answer, problem, *tokens, cost, took))
        self.limiter.answered()
        with self._lock:
            self._answered, self._in_vain = True, 0
        if not answer:
            raise AskFailed(problem)
        return answer

    def _sent(self, payload: dict[str, Any]) -> Any:
        """The completion of one HTTP request."""
        from openai.types.chat import ChatCompletion

        # `chat.completions.create` looks at every part of a message first, which takes longer than to send them.
        return self.api.post("/chat/completions", body=payload, cast_to=ChatCompletion)

    def _record(self, call: CallRecord) -> None:
        try:
            self.ledger.record([call])
        except Exception as error:
            # What cannot be recorded must not be paid for.
            self._hopeless = error
            raise
