"""A labeler is stored once."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.db.models import LabelerRow
from autointerp.db.queries.labelers import LabelerKey

from ..conftest import label


def test_labeler_is_made_once(db):
    with db.session() as session:
        first = queries.labelers.ensure(session, LabelerKey("vlm", "m"), {"n": 1})
        assert queries.labelers.ensure(session, LabelerKey("vlm", "m"), {"n": 1}).id == first.id
        assert queries.labelers.ensure(session, LabelerKey("vlm", "other")).id != first.id


def test_labelers_of_each_dictionary_are_counted(filled):
    with filled.session() as session:
        clip, vlm = (queries.labelers.ensure(session, LabelerKey(kind)) for kind in ("clip", "vlm"))
        assert queries.labelers.counts(session) == {}
        for feature_id, labeler in ((1, clip), (3, clip), (3, vlm)):
            label(session, feature_id, labeler)
        assert queries.labelers.counts(session) == {1: 2}


def test_the_labeler_of_the_newest_label_comes_first(filled):
    with filled.session() as session:
        clip, vlm, words = (queries.labelers.ensure(session, LabelerKey(kind)) for kind in ("clip", "vlm", "words"))
        everyone = [clip.id, vlm.id, words.id]
        assert queries.labelers.newest_first(session, 1, everyone) == []
        label(session, 1, clip)
        label(session, 1, vlm)
        assert queries.labelers.newest_first(session, 1, everyone) == [vlm.id, clip.id]
        label(session, 3, clip)
        assert queries.labelers.newest_first(session, 1, everyone) == [clip.id, vlm.id]
        assert queries.labelers.newest_first(session, 1, [vlm.id, words.id]) == [vlm.id]
        assert queries.labelers.newest_first(session, 2, everyone) == []


def test_spellings_of_an_address_are_one_labeler(db):
    with db.session() as session:
        old = queries.labelers.ensure(session, LabelerKey("vlm", "m", "http://host:80/v1/"))
        for address in ("http://host/v1", "http://HOST/v1", "http://host/v1/chat/completions"):
            assert queries.labelers.ensure(session, LabelerKey("vlm", "m", address)).id == old.id
            assert queries.labelers.find(session, LabelerKey("vlm", "m", address)) == old.id
        assert queries.labelers.find(session, LabelerKey("vlm", "m", "http://host:8000/v1")) is None
        assert queries.labelers.find(session, LabelerKey("vlm", "other", "http://host/v1")) is None
        openai = queries.labelers.ensure(session, LabelerKey("vlm", "m"))
        assert queries.labelers.find(session, LabelerKey("vlm", "m", "https://api.openai.com/v1/")) == openai.id


def test_the_same_spelling_comes_before_another(db):
    with db.session() as session:
        # Two rows, as earlier versions stored them.
        rows = [LabelerRow(kind="vlm", model="m", base_url=url, config={}) for url in ("http://h/v1/", "http://h/v1")]
        session.add_all(rows)
        session.flush()
        assert [queries.labelers.find(session, LabelerKey("vlm", "m", row.base_url)) for row in rows] == [
            row.id for row in rows
        ]
