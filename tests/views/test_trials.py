"""The trials behind a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.trials import KINDS, read_trials


def test_each_trial_has_its_picture_truth_and_answer(labeled: Path, query: Any) -> None:
    ctx = Context(WorkspaceFolder(labeled))
    ((score_id, label, value),) = query(
        labeled, "SELECT id, label_id, value FROM scores WHERE value IS NOT NULL LIMIT 1"
    )
    found = read_trials(ctx, score_id)
    ((name,),) = query(labeled, "SELECT name FROM labels WHERE id = ?", label)
    assert (found.method, found.name, found.value, found.judge) == ("embedding", name, value, "")
    assert "AUROC" in found.question
    rows = query(
        labeled, "SELECT truth, holds, value, crop_id FROM judgements WHERE score_id = ? ORDER BY trial", score_id
    )
    assert len(found.trials) == len(rows) > 4
    for trial, (truth, holds, measured, crop) in zip(found.trials, rows, strict=True):
        assert (trial.truth, trial.holds, trial.crop) == (bool(truth), holds, crop)
        assert trial.value == pytest.approx(measured, abs=1e-4)
        assert trial.is_right is None
        assert trial.kind in KINDS.values()
        assert trial.image is not None
        assert trial.prompt
        left, top, right, bottom = trial.box
        assert 0 <= left < right <= trial.size[0]
        assert 0 <= top < bottom <= trial.size[1]


def test_an_answer_is_right_if_it_is_the_truth(workspace: Path, query: Any) -> None:
    import sqlite3

    ((score_id,),) = query(workspace, "SELECT min(score_id) FROM judgements")
    with sqlite3.connect(workspace / "autointerp.db") as db:
        db.execute("UPDATE judgements SET holds = 1, value = NULL WHERE score_id = ?", (score_id,))
        db.execute(
            "UPDATE judgements SET crop_id = NULL, kind = 'base', "
            'shown = \'{"prompt": "nowhere", "cell": [1, 2]}\' WHERE score_id = ? AND trial = 0',
            (score_id,),
        )
    db.close()
    first, *others = read_trials(Context(WorkspaceFolder(workspace)), score_id).trials
    assert all(trial.is_right == trial.truth for trial in others)
    assert (first.image, first.prompt, first.kind) == (None, "nowhere", "random cell of the layer")
    assert first.as_dict()["right"] == first.truth


def test_a_score_that_is_gone(labeled: Path) -> None:
    with pytest.raises(UsageError, match="no score 999999"):
        read_trials(Context(WorkspaceFolder(labeled)), 999999)
