from __future__ import annotations

import pytest

from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import client_of, features_of
from ..conftest import World
from ..openai_server import ScriptedServer


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_known_answers_are_not_asked_again(world: World, server: ScriptedServer) -> None:
    ledger, features = MemoryLedger(), features_of(world, 3)
    first = list(VlmLabeler(client_of(server, ledger), jobs=1).label(features))
    again = list(VlmLabeler(client_of(server, ledger), jobs=1).label(features))
    assert first == again
    assert len(server.requests) == len(ledger.calls) == 3
    warmer = VlmLabeler(client_of(server, ledger, temperature=0.7), jobs=1)
    list(warmer.label(features))
    assert len(server.requests) == 6
