from __future__ import annotations

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import Sleeps, client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_waits_as_long_as_told(world: World, server: ScriptedServer) -> None:
    replies = [Reply("slow down", 429, {"retry-after": "7"}), Reply("oops", 503), Reply("", drop=True)]
    server.script = lambda request, number: replies[number] if number < 3 else Reply(label_json())
    sleeps, ledger = Sleeps(), MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger, sleeps)).label(features_of(world, 1))
    assert result.status == "ok"
    assert 6.9 < sleeps[0] < 7.8
    assert len(sleeps) == 3
    assert [c.answer is None for c in ledger.calls] == [True, True, True, False]
    assert "slow down" in ledger.calls[0].error
    assert "connection" in ledger.calls[2].error
    assert len({c.request_hash for c in ledger.calls}) == 1


def test_retry_after_is_bounded(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply("", 429, {"retry-after": "86400"}) if n == 0 else Reply(label_json())
    sleeps = Sleeps()
    list(VlmLabeler(client_of(server, sleep=sleeps, longest_wait=9)).label(features_of(world, 1)))
    assert len(sleeps) == 1
    assert 8.9 < sleeps[0] < 10


def test_lasting_fault_fails_the_feature_alone(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("broken", 500) if 1 <= number <= 3 else Reply(label_json())
    results = list(VlmLabeler(client_of(server, attempts=3), jobs=1).label(features_of(world, 3)))
    assert [r.status for r in results] == ["ok", "failed", "ok"]
    assert "broken" in results[1].error
    assert "3 attempts" in results[1].error


def test_garbage_body_is_retried(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(raw="<html>gateway") if n == 0 else Reply(label_json())
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.status == "ok"
    assert len(server.requests) == 2


@pytest.mark.parametrize(("status", "word"), [(401, "key"), (403, "key"), (404, "model")])
def test_hopeless_errors_stop_everything(world: World, server: ScriptedServer, status: int, word: str) -> None:
    server.script = lambda request, number: Reply("no", status)
    with pytest.raises(AutointerpError, match=word) as caught:
        list(VlmLabeler(client_of(server), jobs=2).label(features_of(world, 20)))
    assert caught.value.hint
    assert len(server.requests) <= 5


def test_model_without_images_stops_everything(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("this model takes no images", 400)
    with pytest.raises(AutointerpError, match="takes no images"):
        list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 20)))
    assert len(server.requests) == 1


def test_unreachable_server_stops_everything(world: World) -> None:
    client = ChatClient("m", "http://127.0.0.1:9/v1", options=ChatOptions(attempts=2), sleep=Sleeps())
    with pytest.raises(AutointerpError, match="cannot reach"):
        list(VlmLabeler(client, jobs=1).label(features_of(world, 5)))
