"""Truths that `evaluate` stored, beside names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.shapes.label_verdict import VERDICTS
from autointerp.views.known_truths import KnownTruths


def test_the_truth_is_what_evaluate_found(workspace: Path, cli: Any, query: Any) -> None:
    ctx = Context(WorkspaceFolder(workspace))
    row = ctx.dictionary_named("shapes-turbo.mid.topk")
    assert KnownTruths(ctx).of(row, 0, "red") is None
    assert cli("-w", workspace, "-q", "evaluate", "--layer", "mid", "--images", "24").code == 0
    import json

    ((stored,),) = query(workspace, "SELECT result FROM runs WHERE kind = 'evaluate' AND dictionary_id = ?", row.id)
    truths = json.loads(stored)["features_truths"]
    reader = KnownTruths(ctx)
    seen = set()
    for latent, truth in enumerate(truths["truths"]):
        found = reader.of(row, latent, "")
        assert found is not None
        assert found.truth == ("" if truth is None else truths["concepts"][truth[0]])
        assert found.verdict == ""
        if truth is not None:
            own = reader.of(row, latent, found.truth)
            assert own is not None
            assert own.verdict == "exact"
            wrong = reader.of(row, latent, "no such thing")
            assert wrong is not None
            assert wrong.verdict in VERDICTS
            assert wrong.verdict != "exact"
            seen.add(found.truth)
    assert seen
    assert reader.of(row, 10**6, "") is None
