"""Labelers side by side: results, scores and counts without a row of ORM."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Feature, Label, LabelerRow, Score


@pytest.fixture
def several(db: Any) -> Any:
    """Three features of one dictionary, two labelers, a judge and a control."""
    with db.session() as session:
        about = {"kind": "topk", "model": "m", "layer": "mid", "hookpoint": "h", "signal": "output", "steps": [0]}
        sizes = {"grid_rows": 2, "grid_cols": 2, "d_in": 2, "num_latents": 3, "k": 1, "weights_sha256": "0" * 64}
        session.add(DictionaryRow(id=1, name="d", identity="i", **about, **sizes))
        session.add_all([LabelerRow(id=i, kind=kind) for i, kind in enumerate(("clip", "vlm", "judge", "control"), 1)])
        session.flush()
        session.add_all([Feature(id=i, dictionary_id=1, latent_index=i - 1, state="live") for i in (1, 2, 3)])
        session.flush()
        said = [
            (1, 1, 1, "failed", ""),
            (2, 1, 1, "ok", "old"),
            (3, 1, 1, "ok", "red"),
            (4, 1, 2, "ok", "Red"),
            (5, 2, 1, "uninterpretable", ""),
            (6, 2, 2, "ok", "blue"),
            (7, 2, 2, "failed", ""),
            (8, 3, 1, "failed", ""),
            (9, 3, 2, "ok", "green"),
        ]
        for number, feature, labeler, status, name in said:
            session.add(Label(id=number, feature_id=feature, labeler_id=labeler, status=status, name=name))
        session.flush()
        scored = [
            (3, "detection", 3, 0.5, False),
            (3, "detection", 3, 0.6, False),
            (3, "embedding", None, 0.2, False),
            (4, "detection", 3, 0.9, False),
            (4, "detection", 3, 0.1, True),
            (4, "detection", 4, 0.3, False),
            (6, "embedding", None, None, False),
            (2, "embedding", None, 0.9, False),
            (3, "fuzzing", 3, 0.4, False),
        ]
        for label, method, judge, value, shuffled in scored:
            session.add(Score(label_id=label, method=method, judge_id=judge, value=value, shuffled=shuffled))
    return db


def test_features_that_both_have_a_result_for(several: Any) -> None:
    with several.session() as session:
        found = sorted(queries.compared.shared_results(session, [1], [2]))
        assert found == [(1, 0, (3, 4), ("red", "Red")), (1, 1, (5, 6), ("", "blue"))]
        assert sorted(queries.compared.shared_results(session, [2], [1], 1)) == [
            (1, 0, (4, 3), ("Red", "red")),
            (1, 1, (6, 5), ("blue", "")),
        ]
        assert list(queries.compared.shared_results(session, [1], [2], 7)) == []


def test_scores_are_the_newest_and_no_controls(several: Any) -> None:
    with several.session() as session:
        assert queries.compared.score_columns(session, [1]) == {("detection", 3): {3: 0.6}, ("embedding", 0): {3: 0.2}}
        assert queries.compared.score_columns(session, [2]) == {("detection", 3): {4: 0.9}}
        means = queries.compared.mean_scores(session, 1)
    assert means == {1: {"detection": 0.6, "embedding": 0.2, "fuzzing": 0.4}, 2: {"detection": 0.9}}
    assert list(means[1]) == ["detection", "embedding", "fuzzing"]


def test_a_failure_counts_only_where_there_is_no_result(several: Any) -> None:
    with several.session() as session:
        counts = queries.compared.result_counts(session, 1)
    assert counts == {1: {"ok": 1, "uninterpretable": 1, "failed": 1}, 2: {"ok": 3, "failed": 0}}
