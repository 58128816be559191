"""What holds for every labeler and every judge. A new row of a registry is a line in one of the tables here."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import astuple
from typing import Any

import numpy as np
import pytest

from autointerp.diffusion.word_maps import WordMaps
from autointerp.diffusion.words import Word
from autointerp.labeling import judging, labelers
from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.local import LocalChat
from autointerp.labeling.asking.local_vlm import Completion, LocalVlm
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.judging.embedder_judge import EmbedderJudge
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.vlm_judge import JudgeOptions, VlmJudge
from autointerp.labeling.labelers.clip import ClipLabeler
from autointerp.labeling.labelers.clip_options import ClipOptions
from autointerp.labeling.labelers.given import GivenLabel, GivenLabeler
from autointerp.labeling.labelers.grounded import GroundedLabeler
from autointerp.labeling.labelers.prompts import PromptsLabeler
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.labelers.words import WordsLabeler
from autointerp.labeling.protocol import FeatureEvidence, Judge, Labeler, LayerContext, Trial
from autointerp.project.labelers import labeler_key
from autointerp.shapes.reader import ReaderJudge
from autointerp.shapes.vlm import OPTIONS
from autointerp.worlds import Segment

from .conftest import CONTROL_JUDGES, ColorEmbedder, World
from .openai_server import Reply, ScriptedServer

HOSTILE = "red\u202e \x1b[31mthings\x00 <script>\u2028[red]"
"""What a prompt, a reply or a file may hold: direction and control marks, escapes, markup."""
FEATURES = [f"t:{index}" for index in (9, 40, 41, 42, 43, 44)]


def client_of(server: ScriptedServer) -> ChatClient:
    return ChatClient("m", server.base_url, "NO_KEY", options=ChatOptions())


class Answering(LocalVlm):
    """A model on this machine that answers in the form that it is asked for, as hostile as it can."""

    def __init__(self) -> None:
        self.name = "answering"

    def complete(self, requests: Any, max_new_tokens: int = 700) -> list[Completion]:
        found = []
        for messages in requests:
            shown = sum(part["type"] == "image_url" for part in messages[1]["content"])
            judged = "answers" in messages[0]["content"]
            reply = {"answers": [i % 2 == 0 for i in range(shown)]} if judged else {**json.loads(GOOD), "name": HOSTILE}
            found.append(Completion(json.dumps(reply), 10, 10, True))
        return found


class HostileMaps:
    """Word maps of one hostile word, which is attended to everywhere but in one cell."""

    name = "hostile"

    def of(self, image_ids: Collection[int]) -> dict[int, WordMaps]:
        heat = np.ones((1, 8, 8), np.float32)
        heat[0, 0, 0] = 0
        return {image: WordMaps((Word(HOSTILE, 0, 1),), heat) for image in image_ids}


class HostileSegments:
    """One hostile segment, the cell in which the test's features fire."""

    name = "hostile"

    def __init__(self) -> None:
        self.config: dict[str, Any] = {}

    def segments(self, picture: Any, phrases: Sequence[str], grid: tuple[int, int]) -> list[Segment]:
        return [Segment(HOSTILE, np.ones(grid, bool), 1.0)]


# For tests that judge or name on this machine a server is up, whether or not it is asked.
LABELERS: dict[str, Callable[[ScriptedServer], Labeler]] = {
    "clip": lambda server: ClipLabeler(ColorEmbedder(), ("red", "cat", HOSTILE), ClipOptions(max_background=150)),
    "prompts": lambda server: PromptsLabeler(),
    "vlm": lambda server: VlmLabeler(client_of(server)),
    "shapes-vlm": lambda server: VlmLabeler(LocalChat(Answering(), "shapes-vlm", batch=6), OPTIONS),
    "local-vlm": lambda server: VlmLabeler(LocalChat(Answering())),
    "words": lambda server: WordsLabeler(HostileMaps()),
    "grounded": lambda server: GroundedLabeler(HostileSegments()),
    "human": lambda server: GivenLabeler({name: GivenLabel("", name, HOSTILE, HOSTILE) for name in FEATURES}),
}
JUDGES: dict[str, Callable[[ScriptedServer], Judge]] = {
    **{name: lambda server, judge=judge: judge() for name, judge in CONTROL_JUDGES.items()},  # type: ignore[misc]
    "reader": lambda server: ReaderJudge(FUZZING),
    "vlm": lambda server: VlmJudge(client_of(server), JudgeOptions(batch=4)),
    "shapes-vlm": lambda server: VlmJudge(LocalChat(Answering(), "shapes-vlm", batch=6)),
    "local-vlm": lambda server: VlmJudge(LocalChat(Answering()), JudgeOptions(batch=2)),
    "embedder": lambda server: EmbedderJudge(ColorEmbedder(), WindowEmbedder(ColorEmbedder(), (3.0,))),
}


def test_every_row_of_the_registries_is_held_to_the_contract() -> None:
    """`embedder` judges are made by the score of that name, so that no command names them."""
    assert set(labelers.LABELERS) == set(LABELERS)
    assert set(judging.JUDGES) == set(JUDGES) - {"embedder"}
    assert set(judging.CONTROLS) == set(CONTROL_JUDGES)
    assert all(hasattr(kind.load(), "make_labeler") for kind in labelers.LABELERS.values())
    assert all(hasattr(kind.load(), "make_judge") for kind in judging.JUDGES.values())


