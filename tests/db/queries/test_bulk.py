"""Bulk inserts keep the models' defaults."""

from __future__ import annotations

from sqlalchemy import select

from autointerp.db import models, queries
from autointerp.db.queries.labelers import LabelerKey


def test_insert_many_fills_defaults(filled):
    with filled.session() as session:
        labeler = queries.labelers.ensure(session, LabelerKey("clip"))
        queries.bulk.insert_many(
            session, models.Label, [{"feature_id": 1, "labeler_id": labeler.id, "status": "failed", "error": "x"}]
        )
        queries.bulk.insert_many(session, models.Run, [{"kind": "fit", "identity": "i"}])
        queries.bulk.insert_many(session, models.Run, [])
        assert session.scalars(select(models.Label)).one().created_at is not None
        assert session.scalars(select(models.Run)).one().config == {}
