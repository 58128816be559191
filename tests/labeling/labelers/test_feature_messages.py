from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from autointerp.labeling.asking.chat import ChatClient
from autointerp.labeling.asking.ledger import MemoryLedger
from autointerp.labeling.asking.templates import load_prompt
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.vlm_judge import JudgeOptions, VlmJudge
from autointerp.labeling.labelers.feature_messages import FeatureMessages, VlmOptions, spread
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.protocol import FeatureEvidence, Trial

from ..clients import MODEL, client_of, features_of
from ..conftest import World
from ..openai_server import Reply, ScriptedServer, label_json


def client(server: ScriptedServer) -> ChatClient:
    return ChatClient("m", server.base_url, sleep=lambda seconds: None)


def test_a_sheet_is_one_picture_with_every_view(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.anywhere(6, seed=1))
    list(VlmLabeler(client(server), VlmOptions(sheet=True, image_format="png")).label([feature]))
    content = server.requests[0]["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"]
    assert "tiles" in content[0]["text"]
    data = base64.b64decode(content[1]["image_url"]["url"].split(",")[1])
    assert min(Image.open(io.BytesIO(data)).size) > 2 * 192
    trials = [Trial("red", "", crop, True) for crop in feature.crops]
    server.script = lambda request, number: Reply('{"answers": [true, true, true, true, true, true]}')
    judge = VlmJudge(client(server), JudgeOptions(sheet=True), question=FUZZING)
    assert [v.holds for v in judge.judge(trials)] == [True] * 6
    assert len(server.images(-1)) == 1


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_asks_once_a_feature_with_its_marked_crops(world: World, server: ScriptedServer) -> None:
    ledger = MemoryLedger()
    labeler = VlmLabeler(client_of(server, ledger), VlmOptions(crops=4), jobs=1)
    (result,) = labeler.label(features_of(world, 1))
    assert (result.status, result.name, result.confidence) == ("ok", "red things", 0.9)
    (request,) = server.requests
    assert request["model"] == MODEL
    assert request["temperature"] == 0
    form = request["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    wanted = {"name", "explanation", "interpretable", "confidence", "parts"}
    assert set(form["json_schema"]["schema"]["required"]) == wanted
    uris = server.images(0)
    assert len(uris) == 8
    assert all(u.startswith("data:image/jpeg;base64,") for u in uris)
    whole, marked = (Image.open(io.BytesIO(base64.b64decode(u.split(",")[1]))) for u in uris[:2])
    assert whole.size == marked.size == (256, 256)
    assert whole.tobytes() != marked.tobytes()
    assert "marked" in request["messages"][0]["content"]
    (call,) = ledger.calls
    assert (call.input_tokens, call.output_tokens) == (1000, 50)
    assert call.answer == label_json()
    assert call.cost == pytest.approx(1000 * 0.15e-6 + 50 * 0.6e-6)
    assert call.latency_ms > 0


def test_png_and_negatives_on_wish(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.anywhere(3, seed=1))
    negative = world.crop(9, (0, 0), 0.0)
    negative = negative.__class__(**{**negative.__dict__, "cell": None, "role": "negative"})
    feature = FeatureEvidence(feature.feature, 0, 0.1, feature.crops, (negative,))
    list(VlmLabeler(client_of(server), VlmOptions(image_format="png")).label([feature]))
    assert len(server.images(0)) == 3 * 2 + 1
    assert server.images(0)[0].startswith("data:image/png;")
    assert "does not fire" in server.requests[0]["messages"][0]["content"]


def test_spread_takes_the_whole_range(world: World) -> None:
    crops = [world.crop(0, (0, 0), float(a)) for a in range(20, 0, -1)]
    chosen = [c.activation for c in spread(crops, 5)]
    assert chosen[0] == 20
    assert chosen[-1] == 1
    assert chosen == sorted(chosen, reverse=True)
    assert len(set(chosen)) == 5
    assert spread(crops, 30) == crops
    assert spread(crops, 1) == crops[:1]


@pytest.mark.parametrize("evidence", ["cells", "maps"])
def test_the_sample_of_active_cells_is_shown_in_place_of_peaks(world: World, evidence: Any) -> None:
    feature = world.feature(0, world.anywhere(6, seed=1))
    drawn = [replace(crop, role="active", active_above=0.2) for crop in feature.crops[::-1][:4]]
    sampled = replace(feature, cells=tuple(drawn))
    prompt = load_prompt("label.md.j2")
    peaks = FeatureMessages(VlmOptions(), prompt)
    assert peaks.of(peaks.evidence_of(sampled)) == peaks.of(feature)
    messages = FeatureMessages(VlmOptions(evidence=evidence, context=False), prompt)
    shown = messages.evidence_of(sampled)
    assert [c.activation for c in shown.crops] == sorted((c.activation for c in drawn), reverse=True)
    told, content = messages.of(shown)
    assert sum(part["type"] == "image_url" for part in content["content"]) == 4
    assert ("all the places marked" in told["content"]) is (evidence == "maps")
    # A harvest without a sample leaves the crops, and the prompt says what is marked in them.
    told, content = messages.of(messages.evidence_of(feature))
    assert sum(part["type"] == "image_url" for part in content["content"]) == 6
    assert "the place marked where the feature fires most" in told["content"]


def test_who_shows_peaks_is_the_labeler_that_it_was() -> None:
    assert "evidence" not in VlmOptions().config
    assert VlmOptions(evidence="maps").config["evidence"] == "maps"
    assert VlmLabeler(ChatClient("m", "http://localhost:1"), VlmOptions(crops=7)).cells == 0
    assert VlmLabeler(ChatClient("m", "http://localhost:1"), VlmOptions(crops=7, evidence="cells")).cells == 7
