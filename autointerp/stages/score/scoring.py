"""Stage `score`: how true each label is, by any of the methods; every trial is stored.

All methods but the seed paper's own show the score split alone, whose prompts and images no labeler saw. Some labels
are also scored with the words of another label. This shuffled control should come out at chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from autointerp.db import DatabaseError, queries
from autointerp.db.models import DictionaryRow, Score
from autointerp.errors import AutointerpError, PartialFailure
from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import Judge, Trial, Verdict
from autointerp.project.context import Context
from autointerp.project.evidence import EvidenceReader
from autointerp.project.labelers import labeler_key
from autointerp.project.schedule import part_of
from autointerp.stages.index.opening import open_index
from autointerp.stages.score.base_rates import AskedBaseRate, BaseRates
from autointerp.stages.score.namesake_cells import NamesakeCells
from autointerp.stages.score.planning import ScoreTask, Scoring
from autointerp.stages.score.trials import stored_trial

_LABELS_AT_ONCE, _GENERATED_AT_ONCE = 64, 8
"""Labels whose trials are read, and whose pictures are generated, before the first score is stored."""
_UNRELATED = 64
"""Held-out prompts from which a method takes those that share no word with a label."""


@dataclass(frozen=True)
class _Judged:
    """A score that can be stored: its task, the verdicts on its trials, and the base rate of its name, if any."""

    task: ScoreTask
    verdicts: list[Verdict]
    base: AskedBaseRate | None = None

    @property
    def waits(self) -> bool:
        """Whether some of the answers wait for a batch."""
        return any(verdict.waits for verdict in self.verdicts) or (self.base is not None and self.base.waits)

    @property
    def failure(self) -> str:
        """Why there is no score, where no answer could be read on the label or on its base rate; else empty."""
        unread = [list(self.verdicts)]
        if self.base is not None and self.base.rate.rate is None:
            unread.append(list(self.base.verdicts))
        for some in unread:
            if some and not any(verdict.scored for verdict in some):
                return some[0].error
        return ""


def run_scoring(ctx: Context, dictionary: DictionaryRow, scoring: Scoring) -> int:
    """Make the planned scores, and store each as soon as it is known; return how many there were.

    Raises:
        PartialFailure: A budget ended the work, or no answer on some labels could be read.
    """
    tasks = scoring.tasks
    if not tasks:
        return 0
    with part_of(ctx.progress, f"{scoring.method.name} score"):
        failures = _score_all(ctx, dictionary, scoring)
    if failures:
        raise PartialFailure(
            f"no readable answer on {len(failures)} of {len(tasks)} labels: {failures[0]}",
            "run `autointerp score` again with --retry-failed",
        )
    return len(tasks)


def _score_all(ctx: Context, dictionary: DictionaryRow, scoring: Scoring) -> list[str]:
    """Make the planned scores; return why there is no readable answer, for each label without one."""
    run, tasks = _ScoringRun(ctx, dictionary, scoring), scoring.tasks
    with ctx.progress.task(f"{scoring.method.name} score of {dictionary.name}", len(tasks), unit="label") as bar:
        size = _GENERATED_AT_ONCE if scoring.method.answered_by == "model" else _LABELS_AT_ONCE
        for start in range(0, len(tasks), size):
            for name in run.score(tasks[start : start + size]):
                bar.advance(1, name[:40])
    return run.failures


@dataclass(frozen=True)
class _Asked:
    """What a judge is asked about one label: its own trials, and those that all labels of its name share."""

    trials: list[Trial]
    shared: list[Trial]


class _ScoringRun:
    """One method at work: reads what trials are made of, asks, and stores the scores.

    Attributes:
        failures: For each label without a readable answer, why there is none.
    """

    def __init__(self, ctx: Context, dictionary: DictionaryRow, scoring: Scoring) -> None:
        self.failures: list[str] = []
        self._db, self._method, self._seed = ctx.db, scoring.method, ctx.settings.seed
        self._reader = EvidenceReader(ctx.db, dictionary)
        if "active" in self._method.needs:
            self._reader.cells.note_missing(ctx.progress)
        self._namesakes: NamesakeCells | None = None
        if "namesakes" in self._method.needs:
            self._namesakes = NamesakeCells(ctx, dictionary, self._reader)
        self._judge = scoring.judge
        self._answerer = scoring.judge or _answerer(ctx, dictionary, scoring.method)
        self._judge_id: int | None = None
        self._dictionary_id = dictionary.id
        self._bases: BaseRates | None = None
        with ctx.db.session() as session:
            if scoring.judge is not None:
                key = labeler_key(scoring.judge)
                self._judge_id = queries.labelers.ensure(session, key, scoring.judge.config).id
            ids = [task.label.feature_id for task in scoring.tasks]
            self._latents = queries.features.latent_indexes(session, ids)
        self._unrelated: list[tuple[str, int]] = []
        if "unrelated" in self._method.needs:
            jobs = ctx.prompts.held_out(_UNRELATED, self._seed, ctx.settings.images)
            self._unrelated = [(job.prompt, job.seed) for job in jobs]

    def score(self, tasks: Sequence[ScoreTask]) -> Iterator[str]:
        """Make some scores; yield the name of each label when its score is stored."""
        latents = {task.label.feature_id: self._latents[task.label.feature_id] for task in tasks}
        method = self._method
        evidence = self._reader.for_scores(latents, method.needs, self._seed, self._unrelated, method.limits)
        beside = None if self._namesakes is None else self._namesakes.of([task.label for task in tasks])
        trials = []
        for number, task in enumerate(tasks):
            feature_id = task.label.feature_id
            rng = np.random.default_rng((self._seed, latents[feature_id]))
            own = evidence[feature_id]
            if beside is not None:
                own = replace(own, namesakes=beside[number], difference=task.words.difference)
            trials.append(method.trials(task.words.name, task.words.explanation, own, rng))
        if self._judge is None:
            made = self._measured(tasks, trials)
        else:
            shown = next(iter(evidence.values()))
            if "cells" in method.needs and self._bases is None:
                assert self._judge_id is not None
                self._bases = BaseRates(self._db, self._dictionary_id, self._judge_id, shown.cells)
            shared = [
                method.shared_trials(task.words.name, shown) if some else []
                for task, some in zip(tasks, trials, strict=True)
            ]
            made = self._asked(self._judge, tasks, [_Asked(*both) for both in zip(trials, shared, strict=True)])
        for judged in made:
            if not judged.waits:
                self._store(judged)
                yield judged.task.label.name

    def _measured(self, tasks: Sequence[ScoreTask], trials: Sequence[list[Trial]]) -> Iterator[_Judged]:
        """Measure the trials of all tasks at once, by the embedder or the model."""
        verdicts = iter(self._answerer.judge([trial for some in trials for trial in some]))
        for task, some in zip(tasks, trials, strict=True):
            yield _Judged(task, [next(verdicts) for _ in some])

    def _ask(self, judge: Judge, task: ScoreTask, asked: _Asked) -> _Judged:
        """Ask a judge about one label, and before that about the base rate of its name, where the score needs it."""
        if self._bases is None or not asked.shared:
            return _Judged(task, self._method.ask(judge, asked.trials, None))
        base = self._bases.get(task.words.name, asked.shared, judge.judge)
        if base.waits:
            # A batch takes hours, so that all that may be needed goes with it.
            return _Judged(task, judge.judge(asked.trials), base)
        return _Judged(task, self._method.ask(judge, asked.trials, base.rate), base)

    def _asked(self, judge: Judge, tasks: Sequence[ScoreTask], trials: Sequence[_Asked]) -> Iterator[_Judged]:
        """Ask a judge about as many labels at once as it takes; scores that were judged before an error are kept."""
        failure: AutointerpError | None = None
        pool = ThreadPoolExecutor(judge.jobs, thread_name_prefix="score")
        try:
            futures = [pool.submit(self._ask, judge, *one) for one in zip(tasks, trials, strict=True)]
            for future in futures:
                try:
                    judged = future.result()
                except CancelledError:
                    continue
                except DatabaseError:
                    raise
                except AutointerpError as error:
                    failure = failure or error
                    for other in futures:
                        other.cancel()
                    continue
                yield judged
        except KeyboardInterrupt:
            if judge.asker is not None:
                judge.asker.give_up()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        if failure is not None:
            raise failure

    def _store(self, judged: _Judged) -> None:
        """Store a score with its trials, in place of one that got no readable answer."""
        verdicts, base = judged.verdicts, judged.base
        result = self._method.result(verdicts, self._seed, None if base is None else base.rate)
        if reason := judged.failure:
            self.failures.append(reason)
        row = Score(
            label_id=judged.task.label.id,
            method=result.method,
            judge_id=self._judge_id,
            value=result.value,
            ci_low=result.ci_low,
            ci_high=result.ci_high,
            tp=result.tp,
            fp=result.fp,
            tn=result.tn,
            fn=result.fn,
            unscored=result.unscored,
            seed=self._seed,
            shuffled=judged.task.shuffled,
            note=result.note,
            holds=result.holds,
        )
        for name, share in (("precision", result.precision), ("base_rate", result.base_rate)):
            if share is not None:
                setattr(row, name, share.value)
                setattr(row, f"{name}_low", share.low)
                setattr(row, f"{name}_high", share.high)
        with self._db.session() as session:
            if base is not None and self._bases is not None:
                verdicts = verdicts + list(self._bases.store(session, judged.task.words.name, base))
            queries.scores.store(session, row, [stored_trial(verdict) for verdict in verdicts])


def _answerer(ctx: Context, dictionary: DictionaryRow, method: Method) -> Judge:
    """Return what answers where no judge does: the model, or the embedder with the index of crops."""
    if method.answered_by == "model":
        from autointerp.stages.score.generative import ModelJudge

        return ModelJudge(ctx, dictionary)
    from autointerp.labeling.judging.embedder_judge import EmbedderJudge
    from autointerp.stages.score.crop_vectors import CropVectors

    return EmbedderJudge(ctx.embedder, CropVectors(ctx, open_index(ctx, dictionary, "crops")))
