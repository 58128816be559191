from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.chat import ChatClient
from autointerp.labeling.asking.ledger import MemoryLedger, request_hash
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.protocol import LabelResult

from ..clients import Sleeps, client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json, thinking_model


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


ONE = VlmOptions(crops=1, context=False)


def test_max_calls_stops_cleanly(world: World, server: ScriptedServer) -> None:
    labeler = VlmLabeler(client_of(server, max_calls=3), jobs=2)
    results = list(labeler.label(features_of(world, 8)))
    assert len(results) == len(server.requests) == 3
    assert "3 calls" in labeler.stopped


def test_max_cost_is_not_passed(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    client = client_of(server, ledger, max_cost=0.0100, max_tokens=100)
    labeler = VlmLabeler(client, VlmOptions(crops=2), jobs=2)
    server.script = lambda r, n: Reply(label_json(), usage=(4000, 100))
    results = list(labeler.label(features_of(world, 40)))
    spent = sum(c.cost or 0 for c in ledger.calls)
    assert 5 <= len(results) < 40
    assert spent <= 0.0100
    assert client.spent == pytest.approx(spent)
    assert "$" in labeler.stopped


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
    results: list[LabelResult] = []
    with pytest.raises(AutointerpError, match=said):
        results.extend(VlmLabeler(client_of(server), ONE, jobs=8).label(features_of(world, 60)))
    assert not results
    assert len(server.requests) <= 8


def test_a_server_that_dies_ends_everything_after_a_few(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json()) if number < 5 else Reply("broken", 500)
    labeler = VlmLabeler(client_of(server, attempts=2, in_vain=4), ONE, jobs=1)
    results: list[LabelResult] = []
    with pytest.raises(AutointerpError, match="answered none of 4 requests: .*broken"):
        results.extend(labeler.label(features_of(world, 60)))
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
    assert sorted(again, key=lambda r: r.feature_id) == sorted(first, key=lambda r: r.feature_id)
    assert len(server.requests) == 4
    assert [c.answer == "" for c in ledger.calls] == [True, True, True, False]


@pytest.mark.parametrize("model", ["gpt-5-mini", "gpt-5", "gemini-2.5-flash", "o4-mini", "claude-sonnet-4-5"])
def test_a_model_that_thinks_works_as_it_is(world: World, server: ScriptedServer, model: str) -> None:
    server.script = thinking_model(1400)
    labeler = VlmLabeler(client_of(server, model=model, max_cost=0.1), ONE, jobs=1)
    assert [r.status for r in labeler.label(features_of(world, 3))] == ["ok"] * 3
    assert labeler.stopped == ""


def test_answers_that_are_all_cut_off_end_everything_after_a_few(world: World, server: ScriptedServer) -> None:
    server.script = thinking_model(1400)
    ledger = MemoryLedger()
    results: list[LabelResult] = []
    with pytest.raises(AutointerpError, match="cut off at 700 tokens") as caught:
        results.extend(VlmLabeler(client_of(server, ledger), ONE, jobs=2).label(features_of(world, 30)))
    assert "--max-tokens above 700" in caught.value.hint
    assert "--retry-failed" in caught.value.hint
    assert {r.status for r in results} <= {"failed"}
    paid = [call for call in ledger.calls if call.answer is not None]
    assert 3 <= len(paid) <= 5
    assert all(call.output_tokens == 700 and call.cost for call in paid)


def test_a_full_context_has_another_hint(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("", usage=(3900, 196), finish_reason="length")
    with pytest.raises(AutointerpError, match="context") as caught:
        list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 9)))
    assert "context" in caught.value.hint
    assert len(server.requests) == 3


def test_one_whole_answer_shows_that_the_limit_is_right(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(label_json()) if n == 1 else Reply("", usage=(9, 700), finish_reason="length")
    results = list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 9)))
    assert [r.status for r in results] == ["failed", "ok"] + ["failed"] * 7


