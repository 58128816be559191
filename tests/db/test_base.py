"""Values that databases refuse come back in a form that all of them take."""

from __future__ import annotations

from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey


def test_text_that_databases_refuse(filled):
    """A model may answer with anything."""
    with filled.session() as session:
        config = {"n\0ul": "\0", "nan": [float("nan"), 1.5]}
        labeler = queries.labelers.ensure(session, LabelerKey("clip", "a\0b"), config)
        session.add(models.Label(feature_id=1, labeler_id=labeler.id, status="ok", name="half \ud83d \U0001f600 \0"))
        session.flush()
        session.expire_all()
        assert labeler.model == "a\ufffdb"
        assert labeler.config == {"n\0ul": "\0", "nan": [None, 1.5]}
        assert session.query(models.Label).one().name == "half \ufffd \U0001f600 \ufffd"


def test_times_are_utc_and_aware(filled):
    with filled.session() as session:
        created = session.query(models.DictionaryRow).one().created_at
    assert created.tzinfo is not None
    assert created.utcoffset().total_seconds() == 0
