"""Like make: a command names a result, and what is missing on the way to it is made, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import select

from autointerp.db.models import Dictionary, Labeler as LabelerRow
from autointerp.errors import AutointerpError, NotAvailable, PartialFailure, UsageError
from autointerp.labeling.judge import JudgeOptions
from autointerp.labeling.methods import METHODS, OWN_IMAGES, UNRELATED_IMAGES, Method
from autointerp.labeling.protocol import Judge, Labeler
from autointerp.labeling.vlm import VlmOptions
from autointerp.stages.batch import Batches, refuse_while_under_way
from autointerp.stages.context import Context
from autointerp.stages.fit import CacheRequest, FitPlan, FitRequest, plan_fit, resolve_dictionary
from autointerp.stages.harvest import HarvestPlan, plan_harvest, run_harvests
from autointerp.stages.index import open_index, plan_crops_index
from autointerp.stages.label import LabelRequest, pending, run_label
from autointerp.stages.labelers import (
    VLMS,
    LabelerRequest,
    judge_kind,
    labeler_columns,
    labeler_kind,
    make_asker,
    make_judge,
    make_labeler,
)
from autointerp.stages.plan import Plan, Step
from autointerp.stages.score import Scoring, plan_scoring, run_scoring
from autointerp.stages.train import run_fits

if TYPE_CHECKING:
    from autointerp.labeling.chat import Asker, ChatClient

_REQUEST_TOKENS = 700
"""Tokens of what a remote model is told with the pictures of one request, for the estimate of a plan."""
_LABEL_TOKENS, _VERDICT_TOKENS = 200, 50
"""The same of its replies."""


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
        labeler = make_labeler(ctx, replace(job.request.labeler, ask_again=job.request.retry_failed), job.layer)
        client = _at_server(getattr(labeler, "client", None))
        _check_batches(ctx, job.request.labeler, client)
        plan = _label_plan(ctx, job, fit, harvest, labeler)
        ((_, harvest),) = _all_harvested(ctx, [(fit, harvest)])
        row = harvest.fit.row
        assert row is not None
        features = pending(ctx, row, labeler, job.request)
        failure: PartialFailure | None = None
        if ctx.has_embedder:
            open_index(ctx, row, "crops")
        batches = Batches(ctx, row, client, "label") if client and job.request.labeler.batch else None
        named: set[int] = set()

        def name() -> None:
            run_label(ctx, row, labeler, [f for f in features if f.id not in named], named)

        try:
            name() if batches is None else batches.until_known(name)
        except PartialFailure as error:
            failure = error
        if ctx.has_text_embedder:
            open_index(ctx, row, "labels")
        open_index(ctx, row, "decoder")
        if job.score:
            try:
                _scored(ctx, row, job, labeler, batches)
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
    judge_kind(ctx, job.request)  # A judge that does not exist is refused before anything is read.
    _, harvest = _planned(ctx, job.layer, job.dictionary)
    row = harvest.fit.row
    if row is None or not harvest.done:
        raise AutointerpError(
            f"layer {job.layer} has no labels to score", f"run `autointerp label --layer {job.layer}` first"
        )
    if dry_run:
        return Done(_score_plan(ctx, row, job, _scorings(ctx, row, job, _judging_asker(ctx, job))), row)
    with ctx.workspace.lock():
        asker = _judging_asker(ctx, job)
        client = _at_server(asker)
        _check_batches(ctx, job.request, client)
        batches = Batches(ctx, row, client, "score") if client and job.request.batch else None
        scorings = _scorings(ctx, row, job, asker)

        def judge() -> None:
            failures: list[PartialFailure] = []
            for scoring in _scorings(ctx, row, job, asker):
                try:
                    run_scoring(ctx, row, scoring)
                except PartialFailure as error:
                    failures.append(error)
            if failures:
                raise failures[0]

        judge() if batches is None else batches.until_known(judge)
        return Done(_score_plan(ctx, row, job, scorings), row)


def _check_batches(ctx: Context, request: LabelerRequest, client: ChatClient | None) -> None:
    """Whether requests may be sent as they are asked to be, in batches or one by one.

    Raises:
        UsageError: Batches are asked for, and nothing remote is asked.
        AutointerpError: They are not asked for, and requests are under way in one.
    """
    if client is None:
        if request.batch:
            raise UsageError("--batch is for remote models", "name one with --vlm MODEL (and --labeler vlm)")
    elif not request.batch:
        refuse_while_under_way(ctx.db, client)


def _at_server(asker: Asker | None) -> ChatClient | None:
    """The asker where it asks a server: only there are batches and prices."""
    return cast("ChatClient", asker) if asker is not None and asker.kind == "vlm" else None


def _judging_asker(ctx: Context, job: ScoreJob) -> Asker | None:
    """Who is asked where a judge is needed: one for all methods, so that all spend one budget; None with a note."""
    asked = [name for name in job.methods if METHODS[name].question is not None]
    kind = judge_kind(ctx, job.request)
    if not asked or kind not in VLMS:
        return None
    try:
        return make_asker(ctx, job.request, kind)
    except NotAvailable as error:
        for name in asked:
            ctx.progress.note(f"no {name} score: {error}")
        return None


def _scorings(ctx: Context, row: Dictionary, job: ScoreJob, asker: Asker | None) -> list[Scoring]:
    """What is to be done of each method that can be done."""
    found: list[Scoring] = []
    for name in job.methods:
        method = METHODS[name]
        judge: Judge | None = None
        if method.answered_by == "embedder" and not ctx.has_embedder:
            continue
        if method.answered_by == "model" and ctx.settings.images_dir:
            ctx.progress.note(f"no {name} score: real pictures are read, not generated")
            continue
        if method.question is not None:
            if asker is None and judge_kind(ctx, job.request) in VLMS:
                continue
            try:
                judge = make_judge(ctx, job.request, method.question, asker)
            except NotAvailable as error:
                ctx.progress.note(f"no {name} score: {error}")
                continue
        found.append(plan_scoring(ctx, row, method, judge, retry=job.request.ask_again))
    return found


def _score_plan(ctx: Context, row: Dictionary, job: ScoreJob, scorings: Sequence[Scoring]) -> Plan:
    steps = []
    for one in scorings:
        client = _at_server(getattr(one.judge, "client", None))
        asked = None if client is None else client.model
        steps.append(_score_step(ctx, row.name, one.method, job.request, len(one.own), len(one.shuffled), asked))
    return Plan(tuple(steps))


def _score_step(
    ctx: Context,
    name: str,
    method: Method,
    request: LabelerRequest,
    own: int,
    shuffled: int = 0,
    asked: str | None = None,
) -> Step:
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
    pictures = count * method.question.trials
    return Step("score", name, count > 0, detail, **_asked(ctx, request, asked, calls, pictures, _VERDICT_TOKENS))


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
        labeler = labeler or make_labeler(ctx, request.labeler, job.layer)
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
        steps.append(_score_step(ctx, harvest.fit.name, METHODS["embedding"], request.labeler, scores))
    if job.score and kind in VLMS:
        judged = count
        if harvest.done and row is not None and labeler is not None:
            judged += len(_judging(ctx, row, job, labeler).own)
        model = (request.labeler.model or ctx.settings.vlm or "") if kind == "vlm" else None
        steps.append(_score_step(ctx, harvest.fit.name, METHODS["detection"], request.labeler, judged, asked=model))
    return Plan(tuple(steps))


def _label_step(ctx: Context, request: LabelRequest, kind: str, name: str, count: int) -> Step:
    if kind != "vlm":
        return Step("label", name, count > 0, f"{count} features by {kind}")
    model = request.labeler.model or ctx.settings.vlm or ""
    detail = f"{count} features by {model or 'a model that is not named yet'}"
    options = VlmOptions()
    several = (request.labeler.candidates or ctx.settings.candidates) * (
        request.labeler.clusters or ctx.settings.clusters
    )
    calls = count * several
    pictures = calls * (options.crops * (2 if options.context else 1) + options.negatives)
    asked = _asked(ctx, request.labeler, model, calls, pictures, _LABEL_TOKENS)
    return Step("label", name, count > 0, detail + (", in batches" if request.labeler.batch else ""), **asked)


def _asked(
    ctx: Context, request: LabelerRequest, model: str, calls: int, pictures: int, reply_tokens: int
) -> dict[str, Any]:
    """What a plan says of requests to a remote model; the cost is None where the model or its price is not known."""
    from autointerp.labeling.prices import BATCH_SHARE, PICTURE_TOKENS, PRICES, load_price

    price = load_price(model, ctx.workspace.path / PRICES) if model else None
    told = calls * _REQUEST_TOKENS + pictures * (price.picture if price else PICTURE_TOKENS)
    replies = calls * reply_tokens
    cost = None if price is None else price.of(told, replies) * (BATCH_SHARE if request.batch else 1)
    return {"calls": calls, "pictures": pictures, "tokens": told + replies, "cost": cost}


def _scored(ctx: Context, row: Dictionary, job: LabelJob, labeler: Labeler, batches: Batches | None) -> None:
    """The embedding score of all labels; a VLM's own labels it also judges."""
    if ctx.has_embedder:
        run_scoring(ctx, row, plan_scoring(ctx, row, METHODS["embedding"]))
    if labeler.kind in VLMS:

        def judge() -> None:
            run_scoring(ctx, row, _judging(ctx, row, job, labeler))

        judge() if batches is None else batches.until_known(judge)


def _judging(ctx: Context, row: Dictionary, job: LabelJob, labeler: Labeler) -> Scoring:
    """What a VLM has named and not judged yet: without the control, which nobody asked to pay for."""
    method = METHODS["detection"]
    assert method.question is not None
    judge = make_judge(ctx, job.request.labeler, method.question, getattr(labeler, "client", None))
    with ctx.db.session() as session:
        # Asked by dry runs too, so a labeler that is new here is not written down yet; 0 is none.
        labeler_id = session.scalar(select(LabelerRow.id).filter_by(**labeler_columns(labeler))) or 0
    return plan_scoring(ctx, row, method, judge, labeler_id, controls=False)
