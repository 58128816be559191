"""Like make: a command names a result, and what is missing on the way to it is made, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlalchemy import select

from autointerp.db.models import Dictionary, Labeler as LabelerRow
from autointerp.errors import AutointerpError, NotAvailable, PartialFailure, UsageError
from autointerp.labeling.judge import JudgeOptions
from autointerp.labeling.methods import METHODS, OWN_IMAGES, UNRELATED_IMAGES, Method
from autointerp.labeling.protocol import Judge, Labeler
from autointerp.stages.context import Context
from autointerp.stages.fit import CacheRequest, FitPlan, FitRequest, plan_fit, resolve_dictionary
from autointerp.stages.harvest import HarvestPlan, plan_harvest, run_harvests
from autointerp.stages.index import open_index, plan_crops_index
from autointerp.stages.label import LabelRequest, pending, run_label
from autointerp.stages.labelers import (
    LabelerRequest,
    check_judge,
    labeler_columns,
    labeler_kind,
    make_client,
    make_judge,
    make_labeler,
)
from autointerp.stages.plan import Plan, Step
from autointerp.stages.score import Scoring, plan_scoring, run_scoring
from autointerp.stages.train import run_fits

if TYPE_CHECKING:
    from autointerp.labeling.chat import ChatClient

_TOKENS_A_LABEL = 6000
"""Tokens of one VLM labeling call with its pictures, for the estimate of a plan."""
_TOKENS_A_PICTURE, _TOKENS_A_REQUEST = 285, 100
"""The same of what a judge is asked."""


@dataclass(frozen=True)
class Done:
    """What a command did: its plan, and the dictionary that the result belongs to."""

    plan: Plan
    dictionary: Dictionary | None


@dataclass(frozen=True)
class LabelJob:
    """A whole `label` command."""

    layer: str
    dictionary: str | None = None
    request: LabelRequest = field(default_factory=LabelRequest)
    score: bool = True


@dataclass(frozen=True)
class ScoreJob:
    """A whole `score` command: the methods, and who judges where a judge is needed."""

    layer: str
    dictionary: str | None = None
    methods: tuple[str, ...] = ("embedding",)
    request: LabelerRequest = field(default_factory=LabelerRequest)


def fit_layers(
    ctx: Context,
    layers: Sequence[str],
    requests: Sequence[FitRequest],
    cache: CacheRequest | None = None,
    dry_run: bool = False,
) -> tuple[Plan, list[Dictionary]]:
    """Bring fitted dictionaries up to date: each request at each layer, all from one generation pass.

    Raises:
        UsageError: A name is given for several.
    """

    def planned() -> list[FitPlan]:
        found: dict[str, FitPlan] = {}
        for layer in layers:
            for request in requests:
                plan = plan_fit(ctx, layer, request)
                found.setdefault(plan.identity, plan)
        return list(found.values())

    fits = planned()
    if len(fits) > 1 and any(request.name for request in requests):
        raise UsageError("--name can name one dictionary only", "fit them one by one, or leave the names to autointerp")
    plan = Plan(tuple(fit.step for fit in fits))
    if dry_run or plan.nothing_to_do:
        return plan, [fit.row for fit in fits if fit.row is not None]
    with ctx.workspace.lock():
        return plan, run_fits(ctx, planned(), cache)


def harvest_layers(
    ctx: Context, targets: Sequence[tuple[str, str | None]], dry_run: bool = False
) -> tuple[Plan, list[Dictionary]]:
    """Bring the crops of dictionaries up to date, each given as (layer, its name or None), in one generation pass."""
    planned = [_planned(ctx, *target) for target in targets]
    plan = Plan(tuple(step for fit, harvest in planned for step in (fit.step, harvest.step)))
    if not dry_run and not plan.nothing_to_do:
        with ctx.workspace.lock():
            planned = _all_harvested(ctx, [_planned(ctx, *target) for target in targets])
    return plan, [harvest.fit.row for _, harvest in planned if harvest.fit.row is not None]


def label_layer(ctx: Context, job: LabelJob, dry_run: bool = False) -> Done:
    """Bring a layer's labels and their scores up to date."""
    if dry_run:
        fit, harvest = _planned(ctx, job.layer, job.dictionary)
        return Done(_label_plan(ctx, job, fit, harvest), harvest.fit.row)
    with ctx.workspace.lock():
        # Planned inside the lock: what another process finished meanwhile is there.
        fit, harvest = _planned(ctx, job.layer, job.dictionary)
        # Nothing is fitted or generated for a labeler that cannot work.
        labeler = make_labeler(ctx, replace(job.request.labeler, ask_again=job.request.retry_failed))
        plan = _label_plan(ctx, job, fit, harvest, labeler)
        ((_, harvest),) = _all_harvested(ctx, [(fit, harvest)])
        row = harvest.fit.row
        assert row is not None
        features = pending(ctx, row, labeler, job.request)
        failure: PartialFailure | None = None
        if ctx.has_embedder:
            open_index(ctx, row, "crops")
        try:
            run_label(ctx, row, labeler, features)
        except PartialFailure as error:
            failure = error
        if ctx.has_text_embedder:
            open_index(ctx, row, "labels")
        open_index(ctx, row, "decoder")
        if job.score:
            try:
                _scored(ctx, row, job, labeler)
            except PartialFailure as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return Done(plan, row)


