"""The weights of shapes-vlm that are shipped: they name what is shown and judge by it, here and behind a server.

`transformers serve` is the peer that a client of OpenAI's protocol has on this machine: it knows nothing of us.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autointerp.labeling.asking.chat import ChatClient, ChatOptions
from autointerp.labeling.asking.local import LocalChat
from autointerp.labeling.asking.local_vlm import LocalVlm
from autointerp.labeling.asking.messages import text_part
from autointerp.labeling.asking.protocol import AskFailed
from autointerp.labeling.judging.detection import DETECTION
from autointerp.labeling.judging.fuzzing import FUZZING
from autointerp.labeling.judging.vlm_judge import VlmJudge
from autointerp.labeling.labelers.vlm import VlmLabeler
from autointerp.labeling.protocol import FeatureEvidence, Trial
from autointerp.shapes.truth import names_truth
from autointerp.shapes.vlm import FOLDER, JUDGING, OPTIONS, load_shapes_vlm
from training.shapes.vlm_pool import Pool, rendered_pool
from training.shapes.vlm_questions import Questions
from training.shapes.vlm_requests import evidence

CONCEPTS = ("red", "striped", "circle", "star", "blue circle", "green striped", "dotted square", "yellow solid")


@pytest.fixture(scope="module")
def vlm() -> LocalVlm:
    return load_shapes_vlm()


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Renders of captions that no trainer saw."""
    return rendered_pool(400, seed=3, held_out=True)


@pytest.fixture(scope="module")
def features(pool: Pool) -> list[FeatureEvidence]:
    """One that fires on each of `CONCEPTS`, with 20 crops, as far as there are so many."""
    found = []
    for number, name in enumerate(CONCEPTS):
        rng = np.random.default_rng((9, number))
        question = next(q for count in (20, 12, 8) if (q := Questions(pool).label(rng, count, 3, name)))
        crops = [replace(evidence(pool, shown), crop_id=n) for n, shown in enumerate(question.crops, 1)]
        negatives = [evidence(pool, shown) for shown in question.negatives]
        found.append(FeatureEvidence(f"x:{number}", number, 0.01, tuple(crops), tuple(negatives)))
    return found


def trials(pool: Pool, marked: bool) -> list[list[Trial]]:
    """Of each concept eight pictures, with what is true of them."""
    found = []
    for number, name in enumerate(CONCEPTS):
        question = Questions(pool).judge(np.random.default_rng((10, number)), 8, marked, name)
        assert question is not None
        shown = zip(question.shown, question.answers, strict=True)
        found.append([Trial(name, "", evidence(pool, s), answer, latent=number) for s, answer in shown])
    return found


def test_features_get_their_names(vlm: LocalVlm, pool: Pool, features: list[FeatureEvidence]) -> None:
    concepts = {concept.name: concept for concept in pool.concepts}
    done = VlmLabeler(LocalChat(vlm, "shapes-vlm", batch=4), OPTIONS).label(features)
    named = sorted(done, key=lambda result: result.feature_id)
    assert [result.status for result in named] == ["ok"] * len(CONCEPTS)
    right = [names_truth(result.name, concepts[name]) for result, name in zip(named, CONCEPTS, strict=True)]
    assert sum(right) >= 6, [result.name for result in named]
    others = [names_truth(result.name, concepts[CONCEPTS[i - 3]]) for i, result in enumerate(named)]
    assert sum(others) == 0
    assert all(0 <= result.confidence <= 1 and result.explanation.startswith("Fires on") for result in named)


@pytest.mark.parametrize(("marked", "least"), [(False, 0.85), (True, 0.85)])
def test_pictures_and_marks_are_judged_by_what_they_show(vlm: LocalVlm, pool: Pool, marked: bool, least: float) -> None:
    """Half of what does not fit nearly does."""
    judge = VlmJudge(LocalChat(vlm, "shapes-vlm", batch=32), JUDGING, 32, FUZZING if marked else DETECTION)
    verdicts = [verdict for some in trials(pool, marked) for verdict in judge.judge(some)]
    assert all(verdict.holds is not None for verdict in verdicts)
    truth, said = (np.array(x, bool) for x in zip(*((v.trial.truth, v.holds) for v in verdicts), strict=True))
    assert (said[truth].mean() + (~said[~truth]).mean()) / 2 > least


def test_weights_are_small_and_read_by_anyone() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10e6
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in FOLDER.iterdir())


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `transformers serve` that answers with shapes-vlm."""
    home = tmp_path_factory.mktemp("served")
    # Without this folder it cannot list its models.
    (home / "hub").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(FOLDER)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with (home / "log").open("w+b") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(480):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(0.25)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            server.wait(30)


def client_of(served: str, attempts: int = 6) -> ChatClient:
    return ChatClient(str(FOLDER), served, "NO_KEY", options=ChatOptions(max_tokens=256, attempts=attempts))


def test_a_server_of_it_names_and_judges_alike(
    served: str, vlm: LocalVlm, pool: Pool, features: list[FeatureEvidence]
) -> None:
    asked = features[:3]
    here = list(VlmLabeler(LocalChat(vlm, "shapes-vlm", batch=1), OPTIONS, 1).label(asked))
    sent = replace(OPTIONS, image_format="png")  # No pixel is lost on the way.
    there = list(VlmLabeler(client_of(served), sent, 2).label(asked))
    by_id = {result.feature_id: result for result in there}
    for result in here:
        other = by_id[result.feature_id]
        assert (other.status, other.name, other.explanation) == (result.status, result.name, result.explanation)
    some = trials(pool, True)[0]
    local, remote = LocalChat(vlm, "shapes-vlm", batch=1), client_of(served)
    ours = VlmJudge(local, JUDGING, 1, FUZZING).judge(some)
    theirs = VlmJudge(remote, replace(JUDGING, image_format="png"), 1, FUZZING).judge(some)
    assert [verdict.holds for verdict in ours] == [verdict.holds for verdict in theirs]
    assert local.calls == len(some)


def test_a_server_that_breaks_over_an_image_fails_that_request_alone(served: str, vlm: LocalVlm, pool: Pool) -> None:
    client = client_of(served, attempts=2)
    broken = [text_part("Image 1:"), {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    with pytest.raises(AskFailed, match="Internal Server Error"):
        client.ask([{"role": "user", "content": broken}], {}, "t")
    judge = VlmJudge(LocalChat(vlm, "shapes-vlm"), replace(JUDGING, image_format="png"), 1, DETECTION)
    asked = judge.messages(trials(pool, False)[0][:1])
    (here,) = vlm.answer([asked], max_new_tokens=256)
    assert client.ask(asked, {}, "t") == here
