"""Asking a VLM on this machine through the seam `Asker`.

Requests of many threads are answered together, as many as fit a batch. Each answer goes to the ledger, so that a
stopped run goes on with the next request.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

from autointerp.errors import AutointerpError, is_out_of_memory
from autointerp.labeling.asking.allowances import PLAIN_TOKENS
from autointerp.labeling.asking.answers import cut_off, limit_of
from autointerp.labeling.asking.constraint import VERDICT, Choice
from autointerp.labeling.asking.deferred import DeferredVlm
from autointerp.labeling.asking.drafts import is_whole
from autointerp.labeling.asking.forms import with_schema
from autointerp.labeling.asking.ledger import CallRecord, Ledger, MemoryLedger, request_hash
from autointerp.labeling.asking.local_vlm import Completion, LocalVlm, length_of
from autointerp.labeling.asking.protocol import AskFailed, BudgetReached, Message
from autointerp.labeling.asking.replies import DETECT_SCHEMA


@dataclass(frozen=True)
class BatchSize:
    """How much a local model answers at the same time.

    Attributes:
        requests: Requests of a batch, at most.
        pictures: Pictures of a batch, at most; a request that has more makes a batch alone. None for no limit.
        batches: Batches at the same time, each by a thread of its own. For a small model on a processor that is faster
            than several threads a batch.
    """

    requests: int
    pictures: int | None = None
    batches: int = 1


@dataclass
class _QueuedRequest:
    """A request that waits for its batch, and what became of it."""

    messages: list[Message]
    choice: Choice | None
    completion: Completion | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def length(self) -> tuple[int, int]:
        """The request's length, see `length_of`."""
        return length_of(self.messages)


