"""Asking about many things with threads that are kept busy: answers come as they are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from autointerp.labeling.asking.protocol import Asker, BudgetReached

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def answers_to(
    things: Iterable[Thing],
    ask: Callable[[Thing], Answer],
    asker: Asker,
    jobs: int,
    stop: Callable[[str], None],
) -> Iterator[Answer]:
    """Yield an answer for each thing, in the order in which they are known.

    Things are taken one by one, as there is room for them. A reached budget ends the work: no thing is taken any more,
    requests under way are waited for, and `stop` is told why. With one job the order is kept.

    Args:
        things: What is asked about. They are taken by the thread that takes the answers.
        ask: Asks about one thing, in a thread.
        asker: The VLM that `ask` asks.
        jobs: Requests at the same time.
        stop: Takes the reason for which the work ended early.

    Raises:
        AutointerpError: Every request would fail (key, model, address).
    """
    waiting: list[Future[Answer]] = []
    todo, taking = iter(things), True
    # Use about two threads for each request at a time: half of them prepare what is sent next. With one job there is
    # one thread, so that the order is kept.
    pool = ThreadPoolExecutor(2 * jobs - 1, thread_name_prefix=asker.kind)
    try:
        while waiting or taking:
            while taking and len(waiting) < 2 * jobs:
                try:
                    waiting.append(pool.submit(ask, next(todo)))
                except StopIteration:
                    taking = False
            known = wait(waiting, return_when=FIRST_COMPLETED).done if waiting else set()
            # Several may be known at the same time: they are yielded in the order in which they were asked.
            done, waiting = [one for one in waiting if one in known], [one for one in waiting if one not in known]
            for future in done:
                try:
                    yield future.result()
                except BudgetReached as error:
                    taking = False
                    stop(str(error))
    except KeyboardInterrupt:
        # Keep the answers to requests under way, which are paid for. Send none that waits for an attempt.
        asker.give_up()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
