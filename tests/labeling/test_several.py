"""Candidates are ranked by what tells where a feature fires, clusters are named apart, a sheet is one picture."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.labeling.chat import ChatClient
from autointerp.labeling.clusters import clusters, silhouette
from autointerp.labeling.judge import JudgeOptions, VlmJudge
from autointerp.labeling.protocol import LabelResult, Trial, Verdict
from autointerp.labeling.questions import FUZZING
from autointerp.labeling.vlm import VlmLabeler, VlmOptions, together
from autointerp.labeling.windows import WindowEmbedder

from .conftest import ColorEmbedder, World
from .openai_server import Reply, ScriptedServer, label_json


def client(server: ScriptedServer) -> ChatClient:
    return ChatClient("m", server.base_url, sleep=lambda seconds: None)


def spots(count: int, centers: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    of = rng.integers(centers, size=count)
    vectors = np.eye(24, dtype=np.float32)[of] + 0.1 * rng.normal(size=(count, 24)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), of


def test_as_many_clusters_as_there_are_and_each_whole() -> None:
    for centers in (2, 3):
        vectors, of = spots(30, centers)
        found = clusters(vectors, 4)
        assert sorted(sum(found, [])) == list(range(30)) and len(found) == centers
        assert all(len(set(of[group])) == 1 for group in found)
        assert [len(group) for group in found] == sorted((len(group) for group in found), reverse=True)
    assert clusters(vectors, 4) == clusters(vectors, 4)
    assert len(clusters(spots(30, 3)[0], 2)) <= 2


def test_what_is_alike_is_not_parted() -> None:
    rng = np.random.default_rng(0)
    noise = np.ones((30, 24), np.float32) + 0.1 * rng.normal(size=(30, 24)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert clusters(noise, 4) == [list(range(30))]
    assert clusters(noise[:2], 4) == [[0, 1]]


def test_silhouette_is_that_of_its_definition() -> None:
    vectors, of = spots(9, 3)
    vectors, of = np.vstack([vectors, vectors[:1] * -1]), np.append(of, 7)
    distance = 1 - vectors @ vectors.T
    expected = []
    for i in range(len(of)):
        same = [distance[i, j] for j in range(len(of)) if of[j] == of[i] and j != i]
        if not same:
            expected.append(0.0)
            continue
        near = np.mean(same)
        other = min(np.mean(distance[i, of == c]) for c in set(of) - {of[i]})
        expected.append((other - near) / max(other, near))
    assert silhouette(vectors, of) == pytest.approx(np.mean(expected), abs=1e-6)
    assert silhouette(vectors, np.zeros(10, int)) == 0.0


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
    assert len(server.requests) == 2 and result.status == "ok"
    assert set(result.name.split("; ")) == {"red patch", "blue patch"}
    assert result.explanation == f"Polysemantic: {result.name.split('; ')[0]} (50% of the crops); " + (
        f"{result.name.split('; ')[1]} (50% of the crops)."
    )
    whole = VlmLabeler(client(server), VlmOptions(context=False))
    assert next(iter(whole.label([feature]))).name == "red patch"


def test_clusters_named_alike_are_one_meaning_and_a_failed_one_fails() -> None:
    def named(name: str, status: Any = "ok") -> LabelResult:
        return LabelResult(3, status, name, f"Fires on {name}.", 0.5)

    one = together([named("Red"), named("red")], [5, 5])
    assert (one.name, one.explanation) == ("Red", "Fires on Red.")
    assert together([named("", "uninterpretable"), named("red")], [5, 5]).name == "red"
    assert together([named("", "uninterpretable")] * 2, [5, 5]).status == "uninterpretable"
    assert together([named("red"), LabelResult(3, "failed", error="x")], [5, 5]).status == "failed"
    several = together([named("red"), named("blue"), named("red")], [2, 4, 2])
    assert several.name == "blue; red" and "red (50% of the crops)" in several.explanation


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
    assert result.name == "red patch" and len(server.requests) == 4
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


def test_a_sheet_is_one_picture_with_every_view(world: World, server: ScriptedServer) -> None:
    feature = world.feature(0, world.anywhere(6, seed=1))
    list(VlmLabeler(client(server), VlmOptions(sheet=True, image_format="png")).label([feature]))
    content = server.requests[0]["messages"][1]["content"]
    assert [part["type"] for part in content] == ["text", "image_url"] and "tiles" in content[0]["text"]
    data = base64.b64decode(content[1]["image_url"]["url"].split(",")[1])
    assert min(Image.open(io.BytesIO(data)).size) > 2 * 192
    trials = [Trial("red", "", crop, True) for crop in feature.crops]
    server.script = lambda request, number: Reply('{"answers": [true, true, true, true, true, true]}')
    judge = VlmJudge(client(server), JudgeOptions(sheet=True), question=FUZZING)
    assert [v.holds for v in judge.judge(trials)] == [True] * 6
    assert len(server.images(-1)) == 1
