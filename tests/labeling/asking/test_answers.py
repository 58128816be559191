from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from autointerp.labeling.asking.answers import NoCompletion, ServerAnswer, cut_off, read_answer
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.prices import load_price
from autointerp.labeling.asking.replies import LabelReply, parse_reply
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import MODEL, client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json

GOOD = label_json("red circle")
USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
ONE = VlmOptions(crops=1, context=False)


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def chat(message: Any, reason: str | None = "stop", usage: Any = USAGE, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return {"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage, **more}


def said(content: Any, **more: Any) -> dict[str, Any]:
    return chat({"role": "assistant", "content": content, **more})


def called(arguments: Any) -> dict[str, Any]:
    return {"id": "t", "type": "function", "function": {"name": "reply", "arguments": arguments}}


THOUGHTS = 'Could be {"name": "a draft"}, but let me look.'
READABLE: dict[str, Any] = {
    "text": said(GOOD),
    "text parts": said([{"type": "text", "text": GOOD}]),
    "thinking parts": said(
        [{"type": "thinking", "thinking": [{"type": "text", "text": THOUGHTS}]}, {"type": "text", "text": GOOD}]
    ),
    "output_text": said([{"type": "output_text", "text": GOOD, "annotations": []}]),
    "plain strings": said([GOOD[:9], GOOD[9:]]),
    "one part": said({"type": "text", "text": GOOD}),
    "text with a value": said([{"type": "text", "text": {"value": GOOD, "annotations": []}}]),
    "split parts": said([{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}]),
    "an object": said(json.loads(GOOD)),
    "json part": said([{"type": "json", "json": json.loads(GOOD)}]),
    "closing mark alone": said(f"{THOUGHTS}\n</think>\n\n{GOOD}"),
    "fence": said(f"Here you go:\n```json\n{GOOD}\n```\nHope it helps!"),
    "reasoning_content": said(None, reasoning_content=GOOD),
    "reasoning": said("", reasoning=GOOD),
    "reasoning with prose": said("\n\n", reasoning_content=f"{THOUGHTS} So it is:\n{GOOD}"),
    "reasoning_details": said(None, reasoning_details=[{"type": "reasoning.text", "text": GOOD}]),
    "thoughts beside": said(GOOD, reasoning_content='It is {"name": "a draft"}'),
    "tool call": said(None, tool_calls=[called(GOOD)]),
    "tool call as an object": said(None, tool_calls=[called(json.loads(GOOD))]),
    "function call": said(None, function_call={"name": "reply", "arguments": GOOD}),
    "tool_use": said([{"type": "tool_use", "name": "reply", "input": json.loads(GOOD)}]),
    "parsed": said(None, parsed=json.loads(GOOD)),
    "unknown keys": chat({"role": "assistant", "content": GOOD}, service_tier="on_demand", x=[1]),
    "null everywhere": chat(
        {"content": GOOD, "refusal": None, "tool_calls": None, "annotations": None}, None, USAGE, created=None
    ),
    "an empty refusal": said(GOOD, refusal=""),
    "a refusal beside": said(GOOD, refusal="I am not sure"),
    "an old choice": {"choices": [{"text": GOOD, "finish_reason": "stop"}], "usage": USAGE},
    "a delta": {"choices": [{"delta": {"content": GOOD}}], "usage": USAGE},
    "choices that are one": {"choices": {"message": {"content": GOOD}}, "usage": USAGE},
    "a second choice": {"choices": [{"message": {"content": None}}, {"message": {"content": GOOD}}], "usage": USAGE},
    "Ollama": {"message": {"role": "assistant", "content": GOOD}, "done_reason": "stop", "usage": USAGE},
    "Responses": {
        "output": [
            {"type": "reasoning", "summary": []},
            {"type": "message", "content": [{"type": "output_text", "text": GOOD}]},
        ],
        "usage": {"input_tokens": 1000, "output_tokens": 50},
    },
    "Messages": {
        "content": [{"type": "thinking", "thinking": THOUGHTS}, {"type": "text", "text": GOOD}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1000, "output_tokens": 50},
    },
    "Gemini": {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": THOUGHTS, "thought": True}, {"text": GOOD}]},
                "finishReason": "STOP",
            }
        ],
        "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 50, "totalTokenCount": 1050},
    },
    "cut after the end": chat({"content": GOOD + "\n\nNote that"}, "length"),
    "filtered after the end": chat({"content": GOOD}, "content_filter"),
    "an error beside": chat({"content": GOOD}, error={"message": "late"}),
    "an empty error": chat({"content": GOOD}, error=None),
    "a list of one": [said(GOOD)],
}


@pytest.mark.parametrize("body", READABLE.values(), ids=READABLE.keys())
def test_an_answer_is_read_wherever_it_stands(body: Any) -> None:
    found = read_answer(body, 700)
    assert (found.problem, found.tokens, found.cut) == ("", (1000, 50), False)
    assert parse_reply(found.text, LabelReply).name == "red circle"


