"""Dictionaries are found, counted and removed with all under them."""

from __future__ import annotations

from sqlalchemy import func, select

from autointerp.db import models, queries
from autointerp.db.check import find_problems
from autointerp.db.queries.labelers import LabelerKey

from ..conftest import crop, dictionary, image, label


def count(session, model):
    return session.scalar(select(func.count()).select_from(model))


def test_dictionaries_by_name_layer_and_identity(db):
    with db.session() as session:
        session.add_all(
            [dictionary(), dictionary("shapes-turbo.mid.topk-2"), dictionary("shapes-turbo.late.topk", "late")]
        )
        session.flush()
        assert queries.dictionaries.by_name(session, "shapes-turbo.mid.topk").id == 1
        assert queries.dictionaries.by_name(session, "nothing") is None
        of_mid = [d.name for d in queries.dictionaries.of_layer(session, "mid")]
        assert of_mid == ["shapes-turbo.mid.topk-2", "shapes-turbo.mid.topk"]
        assert [d.name for d in queries.dictionaries.of_layer(session, "transformer.late")] == [
            "shapes-turbo.late.topk"
        ]
        assert queries.dictionaries.of_layer(session, "early") == []
        assert queries.dictionaries.free_name(session, "shapes-turbo.mid.topk") == "shapes-turbo.mid.topk-3"
        assert queries.dictionaries.free_name(session, "new") == "new"
        assert queries.dictionaries.by_identity(session, "identity of shapes-turbo.late.topk").layer == "late"
        assert [d.id for d in queries.dictionaries.list_all(session)] == [1, 2, 3]


def test_counts(filled):
    with filled.session() as session:
        clip = queries.labelers.ensure(session, LabelerKey("clip"))
        row = label(session, 1, clip)
        session.add(models.Score(label_id=row.id, method="embedding", value=0.5))
        session.flush()
        # A failure hides no result, and counts where there is no other.
        vlm = queries.labelers.ensure(session, LabelerKey("vlm"))
        label(session, 1, vlm, "", "failed")
        label(session, 3, vlm, "", "failed")
        session.flush()
        counts = queries.dictionaries.counts(session, 1)
    assert counts.features == {"live": 2, "dead": 1, "dense": 1}
    assert counts.labels == {"ok": 1, "failed": 1}
    assert (counts.crops, counts.images, counts.scores) == (6, 6, 1)


def test_removing_a_dictionary_keeps_shared_images(filled):
    with filled.session() as session:
        session.add(dictionary("other"))
        session.flush()
        queries.bulk.insert_many(session, models.Feature, [{"dictionary_id": 2, "latent_index": 0, "state": "live"}])
        queries.bulk.insert_many(session, models.Image, [image(7)])
        queries.bulk.insert_many(session, models.Crop, [crop(5, 1), crop(5, 7, rank=1)])
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        row = label(session, 1, labeler)
        score = models.Score(label_id=row.id, method="detection")
        session.add(score)
        session.flush()
        session.add(models.Judgement(score_id=score.id, crop_id=1, trial=0, truth=True))
        session.add(models.Run(kind="harvest", identity="h", dictionary_id=1))
        session.add(models.Index(name="i", kind="crops", dictionary_id=1, embedder="e", content_hash="c", path="p"))
    with filled.session() as session:
        assert queries.dictionaries.remove(session, "shapes-turbo.mid.topk") is True
        assert queries.dictionaries.remove(session, "shapes-turbo.mid.topk") is False
    with filled.session() as session:
        assert [d.name for d in queries.dictionaries.list_all(session)] == ["other"]
        assert sorted(session.scalars(select(models.Image.id))) == [1, 7]
        assert count(session, models.Crop) == 2
        assert count(session, models.Feature) == 1
        for model in (models.Label, models.Score, models.Judgement, models.Run, models.Index):
            assert count(session, model) == 0
        assert queries.runs.by_identity(session, "harvest", "h") is None
    assert find_problems(filled) == []
