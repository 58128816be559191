"""Limits on requests: how many a server bears at the same time, and how much a person wants to pay.

All threads of a client share both limits. Every wait ends: a place becomes free when a request ends, at its time-out
at the latest, and a pause is at most `longest_pause`.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autointerp.labeling.asking.prices import Price
from autointerp.labeling.asking.protocol import BudgetReached

_MARGIN = 1.25
"""Factor of safety on guessed tokens, after the server has counted the tokens of the calls before."""
_LEAST_TOKENS = 2000
"""Tokens that an answer is given at least, where its limit is higher."""
_LOOK_AGAIN = 1.0
"""Seconds after which a waiting thread checks its condition again, even where no thread wakes it."""


class Limiter:
    """The number of requests at the same time: additive increase and multiplicative decrease, as a server bears them.

    A refusal (429, 5xx, a time-out) halves the number. Requests that were under way at that moment do not halve it
    again: each further refusal among them caps the number at the requests that still run. A round of answers raises the
    number by one. Near the number that was refused last it rises ten times slower, so that a server is seldom asked for
    too much.
    """

    def __init__(
        self,
        most: int,
        longest_pause: float,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with as many requests as may run.

        Args:
            most: Requests that may run at the same time.
            longest_pause: Seconds that a server may pause all requests, at most.
            sleep: Waits some seconds.
            clock: Returns the time in seconds.
        """
        self.most, self._longest, self._sleep, self._clock = max(1, most), longest_pause, sleep, clock
        self._allowed = float(self.most)
        self._refused_at: float | None = None
        self._running = self._rounds = 0
        self._paused_until = 0.0
        self._changed = threading.Condition()

    def bear(self, most: int) -> None:
        """Let that many requests run at the same time, if the server bears them."""
        with self._changed:
            if self._allowed >= self.most:
                self._allowed = float(max(1, most))
            self.most = max(1, most)
            self._changed.notify_all()

    @contextmanager
    def place(self) -> Iterator[int]:
        """Wait for a free place and for the end of a pause, and keep the place in this block; yields its round."""
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
            # Spread the threads, so that they do not all send at the end of the pause.
            self._sleep(pause * (1 + random.uniform(0, 0.1)))
        try:
            yield round_
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def answered(self) -> None:
        """Count an answer: after a round of answers one more request may run."""
        with self._changed:
            # An allowance that is not used up says nothing about what the server bears.
            if self._allowed >= self.most or self._running < int(self._allowed):
                return
            near = self._refused_at is not None and abs(self._allowed + 1 - self._refused_at) <= 1
            self._allowed = min(self._allowed + (0.1 if near else 1.0) / self._allowed, float(self.most))
            if self._refused_at is not None and self._allowed > self._refused_at:
                self._refused_at = None
            self._changed.notify_all()

    def refused(self, round_: int, pause: float | None = None) -> None:
        """Count a refusal of a request of this round; `pause` is for how many seconds the server wants no request."""
        with self._changed:
            if pause is not None:
                self._paused_until = max(self._paused_until, self._clock() + min(pause, self._longest))
            if round_ == self._rounds:
                self._rounds += 1
                self._refused_at = float(self._running)
                self._allowed = max(1.0, min(self._allowed, self._running) / 2)
            else:
                # The refused request still has its place, so it is among those that run.
                borne = max(1.0, self._running - 1.0)
                self._allowed = max(1.0, min(self._allowed, borne))
                self._refused_at = min(self._refused_at or borne + 1, borne + 1)


@dataclass(frozen=True)
class Reservation:
    """What one call may come to.

    Attributes:
        tokens: Guessed tokens that the call sends.
        dollars: Set aside for it until its true price is known.
        output_tokens: Tokens that its answer may have at most.
    """

    tokens: int
    dollars: float
    output_tokens: int = 0


class Budget:
    """Calls and dollars of one client. A call is made only if its guessed price fits beside the calls under way.

    The tokens that a server counts correct later guesses. Under a limit in dollars the first call therefore goes alone.
    """

    def __init__(self, price: Price | None, max_calls: int | None = None, max_cost: float | None = None) -> None:
        """Start at nothing spent.

        Args:
            price: The model's price; None where it is not known.
            max_calls: Calls at most; None for no limit.
            max_cost: US dollars at most; None for no limit.
        """
        self.price, self.max_calls, self.max_cost = price, max_calls, max_cost
        self.calls, self.spent = 0, 0.0
        self._held, self._correction, self._measured = 0.0, 1.0, False
        self._under_way = self._longest_made = 0
        self._changed = threading.Condition()

    def hold(self, tokens: int, output_tokens: int, share: float = 1.0, wait: bool = True) -> Reservation:
        """Set aside what a call may cost.

        Near the limit in dollars, the longest answer is held to what is left of them, as long as an answer of twice the
        longest so far still fits.

        Args:
            tokens: Guessed tokens that are sent.
            output_tokens: Tokens of the longest answer.
            share: Share of the price that is paid.
            wait: Whether to wait for the prices of calls under way where the call does not fit beside them.

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
                fewer = self._affordable(int(tokens * self._correction), share)
                shorter = not fits and 0 < fewer >= min(output_tokens, max(_LEAST_TOKENS, 2 * self._longest_made))
                if shorter and not self._under_way:
                    output_tokens, guess = min(fewer, output_tokens), self.max_cost - self.spent
                    break
                if not wait or (self.spent + guess > self.max_cost and not shorter):
                    raise BudgetReached(
                        f"stopped at ${self.spent + (0 if wait else self._held):.4f} of ${self.max_cost:g}",
                        "raise --max-cost and run again to go on",
                    )
                self._changed.wait(_LOOK_AGAIN)
            self.calls += 1
            self._held += guess
            self._under_way += 1
            return Reservation(tokens, guess, output_tokens)

    def _affordable(self, tokens: int, share: float) -> int:
        """Return how many tokens an answer may have for what is left of the limit, if nothing else is under way."""
        if self.max_cost is None or self.price is None or self.price.output <= 0:
            return 0
        left = (self.max_cost - self.spent) / share - self.price.of(tokens, 0)
        return int(1e6 * left / self.price.output)

    def settle(self, held: Reservation, tokens: tuple[int, int], paid: bool, share: float = 1.0) -> float | None:
        """Give back a reservation and count the call; returns the call's price, None where it is not known.

        Args:
            held: The reservation.
            tokens: Input and output tokens that the server counted; zeros where it did not.
            paid: Whether the call was paid for, or may have been. It then counts as guessed where tokens are missing.
            share: Share of the price that is paid.
        """
        # A server that counts no input counts nothing that can be relied on.
        cost = self.price.of(*tokens) * share if self.price and tokens[0] else None
        with self._changed:
            self._held -= held.dollars
            self._under_way -= 1
            self._longest_made = max(self._longest_made, tokens[1])
            self.spent += cost if cost is not None else held.dollars if paid else 0.0
            if tokens[0]:
                found = _MARGIN * tokens[0] / max(held.tokens, 1)
                self._correction = max(self._correction, found) if self._measured else found
                self._measured = True
            self._changed.notify_all()
        return cost