class LocalChat:
    """Asks a `LocalVlm` as `ChatClient` asks a server. Many threads may ask: their requests are answered in batches.

    The model runs in a few threads of its own, one for each batch at a time, and never in those that ask. A thread in
    which a model has run keeps memory for a whole batch (the allocator's arena) and a team of workers (OpenMP). With
    the 48 threads that ask shapes-vlm that made 2.5 GB.
    """

    base_url = ""

    def __init__(
        self,
        vlm: LocalVlm | DeferredVlm,
        kind: Literal["local-vlm", "shapes-vlm"] = "local-vlm",
        ledger: Ledger | None = None,
        batch: BatchSize | int = 4,
        max_tokens: int = PLAIN_TOKENS,
        max_calls: int | None = None,
    ) -> None:
        """Prepare to ask.

        Args:
            vlm: The model, loaded or not yet.
            kind: Kind of the labeler. The model of `shapes-vlm` knows the form of its replies; any other is told the
                JSON schema.
            ledger: Where calls are recorded; in memory where it is not given.
            batch: How much is answered at the same time; a number is one of requests.
            max_tokens: Tokens of the longest answer.
            max_calls: Calls at most; None for no limit.
        """
        self.vlm, self.kind, self.model = vlm, kind, vlm.name
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger
        self.calls = 0
        # The limit shapes no answer that is whole; see `ChatClient.config`.
        self.config: dict[str, Any] = {"max_tokens": PLAIN_TOKENS if kind == "local-vlm" else max_tokens}
        self._size = BatchSize(batch) if isinstance(batch, int) else batch
        self._max_tokens, self._max_calls = max_tokens, max_calls
        self._queue: list[_QueuedRequest] = []
        self._given_up = False
        self._lock = threading.Lock()
        self._runners = ThreadPoolExecutor(self._size.batches, thread_name_prefix="local-vlm")

    def ask(self, messages: list[Message], schema: dict[str, Any], purpose: str) -> str:
        """Return the model's answer: from the ledger, or generated now.

        Raises:
            AskFailed: The answer is empty or cut off.
            BudgetReached: The call would pass the limit.
            AutointerpError: There is not enough memory.
        """
        key = request_hash(self.model, self.base_url, messages, schema, self.config)
        with self._lock:
            if self._given_up:
                raise _given_up()
            known = self.ledger.find(key)
            if known is not None:
                if not known.text:
                    raise AskFailed(known.error)
                return known.text
            before = self.ledger.forgotten(key)
            if limit_of(before) >= self._max_tokens:
                raise AskFailed(before)
            if self._max_calls is not None and self.calls >= self._max_calls:
                raise BudgetReached(f"stopped at {self.calls} calls", "raise --max-calls and run again to go on")
            self.calls += 1
            choice = VERDICT if schema == DETECT_SCHEMA and length_of(messages)[0] == 1 else None
            told = messages if self.kind == "shapes-vlm" else with_schema(messages, schema)
            mine = _QueuedRequest(told, choice)
            self._queue.append(mine)
        started = time.monotonic()
        # As many turns as requests: a turn answers all requests that make a batch by then, so that some find none.
        self._runners.submit(self._answer_some)
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.completion is not None
        made = mine.completion
        problem = "" if made.text.strip() else "empty answer"
        if not made.finished and not is_whole(made.text):
            problem = cut_off(self._max_tokens, self._max_tokens)
        answer = "" if problem else made.text
        took = 1000 * (time.monotonic() - started)
        tokens = made.input_tokens, made.output_tokens
        self.ledger.record([CallRecord(key, purpose, self.model, answer, problem, *tokens, 0.0, took)])
        if problem:
            raise AskFailed(problem)
        return answer

    def reject(self, messages: list[Message], schema: dict[str, Any], error: str) -> None:
        """See `Asker`."""
        self.ledger.reject(request_hash(self.model, self.base_url, messages, schema, self.config), error)

    def bear(self, jobs: int) -> None:
        """Do nothing: a batch takes the requests that wait."""
        del jobs

    def give_up(self) -> None:
        """Begin no new batch: requests that wait for one fail."""
        with self._lock:
            self._given_up = True
            waiting, self._queue = self._queue, []
        for one in waiting:
            one.error = _given_up()
            one.done.set()

    def _answer_some(self) -> None:
        """Answer the next batch of the queue, if one waits."""
        some = self._next_batch()
        if not some:
            return
        asked, choice = [one.messages for one in some], some[0].choice
        try:
            found = self.vlm.choose(asked, choice) if choice else self.vlm.complete(asked, self._max_tokens)
            for one, completion in zip(some, found, strict=True):
                one.completion = completion
        except BaseException as error:
            for one in some:
                one.error = _memory(self.model, len(some)) if is_out_of_memory(error) else error
        finally:
            for one in some:
                one.done.set()

    def _next_batch(self) -> list[_QueuedRequest]:
        """Take the oldest request off the queue, and those that are most like it in kind and length."""
        with self._lock:
            if not self._queue:
                return []
            first = self._queue[0]
            like = [one for one in self._queue if one.choice == first.choice]
            like.sort(key=lambda one: _apart(one.length, first.length))  # Of equals the older one comes first.
            some = like[: self._size.requests]
            most = self._size.pictures
            if most is not None:
                held = accumulate(one.length[0] for one in some)
                some = some[: max(1, sum(pictures <= most for pictures in held))]
            self._queue = [one for one in self._queue if all(one is not other for other in some)]
            return some


def _apart(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    """Return how far two lengths are apart, in pictures and in characters."""
    return abs(one[0] - other[0]), abs(one[1] - other[1])


def _given_up() -> AutointerpError:
    """Return the error for a request that comes after the work was given up."""
    return AutointerpError("given up", "run it again to go on")


def _memory(name: str, batch: int) -> AutointerpError:
    """Return the error for a batch that does not fit into memory."""
    smaller = "fewer requests at once (-j)" if batch > 1 else "fewer pictures, a smaller model"
    return AutointerpError(f"not enough memory for {batch} requests to {name}", f"try {smaller}, or another --device")
