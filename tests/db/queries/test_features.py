"""Features have one fixed order."""

from __future__ import annotations

from autointerp.db import models, queries

from ..conftest import dictionary


def test_features_live_first_then_by_index(filled):
    with filled.session() as session:
        assert [f.latent_index for f in queries.features.of_dictionary(session, 1)] == [0, 2, 1, 3]
        assert [f.latent_index for f in queries.features.of_dictionary(session, 1, "live")] == [0, 2]
        assert [f.latent_index for f in queries.features.of_dictionary(session, 1, limit=2, offset=1)] == [2, 1]
        assert queries.features.by_index(session, "shapes-turbo.mid.topk", 2).id == 3
        assert queries.features.by_index(session, "shapes-turbo.mid.topk", 9) is None


def test_features_by_ids_and_dictionaries(filled):
    with filled.session() as session:
        session.add(dictionary("shapes-turbo.late.topk", "late"))
        session.flush()
        queries.bulk.insert_many(session, models.Feature, [{"dictionary_id": 2, "latent_index": 7}])
        found = queries.features.with_dictionaries(session, [5, 1])
        assert {i: (f.latent_index, d.layer) for i, (f, d) in found.items()} == {1: (0, "mid"), 5: (7, "late")}
        assert queries.features.among(session, [1, 3, 5, 99], [1]) == {1, 3}
        assert queries.features.among(session, [1, 5], [1, 2]) == {1, 5}


def test_steps_of_features_by_state_and_density(filled):
    with filled.session() as session:
        for feature in queries.features.of_dictionary(session, 1):
            feature.density, feature.steps = feature.latent_index / 10, {"1": 0.5}
        session.flush()
        assert queries.features.steps_by_id(session, [1], "live") == {1: {"1": 0.5}, 3: {"1": 0.5}}
        assert set(queries.features.steps_by_id(session, [1], density=(0.1, 0.2))) == {2, 3}
        assert queries.features.steps_by_id(session, [2]) == {}
