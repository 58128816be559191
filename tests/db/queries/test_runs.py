"""Runs are begun once, and belong to their dictionary."""

from __future__ import annotations

from autointerp.db import queries
from autointerp.db.queries.runs import PlannedRun


def test_a_run_is_begun_once_and_a_finished_one_is_not_stopped(filled):
    work = PlannedRun("harvest", "a", {"images": 8}, 8, 1)
    with filled.session() as session:
        run = queries.runs.begin(session, work)
        assert (run.status, run.config, run.dictionary_id) == ("running", {"images": 8}, 1)
        queries.runs.stop(session, run.id, "failed", "no luck")
        assert (run.status, run.error) == ("failed", "no luck")
        assert queries.runs.begin(session, work).id == run.id
        assert (run.status, run.error) == ("running", "")
        queries.runs.finish(session, run.id, result={"crops": 3})
        queries.runs.stop(session, run.id, "failed", "late")
        queries.runs.stop(session, run.id + 1, "failed", "gone")
        assert (run.status, run.error, run.done, run.result) == ("done", "", 8, {"crops": 3})


def test_harvests_of_a_dictionary(filled):
    with filled.session() as session:
        assert queries.runs.newest_harvest(session, 1) == ""
        ids = [queries.runs.begin(session, PlannedRun(kind, kind[0], {}, 1, 1)).id for kind in ("harvest", "evaluate")]
        assert queries.runs.newest_harvest(session, 1) == "h"
        assert not queries.runs.has_other_harvest(session, 1, ["h"])
        assert queries.runs.has_other_harvest(session, 1, ["another"])
        assert not queries.runs.has_other_harvest(session, 2, ["another"])
        assert sorted(queries.runs.ids_of_dictionary(session, 1)) == ids
