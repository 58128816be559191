"""What holds requests back: the limiter of a client, budgets, and errors that end everything; and what is paid once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.chat import ChatClient, ChatOptions, MemoryLedger
from autointerp.labeling.limits import Budget, BudgetReached, Limiter
from autointerp.labeling.prices import Price
from autointerp.labeling.replies import LABEL_SCHEMA
from autointerp.labeling.vlm import VlmLabeler, VlmOptions

from .conftest import World
from .openai_server import Reply, ScriptedServer, label_json
from .test_vlm import Sleeps, client_of, features_of

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
    assert len(sleeps) == 1 and 8.9 < sleeps[0] < 10
    with limiter.place():
        pass
    assert len(sleeps) == 1


def test_two_threads_that_ask_the_same_pay_once(server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.2)
        return Reply(label_json())

    server.script = script
    client = ChatClient("m", server.base_url, "NO_KEY")
    client.limiter.bear(8)
    messages = [{"role": "user", "content": "same"}]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.ask(messages, LABEL_SCHEMA, "label"), range(8)))
    assert set(answers) == {label_json()} and len(server.requests) == 1


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


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (404, "No endpoints found that support image input", "takes no images"),
        (500, "image input is not supported - you may need the mmproj", "takes no images"),
        (429, "You exceeded your current quota: insufficient_quota", "no credit"),
        (402, "insufficient balance", "no credit"),
    ],
)
def test_hopeless_errors_end_everything_and_fail_no_feature(
    world: World, server: ScriptedServer, status: int, text: str, said: str
) -> None:
    server.script = lambda request, number: Reply(text, status)
    results = []
    with pytest.raises(AutointerpError, match=said):
        for result in VlmLabeler(client_of(server), ONE, jobs=8).label(features_of(world, 60)):
            results.append(result)
    assert not results and len(server.requests) <= 8


def test_a_server_that_dies_ends_everything_after_a_few(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json()) if number < 5 else Reply("broken", 500)
    results = []
    with pytest.raises(AutointerpError, match="answered none of 4 requests: .*broken"):
        for result in VlmLabeler(client_of(server, attempts=2, in_vain=4), ONE, jobs=1).label(features_of(world, 60)):
            results.append(result)
    assert [r.status for r in results] == ["ok"] * 5 + ["failed"] * 3


def test_a_completion_that_holds_no_reply_is_paid_once(world: World, server: ScriptedServer) -> None:
    replies = {0: Reply("", refusal="I will not"), 1: Reply(""), 2: Reply(label_json()[:20], finish_reason="length")}
    server.script = lambda request, number: replies.get(number, Reply(label_json()))
    ledger, features = MemoryLedger(), features_of(world, 4)
    first = list(VlmLabeler(client_of(server, ledger), ONE, jobs=1).label(features))
    assert [r.status for r in first] == ["failed"] * 3 + ["ok"]
    for result, said in zip(first, ("refuses: I will not", "empty answer", "cut off at 50 tokens"), strict=False):
        assert said in result.error
    # They are answers, which were paid for: asked again without --retry-failed, nothing is sent.
    again = list(VlmLabeler(client_of(server, ledger), ONE, jobs=1).label(features))
    assert again == first and len(server.requests) == 4
    assert [c.answer == "" for c in ledger.calls] == [True, True, True, False]


def test_an_unreadable_answer_is_marked_so(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("Who knows." if number == 0 else label_json())
    ledger = MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger), ONE).label(features_of(world, 1))
    assert result.status == "ok" and [c.error for c in ledger.calls] == ["unreadable: it holds no JSON object", ""]


KEY = "sk-very-secret-9"


def test_a_key_that_a_server_repeats_is_told_to_nobody(
    world: World, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)

    def script(request: dict[str, Any], number: int) -> Reply:
        seen = server.headers[number]["authorization"]
        assert KEY in seen
        return [
            Reply(f"you sent {seen}", 500),
            Reply(label_json(f"red {seen}", parts=[seen])),
            Reply("", refusal=f"not for {seen}"),
            Reply(f"no {seen}"),
            Reply(f"still no {seen}"),
            Reply(f"bad {seen}", 400),
        ][min(number, 5)]

    server.script = script
    ledger = MemoryLedger()
    client = ChatClient("m", server.base_url, "MY_KEY", ledger, ChatOptions(), Sleeps())
    results = list(VlmLabeler(client, ONE, jobs=1).label(features_of(world, 4)))
    assert results[0].name == "red Bearer ***" and [r.status for r in results] == ["ok"] + ["failed"] * 3
    assert len(ledger.calls) == 6 and KEY not in repr(results) + repr(ledger.calls)
    server.script = lambda r, n: Reply(f"no such key {KEY}", 401)
    with pytest.raises(AutointerpError) as caught:
        list(VlmLabeler(client, ONE, jobs=1).label(features_of(world, 9)[8:]))
    import traceback

    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_password_in_the_address_is_refused() -> None:
    with pytest.raises(UsageError, match="password"):
        ChatClient("m", "http://me:secret@localhost:1/v1", "NO_KEY")