def test_the_longest_answer_is_set(world: World, server: ScriptedServer) -> None:
    list(VlmLabeler(client_of(server, max_tokens=4321), ONE).label(features_of(world, 1)))
    assert server.requests[0]["max_tokens"] == 4321


def test_a_higher_limit_asks_for_nothing_again_that_is_known(world: World, server: ScriptedServer) -> None:
    ledger, features = MemoryLedger(), features_of(world, 2)
    assert len(list(VlmLabeler(client_of(server, ledger), ONE, jobs=1).label(features))) == 2
    again = VlmLabeler(client_of(server, ledger, max_tokens=9000), ONE, jobs=1).label(features)
    assert [r.status for r in again] == ["ok", "ok"]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("refusal", "taken"),
    [
        ("max_tokens is too large: 16000. This model supports at most 4096 completion tokens", 4096),
        ("max_tokens: 16000 > 8192, which is the maximum allowed number of output tokens for claude-3-5", 8192),
        ("This model's maximum context length is 8,192 tokens. However, you requested 17000 tokens", 8192),
        ("'max_tokens' is too large: 16000. Reduce it", 700),
    ],
)
def test_a_limit_that_a_server_refuses_is_lowered(
    world: World, server: ScriptedServer, refusal: str, taken: int
) -> None:
    server.script = lambda r, n: Reply(refusal, 400) if r["max_tokens"] > taken else Reply(label_json())
    results = list(VlmLabeler(client_of(server, max_tokens=16_000), ONE, jobs=1).label(features_of(world, 2)))
    assert [r.status for r in results] == ["ok", "ok"]
    assert [request["max_tokens"] for request in server.requests] == [16_000, taken, taken]
    assert "response_format" in server.requests[-1]


def test_a_limit_in_dollars_shortens_the_longest_answer(world: World, server: ScriptedServer) -> None:
    server.script = thinking_model(1400)
    ledger = MemoryLedger()
    labeler = VlmLabeler(client_of(server, ledger, model="gpt-5", max_cost=0.05), ONE, jobs=4)
    results = list(labeler.label(features_of(world, 20)))
    assert 1 <= len(results) < 20
    assert {r.status for r in results} == {"ok"}
    assert sum(call.cost or 0 for call in ledger.calls) <= 0.05
    assert "$" in labeler.stopped


def test_a_server_slower_than_the_wait_ends_everything(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.5)
        return Reply(label_json())

    server.script = script
    with pytest.raises(AutointerpError, match=r"not answered within 0\.1 seconds") as caught:
        list(VlmLabeler(client_of(server, timeout=0.1), ONE, jobs=1).label(features_of(world, 5)))
    assert "--timeout" in caught.value.hint
    assert len(server.requests) == 2
    patient = VlmLabeler(client_of(server, timeout=20.0), ONE, jobs=1)
    assert [r.status for r in patient.label(features_of(world, 1))] == ["ok"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("the prompt triggered our content management policy", 400), "content management policy"),
        (Reply("Your input was flagged for sexual", 403), "flagged"),
        (Reply("Could not process image", 400), "process image"),
        (Reply("cannot identify image file", 500), "identify image"),
        (Reply(raw='{"error": {"message": "x requires moderation: flagged", "code": 403}}'), "moderation"),
    ],
)
def test_what_is_refused_of_one_request_fails_one_feature(
    world: World, server: ScriptedServer, reply: Reply, said: str
) -> None:
    bad: list[str] = []

    def script(request: dict[str, Any], number: int) -> Reply:
        picture = next(p["image_url"]["url"] for p in request["messages"][1]["content"] if p["type"] == "image_url")
        bad.extend([picture] if not bad else [])
        return reply if picture in bad else Reply(label_json())

    server.script = script
    results = list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 5)))
    assert [r.status for r in results] == ["failed"] + ["ok"] * 4
    assert said in results[0].error
    assert len(server.requests) == 5


