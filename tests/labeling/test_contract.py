"""What holds for every labeler: one answer a feature, and an identity that fits into a database row."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from autointerp.labeling.chat import ChatClient, ChatOptions
from autointerp.labeling.clip import ClipLabeler, ClipOptions
from autointerp.labeling.prompts import PromptsLabeler
from autointerp.labeling.protocol import FeatureEvidence, Labeler
from autointerp.labeling.vlm import VlmLabeler

from .conftest import ColorEmbedder, World
from .openai_server import ScriptedServer

KINDS: dict[str, Callable[[ScriptedServer], Labeler]] = {
    "clip": lambda server: ClipLabeler(ColorEmbedder(), ("red", "cat"), ClipOptions(max_background=150)),
    "prompts": lambda server: PromptsLabeler(),
    "vlm": lambda server: VlmLabeler(ChatClient("m", server.base_url, "NO_KEY", options=ChatOptions())),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_feature_gets_one_answer(kind: str, world: World, server: ScriptedServer) -> None:
    labeler = KINDS[kind](server)
    labeler.prepare(world.context(100))
    features = [world.feature(i + 40, world.anywhere(1 + i, seed=i)) for i in range(5)]
    features.append(FeatureEvidence("t:9", 9, 0.0, ()))
    results = list(labeler.label(features))
    assert sorted(r.feature_id for r in results) == [9, 40, 41, 42, 43, 44]
    for result in results:
        assert result.status in ("ok", "uninterpretable", "failed")
        assert bool(result.name) == (result.status == "ok") and 0 <= result.confidence <= 1
        assert bool(result.error) == (result.status == "failed") and "\n" not in result.explanation + result.name
    assert list(labeler.label([])) == []


def test_identity(kind: str, server: ScriptedServer) -> None:
    one, two = KINDS[kind](server), KINDS[kind](server)
    assert one.kind == kind and json.loads(json.dumps(one.config)) and one.config == two.config
    assert (one.model, one.base_url, one.prompt_hash) == (two.model, two.base_url, two.prompt_hash)
