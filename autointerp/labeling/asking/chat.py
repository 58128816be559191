"""Asking a model at a Chat Completions server; every attempt is recorded, and no answer is paid for twice.

A request is identified by a hash of its content. An answer in the ledger is used instead of a new call. Of several
threads with the same request, one asks and the others wait for its answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autointerp.addresses import spellings
from autointerp.errors import AutointerpError
from autointerp.labeling.asking.allowances import PLAIN_TOKENS, longest_answer, longest_wait
from autointerp.labeling.asking.answers import limit_of
from autointerp.labeling.asking.batch_queue import BatchQueue
from autointerp.labeling.asking.faults import Fault, FaultKind, ServerFault
from autointerp.labeling.asking.forms import SCHEMA, ChatRequest, KnownForm, RequestForm
from autointerp.labeling.asking.ledger import CallRecord, KnownAnswer, Ledger, MemoryLedger, request_hash
from autointerp.labeling.asking.limits import Budget, Limiter
from autointerp.labeling.asking.messages import guess_tokens
from autointerp.labeling.asking.prices import BATCH_SHARE, PICTURE_TOKENS, load_price, price_file
from autointerp.labeling.asking.protocol import AskFailed, BudgetReached, Message, WaitsForBatch
from autointerp.labeling.asking.server import ChatServer
from autointerp.labeling.asking.sharing import SharedAnswers
from autointerp.labeling.asking.waits import wait_before

_LIMITED_AT_FIRST = 10
"""Attempts of one request that end in a rate limit, at a server that has answered none."""
_UNSURE_AT_FIRST = 3
"""Attempts of one request that end in no response of a Chat Completions server, at one that has answered none."""
_SLOW_AT_FIRST = 2
"""Attempts of one request that end in time-outs, at a server that has answered none."""


@dataclass(frozen=True)
class ChatOptions:
    """Options of requests to a server: their form, their attempts, and limits of the client."""

    temperature: float | None = 0.0
    max_tokens: int | None = None
    """Tokens of the longest answer; None for what fits the model, see `allowances`."""
    timeout: float | None = None
    """Seconds to wait for an answer; None for what fits the model and the address."""
    attempts: int = 6
    """Attempts of one request that end in server errors, time-outs or dropped connections."""
    rate_limited: int = 20
    """Attempts of one request that end in a rate limit (429)."""
    in_vain: int = 10
    """Requests in a row that fail by the server's fault, after which the client gives up on all."""
    cut_off: int = 3
    """Answers that are cut off before any is whole, after which the client gives up on all."""
    refused: int = 3
    """Requests in a row, all refused for unknown reasons by a server that answered none, before the client gives up."""
    longest_wait: float = 60.0
    """Seconds between two attempts at most, even where the server asks for more."""
    max_calls: int | None = None
    """HTTP attempts of the client; None for no limit."""
    max_cost: float | None = None
    """US dollars of the client; None for no limit."""
    prices: Path | None = None
    """A price file that comes before the shipped one; it may be missing."""


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
        """Prepare to ask; no request is made yet.

        Args:
            model: Name of the model at the server.
            base_url: Address of the server; empty for OpenAI's.
            api_key_env: Name of the environment variable that holds the key.
            ledger: Where calls are recorded; in memory where it is not given.
            options: How the server is asked.
            sleep: Waits some seconds.
            clock: Returns the time in seconds.

        Raises:
            NotAvailable: There is no key where one is needed.
            UsageError: The address holds a secret, or something of the environment cannot be used.
            AutointerpError: There is a cost limit, and the model's price is not known.
        """
        self.options = options or ChatOptions()
        self.longest = self.options.max_tokens or longest_answer(model)
        self.timeout = self.options.timeout or longest_wait(model, base_url)
        self.server = ChatServer.find(model, base_url, api_key_env, self.timeout)
        self.model, self.base_url = model, self.server.base_url
        self._spellings = spellings(base_url)
        price = load_price(model, self.options.prices)
        if self.options.max_cost is not None and price is None:
            raise AutointerpError(
                f"the price of {model} is not known, so --max-cost cannot be kept",
                f"add it to {self.options.prices or price_file()}, or use --max-calls",
            )
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.budget = Budget(price, self.options.max_calls, self.options.max_cost)
        self._given_up = threading.Event()
        self._sleep = self._given_up.wait if sleep is None else sleep
        self.limiter = Limiter(1, self.options.longest_wait, self._sleep, clock)
        self._lock, self._first = threading.RLock(), threading.Lock()
        self._shared = SharedAnswers()
        self._queue: BatchQueue | None = None
        self._form = KnownForm(RequestForm(self.options.temperature))
        self._answered = self._has_whole = False
        self._in_vain = self._refusals = self._cut_off = 0
        self._hopeless: Exception | None = None

    @property
    def config(self) -> dict[str, Any]:
        """Options that shape an answer.

        The longest answer is none: under any limit, an answer that is whole is the same. Its key stays with the value
        of earlier versions, so that a higher limit asks for nothing again that is known.
        """
        return {"temperature": self.options.temperature, "max_tokens": PLAIN_TOKENS}

    @property
    def spent(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        return self.budget.spent

    def request_hash(self, messages: list[Message], schema: dict[str, Any]) -> str:
        """Return the identity of a request to this model at this address."""
        return request_hash(self.model, self.base_url, messages, schema, self.config)

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """Return the model's answer: from the ledger, or from the server after as many attempts as it takes.

        Raises:
            WaitsForBatch: The request was put aside for a batch.
            AskFailed: This request came to nothing.
            BudgetReached: The call would pass a limit.
            AutointerpError: Every request would fail.
        """
        with self._lock:
            if self._hopeless is not None:
                raise self._hopeless
        request = ChatRequest(self.request_hash(messages, schema), messages, schema, purpose)
        return self._shared.get(request.key, lambda: self._ask(request))

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """See `Asker`."""
        self.ledger.reject(self.request_hash(messages, schema), self.server.hidden(error))

    def bear(self, jobs: int) -> None:
        """Let that many requests run at the same time, if the server bears them."""
        self.limiter.bear(jobs)

    def give_up(self) -> None:
        """Begin no new attempt: requests that wait for one fail."""
        with self._lock:
            self._hopeless = self._hopeless or AutointerpError("given up", "run it again to go on")
        self._given_up.set()

    def leave_out(self, faults: Collection[Fault]) -> bool:
        """Ask in a form without the parts that requests of a batch were refused for; return whether there is one."""
        parts = frozenset(part for fault in faults for part in fault.parts)
        return self._form.leave_out(parts, " ".join(fault.words for fault in faults), self.longest)

    @contextmanager
    def putting_aside(self, queue: BatchQueue) -> Iterator[None]:
        """Put requests without a known answer into the queue in this block, where they wait for their batch.

        The first request is sent all the same: its answer shows that key, model and form of requests are right.
        """
        self._queue = queue
        try:
            yield
        finally:
            self._queue = None

    def _ask(self, request: ChatRequest) -> str:
        """Look the answer up, put the request aside, or send it; an error that every request would have is kept."""
        try:
            known = self._known(request)
            if known is not None:
                if not known.text:
                    raise AskFailed(known.error)
                return known.text
            before = self.ledger.forgotten(request.key)
            if limit_of(before) >= self.longest:
                # Asked again under the same limit, it would be cut off and paid for again.
                raise AskFailed(before)
            return self._answer(request) if self._queue is None else self._answer_or_put_aside(request, self._queue)
        except AutointerpError as error:
            if not isinstance(error, BudgetReached):
                self._hopeless = error
            raise

    def _answer_or_put_aside(self, request: ChatRequest, queue: BatchQueue) -> str:
        """Send the client's first request; put all others aside."""
        if reason := queue.failed(request.key):
            raise AskFailed(reason)
        with self._first:
            if not self._has_whole:
                return self._answer(request)
        if not queue.has(request.key):
            held = self.budget.hold(self._guess(request), self.longest, BATCH_SHARE, wait=False)
            payload = self._form.now.payload(request, self.model, held.output_tokens)
            queue.put(request.key, request.purpose, payload, held)
        raise WaitsForBatch

    def _guess(self, request: ChatRequest) -> int:
        """Return a generous guess of the tokens of a request."""
        return guess_tokens(request.messages, self.budget.price.picture if self.budget.price else PICTURE_TOKENS)

    def _known(self, request: ChatRequest) -> KnownAnswer | None:
        """Return an earlier answer to a request, maybe under another spelling of the server's address."""
        keys = (
            request_hash(self.model, address, request.messages, request.schema, self.config)
            for address in self._spellings[1:]
        )
        return self.ledger.find(request.key) or next(filter(None, map(self.ledger.find, keys)), None)

    def _answer(self, request: ChatRequest) -> str:
        """Return the answer after as many attempts, in as many forms, as the options allow."""
        limited = failed = 0
        other: RequestForm | None = None
        while True:
            try:
                return self._attempt(request, other)
            except ServerFault as error:
                fault, form = error.fault, error.form
            plainer = self._other_form(form, fault)
            if plainer is not None:
                other = plainer
                continue
            if fault.kind is FaultKind.SETUP:
                raise self._unfit(fault)
            if fault.kind is not FaultKind.MOMENT:
                raise self._refused(fault)
            limited, failed = limited + fault.limited, failed + (not fault.limited)
            if self._is_in_vain(fault, failed, limited):
                raise self._unanswered(fault, failed + limited)
            if fault.status == 500 and failed > 1 and form and not self._form.answered:
                # Some servers fail with no word of the schema that they cannot follow.
                other = form.without(SCHEMA) or other
            if wait := wait_before(failed + limited, fault.wait, self.options.longest_wait):
                self._sleep(wait)

    def _other_form(self, form: RequestForm | None, fault: Fault) -> RequestForm | None:
        """Return the form in which to ask again after a refusal; None where no other form can help."""
        if form is None or not (fault.kind is FaultKind.FORM or fault.parts):
            return None
        other = self._form.after(form, fault.parts, fault.words, self.longest)
        if other is None and fault.kind is FaultKind.FORM and not self._form.answered:
            # A refusal that names no part of the form may be about the schema.
            return form.without(SCHEMA)
        return other

    def _is_in_vain(self, fault: Fault, failed: int, limited: int) -> bool:
        """Return whether a request has failed often enough: sooner at a server that has answered none."""
        if not self._answered:
            # A server that is too slow works on each attempt, and would not be faster at the next.
            at_first = _SLOW_AT_FIRST if fault.slow else self.options.attempts if fault.sure else _UNSURE_AT_FIRST
            if failed >= at_first or limited >= _LIMITED_AT_FIRST:
                return True
        return failed >= self.options.attempts or limited >= self.options.rate_limited

    def _unfit(self, fault: Fault) -> Exception:
        """Return the error for a fault of the setup: of every request, but of this one where others were answered."""
        return fault.as_error() if fault.sure or not self._answered else AskFailed(fault.words)

    def _refused(self, fault: Fault) -> Exception:
        """Return the error for a refused request; the third in a row is of all, where none was ever answered."""
        with self._lock:
            if fault.kind is FaultKind.REQUEST and fault.sure:
                return AskFailed(fault.words)
            self._refusals += 1
            if self._answered or self._refusals < self.options.refused:
                return AskFailed(fault.words)
        return AutointerpError(
            f"{self.model} refuses every request: {fault.words}", "is it a model that takes images? check --vlm"
        )

    def _unanswered(self, fault: Fault, attempts: int) -> Exception:
        """Return the error for a request that no attempt got an answer to: of this request, or of all requests."""
        with self._lock:
            self._in_vain += 1
            many = self._in_vain >= self.options.in_vain
            where = self.base_url or "the API"
            first = not self._answered
            if fault.slow and (many or first):
                return AutointerpError(
                    f"{self.model} has not answered within {self.timeout:g} seconds, {attempts} times",
                    "give it longer with --timeout SECONDS (setting timeout), or ask for fewer at once with -j",
                )
            if fault.connection and (many or first):
                return AutointerpError(f"cannot reach {where}: {fault.words}", fault.hint, retryable=True)
            if many or (first and (fault.limited or not fault.sure)):
                count = "no request" if first else f"none of {self._in_vain} requests"
                hint = fault.hint or "run it again when it works"
                return AutointerpError(f"{where} has answered {count}: {fault.words}", hint, retryable=True)
        return AskFailed(f"{fault.words} ({attempts} attempts)")

    def _attempt(self, request: ChatRequest, other: RequestForm | None) -> str:
        """Send the request once, in the known form or another, and record the call, however it ends.

        Raises:
            ServerFault: No answer came; `form` is the form that was sent.
            AskFailed: The answer is of no use.
        """
        # Keep the place until the answer is recorded, so that a kill loses at most the answers to requests that run.
        with self.limiter.place() as round_:
            if self._hopeless is not None:
                raise self._hopeless
            form = other or self._form.now
            held = self.budget.hold(self._guess(request), min(self.longest, form.most or self.longest))
            payload = form.payload(request, self.model, held.output_tokens)
            started = time.monotonic()
            answer, problem, tokens, paid, cut = None, "interrupted", (0, 0), True, False
            try:
                found = self.server.read(self.server.send(payload), held.output_tokens)
                answer, problem, tokens, cut = found.text, found.problem, found.tokens, found.cut
            except Exception as error:
                failure = self.server.translated(error)
                failure.form, problem, paid = form, str(failure), failure.fault.slow
                if failure.fault.kind is FaultKind.MOMENT:
                    self.limiter.refused(round_, failure.fault.wait)
                # The error of the HTTP client may quote the key.
                raise failure from None
            finally:
                cost = self.budget.settle(held, tokens, paid)
                took = 1000 * (time.monotonic() - started)
                self._record(CallRecord(request.key, request.purpose, self.model, answer, problem, *tokens, cost, took))
        self.limiter.answered()
        with self._lock:
            self._answered, self._in_vain, self._refusals = True, 0, 0
            self._form.took(form)
            self._cut_off += cut
            self._has_whole = self._has_whole or not cut
            if self._cut_off >= self.options.cut_off and not self._has_whole:
                raise self._all_cut_off(problem)
        if not answer:
            raise AskFailed(problem)
        return answer

    def _all_cut_off(self, problem: str) -> AutointerpError:
        """Return the error for a model none of whose answers was whole."""
        if limit_of(problem):
            hint = f"give a --max-tokens above {limit_of(problem)} (setting max_tokens), with --retry-failed"
        else:
            hint = "give the model a longer context at its server, or set sheet = true; then add --retry-failed"
        return AutointerpError(f"{self._cut_off} answers of {self.model}, all that came so far: {problem}", hint)

    def _record(self, call: CallRecord) -> None:
        """Record a call; where that fails, no further call is made, because it could not be recorded either."""
        try:
            self.ledger.record([call])
        except Exception as error:
            self._hopeless = error
            raise
