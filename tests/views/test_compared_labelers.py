"""Two labelers beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.compared_labelers import compare_labelers


def test_features_that_both_looked_at(workspace: Path, cli: Any, query: Any, tmp_path: Path) -> None:
    named = query(
        workspace,
        "SELECT d.name || ':' || f.latent_index, l.name FROM labels l JOIN features f ON f.id = l.feature_id "
        "JOIN dictionaries d ON d.id = f.dictionary_id WHERE l.status = 'ok' ORDER BY f.latent_index LIMIT 3",
    )
    lines = [
        "feature,name",
        f"{named[0][0]},{named[0][1].upper()}",
        f"{named[1][0]},quite another",
        f"{named[2][0]},a third",
    ]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    assert cli("-w", workspace, "labels", "import", tmp_path / "mine.csv").code == 0
    ctx = Context(WorkspaceFolder(workspace))
    found = compare_labelers(ctx, "clip", "human")
    assert (found.both, found.same, found.named) == (3, 1, (3, 3))
    # A person's labels were not scored.
    assert (found.scored, found.better) == (0, (0, 0))
    assert [(pair.feature, pair.names) for pair in found.pairs] == [
        (named[1][0], (named[1][1], "quite another")),
        (named[2][0], (named[2][1], "a third")),
    ]
    back = compare_labelers(ctx, "human", "clip", "shapes-turbo.mid.topk")
    assert back.pairs[0].names == found.pairs[0].names[::-1]
    for one, other, said in (("clip", "clip", "one labeler"), ("clip", "nobody", "nobody")):
        with pytest.raises(UsageError, match=said):
            compare_labelers(ctx, one, other)
    with pytest.raises(UsageError, match="no dictionary"):
        compare_labelers(ctx, "clip", "human", "x")


def test_scores_of_one_judge_are_compared(workspace: Path, query: Any, cli: Any, tmp_path: Path) -> None:
    import sqlite3

    ((feature, label),) = query(
        workspace,
        "SELECT d.name || ':' || f.latent_index, l.id FROM labels l JOIN features f ON f.id = l.feature_id "
        "JOIN dictionaries d ON d.id = f.dictionary_id JOIN scores s ON s.label_id = l.id "
        "WHERE l.status = 'ok' AND s.value IS NOT NULL LIMIT 1",
    )
    assert cli("-w", workspace, "label", "--layer", "mid", "--feature", feature, "--name", "quite another").code == 0
    with sqlite3.connect(workspace / "autointerp.db") as db:
        (mine,) = db.execute("SELECT max(id) FROM labels").fetchone()
        db.execute(
            "INSERT INTO scores (label_id, method, value, tp, fp, tn, fn, unscored, seed, shuffled, note, created_at) "
            "SELECT ?, method, -1, 0, 0, 0, 0, 0, 0, 0, '', created_at FROM scores WHERE label_id = ?",
            (mine, label),
        )
    db.close()
    found = compare_labelers(Context(WorkspaceFolder(workspace)), "clip", "human")
    assert (found.scored, found.better) == (1, (1, 0))
    assert found.pairs[0].method == "embedding"
    first, second = found.pairs[0].scores
    assert first is not None
    assert second == -1.0 < first
