from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.labeling.asking.chat import ChatClient
from autointerp.labeling.asking.templates import PromptFile, load_prompt
from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.labelers.feature_messages import VlmOptions
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.protocol import FeatureEvidence, Trial, Verdict

from ..clients import client_of, features_of
from ..conftest import ColorEmbedder, World
from ..openai_server import Reply, ScriptedServer, label_json


def client(server: ScriptedServer) -> ChatClient:
    return ChatClient("m", server.base_url, sleep=lambda seconds: None)


def test_clusters_are_named_by_themselves(world: World, server: ScriptedServer, embedder: ColorEmbedder) -> None:
    def on_white(wanted: str) -> list[tuple[int, tuple[int, int]]]:
        cells = world.where(lambda color, corner: color == wanted)
        return [cell for cell in cells if world.images[cell[0]][2]["ground"] == "white"][:9]

    red, blue = on_white("red"), on_white("blue")
    feature = world.feature(0, [cell for pair in zip(red, blue, strict=True) for cell in pair], n=18)

    def script(request: dict[str, Any], number: int) -> Reply:
        shown = [part for part in request["messages"][1]["content"] if part["type"] == "image_url"]
        data = base64.b64decode(shown[0]["image_url"]["url"].split(",")[1])
        picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)
        bright = picture[picture.max(2) > 150].mean(0) if (picture.max(2) > 150).any() else picture.mean((0, 1))
        return Reply(label_json("red patch" if bright[0] > bright[2] else "blue patch"))

    server.script = script
    options = VlmOptions(clusters=3, context=False)
    labeler = VlmLabeler(client(server), options, vectors=WindowEmbedder(embedder, (3.0,)))
    (result,) = labeler.label([feature])
    assert len(server.requests) == 2
    assert result.status == "ok"
    assert set(result.name.split("; ")) == {"red patch", "blue patch"}
    assert result.explanation == f"Polysemantic: {result.name.split('; ')[0]} (50% of the crops); " + (
        f"{result.name.split('; ')[1]} (50% of the crops)."
    )
    whole = VlmLabeler(client(server), VlmOptions(context=False))
    assert next(iter(whole.label([feature]))).name == "red patch"


class Knowing:
    """A judge that says yes to one name's right marks, and at random to any other's."""

    kind, model, base_url, prompt_hash = "judge", "knowing", "", ""
    config: dict[str, Any] = {}

    def __init__(self, right: str) -> None:
        self.right = right
        self.trials: list[Trial] = []

    def judge(self, trials: Sequence[Trial]) -> list[Verdict]:
        self.trials += trials
        return [Verdict(t, t.truth if t.name == self.right else n % 2 == 0) for n, t in enumerate(trials)]


def test_the_candidate_that_tells_where_it_fires_is_kept(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.where(lambda color, corner: color == "red"), n=16)
    names = ["thing", "red patch", "Thing", "top"]
    server.script = lambda request, number: Reply(label_json(names[number]))
    judge = Knowing("red patch")
    options = VlmOptions(candidates=4)
    (result,) = VlmLabeler(client(server), options, judge=judge).label([feature])  # type: ignore[arg-type]
    assert result.name == "red patch"
    assert len(server.requests) == 4
    assert {t.name for t in judge.trials} == {"thing", "red patch", "top"}
    seen = {crop.crop_id for crop in feature.crops}
    assert all(t.crop is not None and t.crop.crop_id in seen for t in judge.trials)
    assert len({str(r["messages"][1]["content"]) for r in server.requests}) == 4


def test_one_name_needs_no_judge_and_a_failed_candidate_is_left_out(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.anywhere(16, seed=1))
    server.script = lambda request, number: Reply("no JSON" if number < 2 else label_json("red"))
    judge = Knowing("red")
    options = VlmOptions(candidates=3)
    (result,) = VlmLabeler(client(server), options, judge=judge).label([feature])  # type: ignore[arg-type]
    assert (result.name, judge.trials) == ("red", [])


def test_what_is_missing_is_said_before_the_first_call(server: ScriptedServer) -> None:
    with pytest.raises(UsageError, match="judge"):
        VlmLabeler(client(server), VlmOptions(candidates=2))
    with pytest.raises(UsageError, match="embedder"):
        VlmLabeler(client(server), VlmOptions(clusters=2))


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize(
    "text",
    [
        "```json\n" + label_json() + "\n```",
        "<think>{maybe}</think> Here you are: " + label_json() + " Anything else?",
        '{"note": 1} ' + label_json(),
    ],
)
def test_json_is_found_in_text(world: World, server: ScriptedServer, text: str) -> None:
    server.script = lambda request, number: Reply(text)
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.name == "red things"
    assert len(server.requests) == 1


def test_refusal_and_empty_name_have_failed(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply("", refusal="I will not") if number == 0 else Reply(label_json(""))
    results = list(VlmLabeler(client_of(server), jobs=1).label(features_of(world, 2)))
    assert [r.status for r in results] == ["failed", "failed"]
    assert "I will not" in results[0].error


def test_uninterpretable_is_a_result(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json("x", interpretable=False))
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert (result.status, result.name, result.error) == ("uninterpretable", "", "")


def test_reply_is_cleaned(world: World, server: ScriptedServer) -> None:
    server.script = lambda request, number: Reply(label_json("red\u202e\x07  things\n" + "x" * 300))
    (result,) = VlmLabeler(client_of(server)).label(features_of(world, 1))
    assert result.name.startswith("red things x")
    assert len(result.name) <= 120


def test_jobs_run_at_once(world: World, server: ScriptedServer) -> None:
    def script(request: dict[str, Any], number: int) -> Reply:
        time.sleep(0.1)
        return Reply(label_json())

    server.script = script
    results = list(VlmLabeler(client_of(server), VlmOptions(crops=1), jobs=6).label(features_of(world, 12)))
    assert len(results) == 12
    assert 4 <= server.most_running <= 6
    assert {r.feature_id for r in results} == set(range(12))


def test_no_crops_costs_nothing(server: ScriptedServer) -> None:
    (result,) = VlmLabeler(client_of(server)).label([FeatureEvidence("t:0", 0, 0.0, ())])
    assert result.status == "uninterpretable"
    assert not server.requests


def test_prompt_files_are_versioned_and_overridable(server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "label.md.j2").write_text("Name it. {{ notes }}")
    own, shipped = load_prompt("label.md.j2", tmp_path), load_prompt("label.md.j2")
    assert own.hash != shipped.hash
    assert load_prompt("repair.md.j2", tmp_path) == load_prompt("repair.md.j2")
    hashes = {VlmLabeler(client_of(server), prompt=p).prompt_hash for p in (own, shipped)}
    assert len(hashes) == 2
    with pytest.raises(AutointerpError, match="cannot be filled"):
        PromptFile("x", "{{ missing }}").render()
    assert PromptFile("x", "{{ text }}").render(text="{{ 1 + 1 }}") == "{{ 1 + 1 }}"
