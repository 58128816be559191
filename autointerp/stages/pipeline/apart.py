"""The part of `label` that tells features of nearly the same name apart: whether it is wanted, its plan, its run."""

from __future__ import annotations

from collections.abc import Sequence

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import PartialFailure, UsageError
from autointerp.labeling.asking import VLMS
from autointerp.labeling.judging.gain import Gain
from autointerp.labeling.labelers.apart_judged import proposals
from autointerp.labeling.protocol import Labeler
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.labelers import labeler_key, make_judge, make_teller
from autointerp.project.plan import Plan, Step
from autointerp.stages.index.opening import open_index
from autointerp.stages.label.apart import apart_tasks, note_single, run_apart
from autointerp.stages.label.labeling import wanted_features
from autointerp.stages.pipeline.asking import RequestSender
from autointerp.stages.pipeline.estimates import StepEstimates
from autointerp.stages.pipeline.jobs import LabelJob

STAGE = "apart"


def can_tell(ctx: Context, job: LabelJob, kind: str) -> bool:
    """Return whether the pass may be made: the labeler is a VLM, whose replies or judgements tell features apart.

    Raises:
        UsageError: The command asks for the pass, and the labeler cannot make it.
    """
    able = kind in VLMS
    if able and not VLMS.check(kind).load().tells_apart:
        # A judge is asked about phrases that an embedder of pictures ranks.
        able = ctx.has_embedder
    if job.apart and not able:
        raise UsageError(f"the labeler {kind} cannot tell features apart", "name a VLM: --vlm MODEL, without --apart")
    return able and job.apart is not False


def plan_apart(
    ctx: Context,
    job: LabelJob,
    kind: str,
    target: tuple[str, DictionaryRow | None],
    labeler: Labeler | None,
    new: int,
    before: Sequence[Step],
) -> list[Step]:
    """Return the step of the pass; none where it is not made.

    A VLM at a server is paid for: it needs `--apart`, or a `max_cost` that the whole command fits.

    Args:
        ctx: The command's view of the workspace.
        job: The command.
        kind: The kind of the labeler.
        target: The dictionary's name, and its row, where it is harvested.
        labeler: The labeler, where the dictionary is harvested.
        new: Features that are named by the command.
        before: The other steps of the command.
    """
    if not can_tell(ctx, job, kind):
        return []
    name, row = target
    count = new
    if row is not None and labeler is not None:
        count += len(_untold(ctx, job, row, labeler))
    step = StepEstimates(ctx, job.request.labeler).apart_step(kind, name, count)
    if kind == "vlm" and not job.apart:
        limit = job.request.labeler.over(ctx.settings).max_cost
        costs = [one.cost for one in (*before, step) if one.needed]
        known = [cost for cost in costs if cost is not None]
        if limit is None or len(known) < len(costs) or sum(known) > limit:
            return []
    return [step]


def tell_apart(
    ctx: Context, job: LabelJob, row: DictionaryRow, labeler: Labeler, sender: RequestSender, plan: Plan
) -> list[PartialFailure]:
    """Make the pass where the plan has it; return the failure, if there was one."""
    needed = {step.stage for step in plan.steps if step.needed}
    if STAGE not in needed:
        if "label" in needed and labeler.kind in VLMS and not can_tell(ctx, job, labeler.kind) and job.apart is None:
            ctx.progress.note(
                f"{labeler.kind} cannot tell features of nearly the same name apart, so they stay as named"
            )
        return []
    assert labeler.asker is not None
    request = job.request.labeler
    teller = make_teller(ctx, request, job.target.layer, labeler.asker, lambda: _said(ctx, row, labeler))
    question = Gain().question
    assert question is not None
    judge = make_judge(ctx, request, question, labeler.asker)
    failures: list[PartialFailure] = []

    def tell() -> None:
        tasks = apart_tasks(ctx, row, _untold(ctx, job, row, labeler))
        note_single(ctx, tasks)
        run_apart(ctx, row, teller, judge, [task for task in tasks if task.namesakes])

    try:
        sender.run(row, "label", tell)
    except PartialFailure as error:
        failures.append(error)
    if ctx.has_text_embedder:
        open_index(ctx, row, "labels")
    return failures


def _said(ctx: Context, row: DictionaryRow, labeler: Labeler) -> list[str]:
    """Return what may be said of a difference between features of a dictionary."""
    with ctx.db.session() as session:
        labeler_id = queries.labelers.find(session, labeler_key(labeler))
        current = queries.labels.current(session, row.id, None if labeler_id is None else [labeler_id])
        names = [one.label.name for said in current.values() for one in said if one.label.status == "ok"]
    return proposals(names, EvidenceReader(ctx.db, row).context(0).prompts)


def _untold(ctx: Context, job: LabelJob, row: DictionaryRow, labeler: Labeler) -> list[int]:
    """Return the ids of the labels of the wanted features that were not told apart yet, in the features' order."""
    wanted = [feature.id for feature in wanted_features(ctx, row, job.request)]
    with ctx.db.session() as session:
        labeler_id = queries.labelers.find(session, labeler_key(labeler))
        if labeler_id is None:
            return []
        said = queries.labels.current(session, row.id, [labeler_id], wanted)
        labels = [said[feature][0].label for feature in wanted if feature in said]
        return [label.id for label in labels if label.status == "ok" and label.told_apart_from is None]
