from __future__ import annotations

import json

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.judging.shabalin import RATING
from autointerp.labeling.judging.vlm_judge import JudgeOptions, VlmJudge
from autointerp.labeling.protocol import Trial

from ..conftest import World
from ..openai_server import Reply, ScriptedServer


def trials_of(world: World, n: int, name: str = "red") -> list[Trial]:
    return [Trial(name, f"Fires on {name}.", world.crop(i, (0, 0), 1.0), i % 2 == 0) for i in range(n)]


def test_ratings_are_numbers(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"ratings": [0.9, 0.2] if n == 0 else [0.9, 7]}))
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(), lambda s: None)
    judge = VlmJudge(client, JudgeOptions(batch=2), 1, RATING)
    verdicts = judge.judge(trials_of(world, 4))
    assert [(v.holds, v.value) for v in verdicts] == [(True, 0.9), (False, 0.2), (None, None), (None, None)]
