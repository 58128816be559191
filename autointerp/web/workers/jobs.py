"""Tasks of the clerk: labeling and scoring, planned or carried out by the same code as the commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autointerp.errors import UsageError
from autointerp.project.labelers import LabelerRequest, check_labeler
from autointerp.project.targets import Target
from autointerp.stages.label.labeling import LabelRequest
from autointerp.stages.pipeline.jobs import CommandResult, LabelJob, ScoreJob
from autointerp.stages.pipeline.labels import label_layer
from autointerp.stages.pipeline.scores import score_layer
from autointerp.stages.score.planning import check_methods
from autointerp.views.status import read_status
from autointerp.web.workers.wire import Message

if TYPE_CHECKING:
    from autointerp.project.context import Context
    from autointerp.project.plan import Step
    from autointerp.web.workers.tasks import Workbench


def plan(bench: Workbench, request: dict[str, Any]) -> Message:
    """Return the steps that a job would take, and what they would cost; nothing is made.

    Raises:
        UsageError: The job asks for what does not exist.
        AutointerpError: The job cannot be carried out, such as without a key.
    """
    ctx = bench.open()
    try:
        steps = _run(ctx, request, dry_run=True).plan.steps
    finally:
        ctx.workspace.close()
    needed = [step for step in steps if step.needed]
    unknown = any(step.calls and step.cost is None for step in needed)
    return Message(
        {
            "steps": [_told(step) for step in steps],
            "calls": sum(step.calls for step in needed),
            "cost": None if unknown else sum(step.cost or 0.0 for step in needed),
            "nothing_to_do": not needed,
        }
    )


def carry_out(bench: Workbench, request: dict[str, Any]) -> Message:
    """Carry out a job, and return what the dictionary has then.

    Raises:
        UsageError: As of `plan`.
        AutointerpError: As of `plan`; another process writes the workspace; or some features failed.
    """
    ctx = bench.open()
    try:
        done = _run(ctx, request, dry_run=False)
        status = read_status(ctx).dictionary(request["dictionary"])
    finally:
        ctx.workspace.close()
    return Message(
        {
            "nothing_to_do": done.plan.nothing_to_do,
            "labels": status.labels,
            "uninterpretable": status.uninterpretable,
            "failed": status.failed,
            "scores": status.scores,
        }
    )


def _run(ctx: Context, request: dict[str, Any], dry_run: bool) -> CommandResult:
    row = ctx.dictionary_named(request["dictionary"])
    target = Target(row.layer, row.name)
    asked = LabelerRequest(
        kind=request["labeler"] or None,
        model=request["model"] or None,
        judge=request["judge"] or None,
        max_calls=request["max_calls"],
        max_cost=request["max_cost"],
        ask_again=request["what"] == "score" and request["retry_failed"],
    )
    if request["what"] == "score":
        return score_layer(ctx, ScoreJob(target, check_methods(request["methods"] or ("embedding",)), asked), dry_run)
    if request["what"] != "label":
        raise UsageError(f"there is no job {request['what']!r}", "label, or score")
    check_labeler(ctx, asked)
    wanted = LabelRequest(asked, request["count"], tuple(request["features"]), request["retry_failed"])
    return label_layer(ctx, LabelJob(target, wanted, request["score"]), dry_run)


def _told(step: Step) -> dict[str, Any]:
    return {"text": step.text, "needed": step.needed, "calls": step.calls, "cost": step.cost}