def score_layer(ctx: Context, job: ScoreJob, dry_run: bool = False) -> Done:
    """Bring the scores of a layer's labels up to date; a method whose model is not available is skipped with a note.

    Raises:
        PartialFailure: Some labels got no readable answer, or a budget ended the work.
    """
    check_judge(job.request.judge)
    _, harvest = _planned(ctx, job.layer, job.dictionary)
    row = harvest.fit.row
    if row is None or not harvest.done:
        raise AutointerpError(
            f"layer {job.layer} has no labels to score", f"run `autointerp label --layer {job.layer}` first"
        )
    if dry_run:
        return Done(_score_plan(ctx, row, _scorings(ctx, row, job)), row)
    with ctx.workspace.lock():
        scorings = _scorings(ctx, row, job)
        failures: list[PartialFailure] = []
        for scoring in scorings:
            try:
                run_scoring(ctx, row, scoring)
            except PartialFailure as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return Done(_score_plan(ctx, row, scorings), row)


def _scorings(ctx: Context, row: Dictionary, job: ScoreJob) -> list[Scoring]:
    """What is to be done of each method that can be done."""
    found: list[Scoring] = []
    client: ChatClient | None = None
    for name in job.methods:
        method = METHODS[name]
        judge: Judge | None = None
        if method.answered_by == "embedder" and not ctx.has_embedder:
            continue
        if method.answered_by == "model" and ctx.settings.images_dir:
            ctx.progress.note(f"no {name} score: real pictures are read, not generated")
            continue
        if method.question is not None:
            try:
                if client is None and check_judge(job.request.judge) == "vlm":
                    client = make_client(ctx, job.request)
                judge = make_judge(ctx, job.request, method.question, client)
            except NotAvailable as error:
                ctx.progress.note(f"no {name} score: {error}")
                continue
        found.append(plan_scoring(ctx, row, method, judge, retry=job.request.ask_again))
    return found


def _score_plan(ctx: Context, row: Dictionary, scorings: Sequence[Scoring]) -> Plan:
    steps = []
    for one in scorings:
        asked = one.judge.model if one.judge is not None and one.judge.kind == "judge" else None
        steps.append(_score_step(row.name, one.method, len(one.own), len(one.shuffled), asked))
    return Plan(tuple(steps))


def _score_step(name: str, method: Method, own: int, shuffled: int = 0, asked: str | None = None) -> Step:
    """The plan's line of one method; `asked` is the remote model that judges, empty where it is not named yet."""
    count = own + shuffled
    detail = f"{method.name} score of {own} labels" + (f" and {shuffled} shuffled" if shuffled else "")
    if method.answered_by == "model":
        # The words of a shuffled label are another's own: its pictures are there.
        images = own * OWN_IMAGES + (UNRELATED_IMAGES if count else 0)
        return Step("score", name, count > 0, detail, images=images)
    if method.question is None or asked is None:
        return Step("score", name, count > 0, detail)
    calls = count * method.question.requests(JudgeOptions().batch)
    tokens = count * method.question.trials * _TOKENS_A_PICTURE + calls * _TOKENS_A_REQUEST
    return Step("score", name, count > 0, detail, calls=calls, tokens=tokens, cost=_cost(asked, tokens, calls * 50))