@pytest.fixture(params=LABELERS)
def labeler(request: pytest.FixtureRequest, scripted: ScriptedServer) -> tuple[str, Callable[[], Labeler]]:
    return request.param, lambda: LABELERS[request.param](scripted)


@pytest.fixture(params=JUDGES)
def judge(request: pytest.FixtureRequest, scripted: ScriptedServer) -> tuple[str, Callable[[], Judge]]:
    return request.param, lambda: JUDGES[request.param](scripted)


@pytest.fixture
def scripted(server: ScriptedServer) -> ScriptedServer:
    """Names as hostile as they can be; every image with an even number fits."""

    def answer(request: dict[str, Any], number: int) -> Reply:
        if "answers" not in json.dumps(request["response_format"]):
            name = json.dumps({**json.loads(GOOD), "name": HOSTILE, "explanation": HOSTILE + "\n" * 3 + "x" * 5000})
            return Reply(name)
        shown = sum(part["type"] == "image_url" for part in request["messages"][1]["content"])
        return Reply(json.dumps({"answers": [i % 2 == 0 for i in range(shown)]}))

    server.script = answer
    return server


GOOD = json.dumps({"name": "red", "explanation": "", "interpretable": True, "confidence": 0.9, "parts": []})


def features(world: World) -> list[FeatureEvidence]:
    found = [world.feature(i + 40, world.anywhere(1 + i, seed=i)) for i in range(5)]
    # One has no crops at all.
    return [*found, FeatureEvidence("t:9", 9, 0.0, ())]


def context(world: World) -> LayerContext:
    seen = world.context(100)
    return LayerContext(seen.crops, (*seen.prompts, HOSTILE))


def test_every_feature_gets_one_result(labeler: Any, world: World) -> None:
    _, make = labeler
    named = make()
    named.prepare(context(world))
    results = list(named.label(features(world)))
    assert sorted(r.feature_id for r in results) == [9, 40, 41, 42, 43, 44]
    for result in results:
        assert result.status in ("ok", "uninterpretable", "failed")
        assert bool(result.name) == (result.status == "ok")
        assert 0 <= result.confidence <= 1
        assert bool(result.error) == (result.status == "failed")
        assert len(result.name) <= 120
        assert len(result.explanation) <= 600
        assert len(result.error) <= 400
        for text in (result.name, result.explanation, result.error):
            assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")]
    assert list(named.label([])) == []


def test_the_same_evidence_gives_the_same_results(labeler: Any, world: World) -> None:
    _, make = labeler
    found = []
    for order in (1, -1):
        named = make()
        named.prepare(context(world))
        # Asked one by one, in either order.
        one_by_one = [result for one in features(world)[::order] for result in named.label([one])]
        found.append(sorted(one_by_one, key=lambda result: result.feature_id))
    assert found[0] == found[1]


def test_a_labelers_identity(labeler: Any) -> None:
    kind, make = labeler
    one, two = make(), make()
    assert one.kind == kind
    check_identity(one, two)


def check_identity(one: Any, two: Any) -> None:
    """All five columns of the table are there, and are the same for the same."""
    key = labeler_key(one)
    assert all(isinstance(value, str) for value in astuple(key))
    assert key == labeler_key(two)
    assert key.kind
    assert len(key.kind) <= 32
    assert len(key.config_hash) == 64
    assert isinstance(json.loads(json.dumps(one.config)), dict)
    assert one.config == two.config


def trials(world: World) -> list[Trial]:
    return [
        Trial("red", "Fires on red.", world.crop(i, (2, 2), 1.0), i % 3 == 0, "firing", latent=7) for i in range(10)
    ]


def test_every_trial_gets_one_verdict_in_order(judge: Any, world: World) -> None:
    _, make = judge
    asked = trials(world)
    verdicts = make().judge(asked)
    assert [verdict.trial for verdict in verdicts] == asked
    for verdict in verdicts:
        assert verdict.scored
        assert not verdict.error
        assert verdict.holds in (None, True, False)
        assert verdict.value is None or -1.01 <= verdict.value <= 1.01
    assert make().judge([]) == []
    # The same trials are answered alike, by the same judge and by another of the kind.
    again = make()
    for _ in range(2):
        assert [(v.holds, v.value) for v in again.judge(asked)] == [(v.holds, v.value) for v in verdicts]


def test_what_a_judge_says_does_not_follow_the_truth(judge: Any, world: World) -> None:
    """But for the oracle, which is told it."""
    name, make = judge
    asked = trials(world)
    other = [Trial(t.name, t.explanation, t.crop, not t.truth, t.kind, latent=t.latent) for t in asked]
    said, told = ([(v.holds, v.value) for v in make().judge(some)] for some in (asked, other))
    assert (said == told) == (name != "oracle")


def test_a_judges_identity(judge: Any) -> None:
    _, make = judge
    check_identity(make(), make())


def test_judges_are_told_apart(scripted: ScriptedServer) -> None:
    keys = [labeler_key(make(scripted)) for make in JUDGES.values()]
    assert len(set(keys)) == len(keys)
