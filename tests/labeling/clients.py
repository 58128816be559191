"""Clients of a scripted server, and features for them, which several tests of asking share."""

from __future__ import annotations

import time
from typing import Any

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.protocol import FeatureEvidence

from .conftest import World
from .openai_server import ScriptedServer

MODEL = "gpt-4o-mini"


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
