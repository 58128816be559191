"""The command `label`: features are named, the indexes follow, and the labels are scored."""

from __future__ import annotations

from dataclasses import replace

from autointerp.db import queries
from autointerp.db.models import DictionaryRow
from autointerp.errors import PartialFailure
from autointerp.labeling.asking import VLMS
from autointerp.labeling.judging import score_method
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import Labeler
from autointerp.project.context import Context
from autointerp.project.labelers import labeler_key, labeler_kind, make_judge, make_labeler
from autointerp.project.pace import scheduled
from autointerp.project.plan import Plan
from autointerp.stages.index.opening import open_index, plan_crops_index
from autointerp.stages.label.labeling import pending, rare_features, run_label
from autointerp.stages.pipeline.apart import plan_apart, tell_apart
from autointerp.stages.pipeline.asking import RequestSender, load_own_model, remote_client
from autointerp.stages.pipeline.dictionaries import TargetPlan, plan_target, run_targets
from autointerp.stages.pipeline.estimates import ScoreCount, StepEstimates
from autointerp.stages.pipeline.jobs import CommandResult, LabelJob
from autointerp.stages.score.planning import Scoring, chosen_method, plan_scoring
from autointerp.stages.score.scoring import run_scoring

JUDGED_BY, WHOLE_PICTURES = "gain", "detection"
"""The score by which a VLM judges its own labels, and the one where features have no place in the picture.

Earlier versions judged every label by the latter.
"""
_UNKNOWN_LABELER = 0
"""The id of a labeler that is not stored yet; no label has it."""


def label_layer(ctx: Context, job: LabelJob, dry_run: bool = False) -> CommandResult:
    """Make the labels of a layer and their scores that are missing.

    Raises:
        PartialFailure: Some features failed, or a budget ended the work; finished work is kept.
    """
    if dry_run:
        target = plan_target(ctx, job.target)
        return CommandResult(_plan(ctx, job, target), target.row)
    with ctx.workspace.lock():
        # Plan inside the lock, because another process may have finished some of the work.
        target = plan_target(ctx, job.target)
        # Make the labeler first, so that nothing is fitted or generated for a labeler that cannot work.
        labeler = make_labeler(ctx, replace(job.request.labeler, ask_again=job.request.retry_failed), job.target.layer)
        sender = RequestSender(ctx, job.request.labeler, labeler.asker)
        plan = _plan(ctx, job, target, labeler)
        if not plan.nothing_to_do:
            load_own_model(labeler.asker)
        with scheduled(ctx, plan, f"label --layer {job.target.layer}", labeler.kind):
            (target,) = run_targets(ctx, [target])
            row = target.row
            assert row is not None
            failures = _label(ctx, job, row, labeler, sender)
            failures += tell_apart(ctx, job, row, labeler, sender, plan)
            if job.score:
                failures += _score(ctx, job, row, labeler, sender)
        if failures:
            raise failures[0]
        return CommandResult(plan, row)


def _label(
    ctx: Context, job: LabelJob, row: DictionaryRow, labeler: Labeler, sender: RequestSender
) -> list[PartialFailure]:
    """Name the pending features and bring the indexes up to date; return the failure, if there was one."""
    failures: list[PartialFailure] = []
    features = pending(ctx, row, labeler, job.request)
    if labeler.asker is not None and not job.request.latents and (rare := rare_features(ctx, row)):
        ctx.progress.note(f"fired in too few images for a name and its score, not asked about: {len(rare)} features")
    if ctx.has_embedder:
        open_index(ctx, row, "crops")
    named: set[int] = set()

    def name() -> None:
        run_label(ctx, row, labeler, [feature for feature in features if feature.id not in named], named)

    try:
        sender.run(row, "label", name)
    except PartialFailure as error:
        failures.append(error)
    if ctx.has_text_embedder:
        open_index(ctx, row, "labels")
    open_index(ctx, row, "decoder")
    return failures


