from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from autointerp.labeling.asking.chat import ChatClient
from autointerp.labeling.asking.limits import Budget, Limiter
from autointerp.labeling.asking.prices import Price
from autointerp.labeling.asking.protocol import BudgetReached
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import Sleeps, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json

ONE = VlmOptions(crops=1, context=False)


def overloaded(server: ScriptedServer, most: int, seconds: float = 0.03) -> list[float]:
    """Let a server answer so many at a time, and refuse others for a while; gives when it refused."""
    refused: list[float] = []

    def script(request: dict[str, Any], number: int) -> Reply:
        if server.running > most:
            refused.append(time.monotonic())
            return Reply("too many", 429, {"retry-after": "0.05"})
        time.sleep(seconds)
        return Reply(label_json())

    server.script = script
    return refused


def test_a_server_that_bears_few_requests_is_soon_asked_for_few(world: World, server: ScriptedServer) -> None:
    refused = overloaded(server, 4)
    client = ChatClient("m", server.base_url, "NO_KEY")
    results = list(VlmLabeler(client, ONE, jobs=32).label(features_of(world, 100)))
    assert [r.status for r in results] == ["ok"] * 100
    # The first burst is refused but for four; from then on few are.
    assert len(refused) <= 28 + 25, len(refused)
    assert sum(when > refused[0] + 0.5 for when in refused) <= 20


def test_more_run_again_when_the_server_recovers(server: ScriptedServer) -> None:
    limiter = Limiter(8, 10)
    with limiter.place() as round_:
        limiter.refused(round_)
    assert _borne(limiter) == 1
    for _ in range(200):
        with limiter.place():
            limiter.answered()
    assert 2 <= _borne(limiter) <= 8


def _borne(limiter: Limiter) -> int:
    return max(1, int(limiter._allowed))


def test_one_refusal_of_a_burst_halves_and_the_others_tell_what_was_borne() -> None:
    limiter, entered = Limiter(16, 10), []
    places = [limiter.place() for _ in range(16)]
    for place in places:
        entered.append(place.__enter__())
    limiter.refused(entered[0])
    places[0].__exit__(None, None, None)
    assert _borne(limiter) == 8
    for i in range(1, 12):
        limiter.refused(entered[i])
        places[i].__exit__(None, None, None)
    # Four of the sixteen were not refused.
    assert _borne(limiter) == 4


def test_a_pause_is_everybodys_and_bounded() -> None:
    sleeps = Sleeps()
    limiter = Limiter(4, 9, sleeps, sleeps.clock)
    with limiter.place() as round_:
        limiter.refused(round_, 86_400)
    with limiter.place():
        pass
    assert len(sleeps) == 1
    assert 8.9 < sleeps[0] < 10
    with limiter.place():
        pass
    assert len(sleeps) == 1


def test_a_budget_waits_for_what_is_under_way() -> None:
    budget = Budget(Price(1e6, 0.0), max_cost=10.0)  # a dollar a token
    first = budget.hold(2, 0)
    entered = threading.Event()

    def second() -> None:
        held = budget.hold(4, 0)
        entered.set()
        budget.settle(held, (4, 0), True)

    thread = threading.Thread(target=second)
    thread.start()
    # Nothing is known yet of what calls take: the first goes alone.
    assert not entered.wait(0.1)
    assert budget.settle(first, (2, 0), True) == 2
    thread.join()
    assert budget.spent == 6
    with pytest.raises(BudgetReached, match=r"\$6.0000 of \$10"):
        budget.hold(4, 0)  # 4 x 1.25 would pass it


def test_what_may_have_been_paid_counts_where_the_server_does_not_say() -> None:
    budget = Budget(Price(1e6, 0.0), max_cost=10.0)
    assert budget.settle(budget.hold(3, 0), (0, 0), paid=True) is None
    assert budget.spent == 3
    budget.settle(budget.hold(3, 0), (0, 0), paid=False)
    assert budget.spent == 3
