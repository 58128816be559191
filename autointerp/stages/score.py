"""Stage `score`: how true each label is on the score split, whose prompts and images no labeler saw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from autointerp.db import queries
from autointerp.db.models import Dictionary, Judgement, Label, Labeler, Score
from autointerp.errors import UsageError, nearest
from autointerp.labeling.protocol import CropEvidence, Judge, ScoreResult, Trial
from autointerp.labeling.scores import detection_score, embedding_score, text_for_embedding
from autointerp.stages.context import Context, identity
from autointerp.stages.evidence import EvidenceReader
from autointerp.stages.index import crop_vectors, index_crops
from autointerp.stages.labelers import LabelerRequest, labeler_columns, make_client

if TYPE_CHECKING:
    from autointerp.labeling.chat import ChatClient
    from autointerp.labeling.judge import VlmJudge
    from autointerp.labeling.vlm import VlmLabeler

METHODS = ("embedding", "detection")
_LABELS_AT_ONCE = 64
_TRIALS = 20
"""Trials of a detection score: half of them crops on which the feature fires."""


def check_methods(methods: tuple[str, ...]) -> tuple[str, ...]:
    """The methods, each once.

    Raises:
        UsageError: One does not exist.
    """
    for method in methods:
        if method not in METHODS:
            raise UsageError(f"there is no score {method!r}", nearest(method, METHODS))
    return tuple(dict.fromkeys(methods))


def unscored_labels(
    ctx: Context, dictionary: Dictionary, method: str, judge_id: int | None = None, labeler_id: int | None = None
) -> list[Label]:
    """Labels that have no score of this method (by this judge) yet."""
    with ctx.db.session() as session:
        labels = queries.labels_without_score(session, dictionary.id, method, judge_id, labeler_id)
        for label in labels:
            session.expunge(label)
        return labels


def run_embedding(ctx: Context, dictionary: Dictionary, harvest: str) -> int:
    """Score every unscored label by the similarity of its words with held-out crops; returns how many."""
    labels = unscored_labels(ctx, dictionary, "embedding")
    if not labels:
        return 0
    index = index_crops(ctx, dictionary, harvest)
    reader, embed = EvidenceReader(ctx.db, dictionary), ctx.windows
    with ctx.progress.task(f"score {dictionary.name}", len(labels), unit="label") as bar:
        for start in range(0, len(labels), _LABELS_AT_ONCE):
            part = labels[start : start + _LABELS_AT_ONCE]
            crops = reader.crops([label.feature_id for label in part], "score")
            words = ctx.embedder.embed_texts([text_for_embedding(label.name) for label in part])
            results: list[tuple[Label, ScoreResult]] = []
            for label, vector in zip(part, words, strict=True):
                firing, silent = _by_truth(crops[label.feature_id])
                scored = embedding_score(vector, crop_vectors(index, firing), embed(silent), ctx.settings.seed)
                results.append((label, scored))
            _keep(ctx, results, None)
            bar.advance(len(part))
    return len(labels)


def run_detection(ctx: Context, dictionary: Dictionary, judge: Judge, labels: list[Label], judge_id: int) -> int:
    """Score labels by a judge's answers on held-out, unmarked images; returns how many."""
    reader = EvidenceReader(ctx.db, dictionary)
    with ctx.progress.task(f"judge {dictionary.name}", len(labels), unit="label") as bar:
        for label in labels:
            crops = reader.crops([label.feature_id], "score")[label.feature_id]
            trials = _trials(label, crops, ctx.settings.seed)
            result = (
                detection_score(judge.judge(trials))
                if trials
                else ScoreResult("detection", None, note="too few held-out crops")
            )
            _keep(ctx, [(label, result)], judge_id)
            bar.advance(1)
    return len(labels)


def make_judge(ctx: Context, request: LabelerRequest, client: ChatClient | None = None) -> tuple[Judge, int]:
    """The VLM as a judge, and its row's id; a labeler's `client` is shared, so that both spend one budget."""
    from autointerp.labeling.judge import VlmJudge

    judge = VlmJudge(client or make_client(ctx, request), jobs=request.jobs)
    with ctx.db.session() as session:
        return judge, queries.ensure_labeler(session, judge.config, **_judge_columns(judge)).id


def count_unjudged(ctx: Context, dictionary: Dictionary, labeler: VlmLabeler) -> int:
    """How many labels a VLM has given and not judged yet; writes nothing, unlike `make_judge`."""
    from autointerp.labeling.judge import VlmJudge

    with ctx.db.session() as session:
        labeler_id = session.scalar(select(Labeler.id).filter_by(**labeler_columns(labeler)))
        judge_id = session.scalar(select(Labeler.id).filter_by(**_judge_columns(VlmJudge(labeler.client))))
    return 0 if labeler_id is None else len(unscored_labels(ctx, dictionary, "detection", judge_id, labeler_id))


def _judge_columns(judge: VlmJudge) -> dict[str, str]:
    return {
        "kind": "judge",
        "model": judge.model,
        "base_url": judge.base_url,
        "prompt_hash": judge.prompt_hash,
        "config_hash": identity(judge.config),
    }


def _by_truth(crops: list[CropEvidence]) -> tuple[list[CropEvidence], list[CropEvidence]]:
    return [c for c in crops if c.role != "negative"], [c for c in crops if c.role == "negative"]


def _trials(label: Label, crops: list[CropEvidence], seed: int) -> list[Trial]:
    """As many firing as silent crops, in an order that gives nothing away."""
    firing, silent = _by_truth(crops)
    rng = np.random.default_rng((seed, label.feature_id))
    count = min(len(firing), len(silent), _TRIALS // 2)
    if count < 2:
        return []
    chosen = [(c, True) for c in _draw(rng, firing, count)] + [(c, False) for c in _draw(rng, silent, count)]
    return [Trial(label.name, label.explanation, *chosen[i]) for i in rng.permutation(len(chosen))]


def _draw(rng: np.random.Generator, crops: list[CropEvidence], count: int) -> list[CropEvidence]:
    return [crops[i] for i in np.sort(rng.permutation(len(crops))[:count])]


def _keep(ctx: Context, results: list[tuple[Label, ScoreResult]], judge_id: int | None) -> None:
    with ctx.db.session() as session:
        for label, result in results:
            row = Score(
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
                seed=ctx.settings.seed,
                note=result.note,
            )
            session.add(row)
            session.flush()
            for number, verdict in enumerate(result.verdicts):
                session.add(
                    Judgement(
                        score_id=row.id,
                        crop_id=verdict.trial.crop.crop_id,
                        trial=number,
                        truth=verdict.trial.truth,
                        holds=verdict.holds,
                        error=verdict.error,
                    )
                )
