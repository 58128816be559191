from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from autointerp.errors import UsageError
from autointerp.labeling.chat import BudgetReached, ChatClient, ChatOptions, MemoryLedger
from autointerp.labeling.judge import JudgeOptions, VlmJudge
from autointerp.labeling.protocol import Trial, Verdict
from autointerp.labeling.scores import detection_score

from .conftest import World
from .openai_server import Reply, ScriptedServer


def trials_of(world: World, n: int, name: str = "red") -> list[Trial]:
    return [Trial(name, f"Fires on {name}.", world.crop(i, (0, 0), 1.0), i % 2 == 0) for i in range(n)]


def judge_of(server: ScriptedServer, batch: int = 4, jobs: int = 1, **options: Any) -> VlmJudge:
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(**options), lambda s: None)
    return VlmJudge(client, JudgeOptions(batch=batch), jobs)


def shown(request: dict[str, Any]) -> int:
    return sum(part["type"] == "image_url" for part in request["messages"][1]["content"])


def test_batches_in_order_unmarked(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"answers": [i % 2 == 0 for i in range(shown(r))]}))
    verdicts = judge_of(server).judge(trials_of(world, 10))
    assert [shown(r) for r in server.requests] == [4, 4, 2]
    assert [v.holds for v in verdicts] == [v.trial.truth for v in verdicts]
    told = server.requests[0]["messages"][0]["content"]
    assert "The feature is said to fire on: red" in told and "exactly 4 booleans" in told
    assert detection_score(verdicts).value == 1.0


def test_order_holds_with_many_jobs(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"answers": [True] * shown(r)}))
    trials = trials_of(world, 21)
    assert [v.trial for v in judge_of(server, batch=2, jobs=5).judge(trials)] == trials


@pytest.mark.parametrize("text", ["I cannot say", '{"answers": [true]}', '{"answers": ["maybe", true, true, false]}'])
def test_unreadable_is_unscored(world: World, server: ScriptedServer, text: str) -> None:
    good = json.dumps({"answers": [True, False, True, False]})
    server.script = lambda r, n: Reply(text if n else good)
    verdicts = judge_of(server).judge(trials_of(world, 8))
    assert [v.holds for v in verdicts] == [True, False, True, False, None, None, None, None]
    assert all(v.error for v in verdicts[4:])
    score = detection_score(verdicts)
    assert (score.value, score.tp, score.tn, score.fp, score.fn, score.unscored) == (1.0, 2, 2, 0, 0, 4)


def test_budget_is_no_verdict(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"answers": [True] * shown(r)}))
    with pytest.raises(BudgetReached):
        judge_of(server, max_calls=1).judge(trials_of(world, 8))


def test_one_label_a_call(world: World, server: ScriptedServer) -> None:
    with pytest.raises(UsageError):
        judge_of(server).judge([*trials_of(world, 1), *trials_of(world, 1, "blue")])
    assert judge_of(server).judge([]) == []


@pytest.mark.parametrize(("kind", "low", "high"), [("oracle", 1.0, 1.0), ("coin", 0.47, 0.53), ("yes", 0.5, 0.5)])
def test_control_judges(world: World, kind: str, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    answer = {"oracle": lambda t: t.truth, "coin": lambda t: bool(rng.random() < 0.5), "yes": lambda t: True}[kind]
    rare = [Trial("x", "", world.crop(0, (0, 0), 1.0), i % 5 == 0) for i in range(5000)]
    score = detection_score([Verdict(t, answer(t)) for t in rare])
    assert score.value is not None and low <= score.value <= high
    assert score.ci_low is not None and score.ci_high is not None and score.ci_low <= score.value <= score.ci_high
