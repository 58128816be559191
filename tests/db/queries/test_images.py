"""Images go with the last crop that needs them."""

from __future__ import annotations

from sqlalchemy import select

from autointerp.db import models, queries

from ..conftest import image


def test_orphans_are_swept_only_among_those_named(filled):
    with filled.session() as session:
        queries.bulk.insert_many(session, models.Image, [image(7), image(8), image(9)])
        assert queries.images.remove_orphans(session, among=[1, 8]) == 1
        assert queries.images.remove_orphans(session) == 2
        assert sorted(session.scalars(select(models.Image.id))) == [1, 2, 3, 4, 5, 6]
