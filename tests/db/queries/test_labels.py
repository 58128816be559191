"""Which label counts, and what is left to label and to score."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey
from autointerp.db.queries.scores import ScoreSlot

from ..conftest import label, scored


def test_best_label_is_the_latest_result_where_nothing_is_scored(filled):
    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        vlm = queries.labelers.ensure(session, LabelerKey("vlm"))
        label(session, 1, clip, "old")
        label(session, 1, clip, "clip's")
        label(session, 1, vlm, "vlm's")
        label(session, 1, vlm, "", "failed")
        assert queries.labels.best_of(session, 1).label.name == "vlm's"
        assert queries.labels.best_of(session, 1, [clip.id]).label.name == "clip's"
        assert queries.labels.best_of(session, 1, []) is None
        assert queries.labels.best_of(session, 3) is None
        assert queries.labels.best_of(session, 999) is None
        assert list(queries.labels.best(session, 1)) == [1]
        assert queries.labels.best(session, 1)[1].labeler.kind == "vlm"


def test_what_was_told_apart_is_known_of_a_label(filled):
    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        one, other = label(session, 1, clip, "red"), label(session, 3, clip, "red")
        assert queries.labels.by_ids(session, [one.id, other.id, 999]) == {one.id: one, other.id: other}
        queries.labels.note_told_apart(session, one.id, [2, 5], [7])
        session.expire_all()
        # Nothing was asked of the other, which is not the same as that there is nothing to tell it from.
        assert [row.told_apart_from for row in (one, other)] == [[2, 5], None]
        assert [row.same_as for row in (one, other)] == [[7], None]


def test_what_is_found_uninterpretable_has_no_name_any_more(filled):
    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        vlm = queries.labelers.ensure(session, LabelerKey("vlm"))
        label(session, 1, clip, "a guess")
        label(session, 1, vlm, "", "uninterpretable")
        label(session, 3, vlm, "", "uninterpretable")
        label(session, 3, clip, "found later")
        label(session, 3, vlm, "", "failed")
        assert {i: best.label.name for i, best in queries.labels.best(session, 1).items()} == {3: "found later"}
        shown = queries.labels.best(session, 1, statuses=("ok", "uninterpretable", "failed"))
        assert {i: best.label.status for i, best in shown.items()} == {1: "uninterpretable", 3: "ok"}
        # Whoever chooses a labeler gets what that one said.
        assert queries.labels.best(session, 1, [clip.id])[1].label.name == "a guess"


def test_the_best_scored_of_several_labelers_counts(filled):
    with filled.session() as session:
        clip, vlm, local = (queries.labelers.ensure(session, LabelerKey(kind)) for kind in ("clip", "vlm", "local-vlm"))
        judge, second = (queries.labelers.ensure(session, LabelerKey("judge", m)) for m in ("a", "b"))
        coin = queries.labelers.ensure(session, LabelerKey("control", "coin"))
        old, best, new = (label(session, 1, who, name) for who, name in ((clip, "c"), (vlm, "v"), (local, "l")))

        def counts():
            return queries.labels.best_of(session, 1).label.name

        for row, value in ((old, 0.7), (best, 0.9), (new, None)):
            scored(session, row, "embedding", value)
        # One of them has no value: they cannot be compared.
        assert counts() == "l"
        scored(session, new, "embedding", 0.8)
        assert counts() == "v"
        # What tests the scores is no score, nor are another label's words.
        for row in (old, best, new):
            scored(session, row, "detection", float(row is new), coin)
            scored(session, row, "embedding", float(row is new), shuffled=True)
        assert counts() == "v"
        # Detection says more, but by one and the same judge alone.
        scored(session, old, "detection", 0.9, judge)
        scored(session, best, "detection", 0.6, judge)
        scored(session, new, "detection", 0.99, second)
        assert counts() == "v"
        scored(session, new, "detection", 0.7, judge)
        assert counts() == "c"
        # A second opinion of one labeler takes the place of its first.
        label(session, 1, clip, "c2")
        assert counts() == "c2"
        scored(session, queries.labels.best_of(session, 1).label, "detection", 0.65, judge)
        assert counts() == "l"


def test_uninterpretable_stands_at_chance(filled):
    with filled.session() as session:
        clip, vlm = (queries.labelers.ensure(session, LabelerKey(kind)) for kind in ("clip", "vlm"))
        row = label(session, 1, clip, "c")
        label(session, 1, vlm, "", "uninterpretable")
        scored(session, row, "embedding", 0.55)
        assert queries.labels.best_of(session, 1).label.name == "c"
        scored(session, row, "embedding", 0.45)
        assert queries.labels.best_of(session, 1) is None


def test_a_persons_label_counts_before_all(filled):
    with filled.session() as session:
        anna, ben = (queries.labelers.ensure(session, LabelerKey("human", name)) for name in ("anna", "ben"))
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        label(session, 1, anna, "anna's")
        scored(session, label(session, 1, clip, "clip's"), "embedding", 1.0)
        assert queries.labels.best_of(session, 1).label.name == "anna's"
        label(session, 1, ben, "ben's")
        assert queries.labels.best_of(session, 1).label.name == "ben's"
        assert [s.label.name for s in queries.labels.current(session, 1)[1]] == ["anna's", "clip's", "ben's"]
        assert [w.kind for w in queries.labelers.with_labels(session)] == ["human", "human", "clip"]


def test_what_is_left_to_label_and_to_score(filled):
    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        assert [f.id for f in queries.labels.features_without(session, 1, clip.id)] == [1, 3]
        assert [f.id for f in queries.labels.features_without(session, 1, clip.id, among=[3])] == [3]
        label(session, 1, clip, "", "failed")
        assert [f.id for f in queries.labels.features_without(session, 1, clip.id)] == [3]
        assert [f.id for f in queries.labels.features_without(session, 1, clip.id, retry_failed=True)] == [1, 3]
        label(session, 1, clip, "old")
        newest = label(session, 1, clip, "new")
        assert [r.name for r in queries.labels.without_score(session, 1, ScoreSlot("embedding"))] == ["new"]
        session.add(models.Score(label_id=newest.id, method="embedding", value=0.5))
        session.add(models.Score(label_id=newest.id, method="embedding", value=0.9))
        session.flush()
        assert queries.labels.without_score(session, 1, ScoreSlot("embedding")) == []
        assert len(queries.labels.without_score(session, 1, ScoreSlot("detection"))) == 1
        assert [s.value for s in queries.scores.of_labels(session, [newest.id])[newest.id]] == [0.9]


def test_labels_of_few_features_are_found_without_a_look_at_all_of_the_dictionary(filled):
    if not filled.is_sqlite:
        pytest.skip("PostgreSQL plans by what is stored")
    asked = []
    event.listen(filled.engine, "before_cursor_execute", lambda _, __, sql, values, *___: asked.append((sql, values)))
    with filled.session() as session:
        queries.labels.best(session, 1, feature_ids=[1, 2])
        (one,) = [(sql, values) for sql, values in asked if "FROM labels" in sql]
        plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {one[0]}", one[1]).all()
    steps = [step for *_, step in plan]
    assert any(step.startswith("SEARCH labels USING INDEX") for step in steps), steps
    assert any(step == "SEARCH features USING INTEGER PRIMARY KEY (rowid=?)" for step in steps), steps
