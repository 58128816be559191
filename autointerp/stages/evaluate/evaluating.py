"""Stage `evaluate`: how well dictionaries rebuild their layers and, on shapes, features and labels against the truth.

Everything is measured on held-out images, of other prompts and seeds than any crop has, and beside its controls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autointerp.crops.records import ACTIVE_SHARE
from autointerp.db import queries
from autointerp.db.models import DictionaryRow, Label
from autointerp.errors import UsageError
from autointerp.project.context import Context
from autointerp.project.labeler_names import chosen_labelers, newest_of
from autointerp.project.plan import Plan, Step
from autointerp.project.runs import running
from autointerp.project.schedule import part_of, tell_steps
from autointerp.project.targets import Target, find_dictionary
from autointerp.shapes.label_controls import (
    Marking,
    constant_labels,
    majority_label,
    shuffled_labels,
    truthless_named,
)
from autointerp.shapes.label_intervals import feature_intervals, label_intervals
from autointerp.shapes.names_apart import NamedApart, apart_figures
from autointerp.shapes.truth import FeatureTruth
from autointerp.shapes.verdict import Evaluated, Firing, Truth, accuracy, correlation, kinds, shuffled_accuracy
from autointerp.stages.evaluate.controls import (
    ControlPlan,
    Wanted,
    control_names,
    distinct,
    forget_checkpoint,
    plan_controls,
)
from autointerp.stages.evaluate.figures import Evaluation, EvaluationReport, LabelFigures, SpliceFigures, TruthFigures
from autointerp.stages.evaluate.observing import DictionaryObserver, observe_held_out
from autointerp.stages.evaluate.planning import (
    EvaluationPlan,
    FinePlan,
    feature_states,
    has_truth,
    plan_evaluation,
    plan_fine,
)
from autointerp.stages.evaluate.splices import measure_splices
from autointerp.stages.score.figures import score_figures

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EvaluationRequest:
    """What is measured beside the figures of every evaluation.

    Attributes:
        controls: Which controls of directions: those that need no fit, or all.
        fine: Whether features are held against the finer list of concepts too.
    """

    controls: Wanted = "cheap"
    fine: bool = False


def run_evaluate(
    ctx: Context,
    targets: Sequence[Target],
    dry_run: bool = False,
    labeler: str | None = None,
    request: EvaluationRequest | None = None,
) -> tuple[Plan, list[EvaluationReport]]:
    """Return all figures of the dictionaries that the targets mean, from one generation pass.

    Known results are not measured again, whatever labels and scores came since. Features and labels are held against
    the truth where it is known, for images that `shapes` generates. How well a dictionary rebuilds its layer is
    measured on any model.

    Args:
        ctx: The command's view of the workspace.
        targets: The dictionaries.
        dry_run: Measure nothing, and report known results alone.
        labeler: Take the labels of this labeler alone, in place of those that count. Where the name means several, the
            one that labeled a dictionary last is taken, and a note names the others.
        request: What is measured beside; the cheap controls if None.

    Raises:
        AutointerpError: Nothing is fitted at a layer.
    """
    request = request or EvaluationRequest()
    chosen = chosen_labelers(ctx, labeler)
    work = _planned(ctx, [find_dictionary(ctx, target) for target in targets], request)
    plan = Plan(work.steps)
    if dry_run:
        done = [one for one in work.dictionaries if one.known is not None]
        return plan, [_report(ctx, work, one, one.known, chosen) for one in done if one.known is not None]
    if not all(one.with_truth for one in work.dictionaries) and request != EvaluationRequest():
        ctx.progress.note("controls and concepts need the truth of cells, which is known of shapes alone: left out")
    made = _carried_out(ctx, work)
    if work.controls or work.fine:
        work = _planned(ctx, [one.row for one in work.dictionaries], request)
    return plan, [_report(ctx, work, one, one.known or made[one.identity], chosen) for one in work.dictionaries]


@dataclass(frozen=True)
class _Work:
    """All that a command measures, or knows."""

    dictionaries: list[EvaluationPlan]
    controls: dict[str, list[ControlPlan]]
    """By the dictionary's name."""
    fine: dict[str, FinePlan]
    """By the dictionary's name."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """The plan: dictionaries, and what is measured beside them where that is not known."""
        beside = [*distinct([one for some in self.controls.values() for one in some])]
        fine = [one for one in self.fine.values() if one.known is None]
        return (*(one.step for one in self.dictionaries), *(one.step for one in beside), *(one.step for one in fine))


def _planned(ctx: Context, rows: Sequence[DictionaryRow], request: EvaluationRequest) -> _Work:
    names = control_names(request.controls)
    fine = {row.name: plan_fine(ctx, row) for row in rows} if request.fine else {}
    return _Work(
        [plan_evaluation(ctx, row) for row in rows],
        {row.name: plan_controls(ctx, row, names) for row in rows},
        {name: plan for name, plan in fine.items() if plan is not None},
    )


def _carried_out(ctx: Context, work: _Work) -> dict[str, Evaluation]:
    """Measure what is not known, and store it; the evaluations by identity."""
    todo = [one for one in work.dictionaries if one.known is None]
    controls = distinct([one for some in work.controls.values() for one in some])
    fine = [one for one in work.fine.values() if one.known is None]
    made: dict[str, Evaluation] = {}
    if not (todo or controls or fine):
        return made
    with ctx.workspace.lock(), ExitStack() as stack:
        tell_steps(ctx.progress, Plan(work.steps))
        runs: dict[str, int] = {}
        about: dict[str, tuple[dict[str, Any], int | None]] = {
            **{one.identity: (one.config, one.row.id) for one in todo},
            **{one.identity: (one.config, None) for one in controls},
            **{one.identity: (one.config, one.row.id) for one in fine},
        }
        for key, (config, row_id) in about.items():
            run = queries.runs.PlannedRun("evaluate", key, config, config["images"], row_id)
            runs[key] = stack.enter_context(running(ctx.db, run)).id
        with part_of(ctx.progress, "evaluate"):
            measured = _measured(ctx, todo, controls, fine)
        made = measured.evaluations
        with ctx.db.session() as session:
            for one in todo:
                result = made[one.identity]
                row = session.get_one(DictionaryRow, one.row.id)
                row.figures = {**row.figures, **result.kept}
                queries.runs.finish(session, runs[one.identity], one.row.id, result.as_dict())
            for key, figures in measured.beside.items():
                queries.runs.finish(session, runs[key], about[key][1], figures)
        for control in controls:
            forget_checkpoint(ctx, control)
    return made


def truths_of(ctx: Context, row: DictionaryRow) -> list[FeatureTruth | None]:
    """Return the truth of each latent, as `evaluate` found it or would find it.

    Raises:
        UsageError: The truth of the layer's cells is not known.
    """
    layer = ctx.layer_of(row)
    if not has_truth(ctx, layer):
        raise UsageError(f"the truth of {row.name} is not known", "it is for what shapes generates in its own size")
    known = plan_evaluation(ctx, row).known
    if known is not None and (features := known.features_truths) is not None:
        return features.truths
    observer = DictionaryObserver(ctx, row, layer)
    seen = observe_held_out(ctx, [observer], row.name)
    assert seen.cells is not None
    return Truth(seen.cells, (row.grid_rows, row.grid_cols)).of(observer.firing(), ACTIVE_SHARE).truths


def _report(
    ctx: Context, work: _Work, one: EvaluationPlan, evaluation: Evaluation, labelers: Sequence[int] | None
) -> EvaluationReport:
    """Add the labels and scores as they are now. These are read and not measured, so the run does not store them."""
    row = one.row
    labelers = newest_of(ctx, row, labelers)
    with ctx.db.session() as session:
        labels = queries.labels.best(session, row.id, labelers)
        scores = queries.scores.of_labels(session, [best.label.id for best in labels.values()])
        latents = {index: latent for latent, index in queries.features.ids_by_index(session, row.id).items()}
    # The truth is of coarse words. What tells a feature from its namesakes is finer, so the name before that counts.
    names = {feature_id: best.label.name_before or best.label.name for feature_id, best in labels.items()}
    named = {
        latents[feature_id]: (names[feature_id], queries.scores.headline(scores.get(best.label.id, [])))
        for feature_id, best in labels.items()
    }
    apart = {latents[feature_id]: _named_apart(best.label) for feature_id, best in labels.items()}
    own = evaluation.features_truths
    fine = work.fine.get(row.name)
    return EvaluationReport(
        evaluation,
        len(named),
        None if own is None else _label_figures(own, named, apart, ctx.settings.seed),
        tuple(score_figures(ctx, row, labelers, own)),
        {control.name: control.known for control in work.controls[row.name] if control.known is not None},
        None if fine is None or fine.known is None else _fine_report(own, fine.known, named),
    )


def _fine_report(
    own: Evaluated | None, stored: Mapping[str, Any], named: Mapping[int, tuple[str, float | None]]
) -> dict[str, Any]:
    """Add the labels as they are now to the figures of the finer list."""
    from autointerp.shapes.fine_verdict import fine_label_figures

    assert own is not None
    names = {latent: name for latent, (name, _) in named.items()}
    figures = {key: value for key, value in stored.items() if key != "truths"}
    return {**figures, **fine_label_figures(own.ruler, stored["truths"], names)}


def _named_apart(label: Label) -> NamedApart:
    return NamedApart(
        label.name, label.name_before or label.name, label.difference, label.told_apart_from, label.same_as or ()
    )


def _label_figures(
    own: Evaluated, named: dict[int, tuple[str, float | None]], apart: Mapping[int, NamedApart], seed: int
) -> LabelFigures:
    """Hold labels, each a name and its score by latent, against the truths of features."""
    names = {latent: name for latent, (name, _) in named.items()}
    marking = Marking(own.truths, own.ruler.rules())
    return LabelFigures(
        accuracy={**accuracy(own.truths, names), **marking.of_names(names)},
        shuffled={**shuffled_accuracy(own.truths, names, seed), **shuffled_labels(marking, names, seed)},
        truthless_named=truthless_named(own.truths, names),
        intervals=label_intervals(own, names, seed),
        verdicts=own.ruler.counts(names),
        unreadable=own.ruler.unreadable(names),
        score_precision_r=correlation(own, named),
        apart=apart_figures(own, apart, seed),
    )


@dataclass(frozen=True)
class _Measured:
    """What was measured: evaluations, and the figures of controls and of the finer list, by identity."""

    evaluations: dict[str, Evaluation]
    beside: dict[str, dict[str, Any]]


def _measured(
    ctx: Context, todo: Sequence[EvaluationPlan], controls: Sequence[ControlPlan], fine: Sequence[FinePlan]
) -> _Measured:
    """Measure all that is planned, from one pass over the held-out images."""
    from autointerp.stages.evaluate.control_fits import control_observers

    rows = {row.id: (row, layer) for row, layer in [(p.row, p.layer) for p in todo] + [(p.row, p.layer) for p in fine]}
    own = {row_id: DictionaryObserver(ctx, row, layer) for row_id, (row, layer) in rows.items()}
    names = list(dict.fromkeys([*(row.name for row, _ in rows.values()), *(one.name for one in controls)]))
    what = names[0] if len(names) == 1 else f"dictionaries: {len(own)}, controls: {len(controls)}"
    with control_observers(ctx, controls) as directions:
        seen = observe_held_out(ctx, [*own.values(), *directions.values()], what)
    spliced = measure_splices(ctx, [(one.row, one.layer) for one in todo]) if todo else {}
    judge = _TruthJudge(seen.cells, ctx.settings.seed)
    beside = {one.identity: judge.directions(one, directions[one.identity].firing()) for one in controls}
    beside |= {one.identity: judge.fine(one, own[one.row.id].firing(), ctx.settings.seed) for one in fine}
    evaluations = {
        one.identity: _evaluation(ctx, one, own[one.row.id], seen.unseen, judge, spliced[one.row.id]) for one in todo
    }
    return _Measured(evaluations, beside)


class _TruthJudge:
    """What is true in the held-out images' cells, prepared once for all layers of one grid."""

    def __init__(self, cells: dict[str, np.ndarray] | None, seed: int) -> None:
        self.cells, self.seed = cells, seed
        self._truths: dict[tuple[int, int], Truth] = {}

    def truth(self, grid: tuple[int, int]) -> Truth:
        """Return the truth for a grid."""
        assert self.cells is not None
        if grid not in self._truths:
            self._truths[grid] = Truth(self.cells, grid, self.seed)
        return self._truths[grid]

    def directions(self, plan: ControlPlan, firing: Firing) -> dict[str, Any]:
        """Return the figures of a control of directions."""
        found = self.truth(plan.layer.grid).of(firing, ACTIVE_SHARE)
        return {"grounded": found.grounded, "specific": found.specific, "features": firing.num_features}

    def fine(self, plan: FinePlan, firing: Firing, seed: int) -> dict[str, Any]:
        """Return a dictionary's figures of the finer list."""
        import numpy as np

        from autointerp.shapes.fine_verdict import FineTruth, fine_figures

        assert self.cells is not None
        images = len(self.cells["part"])
        truth = FineTruth(self.cells, plan.layer.grid, np.arange(images) < images // 2)
        return fine_figures(truth, firing, ACTIVE_SHARE, seed)

    def figures(self, row: DictionaryRow, firing: Firing) -> TruthFigures:
        """Hold a dictionary's features against the truth."""
        own = self.truth((row.grid_rows, row.grid_cols)).of(firing, ACTIVE_SHARE)
        marking = Marking(own.truths, own.ruler.on_states().rules())
        return TruthFigures(
            grounded=own.grounded,
            specific=own.specific,
            active_above=ACTIVE_SHARE,
            kinds=kinds(own.truths),
            constant=constant_labels(marking),
            majority=majority_label(marking),
            repeats=own.halves.repeats(own.concepts),
            intervals=feature_intervals(own),
            features=own.as_dict(),
        )


def _evaluation(
    ctx: Context,
    one: EvaluationPlan,
    observer: DictionaryObserver,
    unseen: float,
    judge: _TruthJudge,
    splice: SpliceFigures,
) -> Evaluation:
    """Bring together the figures of one dictionary."""
    row, firing = one.row, observer.firing()
    states, fired = feature_states(ctx, row), firing.maximum > 0
    return Evaluation(
        layer=row.layer,
        dictionary=row.name,
        kind=row.kind,
        features=row.num_latents,
        live=states.count("live") if states else int(fired.sum()),
        dead=states.count("dead") if states else int((~fired).sum()),
        images=ctx.settings.evaluate_images,
        unseen_prompts=unseen,
        truth=judge.figures(row, firing) if judge.cells is not None and one.with_truth else None,
        reconstruction=observer.reconstruction.figures(),
        splice=splice,
        fit_seconds=row.figures.get("fit_seconds"),
    )
