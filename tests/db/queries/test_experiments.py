"""Experiments are begun once, keep each unit, and are done once all figures are stored."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment


def test_an_experiment_from_its_beginning_to_its_end(filled):
    work = PlannedExperiment("transfer", "a", "shapes", None, {"images": 8}, 2)
    with filled.session() as session:
        first = queries.experiments.begin(session, work)
        queries.experiments.keep(session, first, {"b": {"x": 2}, "a": {"x": float("nan")}})
        queries.experiments.stop(session, first, "failed", "no luck")
    with filled.session() as session:
        row = queries.experiments.by_identity(session, "a")
        assert (row.state, row.error, row.total, row.configuration) == ("failed", "no luck", 2, {"images": 8})
        assert queries.experiments.begin(session, work) == first
        assert queries.experiments.keys(session, first) == {"a", "b"}
        assert queries.experiments.results(session, first) == {"a": {"x": None}, "b": {"x": 2}}
        assert list(queries.experiments.results(session, first)) == ["a", "b"]
        assert queries.experiments.unit_counts(session) == {first: 2}
        queries.experiments.finish(session, first, [{"name": "fvu", "value": 0.5}])
        queries.experiments.stop(session, first, "failed", "late")
        queries.experiments.stop(session, first + 1, "failed", "gone")
    with filled.session() as session:
        row = queries.experiments.by_identity(session, "a")
        assert (row.state, row.error, row.figures) == ("done", "", [{"name": "fvu", "value": 0.5}])
        assert row.finished_at is not None
        assert [one.identity for one in queries.experiments.list_all(session)] == ["a"]
        assert queries.experiments.list_all(session, "probe") == []