EMPTY: list[tuple[Any, str]] = [
    (chat({"content": None}, "SAFETY"), "content filter"),
    (chat({"content": ""}, "FinishReason.PROHIBITED_CONTENT"), "content filter"),
    (chat({"content": "I was about to"}, "content_filter"), "content filter"),
    (chat({"content": None, "refusal": "not these"}), "refuses: not these"),
    (said([{"type": "refusal", "refusal": "not these"}]), "refuses: not these"),
    (chat({"content": ""}, "refusal"), "the model refuses"),
    (said(""), "empty answer"),
    (said([]), "empty answer"),
    (said(None, reasoning_content=THOUGHTS), "empty answer"),
    (said("<think>hm</think>\n"), "empty answer"),
    (chat({"content": None}, "abort"), "empty answer (it ended with 'abort')"),
    (chat(None), "empty answer"),
    ({"choices": [], "usage": USAGE}, "the response holds no answer"),
    ({"choices": None, "usage": USAGE}, "the response holds no answer"),
    ({"usage": USAGE}, "the response holds no answer"),
    ({"usage": USAGE, "error": {"message": "upstream died"}}, "upstream died"),
    ({"choices": [{"error": {"message": "upstream died"}, "finish_reason": "error"}], "usage": USAGE}, "upstream died"),
]


@pytest.mark.parametrize(("body", "problem"), EMPTY)
def test_what_came_with_usage_is_counted_though_it_holds_no_answer(body: Any, problem: str) -> None:
    found = read_answer(body, 700)
    assert problem in found.problem
    assert (found.text, found.tokens, found.cut) == ("", (1000, 50), False)


@pytest.mark.parametrize(
    "reason", ["length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS", "model_length", "max_output_tokens"]
)
@pytest.mark.parametrize("content", [None, "", GOOD[:40], f"<think>{THOUGHTS}", '{"parts": [{"a": 1}], "name": "re'])
def test_an_answer_that_was_cut_off_is_told_from_a_whole_one(reason: str, content: str | None) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 700}
    found = read_answer(chat({"content": content}, reason, usage), 700)
    assert found == ServerAnswer("", "the answer was cut off at 700 tokens", (1000, 700), cut=True)


def test_an_answer_as_long_as_allowed_was_cut_off_whatever_the_server_says() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 700}
    assert read_answer(chat({"content": GOOD[:30]}, "stop", usage), 700).cut
    assert not read_answer(chat({"content": GOOD}, "stop", usage), 700).cut


def test_an_answer_that_was_cut_off_before_its_limit_filled_the_context() -> None:
    assert "context" in cut_off(312, 700)
    assert "context" not in cut_off(699, 700)
    assert cut_off(0, 700) == "the answer was cut off at 700 tokens"
    assert cut_off(0, 0) == "the answer was cut off"


@pytest.mark.parametrize(
    ("body", "said_"),
    [
        ({"error": {"message": "Provider returned error", "code": 429}}, "Provider returned error"),
        ({"error": "Unexpected endpoint"}, "Unexpected endpoint"),
        ({"choices": [{"error": {"message": "upstream died"}, "message": {"content": ""}}]}, "upstream died"),
        ([{"error": {"code": 400}}], "400"),
        ({"message": "At most 1 image", "object": "error"}, "At most 1 image"),
        ("<html>", "no chat completion"),
        (None, "no chat completion"),
        ({}, "no chat completion"),
    ],
)
def test_a_body_without_answer_and_usage_is_no_completion(body: Any, said_: str) -> None:
    with pytest.raises(NoCompletion, match=said_) as caught:
        read_answer(body)
    assert caught.value.body == body


KEYS = ["choices", "message", "content", "text", "type", "parts", "usage", "error", "tool_calls", "function", "output"]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from([GOOD, "thinking"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=16,
)


@given(JSON)
def test_any_json_is_read_or_is_no_completion(body: Any) -> None:
    try:
        found = read_answer(body, 700)
    except NoCompletion:
        return
    assert isinstance(found.text, str)
    assert bool(found.problem) != bool(found.text)


def test_paid_answers_are_counted_and_never_asked_for_again(world: World, server: ScriptedServer) -> None:
    bodies = [*READABLE.values(), *(body for body, _ in EMPTY)]
    server.script = lambda request, number: Reply(raw=json.dumps(bodies[number]))
    ledger, features = MemoryLedger(), features_of(world, len(bodies))
    client = client_of(server, ledger)
    results = list(VlmLabeler(client, ONE, jobs=1).label(features))
    assert [r.status for r in results] == ["ok"] * len(READABLE) + ["failed"] * len(EMPTY)
    assert {r.name for r in results} == {"red circle", ""}
    price = load_price(MODEL)
    assert price is not None
    assert client.spent == pytest.approx(len(bodies) * price.of(1000, 50))
    assert [call.cost for call in ledger.calls] == [pytest.approx(price.of(1000, 50))] * len(bodies)
    again = VlmLabeler(client_of(server, ledger), ONE, jobs=1).label(features)
    assert sorted(again, key=lambda result: result.feature_id) == results
    assert len(server.requests) == len(bodies)
