"""A batch is under way from before it is submitted until it is collected."""

from __future__ import annotations

from autointerp.db import models, queries


def run_of(number, model="m", base_url=""):
    batch = {"model": model, "base_url": base_url, "file": f"file-{number}"}
    config = {"batch": batch, "requests": {"hash": "label"}}
    return models.Run(kind="label", identity=f"i{number}", config=config, total=1)


def test_from_submission_to_its_answers(db):
    with db.session() as session:
        first = queries.batches.add(session, run_of(1))
        queries.batches.add(session, run_of(2))
        queries.batches.add(session, run_of(3, model="other"))
        queries.batches.add(session, run_of(4, base_url="http://elsewhere"))
        session.add(models.Run(kind="score", identity="no batch"))
    assert (first.file, first.batch, first.requests) == ("file-1", None, {"hash": "label"})
    assert first.submitted_at.tzinfo is not None
    with db.session() as session:
        queries.batches.name(session, first.run_id, "batch-1")
    with db.session() as session:
        found = queries.batches.under_way(session, "m", "")
        assert [(one.file, one.batch) for one in found] == [("file-1", "batch-1"), ("file-2", None)]
        queries.batches.finish(session, found[0].run_id, 1, "")
        queries.batches.finish(session, found[1].run_id, 0, "expired")
    with db.session() as session:
        assert queries.batches.under_way(session, "m", "") == []
        runs = [session.get_one(models.Run, one.run_id) for one in found]
        assert [(run.status, run.error, run.done) for run in runs] == [("done", "", 1), ("failed", "expired", 0)]
        assert all(run.finished_at is not None for run in runs)
