"""The detector of phrases: a tiny model of the real class, and answers of known scores."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autointerp.labeling.segments import detector as module
from autointerp.labeling.segments.detector import PhraseDetector

from . import tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_detector(tmp_path_factory.mktemp("models") / "dino")


@pytest.fixture
def detector(folder: Path) -> PhraseDetector:
    return PhraseDetector.load(str(folder), 0.01)


def test_a_model_of_the_real_class_finds_boxes_in_the_picture(detector: PhraseDetector, folder: Path) -> None:
    found = detector.detect(PICTURE, ["red circle", "star"])
    assert {one.phrase for one in found} == {"red circle", "star"}
    for one in found:
        left, top, right, bottom = one.box
        assert 0 <= left <= right <= 64
        assert 0 <= top <= bottom <= 48
        assert 0.01 <= one.confidence <= 1
    assert [one.confidence for one in found] == sorted((one.confidence for one in found), reverse=True)
    assert detector.name.startswith(f"{folder}@")
    assert detector.detect(PICTURE, []) == []


def answering(
    detector: PhraseDetector, monkeypatch: pytest.MonkeyPatch, sure: dict[int, dict[int, float]]
) -> list[Any]:
    """Let the model answer with (query -> token -> probability); the queries' boxes are thin columns."""
    asked: list[Any] = []

    class Answers(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, **given: Any) -> Any:
            asked.append(given)
            logits = torch.full((1, 4, 256), -torch.inf)
            for query, tokens in sure.items():
                for token, share in tokens.items():
                    logits[0, query, token] = torch.logit(torch.tensor(share))
            boxes = torch.tensor([[[0.125 + 0.25 * q, 0.5, 0.25, 1.0] for q in range(4)]])
            return SimpleNamespace(logits=logits, pred_boxes=boxes)

    monkeypatch.setattr(detector, "_model", Answers())
    return asked


def test_a_box_gets_the_phrases_whose_tokens_are_sure(
    detector: PhraseDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[CLS] red . red circle . star . [SEP]: tokens 1, 3 and 4, 6. Phrases that share a word keep their own boxes."""
    detector.least = 0.3
    asked = answering(detector, monkeypatch, {0: {1: 0.9}, 1: {3: 0.8, 4: 0.6}, 2: {3: 0.4}, 3: {6: 0.2, 2: 0.99}})
    found = detector.detect(PICTURE, ["red", "red circle", "star"])
    assert [(one.phrase, one.box[0]) for one in found] == [("red", 0.0), ("red circle", 16.0)]
    np.testing.assert_allclose([one.confidence for one in found], [0.9, 0.7], atol=1e-3)
    assert found[0].box == (0.0, 0.0, 16.0, 48.0)
    assert asked[0]["input_ids"][0].tolist()[:5] == [101, 1030, 1012, 1030, 1032]


def test_phrases_that_do_not_fit_one_text_are_asked_in_several(
    detector: PhraseDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(detector, monkeypatch, {})
    monkeypatch.setattr(module, "_TOKENS", 8)
    detector.detect(PICTURE, ["red circle", "star", "blue star", "red circle"])
    texts = [one["input_ids"].shape[1] for one in asked]
    assert len(texts) == 2, "red circle. star. | blue star."
    assert max(texts) <= 8
