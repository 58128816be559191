"""Crops come in order, and each image once."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from autointerp.db import models, queries

from ..conftest import crop


def test_crops_in_order_and_by_split_and_role(filled):
    with filled.session() as session:
        rows = queries.crops.of_feature(session, 1, "explain")
        assert [(c.role, c.image_id, i.id) for c, i in rows] == [
            ("top", 1, 1),
            ("top", 2, 2),
            ("quantile", 4, 4),
            ("negative", 3, 3),
        ]
        assert [c.image_id for c, _ in queries.crops.of_feature(session, 1, "score")] == [5]
        assert [c.image_id for c, _ in queries.crops.of_feature(session, 1, role="negative")] == [3]
        assert len(queries.crops.of_feature(session, 1, limit=2)) == 2
        assert set(queries.images.pictures(session, [1, 2, 2, 99])) == {1, 2}
        assert queries.images.ids(session, ["g2", "g9"]) == {"g2": 2}
        assert queries.images.prompts_of(session, 1, "score") == ["a red circle 5"]


def test_one_crop_a_feature_and_image(filled):
    with pytest.raises(IntegrityError), filled.session() as session:
        queries.bulk.insert_many(session, models.Crop, [crop(1, 1)])


def test_a_word_outside_the_list_is_refused(filled):
    with pytest.raises(IntegrityError), filled.session() as session:
        queries.bulk.insert_many(session, models.Crop, [crop(1, 6, role="best")])


def test_the_best_prompt_is_of_the_stronger_split(filled):
    with filled.session() as session:
        held_out = queries.crops.of_feature(session, 1, "score")[0][0]
        assert queries.crops.best_prompts(session, [1, 2, 3]) == {1: "a red circle 1", 3: "a red circle 6"}
        held_out.activation = 2.0
        session.flush()
        assert queries.crops.best_prompts(session, [1]) == {1: "a red circle 5"}
