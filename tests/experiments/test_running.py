"""An experiment that is stopped goes on with the units that are missing, and ends in the same figures."""

from __future__ import annotations

from typing import Any

import pytest

from autointerp.db import queries
from autointerp.errors import AutointerpError
from autointerp.experiments.running import experiment_identity, plan_experiment, run_experiment
from autointerp.project.context import Context


def row_of(ctx: Context, experiment: Any) -> Any:
    with ctx.db.session() as session:
        key = experiment_identity(ctx, experiment.kind, experiment.configuration())
        found = queries.experiments.by_identity(session, key)
        session.expunge_all()
        return found


def test_a_stopped_experiment_goes_on_where_it_was(ctx: Context, scripted_experiment: Any) -> None:
    whole = run_experiment(ctx, scripted_experiment(6)).figures
    first = scripted_experiment(5, stop_at=3)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(ctx, first)
    assert row_of(ctx, first).state == "interrupted"
    plan = plan_experiment(ctx, first)
    assert [unit.key for unit in plan.missing] == ["case xxx", "case xxxx"]
    assert plan.text == (
        "experiment scripted: 16 runs of the denoiser, 4 images, about 1:05, 3 of 5 units are measured"
    )
    second = scripted_experiment(5)
    outcome = run_experiment(ctx, second)
    assert second.measured == ["case xxx", "case xxxx"]
    assert outcome.figures[1].value == 7.0
    assert whole[1].value == 7.5
    assert row_of(ctx, second).state == "done"
    assert row_of(ctx, second).figures == [figure.as_dict() for figure in outcome.figures]
    # A result that is no number is stored as null, which every database and reader takes.
    assert outcome.results["case x"] == {"length": 6, "nothing": None}


def test_a_finished_experiment_is_not_measured_again(ctx: Context, scripted_experiment: Any) -> None:
    done = run_experiment(ctx, scripted_experiment()).figures
    again = scripted_experiment(stop_at=0)
    assert plan_experiment(ctx, again).text == "experiment scripted: up to date"
    assert run_experiment(ctx, again).figures == done
    assert again.measured == []


def test_a_failure_is_recorded_and_keeps_what_was_measured(ctx: Context, scripted_experiment: Any) -> None:
    failing = scripted_experiment(stop_at=1, error=AutointerpError("no detector", "fetch it"))
    with pytest.raises(AutointerpError, match="no detector"):
        run_experiment(ctx, failing)
    row = row_of(ctx, failing)
    assert (row.state, row.error) == ("failed", "no detector: fetch it")
    assert run_experiment(ctx, scripted_experiment()).figures[1].value == 7.0


def test_the_identity_follows_the_configuration_and_the_model(ctx: Context, scripted_experiment: Any) -> None:
    key = plan_experiment(ctx, scripted_experiment()).identity
    assert key == plan_experiment(ctx, scripted_experiment()).identity
    assert key != plan_experiment(ctx, scripted_experiment(4)).identity
    other = Context(ctx.workspace, model="shapes")
    assert key != plan_experiment(other, scripted_experiment()).identity
