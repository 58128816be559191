"""What holds requests back: how many a server bears at once, and how much a person wants to pay.

Both are shared by all threads of a client. Nothing here waits without end: a place becomes free when a request ends,
which its time-out bounds, and a pause is bounded by `longest_pause`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autointerp.errors import PartialFailure
from autointerp.labeling.prices import Price

_MARGIN = 1.25
"""How much more a call is expected to take than the largest before it, against what was guessed of each."""
_LOOK_AGAIN = 1.0
"""Seconds after which a waiting thread looks around, whoever wakes it."""


class BudgetReached(PartialFailure):
    """The next call would pass `max_calls` or `max_cost`; what is done is kept."""


class Limiter:
    """How many requests run at once: as many as the server bears, by additive increase and multiplicative decrease.

    Every refusal (429, 5xx, a time-out) halves the number, but only once for all requests that were under way by then;
    each further one of these says that no more than what still runs was borne. Answers raise it by one a round. Near
    the number that was refused last it rises ten times slower, so that a server is seldom asked for too much.
    """

    def __init__(
        self,
        most: int,
        longest_pause: float,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the most that may run at once, and the longest that a server may tell everybody to wait, in seconds."""
        self.most, self._longest, self._sleep, self._clock = max(1, most), longest_pause, sleep, clock
        self._allowed = float(self.most)
        self._refused_at: float | None = None
        self._running = self._rounds = 0
        self._paused_until = 0.0
        self._changed = threading.Condition()

    def bear(self, most: int) -> None:
        """Let that many run at once, if the server bears it."""
        with self._changed:
            if self._allowed >= self.most:
                self._allowed = float(max(1, most))
            self.most = max(1, most)
            self._changed.notify_all()

    @contextmanager
    def place(self) -> Iterator[int]:
        """Wait for a place among those that run, and for the end of a pause; gives the round that it belongs to."""
        while True:
            with self._changed:
                pause = self._paused_until - self._clock()
                if pause <= 0:
                    if self._running < max(1, int(min(self._allowed, self.most))):
                        self._running += 1
                        round_ = self._rounds
                        break
                    self._changed.wait(_LOOK_AGAIN)
                    continue
            # Not all at the same moment when it ends.
            self._sleep(pause * (1 + random.uniform(0, 0.1)))
        try:
            yield round_
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def answered(self) -> None:
        """An answer came: after a round of them one more may run."""
        with self._changed:
            # What was never made use of is no sign of what is borne.
            if self._allowed >= self.most or self._running < int(self._allowed):
                return
            near = self._refused_at is not None and abs(self._allowed + 1 - self._refused_at) <= 1
            self._allowed = min(self._allowed + (0.1 if near else 1.0) / self._allowed, float(self.most))
            if self._refused_at is not None and self._allowed > self._refused_at:
                self._refused_at = None
            self._changed.notify_all()

    def refused(self, round_: int, pause: float | None = None) -> None:
        """The server was asked for too much by a request of this round, and perhaps said for how long it wants none."""
        with self._changed:
            if pause is not None:
                self._paused_until = max(self._paused_until, self._clock() + min(pause, self._longest))
            if round_ == self._rounds:
                self._rounds += 1
                self._refused_at = float(self._running)
                self._allowed = max(1.0, min(self._allowed, self._running) / 2)
            else:
                # The one that says so still has its place.
                borne = max(1.0, self._running - 1.0)
                self._allowed = max(1.0, min(self._allowed, borne))
                self._refused_at = min(self._refused_at or borne + 1, borne + 1)


@dataclass(frozen=True)
class Held:
    """What one call may come to, until its true price is known."""

    tokens: int
    dollars: float


class Budget:
    """Calls and dollars of one client. A call is only made where its guessed price fits beside those under way.

    Guesses are corrected by what the server counts. Under a limit in dollars the first call therefore goes alone.
    """

    def __init__(self, price: Price | None, max_calls: int | None = None, max_cost: float | None = None) -> None:
        """Take the model's price, None where it is not known, and the limits, None for none."""
        self.price, self.max_calls, self.max_cost = price, max_calls, max_cost
        self.calls, self.spent = 0, 0.0
        self._held, self._correction, self._measured = 0.0, 1.0, False
        self._changed = threading.Condition()

    def hold(self, tokens: int, output_tokens: int, share: float = 1.0, wait: bool = True) -> Held:
        """Set aside what a call may cost: `tokens` sent, at most `output_tokens` back, at that share of the price.

        Where it does not fit beside what is under way it waits until enough of that is known, unless `wait` is False.

        Raises:
            BudgetReached: The call would pass a limit.
        """
        with self._changed:
            while True:
                if self.max_calls is not None and self.calls >= self.max_calls:
                    raise BudgetReached(f"stopped at {self.calls} calls", "raise --max-calls and run again to go on")
                guess = self.price.of(int(tokens * self._correction), output_tokens) * share if self.price else 0.0
                if self.max_cost is None:
                    break
                fits = self.spent + self._held + guess <= self.max_cost
                if fits and (self._measured or not self._held):
                    break
                if not wait or self.spent + guess > self.max_cost:
                    raise BudgetReached(
                        f"stopped at ${self.spent + (0 if wait else self._held):.4f} of ${self.max_cost:g}",
                        "raise --max-cost and run again to go on",
                    )
                self._changed.wait(_LOOK_AGAIN)
            self.calls += 1
            self._held += guess
            return Held(tokens, guess)

    def settle(self, held: Held, tokens: tuple[int, int], paid: bool, share: float = 1.0) -> float | None:
        """Give back what was set aside, and count the call by its (input, output) tokens; its price, if it is known.

        What was `paid`, or may have been, counts as guessed where the server does not say how much it was.
        """
        cost = self.price.of(*tokens) * share if self.price and any(tokens) else None
        with self._changed:
            self._held -= held.dollars
            self.spent += cost if cost is not None else held.dollars if paid else 0.0
            if tokens[0]:
                found = _MARGIN * tokens[0] / max(held.tokens, 1)
                self._correction = max(self._correction, found) if self._measured else found
                self._measured = True
            self._changed.notify_all()
        return cost
