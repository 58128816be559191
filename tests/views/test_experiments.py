"""Stored experiments, and the files of their reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autointerp.db import queries
from autointerp.db.queries.experiments import PlannedExperiment
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.experiments import StoredExperiment, list_experiments, read_experiment, report_name
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


VERDICT = {
    "claim": "Features edit (turbo)",
    "source": "arXiv 2410.22366",
    "theirs": "62%",
    "ours": 0.31,
    "ci_low": 0.2,
    "ci_high": 0.42,
    "verdict": "holds",
    "reason": "features: 0.31 (0.2 to 0.42) (holds: it must be above 0.05); premise: both: - (undecided: it must be "
    "above 0; 3 are too few to decide)",
}


def decided(ctx: Context, said: str) -> StoredExperiment:
    """The experiment with a report of which `figures.json` says this."""
    folder = ctx.workspace.experiments_dir / report_name("emergence", "a" * 64)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(said)
    return read_experiment(ctx, folder.name)


def test_verdicts_are_those_of_the_report_by_paper(ctx: Context) -> None:
    other = {**VERDICT, "source": "arXiv 1", "verdict": "fails", "ours": None, "ci_low": None, "ci_high": None}
    found = decided(ctx, json.dumps({"experiment": "emergence", "verdicts": [VERDICT, other]}))
    assert found.decisions == {"holds": 1, "fails": 1, "undecided": 0}
    assert [one.interval for one in found.verdicts] == ["0.200 to 0.420", ""]
    assert [len(part) > 20 for part in found.verdicts[0].parts] == [True, True]
    assert list(found.sources) == ["arXiv 2410.22366", "arXiv 1"]
    assert found.as_dict()["verdicts"] == [VERDICT, other]


def test_figures_that_verdicts_say_are_no_tables_once_more(ctx: Context) -> None:
    said = Figure("arXiv 2410.22366: a paper", "Features edit", "turbo", 0.31, 0.2, 0.42, 50)
    with ctx.db.session() as session:
        queries.experiments.finish(session, 1, [figure.as_dict() for figure in (said, *FIGURES)])
    found = decided(ctx, json.dumps({"verdicts": [VERDICT]}))
    assert [table.name for table in found.tables] == ["iou"]
    assert list(found.sources) == ["arXiv 2410.22366: a paper"]
    assert [table.name for table in decided(ctx, "{}").tables] == [said.name, "iou"]


@pytest.mark.parametrize(
    "said",
    ["no JSON", "[]", '{"verdicts": 3}', json.dumps({"verdicts": [{**VERDICT, "verdict": "<b>"}]})]
    + [json.dumps({"verdicts": [{**VERDICT, "ours": value}]}) for value in (float("nan"), "x")],
)
def test_a_file_that_is_not_what_it_should_be_has_no_verdicts(ctx: Context, said: str) -> None:
    assert decided(ctx, said).verdicts == ()
