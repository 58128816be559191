"""The labeler `vlm` and its client against a server of the OpenAI protocol that follows a script."""

from __future__ import annotations

import base64
import io
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.labeling.chat import ChatClient, ChatOptions, MemoryLedger
from autointerp.labeling.prices import load_price, price_file
from autointerp.labeling.protocol import FeatureEvidence
from autointerp.labeling.templates import PromptFile, load_prompt
from autointerp.labeling.vlm import VlmLabeler, VlmOptions, spread

from .conftest import World
from .openai_server import Reply, ScriptedServer, label_json

MODEL = "gpt-4o-mini"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Sleeps(list[float]):
    """Sleeps that take no time, and a clock on which they do."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return time.monotonic() + sum(self)


def client_of(
    server: ScriptedServer,
    ledger: MemoryLedger | None = None,
    sleep: Sleeps | None = None,
    model: str = MODEL,
    **options: Any,
) -> ChatClient:
    ledger = ledger if ledger is not None else MemoryLedger()
    sleep = Sleeps() if sleep is None else sleep
    return ChatClient(
        model, server.base_url, "OPENAI_API_KEY", ledger, ChatOptions(**options), sleep, clock=sleep.clock
    )


def features_of(world: World, n: int) -> list[FeatureEvidence]:
    return [world.feature(i, world.anywhere(6, seed=i)) for i in range(n)]


def test_asks_once_a_feature_with_its_marked_crops(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    labeler = VlmLabeler(client_of(server, ledger), VlmOptions(crops=4), jobs=1)
    (result,) = labeler.label(features_of(world, 1))
    assert (result.status, result.name, result.confidence) == ("ok", "red things", 0.9)
    (request,) = server.requests
    assert request["model"] == MODEL and request["temperature"] == 0
    form = request["response_format"]
    assert form["type"] == "json_schema" and form["json_schema"]["strict"] is True
    wanted = {"name", "explanation", "interpretable", "confidence", "parts"}
    assert set(form["json_schema"]["schema"]["required"]) == wanted
    uris = server.images(0)
    assert len(uris) == 8 and all(u.startswith("data:image/jpeg;base64,") for u in uris)
    whole, marked = (Image.open(io.BytesIO(base64.b64decode(u.split(",")[1]))) for u in uris[:2])
    assert whole.size == marked.size == (256, 256) and whole.tobytes() != marked.tobytes()
    assert "marked" in request["messages"][0]["content"]
    (call,) = ledger.calls
    assert (call.input_tokens, call.output_tokens) == (1000, 50) and call.answer == label_json()
    assert call.cost == pytest.approx(1000 * 0.15e-6 + 50 * 0.6e-6) and call.latency_ms > 0


def test_png_and_negatives_on_wish(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.anywhere(3, seed=1))
    negative = world.crop(9, (0, 0), 0.0)
    negative = negative.__class__(**{**negative.__dict__, "cell": None, "role": "negative"})
    feature = FeatureEvidence(feature.feature, 0, 0.1, feature.crops, (negative,))
    list(VlmLabeler(client_of(server), VlmOptions(image_format="png")).label([feature]))
    assert len(server.images(0)) == 3 * 2 + 1 and server.images(0)[0].startswith("data:image/png;")
    assert "does not fire" in server.requests[0]["messages"][0]["content"]


def test_known_answers_are_not_asked_again(world: World, server: ScriptedServer) -> None:
    ledger, features = MemoryLedger(), features_of(world, 3)
    first = list(VlmLabeler(client_of(server, ledger), jobs=1).label(features))
    again = list(VlmLabeler(client_of(server, ledger), jobs=1).label(features))
    assert first == again and len(server.requests) == len(ledger.calls) == 3
    warmer = VlmLabeler(client_of(server, ledger, temperature=0.7), jobs=1)
    list(warmer.label(features))
    assert len(server.requests) == 6


def without_forms(request: dict[str, Any], number: int) -> Reply:
    """A server that takes no schema, and no wish for JSON either."""
    if "response_format" in request:
        return Reply(f"response_format {request['response_format']['type']} is not supported", 400)
    return Reply(label_json())


def test_refused_schema_falls_back_and_stays_there(world: World, server: ScriptedServer) -> None:
    server.script = without_forms
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok"] * 3
    forms = [r.get("response_format", {}).get("type") for r in server.requests]
    assert forms == ["json_schema", "json_object", None, None, None]
    assert '"interpretable"' in server.requests[-1]["messages"][0]["content"]


def test_requests_that_wait_do_not_ask_in_a_form_that_was_refused(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.2)
        return without_forms(request, number)

    server.script = script
    results = list(VlmLabeler(client_of(server), jobs=4).label(features_of(world, 8)))
    assert [r.status for r in results] == ["ok"] * 8
    forms = Counter(r.get("response_format", {}).get("type") for r in server.requests)
    assert forms["json_schema"] <= 4 and forms["json_object"] <= 4 and forms[None] == 8


def test_refused_parameters_are_left_out(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        if "max_tokens" in request:
            return Reply("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", 400)
        if "temperature" in request:
            return Reply("'temperature' does not support 0", 400)
        return Reply(label_json())

    server.script = script
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.status == "ok" and server.requests[-1]["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    "text",
    [
        "```json\n" + label_json() + "\n```",
        "<think>{maybe}</think> Here you are: " + label_json() + " Anything else?",
        '{"note": 1} ' + label_json(),
    ],
)
def test_json_is_found_in_text(world: World, server: ScriptedServer, text: str) -> None:
    server.script = lambda request, number: Reply(text)
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.name == "red things" and len(server.requests) == 1


def test_unreadable_reply_is_quoted_once(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("It is red." if number == 0 else label_json())
    ledger = MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger)).label(features_of(world, 1))
    assert result.status == "ok" and len(server.requests) == 2
    assert "It is red." in server.requests[1]["messages"][-1]["content"]
    assert [c.purpose for c in ledger.calls] == ["label t:0", "label t:0-repair"]
    assert ledger.calls[0].request_hash != ledger.calls[1].request_hash


@pytest.mark.parametrize("text", ["no", '{"name": 3}', label_json(confidence=7), label_json()[:-5]])
def test_twice_unreadable_has_failed(world: World, server: ScriptedServer, text: str) -> None:
    server.script = lambda request, number: Reply(text)
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert (result.status, result.name) == ("failed", "") and "unreadable" in result.error
    assert len(server.requests) == 2


def test_refusal_and_empty_name_have_failed(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("", refusal="I will not") if number == 0 else Reply(label_json(""))
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 2)))
    assert [r.status for r in results] == ["failed", "failed"] and "I will not" in results[0].error


def test_uninterpretable_is_a_result(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json("x", interpretable=False))
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert (result.status, result.name, result.error) == ("uninterpretable", "", "")


def test_reply_is_cleaned(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json("red\u202e\x07  things\n" + "x" * 300))
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.name.startswith("red things x") and len(result.name) <= 120


def test_waits_as_long_as_told(world: World, server: ScriptedServer) -> None:
    replies = [Reply("slow down", 429, {"retry-after": "7"}), Reply("oops", 503), Reply("", drop=True)]
    server.script = lambda request, number: replies[number] if number < 3 else Reply(label_json())
    sleeps, ledger = Sleeps(), MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger, sleeps)).label(features_of(world, 1))
    assert result.status == "ok" and 6.9 < sleeps[0] < 7.8 and len(sleeps) == 3
    assert [c.answer is None for c in ledger.calls] == [True, True, True, False]
    assert "slow down" in ledger.calls[0].error and "connection" in ledger.calls[2].error
    assert len({c.request_hash for c in ledger.calls}) == 1


def test_retry_after_is_bounded(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("", 429, {"retry-after": "86400"}) if n == 0 else Reply(label_json())
    sleeps = Sleeps()
    list(VlmLabeler(client_of(server, sleep=sleeps, longest_wait=9)).label(features_of(world, 1)))
    assert len(sleeps) == 1 and 8.9 < sleeps[0] < 10


def test_lasting_fault_fails_the_feature_alone(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("broken", 500) if 1 <= number <= 3 else Reply(label_json())
    results = list(VlmLabeler(client_of(server, attempts=3), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "broken" in results[1].error and "3 attempts" in results[1].error


def test_garbage_body_is_retried(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(raw="<html>gateway") if n == 0 else Reply(label_json())
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.status == "ok" and len(server.requests) == 2


@pytest.mark.parametrize(("status", "word"), [(401, "key"), (403, "key"), (404, "model")])
def test_hopeless_errors_stop_everything(world: World, server: ScriptedServer, status: int, word: str) -> None:
    server.script = lambda request, number: Reply("no", status)
    with pytest.raises(AutointerpError, match=word) as caught:
        list(VlmLabeler(client_of(server), jobs=2).label(features_of(world, 20)))
    assert caught.value.hint and len(server.requests) <= 5


def test_model_without_images_stops_everything(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("this model takes no images", 400)
    with pytest.raises(AutointerpError, match="takes no images"):
        list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 20)))
    assert len(server.requests) == 3


def test_unreachable_server_stops_everything(world: World) -> None:
    client = ChatClient("m", "http://127.0.0.1:9/v1", options=ChatOptions(attempts=2), sleep=Sleeps())
    with pytest.raises(AutointerpError, match="cannot reach"):
        list(VlmLabeler(client, jobs=1).label(features_of(world, 5)))


def test_key_is_sent_and_never_told(world: World, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret-123")
    server.script = lambda request, number: Reply("bad thing near sk-secret-123", 500)
    ledger = MemoryLedger()
    client = ChatClient(MODEL, server.base_url, "MY_KEY", ledger, ChatOptions(attempts=1), Sleeps())
    (result,) = VlmLabeler(client).label(features_of(world, 1))
    assert server.headers[0]["authorization"] == "Bearer sk-secret-123"
    assert "secret" not in result.error + ledger.calls[0].error and "bad thing" in result.error


def test_a_key_is_needed_without_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AutointerpError, match="MY_KEY"):
        ChatClient(MODEL, "", "MY_KEY")


def test_max_calls_stops_cleanly(world: World, server: ScriptedServer) -> None:
    labeler = VlmLabeler(client_of(server, max_calls=3), jobs=2)
    results = list(labeler.label(features_of(world, 8)))
    assert len(results) == len(server.requests) == 3 and "3 calls" in labeler.stopped


def test_max_cost_is_not_passed(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    client = client_of(server, ledger, max_cost=0.0100, max_tokens=100)
    labeler = VlmLabeler(client, VlmOptions(crops=2), jobs=2)
    server.script = lambda r, n: Reply(label_json(), usage=(4000, 100))
    results = list(labeler.label(features_of(world, 40)))
    spent = sum(c.cost or 0 for c in ledger.calls)
    assert 5 <= len(results) < 40 and spent <= 0.0100 and client.spent == pytest.approx(spent)
    assert "$" in labeler.stopped


def test_unknown_price_is_none_and_refuses_max_cost(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    list(VlmLabeler(client_of(server, ledger, model="my-model")).label(features_of(world, 1)))
    assert ledger.calls[0].cost is None and ledger.calls[0].input_tokens == 1000
    with pytest.raises(AutointerpError, match="price of my-model") as caught:
        client_of(server, model="my-model", max_cost=1.0)
    assert str(price_file()) in caught.value.hint


def test_prices(tmp_path: Path) -> None:
    assert load_price("openai/gpt-4o-mini-2024-07-18") == load_price("gpt-4o-mini")
    assert load_price("gpt-4o") != load_price("gpt-4o-mini") and load_price("nobody") is None
    assert "note" in json.loads(price_file().read_text())
    bad = tmp_path / "prices.json"
    bad.write_text("{")
    with pytest.raises(AutointerpError, match="price file"):
        load_price("gpt-4o", bad)


def test_jobs_run_at_once(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.1)
        return Reply(label_json())

    server.script = script
    results = list(VlmLabeler(client_of(server), VlmOptions(crops=1), jobs=6).label(features_of(world, 12)))
    assert len(results) == 12 and 4 <= server.most_running <= 6
    assert {r.feature_id for r in results} == set(range(12))


def test_no_crops_costs_nothing(server: ScriptedServer) -> None:
    (result,) = VlmLabeler(client_of(server)).label([FeatureEvidence("t:0", 0, 0.0, ())])
    assert result.status == "uninterpretable" and not server.requests


def test_prompt_files_are_versioned_and_overridable(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "label.md.j2").write_text("Name it. {{ notes }}")
    own, shipped = load_prompt("label.md.j2", tmp_path), load_prompt("label.md.j2")
    assert own.hash != shipped.hash and load_prompt("repair.md.j2", tmp_path) == load_prompt("repair.md.j2")
    hashes = {VlmLabeler(client_of(server), prompt=p).prompt_hash for p in (own, shipped)}
    assert len(hashes) == 2
    with pytest.raises(AutointerpError, match="cannot be filled"):
        PromptFile("x", "{{ missing }}").render()
    assert PromptFile("x", "{{ text }}").render(text="{{ 1 + 1 }}") == "{{ 1 + 1 }}"


def test_spread_takes_the_whole_range(world: World) -> None:
    crops = [world.crop(0, (0, 0), float(a)) for a in range(20, 0, -1)]
    chosen = [c.activation for c in spread(crops, 5)]
    assert chosen[0] == 20 and chosen[-1] == 1 and chosen == sorted(chosen, reverse=True) and len(set(chosen)) == 5
    assert spread(crops, 30) == crops and spread(crops, 1) == crops[:1]
