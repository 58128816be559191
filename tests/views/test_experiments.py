"""Stored experiments, and the files of their reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.experiments import list_experiments, read_experiment, report_name
from autointerp.views.figures import Figure

FIGURES = [Figure("iou", "step 0", "codes", 0.5, 0.4, 0.6, 9), Figure("iou", "step 0", "random", 0.1, control=True)]


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """A workspace with an experiment that is done and one that was stopped, and no report."""
    ctx = Context(WorkspaceFolder.create(tmp_path / "w"))
    with ctx.db.session() as session:
        work = PlannedExperiment("emergence", "a" * 64, "shapes", None, {"images": 8, "at": "shapes:4"}, 2)
        first = queries.experiments.begin(session, work)
        queries.experiments.keep(session, first, {"a": {}, "b": {}})
        queries.experiments.finish(session, first, [figure.as_dict() for figure in FIGURES])
        work = PlannedExperiment("../../x", "b" * 64, "shapes", None, {}, 5)
        second = queries.experiments.begin(session, work)
        queries.experiments.keep(session, second, {"a": {}})
        queries.experiments.stop(session, second, "interrupted", "")
    return ctx


def test_experiments_are_listed_with_how_far_they_are(ctx: Context) -> None:
    newest, oldest = list_experiments(ctx)
    assert (newest.state, newest.done, newest.total, newest.figures) == ("interrupted", 1, 5, ())
    assert (oldest.state, oldest.done, oldest.total, oldest.figures) == ("done", 2, 2, tuple(FIGURES))
    assert oldest.facts == [("at", "shapes:4"), ("images", "8")]
    assert oldest.controls == 1
    assert oldest.tables[0].ways == ("codes", "random")
    assert oldest.as_dict()["figures"] == [figure.as_dict() for figure in FIGURES]
    with pytest.raises(UsageError, match="no such experiment"):
        read_experiment(ctx, "emergence")


def test_a_report_is_found_where_it_lies_and_nowhere_else(ctx: Context, tmp_path: Path) -> None:
    name = report_name("emergence", "a" * 64)
    assert (read_experiment(ctx, name).page, read_experiment(ctx, name).plot) == (None, None)
    folder = ctx.workspace.experiments_dir / name
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>all of it")
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    (folder / "plot.png").symlink_to(secret)
    assert (read_experiment(ctx, name).page, read_experiment(ctx, name).plot) == (folder / "report.html", None)
    # A kind that another person's database made up leads nowhere.
    outside = ctx.workspace.experiments_dir / report_name("../../x", "b" * 64)
    outside.mkdir(parents=True)
    (outside / "report.html").write_text("outside")
    with ctx.db.session() as session:
        queries.experiments.finish(session, list_experiments(ctx)[0].id, [])
    assert list_experiments(ctx)[0].page is None
