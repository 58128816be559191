"""Stage `score`: how true each label is, by any of the methods; every trial is kept.

All but the seed paper's own method show the score split alone, whose prompts and images no labeler saw. Beside the
labels' own scores some are scored with the words of another label: the shuffled control, which should come out at
chance.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import delete, select

from autointerp.db import queries
from autointerp.db.models import Dictionary, Feature, Judgement, Label, Labeler, LabelStatus, Score
from autointerp.errors import AutointerpError, PartialFailure, UsageError, nearest
from autointerp.labeling.chat import WAITS_FOR_BATCH
from autointerp.labeling.methods import METHODS, Method
from autointerp.labeling.protocol import CropEvidence, Judge, ScoreResult, Trial, Verdict
from autointerp.stages.context import Context
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.index import crop_vectors, open_index
from autointerp.stages.labelers import labeler_columns

if TYPE_CHECKING:
    from autointerp.search.indexes import VectorIndex
    from autointerp.shapes.verdict import Evaluated

CONTROLS = 50
"""Labels that a method scores with another label's words too, where there are as many."""
_LABELS_AT_ONCE, _GENERATED_AT_ONCE = 64, 8
"""Labels whose trials are read, and generated, before the first is kept."""
_UNRELATED = 64
"""Held-out prompts from which those are taken that say no word of a label."""


def check_methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    """The methods, each once.

    Raises:
        UsageError: One does not exist.
    """
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"there is no score {method!r}", nearest(method, METHODS))
    return tuple(dict.fromkeys(methods))


@dataclass(frozen=True)
class Scoring:
    """What one method has still to do: `own` labels by their own words, and (label, whose words) for the control.

    `judge` answers where a judge is needed; None where the embedder or the model does.
    """

    method: Method
    judge: Judge | None
    own: tuple[Label, ...]
    shuffled: tuple[tuple[Label, Label], ...]

    @property
    def count(self) -> int:
        """How many scores would be made."""
        return len(self.own) + len(self.shuffled)


def plan_scoring(
    ctx: Context,
    dictionary: Dictionary,
    method: Method,
    judge: Judge | None = None,
    labeler_id: int | None = None,
    controls: bool = True,
    retry: bool = False,
) -> Scoring:
    """What is missing of a method's scores (by this judge, of this labeler's labels); writes nothing.

    With `retry` scores without any readable answer are missing too.
    """
    statuses: tuple[LabelStatus, ...] = ("ok",) if method.of_label else ("ok", "uninterpretable")
    with ctx.db.session() as session:
        judge_id = None if judge is None else session.scalar(select(Labeler.id).filter_by(**labeler_columns(judge)))
        # No score has the judge 0: by one that is new here all labels are unscored.
        by = 0 if judge is not None and judge_id is None else judge_id

        def missing(name: str, shuffled: bool = False) -> list[Label]:
            found = queries.labels_without_score(
                session, dictionary.id, name, by, labeler_id, shuffled, statuses, retry
            )
            session.expunge_all()
            return found

        own, uncontrolled = missing(method.name), missing(method.name, True)
        # Judges that test the scores read no words, so other words would change nothing.
        reads = method.of_label and (judge is None or judge.kind != "control")
        every = missing("") if controls and reads else []
    pairs: list[tuple[Label, Label]] = []
    if every:
        left = min(CONTROLS, len(every)) - (len(every) - len(uncontrolled))
        order = np.random.default_rng(ctx.settings.seed).permutation(len(every))
        places = {label.id: place for place, label in enumerate(every[i] for i in order)}
        shuffled = [every[i] for i in order]
        for label in sorted(uncontrolled, key=lambda one: places[one.id]):
            if len(pairs) >= left:
                break
            # The next of the shuffled labels that says something else.
            after = (shuffled[(places[label.id] + step) % len(shuffled)] for step in range(1, len(shuffled)))
            other = next((o for o in after if o.name.casefold() != label.name.casefold()), None)
            if other is not None:
                pairs.append((label, other))
    return Scoring(method, judge, tuple(own), tuple(pairs))


def run_scoring(ctx: Context, dictionary: Dictionary, scoring: Scoring) -> int:
    """Carry out what is planned, each score kept as soon as it is known; returns how many.

    Raises:
        PartialFailure: A budget ended the work, or no answer on some labels could be read.
    """
    if not scoring.count:
        return 0
    runner = _Runner(ctx, dictionary, scoring)
    what = f"{scoring.method.name} score of {dictionary.name}"
    pairs = [(label, label) for label in scoring.own] + list(scoring.shuffled)
    with ctx.progress.task(what, len(pairs), unit="label") as bar:
        size = _GENERATED_AT_ONCE if scoring.method.answered_by == "model" else _LABELS_AT_ONCE
        for start in range(0, len(pairs), size):
            for name in runner.score(pairs[start : start + size]):
                bar.advance(1, name[:40])
    if runner.failed:
        raise PartialFailure(
            f"no readable answer on {len(runner.failed)} of {len(pairs)} labels: {runner.failed[0]}",
            "run `autointerp score` again with --retry-failed",
        )
    return len(pairs)


