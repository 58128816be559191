from __future__ import annotations

import json
from typing import Any

import numpy as np

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.intruder import INTRUDER
from autointerp.labeling.judging.vlm_judge import VlmJudge
from autointerp.labeling.protocol import Trial, Verdict

from ..conftest import World
from ..openai_server import Reply, ScriptedServer
from .trials import trials_of


def shown(request: dict[str, Any]) -> int:
    return sum(part["type"] == "image_url" for part in request["messages"][1]["content"])


def test_a_panel_is_one_request_and_one_choice(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"intruder": (2, 9, 1)[n]}))
    trials = [
        Trial("", "", world.crop(5 * panel + i, (2, 2), 1.0), i != 1, panel=panel)
        for panel in range(3)
        for i in range(4)
    ]
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(), lambda s: None)
    verdicts = VlmJudge(client, jobs=1, question=INTRUDER).judge(trials)
    assert [shown(r) for r in server.requests] == [4, 4, 4]
    assert [v.holds for v in verdicts[:4]] == [True, False, True, True] == [v.trial.truth for v in verdicts[:4]]
    # There is no image 9.
    assert [v.holds for v in verdicts[4:8]] == [None] * 4
    assert "image 9 of 4" in verdicts[4].error
    assert [v.holds for v in verdicts[8:]] == [False, True, True, True]


def test_a_panel_has_one_intruder(world: World) -> None:
    trials = trials_of(score_method("intruder"), world, 0)
    panels = {t.panel for t in trials}
    assert panels == set(range(5))
    for panel in panels:
        some = [t for t in trials if t.panel == panel]
        assert len(some) == 5
        assert sum(not t.truth for t in some) == 1


def test_a_choice_at_random_is_chance(world: World) -> None:
    """One of n is picked, as a VLM must: balanced, that is 0.5 whatever n is."""
    rng = np.random.default_rng(0)
    for crops in (3, 16):
        values = []
        for latent in range(150):
            trials = trials_of(score_method("intruder"), world, latent, crops=crops)
            answers = []
            for panel in sorted({t.panel for t in trials if t.panel is not None}):
                some = [t for t in trials if t.panel == panel]
                picked = int(rng.integers(len(some)))
                answers += [Verdict(t, i != picked) for i, t in enumerate(some)]
            values.append(score_method("intruder").result(answers, 0).value or 0)
        assert abs(np.mean(values) - 0.5) < 0.03
