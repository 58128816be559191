"""Features of marked views, kept to be trained on."""

from __future__ import annotations

import numpy as np
import torch

from training.shapes.vlm_features import (
    ELSEWHERE,
    KEPT,
    ON_OBJECTS,
)
from training.shapes.vlm_questions import (
    LabelQuestion,
    Shown,
)


def test_features_that_are_kept_are_those_of_the_eyes(trainer, pool):
    rng, kept = np.random.default_rng(8), trainer._features
    assert len(kept.marks) == trainer._markable.sum() <= len(pool) * (ON_OBJECTS + ELSEWHERE)
    picture, row, col = kept.cells[5].tolist()
    shown = [Shown(picture, (row, col)), Shown(3), Shown(4)]
    chosen, features = kept.of(shown, rng, 7)
    assert chosen.sum(1).tolist() == [1 + KEPT, 8, 8]
    assert chosen[:, 0].all()
    assert torch.allclose(features, trainer._look_at(shown)[torch.from_numpy(chosen)], atol=0.02)
    for question in [trainer.questions.label(rng, 4, 1), trainer.questions.judge(rng, 4, marked=True)]:
        asked_of = question.crops if isinstance(question, LabelQuestion) else question.shown
        assert all(trainer._markable[(s.picture, *s.cell)] for s in asked_of)


def test_fewer_patches_than_are_kept_are_drawn(trainer):
    kept = trainer._features
    picture, row, col = kept.cells[5].tolist()
    shown = [Shown(picture, (row, col))] * 24
    chosen, features = kept.of(shown, np.random.default_rng(9), 1)
    assert chosen.sum(1).tolist() == [2] * 24
    assert chosen[:, kept.tokens[5]].any(0).all()
    assert torch.allclose(features, trainer._look_at(shown)[torch.from_numpy(chosen)], atol=0.02)
    alone, _ = kept.of(shown, np.random.default_rng(9), 0)
    assert alone.sum(1).tolist() == [1] * 24