def _score(
    ctx: Context, job: LabelJob, row: DictionaryRow, labeler: Labeler, sender: RequestSender
) -> list[PartialFailure]:
    """Make the embedding score of all labels, and let a VLM judge its own; return the failure, if there was one."""
    try:
        if ctx.has_embedder:
            run_scoring(ctx, row, plan_scoring(ctx, row, score_method("embedding")))
        if labeler.kind in VLMS:
            sender.run(row, "label", lambda: run_scoring(ctx, row, _plan_judging(ctx, row, job, labeler)))
    except PartialFailure as error:
        return [error]
    return []


def _judged_by(ctx: Context, row: DictionaryRow | None) -> Method:
    """Return the score by which a VLM judges its own labels of a dictionary; None is one that is fitted first."""
    stream = ctx.settings.stream if row is None else row.stream
    return chosen_method(ctx, JUDGED_BY if stream == "image" else WHOLE_PICTURES)


def _plan_judging(ctx: Context, row: DictionaryRow, job: LabelJob, labeler: Labeler, tell: bool = False) -> Scoring:
    """Return the labels of a VLM that it has not judged yet.

    The shuffled control is left out: it costs money, and `label` was not asked for it. For the same reason a server
    does not judge again what it judged by detection, as earlier versions did; `tell` says whether a note counts such
    labels.
    """
    with ctx.db.session() as session:
        # A dry run stores no labeler, so a new labeler may have no id yet.
        labeler_id = queries.labelers.find(session, labeler_key(labeler)) or _UNKNOWN_LABELER

    def missing(method: Method) -> Scoring:
        assert method.question is not None
        judge = make_judge(ctx, job.request.labeler, method.question, labeler.asker)
        return plan_scoring(ctx, row, method, judge, labeler_id, controls=False)

    method, earlier = _judged_by(ctx, row), score_method(WHOLE_PICTURES)
    scoring = missing(method)
    if method.name == earlier.name or remote_client(labeler.asker) is None:
        return scoring
    unjudged = {label.id for label in missing(earlier).own}
    own = tuple(label for label in scoring.own if label.id in unjudged)
    if tell and (before := len(scoring.own) - len(own)):
        ctx.progress.note(
            f"{before} labels were judged by {earlier.name} before, and are not paid for again: "
            f"`autointerp score --layer {job.target.layer} --method {method.name}` judges them by {method.name}"
        )
    return replace(scoring, own=own)


def _plan(ctx: Context, job: LabelJob, target: TargetPlan, labeler: Labeler | None = None) -> Plan:
    """Return the steps of the command. Before a harvest all latents of the dictionary count as live features."""
    request, row, name = job.request, target.row, target.harvest.fit.name
    kind = labeler_kind(ctx, request.labeler)
    judged = names = 0
    if target.harvest.done and row is not None:
        labeler = labeler or make_labeler(ctx, request.labeler, job.target.layer)
        count = len(pending(ctx, row, labeler, request))
        scored = count + len(plan_scoring(ctx, row, score_method("embedding")).own)
        if job.score and kind in VLMS:
            judging = _plan_judging(ctx, row, job, labeler, tell=True)
            judged, names = len(judging.own), judging.names
    else:
        latents = target.fit.config["latents"]
        count = scored = len(request.latents) or min(request.count or latents, latents)
    estimates = StepEstimates(ctx, request.labeler)
    steps = [target.fit.step, target.harvest.step]
    if ctx.has_embedder:
        indexed = plan_crops_index(ctx, row, name, target.harvest.identity)
        steps.append(replace(indexed, units=row.num_latents if row is not None else target.fit.config["latents"]))
    steps.append(estimates.label_step(kind, name, count))
    if job.score and ctx.has_embedder:
        steps.append(estimates.score_step(score_method("embedding"), name, ScoreCount(scored)))
    if job.score and kind in VLMS:
        model = (request.labeler.model or ctx.settings.vlm or "") if kind == "vlm" else None
        # Each new label may have a name of its own.
        total = ScoreCount(count + judged, names=count + names)
        steps.append(estimates.score_step(_judged_by(ctx, row), name, total, model))
    harvested = row if target.harvest.done else None
    told = plan_apart(ctx, job, kind, (name, harvested), labeler, count, steps)
    named = 1 + next(place for place, step in enumerate(steps) if step.stage == "label")
    return Plan((*steps[:named], *told, *steps[named:]))
