from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.labeling.chat import BudgetReached, ChatClient, ChatOptions, MemoryLedger
from autointerp.labeling.judge import EmbedderJudge, JudgeOptions, VlmJudge
from autointerp.labeling.methods import text_for_embedding
from autointerp.labeling.protocol import Trial
from autointerp.labeling.questions import DETECTION, FUZZING, INTRUDER, RATING
from autointerp.labeling.scores import balanced_score
from autointerp.labeling.windows import WindowEmbedder

from .conftest import ColorEmbedder, World
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


def test_a_mark_and_nothing_of_the_truth_is_shown(world: World, server: ScriptedServer) -> None:
    """Requests of a right and of a wrong mark differ in the pictures alone."""
    server.script = lambda r, n: Reply(json.dumps({"answers": [True] * shown(r)}))
    crop = world.crop(0, (2, 2), 1.0)
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(), lambda s: None)
    judge = VlmJudge(client, question=FUZZING)
    other = Trial("red", "", world.crop(0, (6, 6), 1.0), False, "displaced")
    for trial in (Trial("red", "", crop, True, "firing"), other):
        judge.judge([trial])
    one, two = (json.dumps(r["messages"]).split("base64,") for r in server.requests)
    assert "marked place" in one[0] and one[0] == two[0] and len(one) == len(two) == 2
    # Pictures without a mark would be the same.
    assert one[1] != two[1]


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
    assert [v.holds for v in verdicts[4:8]] == [None] * 4 and "image 9 of 4" in verdicts[4].error
    assert [v.holds for v in verdicts[8:]] == [False, True, True, True]


def test_ratings_are_numbers(world: World, server: ScriptedServer) -> None:
    server.script = lambda r, n: Reply(json.dumps({"ratings": [0.9, 0.2] if n == 0 else [0.9, 7]}))
    client = ChatClient("m", server.base_url, "NO_KEY", MemoryLedger(), ChatOptions(), lambda s: None)
    judge = VlmJudge(client, JudgeOptions(batch=2), 1, RATING)
    verdicts = judge.judge(trials_of(world, 4))
    assert [(v.holds, v.value) for v in verdicts] == [(True, 0.9), (False, 0.2), (None, None), (None, None)]


def test_judges_of_two_questions_are_not_the_same(server: ScriptedServer) -> None:
    client = ChatClient("m", server.base_url, "NO_KEY")
    judges = [VlmJudge(client, question=q) for q in (DETECTION, FUZZING, INTRUDER, RATING)]
    assert len({(j.prompt_hash, json.dumps(j.config)) for j in judges}) == 4


def test_the_embedder_measures_words_against_crops(world: World) -> None:
    embedder = ColorEmbedder()
    judge = EmbedderJudge(embedder, WindowEmbedder(embedder, (3.0,)))
    red = world.where(lambda color, corner: color == "red")[:2]
    blue = world.where(lambda color, corner: color == "blue")[:2]
    trials = [Trial("red, top left", "", world.crop(*cell, 1.0), True) for cell in (*red, *blue)]
    values = [v.value or 0 for v in judge.judge(trials)]
    assert min(values[:2]) > max(values[2:]) + 0.3 and judge.judge([]) == []


def test_place_is_left_out_of_what_is_embedded() -> None:
    assert text_for_embedding("red circle, top left") == "red circle"
    assert text_for_embedding("top left") == "top left"
    assert text_for_embedding("red, round") == "red round"


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
    assert most == 3 and [v[0].trial.name for v in found] == list("abcdef")
