"""What callers ask: fixed orders, best labels, and deletion that takes everything along but what is shared."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from autointerp.db import models, queries
from autointerp.db.words import labels_with_words

from .conftest import crop, dictionary, image


def count(session, model):
    return session.scalar(select(func.count()).select_from(model))


def label(session, feature_id, labeler, name="red circle", status="ok"):
    row = models.Label(feature_id=feature_id, labeler_id=labeler.id, name=name, status=status)
    session.add(row)
    session.flush()
    return row


def test_dictionaries_by_name_layer_and_identity(db):
    with db.session() as session:
        session.add_all([dictionary(), dictionary("shapes.mid.topk-2"), dictionary("shapes.late.topk", "late")])
        session.flush()
        assert queries.dictionary_by_name(session, "shapes.mid.topk").id == 1
        assert queries.dictionary_by_name(session, "nothing") is None
        of_mid = [d.name for d in queries.dictionaries_of_layer(session, "mid")]
        assert of_mid == ["shapes.mid.topk-2", "shapes.mid.topk"]
        assert [d.name for d in queries.dictionaries_of_layer(session, "transformer.late")] == ["shapes.late.topk"]
        assert queries.dictionaries_of_layer(session, "early") == []
        assert queries.free_name(session, "shapes.mid.topk") == "shapes.mid.topk-3"
        assert queries.free_name(session, "new") == "new"
        assert queries.dictionary_by_identity(session, "identity of shapes.late.topk").layer == "late"
        assert [d.id for d in queries.all_dictionaries(session)] == [1, 2, 3]


def test_features_live_first_then_by_index(filled):
    with filled.session() as session:
        assert [f.latent_index for f in queries.features(session, 1)] == [0, 2, 1, 3]
        assert [f.latent_index for f in queries.features(session, 1, "live")] == [0, 2]
        assert [f.latent_index for f in queries.features(session, 1, limit=2, offset=1)] == [2, 1]
        assert queries.feature(session, "shapes.mid.topk", 2).id == 3
        assert queries.feature(session, "shapes.mid.topk", 9) is None


def test_crops_in_order_and_by_split_and_role(filled):
    with filled.session() as session:
        rows = queries.crops_of_feature(session, 1, "explain")
        assert [(c.role, c.image_id, i.id) for c, i in rows] == [
            ("top", 1, 1),
            ("top", 2, 2),
            ("quantile", 4, 4),
            ("negative", 3, 3),
        ]
        assert [c.image_id for c, _ in queries.crops_of_feature(session, 1, "score")] == [5]
        assert [c.image_id for c, _ in queries.crops_of_feature(session, 1, role="negative")] == [3]
        assert len(queries.crops_of_feature(session, 1, limit=2)) == 2
        assert set(queries.pictures(session, [1, 2, 2, 99])) == {1, 2}
        assert queries.image_ids(session, ["g2", "g9"]) == {"g2": 2}
        assert queries.layer_prompts(session, 1, "score") == ["a red circle 5"]


def test_one_crop_a_feature_and_image(filled):
    with pytest.raises(IntegrityError), filled.session() as session:
        queries.insert_many(session, models.Crop, [crop(1, 1)])


def test_a_word_outside_the_list_is_refused(filled):
    with pytest.raises(IntegrityError), filled.session() as session:
        queries.insert_many(session, models.Crop, [crop(1, 6, role="best")])


def test_insert_many_fills_defaults(filled):
    with filled.session() as session:
        labeler = queries.ensure_labeler(session, kind="clip")
        queries.insert_many(
            session, models.Label, [{"feature_id": 1, "labeler_id": labeler.id, "status": "failed", "error": "x"}]
        )
        queries.insert_many(session, models.Run, [{"kind": "fit", "identity": "i"}])
        queries.insert_many(session, models.Run, [])
        assert session.scalars(select(models.Label)).one().created_at is not None
        assert session.scalars(select(models.Run)).one().config == {}


def test_labeler_is_made_once(db):
    with db.session() as session:
        first = queries.ensure_labeler(session, {"n": 1}, kind="vlm", model="m")
        assert queries.ensure_labeler(session, {"n": 1}, kind="vlm", model="m").id == first.id
        assert queries.ensure_labeler(session, kind="vlm", model="other").id != first.id


def test_best_label_is_the_latest_result_where_nothing_is_scored(filled):
    with filled.session() as session:
        clip = queries.ensure_labeler(session, kind="clip")
        vlm = queries.ensure_labeler(session, kind="vlm")
        label(session, 1, clip, "old")
        label(session, 1, clip, "clip's")
        label(session, 1, vlm, "vlm's")
        label(session, 1, vlm, "", "failed")
        assert queries.best_label(session, 1).label.name == "vlm's"
        assert queries.best_label(session, 1, [clip.id]).label.name == "clip's"
        assert queries.best_label(session, 1, []) is None
        assert queries.best_label(session, 3) is None
        assert queries.best_label(session, 999) is None
        assert list(queries.best_labels(session, 1)) == [1]
        assert queries.best_labels(session, 1)[1].labeler.kind == "vlm"


def test_what_is_found_uninterpretable_has_no_name_any_more(filled):
    with filled.session() as session:
        clip = queries.ensure_labeler(session, kind="clip")
        vlm = queries.ensure_labeler(session, kind="vlm")
        label(session, 1, clip, "a guess")
        label(session, 1, vlm, "", "uninterpretable")
        label(session, 3, vlm, "", "uninterpretable")
        label(session, 3, clip, "found later")
        label(session, 3, vlm, "", "failed")
        assert {i: best.label.name for i, best in queries.best_labels(session, 1).items()} == {3: "found later"}
        shown = queries.best_labels(session, 1, statuses=("ok", "uninterpretable", "failed"))
        assert {i: best.label.status for i, best in shown.items()} == {1: "uninterpretable", 3: "ok"}
        # Whoever chooses a labeler gets what that one said.
        assert queries.best_labels(session, 1, [clip.id])[1].label.name == "a guess"


def scored(session, row, method, value, judge=None, **more):
    session.add(models.Score(label_id=row.id, method=method, value=value, judge_id=judge and judge.id, **more))
    session.flush()


def test_the_best_scored_of_several_labelers_counts(filled):
    with filled.session() as session:
        clip, vlm, local = (queries.ensure_labeler(session, kind=kind) for kind in ("clip", "vlm", "local-vlm"))
        judge, second = (queries.ensure_labeler(session, kind="judge", model=m) for m in ("a", "b"))
        coin = queries.ensure_labeler(session, kind="control", model="coin")
        old, best, new = (label(session, 1, who, name) for who, name in ((clip, "c"), (vlm, "v"), (local, "l")))

        def counts():
            return queries.best_label(session, 1).label.name

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
        scored(session, queries.best_label(session, 1).label, "detection", 0.65, judge)
        assert counts() == "l"


def test_uninterpretable_stands_at_chance(filled):
    with filled.session() as session:
        clip, vlm = (queries.ensure_labeler(session, kind=kind) for kind in ("clip", "vlm"))
        row = label(session, 1, clip, "c")
        label(session, 1, vlm, "", "uninterpretable")
        scored(session, row, "embedding", 0.55)
        assert queries.best_label(session, 1).label.name == "c"
        scored(session, row, "embedding", 0.45)
        assert queries.best_label(session, 1) is None


def test_a_persons_label_counts_before_all(filled):
    with filled.session() as session:
        anna, ben = (queries.ensure_labeler(session, kind="human", model=name) for name in ("anna", "ben"))
        clip = queries.ensure_labeler(session, kind="clip")
        label(session, 1, anna, "anna's")
        scored(session, label(session, 1, clip, "clip's"), "embedding", 1.0)
        assert queries.best_label(session, 1).label.name == "anna's"
        label(session, 1, ben, "ben's")
        assert queries.best_label(session, 1).label.name == "ben's"
        assert [s.label.name for s in queries.current_labels(session, 1)[1]] == ["anna's", "clip's", "ben's"]
        assert [w.kind for w in queries.labelers_with_labels(session)] == ["human", "human", "clip"]


def test_what_is_left_to_label_and_to_score(filled):
    with filled.session() as session:
        clip = queries.ensure_labeler(session, kind="clip")
        assert [f.id for f in queries.features_without_label(session, 1, clip.id)] == [1, 3]
        assert [f.id for f in queries.features_without_label(session, 1, clip.id, among=[3])] == [3]
        label(session, 1, clip, "", "failed")
        assert [f.id for f in queries.features_without_label(session, 1, clip.id)] == [3]
        assert [f.id for f in queries.features_without_label(session, 1, clip.id, retry_failed=True)] == [1, 3]
        label(session, 1, clip, "old")
        newest = label(session, 1, clip, "new")
        assert [r.name for r in queries.labels_without_score(session, 1, "embedding")] == ["new"]
        session.add(models.Score(label_id=newest.id, method="embedding", value=0.5))
        session.add(models.Score(label_id=newest.id, method="embedding", value=0.9))
        session.flush()
        assert queries.labels_without_score(session, 1, "embedding") == []
        assert len(queries.labels_without_score(session, 1, "detection")) == 1
        assert [s.value for s in queries.scores_of_labels(session, [newest.id])[newest.id]] == [0.9]


def test_words_follow_the_labels(filled):
    def found(session, words):
        return [hit.feature_id for hit in labels_with_words(session, [words], [1], 10)]

    with filled.session() as session:
        clip = queries.ensure_labeler(session, kind="clip")
        row = label(session, 1, clip, "red circles")
        label(session, 3, clip, "red ghost", "uninterpretable")
        assert found(session, "circle") == [1]
        assert found(session, "red") == [1]
        row.name = "blue square"
        session.flush()
        assert found(session, "circle") == [] and found(session, "square") == [1]
        row.status = "failed"
        session.flush()
        assert found(session, "square") == []
        row.status = "ok"
        session.flush()
        assert found(session, "square") == [1]
    assert filled.check() == []
    with filled.session() as session:
        assert queries.remove_dictionary(session, "shapes.mid.topk")
        assert found(session, "square") == []


def test_counts(filled):
    with filled.session() as session:
        clip = queries.ensure_labeler(session, kind="clip")
        row = label(session, 1, clip)
        session.add(models.Score(label_id=row.id, method="embedding", value=0.5))
        session.flush()
        # A failure hides no result, and counts where there is no other.
        vlm = queries.ensure_labeler(session, kind="vlm")
        label(session, 1, vlm, "", "failed")
        label(session, 3, vlm, "", "failed")
        session.flush()
        counts = queries.counts(session, 1)
    assert counts.features == {"live": 2, "dead": 1, "dense": 1}
    assert counts.labels == {"ok": 1, "failed": 1}
    assert (counts.crops, counts.images, counts.scores) == (6, 6, 1)


def test_removing_a_dictionary_keeps_shared_images(filled):
    with filled.session() as session:
        session.add(dictionary("other"))
        session.flush()
        queries.insert_many(session, models.Feature, [{"dictionary_id": 2, "latent_index": 0, "state": "live"}])
        queries.insert_many(session, models.Image, [image(7)])
        queries.insert_many(session, models.Crop, [crop(5, 1), crop(5, 7, rank=1)])
        labeler = queries.ensure_labeler(session, kind="clip")
        row = label(session, 1, labeler)
        score = models.Score(label_id=row.id, method="detection")
        session.add(score)
        session.flush()
        session.add(models.Judgement(score_id=score.id, crop_id=1, trial=0, truth=True))
        session.add(models.Run(kind="harvest", identity="h", dictionary_id=1))
        session.add(models.Index(name="i", kind="crops", dictionary_id=1, embedder="e", content_hash="c", path="p"))
    with filled.session() as session:
        assert queries.remove_dictionary(session, "shapes.mid.topk") is True
        assert queries.remove_dictionary(session, "shapes.mid.topk") is False
    with filled.session() as session:
        assert [d.name for d in queries.all_dictionaries(session)] == ["other"]
        assert sorted(session.scalars(select(models.Image.id))) == [1, 7]
        assert count(session, models.Crop) == 2 and count(session, models.Feature) == 1
        for model in (models.Label, models.Score, models.Judgement, models.Run, models.Index):
            assert count(session, model) == 0
        assert queries.run_by_identity(session, "harvest", "h") is None
    assert filled.check() == []


def test_orphans_are_swept_only_among_those_named(filled):
    with filled.session() as session:
        queries.insert_many(session, models.Image, [image(7), image(8), image(9)])
        assert queries.remove_orphaned_images(session, among=[1, 8]) == 1
        assert queries.remove_orphaned_images(session) == 2
        assert sorted(session.scalars(select(models.Image.id))) == [1, 2, 3, 4, 5, 6]