def _planned(ctx: Context, layer: str, dictionary: str | None) -> tuple[FitPlan, HarvestPlan]:
    name = dictionary or ctx.settings.dictionary.names.get(layer)
    fit = resolve_dictionary(ctx, layer, name)
    harvest = plan_harvest(ctx, fit)
    return fit, harvest


def _all_harvested(ctx: Context, planned: Sequence[tuple[FitPlan, HarvestPlan]]) -> list[tuple[FitPlan, HarvestPlan]]:
    """Fit and harvest what is missing."""
    fits = [fit for fit, _ in planned]
    rows = run_fits(ctx, fits)
    fits = [replace(fit, row=row) for fit, row in zip(fits, rows, strict=True)]
    # A harvest that was there or begun may be that of another name: what was found is kept.
    plans = [
        plan_harvest(ctx, fit) if old.fit.row is None else old for fit, (_, old) in zip(fits, planned, strict=True)
    ]
    return list(zip(fits, run_harvests(ctx, plans), strict=True))


def _label_plan(
    ctx: Context, job: LabelJob, fit: FitPlan, harvest: HarvestPlan, labeler: Labeler | None = None
) -> Plan:
    """The steps of a `label` command; before a harvest its number of features is the dictionary's."""
    request, row = job.request, harvest.fit.row
    kind = labeler_kind(ctx, request.labeler)
    if harvest.done and row is not None:
        labeler = labeler or make_labeler(ctx, request.labeler)
        count = len(pending(ctx, row, labeler, request))
        scores = count + len(plan_scoring(ctx, row, METHODS["embedding"]).own)
    else:
        every = fit.config["latents"]
        count = scores = len(request.latents) or min(request.count or every, every)
    steps = [fit.step, harvest.step]
    if ctx.has_embedder:
        steps.append(plan_crops_index(ctx, row, harvest.fit.name, harvest.identity))
    steps.append(_label_step(ctx, request, kind, harvest.fit.name, count))
    if job.score and ctx.has_embedder:
        steps.append(_score_step(harvest.fit.name, METHODS["embedding"], scores))
    if job.score and kind == "vlm":
        judged = count
        if harvest.done and row is not None and labeler is not None:
            judged += len(_judging(ctx, row, job, labeler).own)
        model = request.labeler.model or ctx.settings.vlm or ""
        steps.append(_score_step(harvest.fit.name, METHODS["detection"], judged, asked=model))
    return Plan(tuple(steps))


def _label_step(ctx: Context, request: LabelRequest, kind: str, name: str, count: int) -> Step:
    if kind != "vlm":
        return Step("label", name, count > 0, f"{count} features by {kind}")
    model = request.labeler.model or ctx.settings.vlm or ""
    tokens = count * _TOKENS_A_LABEL
    detail = f"{count} features by {model or 'a model that is not named yet'}"
    cost = _cost(model, tokens, count * 200)
    return Step("label", name, count > 0, detail, calls=count, tokens=tokens, cost=cost)


def _cost(model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Dollars; None where the model or its price is not known."""
    from autointerp.labeling.prices import load_price

    price = load_price(model) if model else None
    return None if price is None else price.of(input_tokens, output_tokens)


def _scored(ctx: Context, row: Dictionary, job: LabelJob, labeler: Labeler) -> None:
    """The embedding score of all labels; a VLM's own labels it also judges."""
    if ctx.has_embedder:
        run_scoring(ctx, row, plan_scoring(ctx, row, METHODS["embedding"]))
    if labeler.kind == "vlm":
        run_scoring(ctx, row, _judging(ctx, row, job, labeler))


def _judging(ctx: Context, row: Dictionary, job: LabelJob, labeler: Labeler) -> Scoring:
    """What a VLM has named and not judged yet: without the control, which nobody asked to pay for."""
    method = METHODS["detection"]
    assert method.question is not None
    judge = make_judge(ctx, job.request.labeler, method.question, getattr(labeler, "client", None))
    with ctx.db.session() as session:
        # Asked by dry runs too, so a labeler that is new here is not written down yet; 0 is none.
        labeler_id = session.scalar(select(LabelerRow.id).filter_by(**labeler_columns(labeler))) or 0
    return plan_scoring(ctx, row, method, judge, labeler_id, controls=False)