class _Runner:
    """One method at work: reads what trials are made of, asks, stores."""

    def __init__(self, ctx: Context, dictionary: Dictionary, scoring: Scoring) -> None:
        self.ctx, self.scoring, self.method, self.seed = ctx, scoring, scoring.method, ctx.settings.seed
        self.reader = EvidenceReader(ctx.db, dictionary)
        self.answerer = scoring.judge or _answerer(ctx, dictionary, scoring.method)
        self.judge_id: int | None = None
        if scoring.judge is not None:
            with ctx.db.session() as session:
                columns = labeler_columns(scoring.judge)
                self.judge_id = queries.ensure_labeler(session, scoring.judge.config, **columns).id
        with ctx.db.session() as session:
            ids = [label.feature_id for label in scoring.own] + [label.feature_id for label, _ in scoring.shuffled]
            self.latents: dict[int, int] = {}
            for some in queries.chunks(ids):
                query = select(Feature.id, Feature.latent_index).where(Feature.id.in_(some))
                self.latents.update({feature_id: latent for feature_id, latent in session.execute(query)})
        self.unrelated: list[tuple[str, int]] = []
        if "unrelated" in self.method.needs:
            jobs = ctx.prompts.held_out(_UNRELATED, self.seed, ctx.settings.images)
            self.unrelated = [(job.prompt, job.seed) for job in jobs]
        self.failed: list[str] = []

    def score(self, pairs: Sequence[tuple[Label, Label]]) -> Iterator[str]:
        """Score some labels, each by the words of the second of its pair; yields their names, each when it is kept."""
        latents = {label.feature_id: self.latents[label.feature_id] for label, _ in pairs}
        evidence = self.reader.for_scores(latents, self.method.needs, self.seed, self.unrelated)
        trials = []
        for label, words in pairs:
            rng = np.random.default_rng((self.seed, latents[label.feature_id]))
            trials.append(self.method.trials(words.name, words.explanation, evidence[label.feature_id], rng))
        judged = self._measured(trials) if self.scoring.judge is None else self._judged(self.scoring.judge, trials)
        for place, verdicts in judged:
            if any(verdict.error == WAITS_FOR_BATCH for verdict in verdicts):
                continue
            self._keep(*pairs[place], verdicts)
            yield pairs[place][0].name

    def _measured(self, trials: Sequence[list[Trial]]) -> Iterator[tuple[int, list[Verdict]]]:
        """The verdicts on each label's trials, all measured at once."""
        verdicts = iter(self.answerer.judge([trial for some in trials for trial in some]))
        yield from ((place, [next(verdicts) for _ in some]) for place, some in enumerate(trials))

    def _judged(self, judge: Judge, trials: Sequence[list[Trial]]) -> Iterator[tuple[int, list[Verdict]]]:
        """The verdicts of a judge, as many labels at once as it takes; what was answered before an error is kept."""
        stopped: AutointerpError | None = None
        pool = ThreadPoolExecutor(getattr(judge, "jobs", 1), thread_name_prefix="score")
        try:
            asked = [pool.submit(judge.judge, some) for some in trials]
            for place, one in enumerate(asked):
                try:
                    verdicts = one.result()
                except CancelledError:
                    continue
                except AutointerpError as error:
                    stopped = stopped or error
                    for later in asked:
                        later.cancel()
                    continue
                yield place, verdicts
        except KeyboardInterrupt:
            if (client := getattr(judge, "client", None)) is not None:
                client.give_up()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if stopped is not None:
            raise stopped

    def _keep(self, label: Label, words: Label, verdicts: Sequence[Verdict]) -> None:
        """Store one score with its trials; it takes the place of one that came to nothing."""
        shuffled = words.id != label.id
        result = self.method.result(verdicts, self.seed)
        if verdicts and result.unscored == len(verdicts):
            self.failed.append(verdicts[0].error)
        same = (Score.label_id == label.id, Score.method == self.method.name, Score.shuffled == shuffled)
        judge = Score.judge_id.is_(None) if self.judge_id is None else Score.judge_id == self.judge_id
        with self.ctx.db.session() as session:
            session.execute(delete(Score).where(*same, judge, Score.value.is_(None), Score.unscored > 0))
            row = _score_row(result, label, self.judge_id, self.seed, shuffled)
            session.add(row)
            session.flush()
            trials = [_judgement(row.id, number, verdict) for number, verdict in enumerate(verdicts)]
            queries.insert_many(session, Judgement, trials)


def _answerer(ctx: Context, dictionary: Dictionary, method: Method) -> Judge:
    """Who answers where no judge does: the embedder, from the index of crops, or the model."""
    if method.answered_by == "model":
        from autointerp.stages.generative import ModelJudge

        return ModelJudge(ctx, dictionary)
    from autointerp.labeling.judge import EmbedderJudge

    return EmbedderJudge(ctx.embedder, _Vectors(ctx, open_index(ctx, dictionary, "crops")))


