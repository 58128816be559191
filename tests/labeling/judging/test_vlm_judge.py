from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.protocol import BudgetReached
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.intervals import balanced_score
from autointerp.labeling.judging.intruder import INTRUDER
from autointerp.labeling.judging.shabalin import RATING
from autointerp.labeling.judging.vlm_judge import JudgeOptions, VlmJudge
from autointerp.labeling.protocol import Trial

from ..conftest import World
from ..openai_server import Reply, ScriptedServer


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
    assert "The feature is said to fire on: red" in told
    assert "exactly 4 booleans" in told
    assert balanced_score(verdicts, "detection").value == 1.0


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
    score = balanced_score(verdicts, "detection")
    assert (score.value, score.tp, score.tn, score.fp, score.fn, score.unscored) == (1.0, 2, 2, 0, 0, 4)


def test_budget_is_no_verdict(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"answers": [True] * shown(r)}))
    with pytest.raises(BudgetReached):
        judge_of(server, max_calls=1).judge(trials_of(world, 8))


def test_one_label_a_call(world: World, server: ScriptedServer) -> None:
    with pytest.raises(UsageError):
        judge_of(server).judge([*trials_of(world, 1), *trials_of(world, 1, "blue")])
    assert judge_of(server).judge([]) == []


def test_judges_of_two_questions_are_not_the_same(server: ScriptedServer) -> None:
    client = ChatClient("m", server.base_url, "NO_KEY")
    judges = [VlmJudge(client, question=q) for q in (DETECTION, FUZZING, INTRUDER, RATING)]
    assert len({(j.prompt_hash, json.dumps(j.config)) for j in judges}) == 4


def test_many_labels_at_once_share_the_jobs(world: World, server: ScriptedServer) -> None:
    """However many labels are judged at a time, no more requests run at once than there are jobs."""
    running, most, lock = 0, 0, threading.Lock()

    def answer(request: dict[str, Any], number: int) -> Reply:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return Reply(json.dumps({"answers": [True] * shown(request)}))

    server.script = answer
    judge = judge_of(server, batch=2, jobs=3)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(judge.judge, [trials_of(world, 6, name) for name in "abcdef"]))
    assert most == 3
    assert [v[0].trial.name for v in found] == list("abcdef")
