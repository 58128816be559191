from __future__ import annotations

import pytest

from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_unreadable_reply_is_quoted_once(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("It is red." if number == 0 else label_json())
    ledger = MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger)).label(features_of(world, 1))
    assert result.status == "ok"
    assert len(server.requests) == 2
    assert "It is red." in server.requests[1]["messages"][-1]["content"]
    assert [c.purpose for c in ledger.calls] == ["label t:0", "label t:0-repair"]
    assert ledger.calls[0].request_hash != ledger.calls[1].request_hash


@pytest.mark.parametrize("text", ["no", '{"name": 3}', label_json(confidence=7), label_json()[:-5]])
def test_twice_unreadable_has_failed(world: World, server: ScriptedServer, text: str) -> None:
    server.script = lambda request, number: Reply(text)
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert (result.status, result.name) == ("failed", "")
    assert "unreadable" in result.error
    assert len(server.requests) == 2


ONE = VlmOptions(crops=1, context=False)


def test_an_unreadable_answer_is_marked_so(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("Who knows." if number == 0 else label_json())
    ledger = MemoryLedger()
    (result,) = VlmLabeler(client_of(server, ledger), ONE).label(features_of(world, 1))
    assert result.status == "ok"
    assert [c.error for c in ledger.calls] == ["unreadable: it holds no JSON object", ""]