class _Vectors:
    """The vectors of crops: from the index where the feature fires, which has no others, else made now."""

    def __init__(self, ctx: Context, index: VectorIndex) -> None:
        self.ctx, self.index = ctx, index

    def __call__(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Unit vectors, float32 [n, dim]."""
        found = np.zeros((len(crops), self.ctx.embedder.dim), np.float32)
        silent = np.array([c.role == "negative" for c in crops], bool)
        found[~silent] = crop_vectors(self.index, [c for c in crops if c.role != "negative"])
        found[silent] = self.ctx.windows([c for c in crops if c.role == "negative"])
        return found


def _score_row(result: ScoreResult, label: Label, judge_id: int | None, seed: int, shuffled: bool) -> Score:
    return Score(
        label_id=label.id,
        method=result.method,
        judge_id=judge_id,
        value=result.value,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        tp=result.tp,
        fp=result.fp,
        tn=result.tn,
        fn=result.fn,
        unscored=result.unscored,
        seed=seed,
        shuffled=shuffled,
        note=result.note,
    )


def _judgement(score_id: int, number: int, verdict: Verdict) -> dict[str, Any]:
    """The row of one trial."""
    trial, shown = verdict.trial, dict[str, Any]()
    if trial.crop is None:
        shown = {"prompt": trial.prompt, "seed": trial.seed}
    elif trial.kind == "displaced":
        shown = {"box": list(trial.crop.box), "cell": list(trial.crop.cell or ())}
    return {
        "score_id": score_id,
        "crop_id": None if trial.crop is None else trial.crop.crop_id,
        "trial": number,
        "kind": trial.kind,
        "panel": trial.panel,
        "shown": shown,
        "truth": trial.truth,
        "holds": verdict.holds,
        "value": verdict.value,
        "error": verdict.error,
    }


def score_figures(
    ctx: Context, dictionary: Dictionary, labelers: Collection[int] | None = None, own: Evaluated | None = None
) -> list[dict[str, Any]]:
    """What `evaluate` says of each method and judge: the labels' mean beside chance and the shuffled control.

    Only the label that counts of each feature is in it, among those of these labelers. `value` is the mean over
    `labels` labels with `ci_low` and `ci_high` of that mean, `shuffled` that of `shuffled_labels` with other labels'
    words; `valueless` is how many have a score without a value, `trials` and `unscored` are answers asked for and
    answers that could not be read. With the features' truths, `own`: `truth_auroc`, how well the score tells features
    with a truth from those without, and `precision_r`, its correlation with the precision of what the label says.
    """
    with ctx.db.session() as session:
        best = queries.best_labels(session, dictionary.id, labelers, ("ok", "uninterpretable"))
        latents = {f.id: f.latent_index for f in queries.features(session, dictionary.id)}
        said = {found.label.id: (latents[feature], found.label.name) for feature, found in best.items()}
        rows = queries.judged_scores(session, [found.label.id for found in best.values()])
        groups: dict[tuple[str, str], list[Score]] = {}
        for score, judge in rows:
            by = "" if judge is None else judge.model
            groups.setdefault((score.method, by), []).append(score)
        ids = [score.id for score, _ in rows if not score.shuffled]
        asked = queries.trial_counts(session, ids)
        found = []
        for name in METHODS:
            for (method, by), scores in sorted(groups.items()):
                if method == name:
                    figures = _figures(ctx, METHODS[name], scores, asked)
                    found.append({"method": method, "judge": by or None, **figures, **_worth(scores, said, own)})
        return found


def _worth(scores: Sequence[Score], said: dict[int, tuple[int, str]], own: Evaluated | None) -> dict[str, float | None]:
    """How scores, of labels with these latents and names, fit to what is true of the features."""
    if own is None:
        return {"truth_auroc": None, "precision_r": None}
    from autointerp.shapes.verdict import correlation, truth_auroc

    named = {said[s.label_id][0]: (said[s.label_id][1], s.value) for s in scores if not s.shuffled}
    values = {latent: value for latent, (_, value) in named.items()}
    return {"truth_auroc": truth_auroc(own, values), "precision_r": correlation(own, named)}


def _figures(ctx: Context, method: Method, scores: Sequence[Score], asked: dict[int, int]) -> dict[str, Any]:
    own = [score for score in scores if not score.shuffled]
    values = np.array([score.value for score in own if score.value is not None])
    shuffled = [score.value for score in scores if score.shuffled and score.value is not None]
    low = high = None
    if len(values) > 1:
        rng = np.random.default_rng(ctx.settings.seed)
        means = values[rng.integers(len(values), size=(1000, len(values)))].mean(1)
        low, high = (float(v) for v in np.quantile(means, [0.025, 0.975]))
    return {
        "labels": len(values),
        "valueless": len(own) - len(values),
        "value": float(values.mean()) if len(values) else None,
        "ci_low": low,
        "ci_high": high,
        "chance": method.chance,
        "shuffled": float(np.mean(shuffled)) if shuffled else None,
        "shuffled_labels": len(shuffled),
        "trials": sum(asked.get(score.id, 0) for score in own),
        "unscored": sum(score.unscored for score in own),
    }
