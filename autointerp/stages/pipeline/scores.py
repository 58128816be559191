"""The command `score`: the labels of a layer are scored by the methods that it names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.db.models import DictionaryRow
from autointerp.errors import AutointerpError, NotAvailable, PartialFailure
from autointerp.labeling.asking import VLMS
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import Judge
from autointerp.project.context import Context
from autointerp.project.labelers import judge_kind, make_asker, make_judge
from autointerp.project.plan import Plan
from autointerp.project.schedule import tell_steps
from autointerp.stages.pipeline.asking import RequestSender, remote_client
from autointerp.stages.pipeline.dictionaries import plan_target
from autointerp.stages.pipeline.estimates import ScoreCount, StepEstimates
from autointerp.stages.pipeline.jobs import CommandResult, ScoreJob
from autointerp.stages.score.planning import Scoring, chosen_method, plan_scoring
from autointerp.stages.score.scoring import run_scoring

if TYPE_CHECKING:
    from autointerp.labeling.asking.protocol import Asker


def score_layer(ctx: Context, job: ScoreJob, dry_run: bool = False) -> CommandResult:
    """Make the scores of a layer's labels that are missing.

    A method whose model is not available is skipped with a note.

    Raises:
        AutointerpError: The layer has no labels.
        PartialFailure: Some labels got no readable answer, or a budget ended the work.
    """
    # A judge that does not exist is an error before anything is read.
    judge_kind(ctx, job.request)
    target = plan_target(ctx, job.target)
    row = target.row
    if row is None or not target.harvest.done:
        raise AutointerpError(
            f"layer {job.target.layer} has no labels to score",
            f"run `autointerp label --layer {job.target.layer}` first",
        )
    if dry_run:
        return CommandResult(_plan(ctx, row, job, _plan_scorings(ctx, row, job, _make_asker(ctx, job))), row)
    with ctx.workspace.lock():
        asker = _make_asker(ctx, job)
        sender = RequestSender(ctx, job.request, asker)
        scorings = _plan_scorings(ctx, row, job, asker)
        plan = _plan(ctx, row, job, scorings)
        tell_steps(ctx.progress, plan)
        sender.run(row, "score", lambda: _run_scorings(ctx, row, _plan_scorings(ctx, row, job, asker)))
        return CommandResult(plan, row)


def _run_scorings(ctx: Context, row: DictionaryRow, scorings: Sequence[Scoring]) -> None:
    """Make the scores of all methods; a failure of one method does not stop the others.

    Raises:
        PartialFailure: The first failure.
    """
    failures: list[PartialFailure] = []
    for scoring in scorings:
        try:
            run_scoring(ctx, row, scoring)
        except PartialFailure as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _make_asker(ctx: Context, job: ScoreJob) -> Asker | None:
    """Make the VLM that judges for all methods, so that all of them spend one budget.

    Returns None where no method needs a VLM, and, with a note, where the VLM is not available.
    """
    judged = [name for name in job.methods if score_method(name).question is not None]
    kind = judge_kind(ctx, job.request)
    if not judged or kind not in VLMS:
        return None
    try:
        return make_asker(ctx, job.request, kind)
    except NotAvailable as error:
        for name in judged:
            _note_skipped(ctx, name, error)
        return None


def _plan_scorings(ctx: Context, row: DictionaryRow, job: ScoreJob, asker: Asker | None) -> list[Scoring]:
    """Return the missing scores of each method that is available; the others are skipped with a note."""
    scorings: list[Scoring] = []
    for name in job.methods:
        method = chosen_method(ctx, name)
        try:
            if _is_available(ctx, job, method, asker):
                judge = _judge_for(ctx, job, method, asker)
                scorings.append(plan_scoring(ctx, row, method, judge, retry=job.request.ask_again))
        except NotAvailable as error:
            _note_skipped(ctx, name, error)
    return scorings


def _is_available(ctx: Context, job: ScoreJob, method: Method, asker: Asker | None) -> bool:
    """Return whether what answers a method's trials is available; where it is not, a note has said so."""
    if method.answered_by == "embedder":
        return ctx.has_embedder
    if method.answered_by == "model" and ctx.settings.images_dir:
        _note_skipped(ctx, method.name, "real pictures are read, not generated")
        return False
    return method.question is None or asker is not None or judge_kind(ctx, job.request) not in VLMS


def _judge_for(ctx: Context, job: ScoreJob, method: Method, asker: Asker | None) -> Judge | None:
    """Make the judge of a method's trials; None where no judge answers them."""
    return None if method.question is None else make_judge(ctx, job.request, method.question, asker)


def _note_skipped(ctx: Context, method: str, reason: object) -> None:
    ctx.progress.note(f"no {method} score: {reason}")


def _plan(ctx: Context, row: DictionaryRow, job: ScoreJob, scorings: Sequence[Scoring]) -> Plan:
    """Return the steps of the command."""
    estimates = StepEstimates(ctx, job.request)
    steps = []
    for scoring in scorings:
        client = remote_client(None if scoring.judge is None else scoring.judge.asker)
        count = ScoreCount(len(scoring.own), len(scoring.shuffled), scoring.names)
        steps.append(estimates.score_step(scoring.method, row.name, count, None if client is None else client.model))
    return Plan(tuple(steps))