def test_a_filter_that_takes_all_pictures_fails_them_one_by_one(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("the content filter", 400)
    results = list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 6)))
    assert [r.status for r in results] == ["failed"] * 6
    assert len(server.requests) == 6


def test_a_server_that_refuses_everything_ends_the_work_in_its_words(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("no thanks", 400)
    with pytest.raises(AutointerpError, match="refuses every request: no thanks"):
        list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 60)))
    assert len(server.requests) == 9, "three features, each in three forms"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply("At most 1 image(s) may be provided in one request.", 400), "sheet = true"),
        (Reply("<html><title>413 Request Entity Too Large</title>", 413), "sheet = true"),
        (Reply(raw='{"error": "Unexpected endpoint or method. (POST /chat/completions)"}'), "/v1"),
        (Reply(raw='{"error": {"message": "No auth credentials found", "code": 401}}'), "API key"),
        (Reply(raw='{"error": {"message": "Insufficient credits", "code": 402}}'), "add credit"),
        (Reply("Rate limit exceeded: free-models-per-day", 429), "limit is reached"),
        (Reply("No endpoints found matching your data policy", 404), "data policy"),
    ],
)
def test_a_fault_of_the_setup_ends_everything_at_once(
    world: World, server: ScriptedServer, reply: Reply, said: str
) -> None:
    server.script = lambda request, number: reply
    sleeps = Sleeps()
    with pytest.raises(AutointerpError, match=said):
        list(VlmLabeler(client_of(server, sleep=sleeps), ONE, jobs=4).label(features_of(world, 60)))
    assert len(server.requests) <= 4
    assert not sleeps


def test_a_request_that_is_too_large_among_others_fails_alone(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("too much", 413) if n == 1 else Reply(label_json())
    results = list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok", "failed", "ok"]


def test_a_key_that_is_withdrawn_ends_everything(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(label_json()) if n < 2 else Reply("revoked", 401)
    with pytest.raises(AutointerpError, match=r"refuses the API key \(401\): revoked"):
        list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 60)))
    assert len(server.requests) == 3


def test_a_server_that_limits_the_rate_from_the_start_is_waited_for(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("slow down", 429, {"retry-after": "0"}) if n < 8 else Reply(label_json())
    sleeps = Sleeps()
    (result,) = VlmLabeler(client_of(server, sleep=sleeps), ONE, jobs=1).label(features_of(world, 1))
    assert result.status == "ok"
    assert len(sleeps) == 8
    assert sum(sleeps) > 20


def test_a_limit_that_stays_ends_in_one_line(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("slow down", 429, {"retry-after": "0"})
    sleeps = Sleeps()
    with pytest.raises(AutointerpError, match="answered no request: slow down") as caught:
        list(VlmLabeler(client_of(server, sleep=sleeps), ONE, jobs=1).label(features_of(world, 5)))
    assert caught.value.retryable
    assert len(server.requests) == 10
    assert sum(sleeps) > 40


def test_a_web_page_instead_of_an_answer_ends_everything_soon(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(raw="<html><title>Welcome</title></html>")
    with pytest.raises(AutointerpError, match=r"unreadable response: Welcome: check --base-url"):
        list(VlmLabeler(client_of(server), ONE, jobs=1).label(features_of(world, 60)))
    assert len(server.requests) == 3


def test_answers_under_an_earlier_spelling_of_the_address_are_known(world: World, server: ScriptedServer) -> None:
    messages, ledger = [{"role": "user", "content": "?"}], MemoryLedger()
    client = client_of(server, ledger)
    client.ask(messages, {}, "label")
    spelled = f"{server.base_url}/"
    old = request_hash(client.model, spelled, messages, {}, client.config)
    earlier = MemoryLedger()
    earlier.calls = [replace(ledger.calls[0], request_hash=old)]
    for address in (server.base_url, spelled):
        again = ChatClient(client.model, address, ledger=earlier)
        assert again.base_url == server.base_url
        assert again.ask(messages, {}, "label") == label_json()
    assert len(server.requests) == 1
