from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.prices import load_price, price_file
from autointerp.labeling.labelers.vlm import VlmLabeler

from ..clients import client_of, features_of
from ..conftest import World
from ..openai_server import ScriptedServer


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_unknown_price_is_none_and_refuses_max_cost(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    list(VlmLabeler(client_of(server, ledger, model="my-model")).label(features_of(world, 1)))
    assert ledger.calls[0].cost is None
    assert ledger.calls[0].input_tokens == 1000
    with pytest.raises(AutointerpError, match="price of my-model") as caught:
        client_of(server, model="my-model", max_cost=1.0)
    assert str(price_file()) in caught.value.hint


def test_prices(tmp_path: Path) -> None:
    assert load_price("openai/gpt-4o-mini-2024-07-18") == load_price("gpt-4o-mini")
    assert load_price("gpt-4o") != load_price("gpt-4o-mini")
    assert load_price("nobody") is None
    assert "note" in json.loads(price_file().read_text())
    bad = tmp_path / "prices.json"
    bad.write_text("{")
    with pytest.raises(AutointerpError, match="price file"):
        load_price("gpt-4o", bad)
